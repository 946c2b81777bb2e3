"""Sets of recordings: each a stream of its own, in turn, with its label and its device."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlearn.data import interleaved, load, messages
from streamlearn.errors import UsageError


def watch(folder: Path, **changed: Any) -> str:
    """Three recordings of 5, 2 and 4 samples of two numbers, as an npz file."""
    arrays: dict[str, Any] = {
        "X": np.arange(22, dtype=np.float32).reshape(11, 2),
        "offsets": np.array([0, 5, 7, 11]),
        "y": np.array([2, 0, 1]),
        "subject": np.array([9, 4, 9]),
    }
    path = folder / "watch.npz"
    np.savez(path, **{name: a for name, a in (arrays | changed).items() if a is not None})
    return str(path)


def test_recordings_are_streams_with_labels_and_devices(tmp_path: Path) -> None:
    """A label a recording is every row's; names are DEVICE/NUMBER; they come apart again."""
    data = load(watch(tmp_path))
    assert data.y is not None
    assert data.y.tolist() == [2] * 5 + [0] * 2 + [1] * 4
    assert data.names == ("9/0", "4/1", "9/2")
    assert [one.rows for one in data.recordings()] == [5, 2, 4]
    assert data.stream(6, "arm") == "arm/4/1"
    assert load(watch(tmp_path, subject=None)).names == ("0", "1", "2")


def test_held_out_recordings_stay_whole(tmp_path: Path) -> None:
    """`is_test` one a recording holds all its rows out."""
    data = load(watch(tmp_path, is_test=np.array([0, 1, 0])))
    assert data.test is not None
    assert (data.train.rows, data.test.rows) == (9, 2)
    assert data.test.stream(0, "a") == "a/4/1"


def test_recordings_take_turns_and_make_room(tmp_path: Path) -> None:
    """Two live at once, three rows a turn; where one ends the next begins; no row is lost."""
    turned = interleaved(load(watch(tmp_path)), together=2, rows=3)
    assert turned.series is not None
    assert turned.series.tolist() == [0, 0, 0, 1, 1, 0, 0, 2, 2, 2, 2]
    assert turned.X[:, 0].tolist() == [0, 2, 4, 10, 12, 6, 8, 14, 16, 18, 20]
    assert list(messages(turned, 1, 8)) == [(1, 3), (3, 5), (5, 7), (7, 8)]


def test_devices_take_turns_where_a_set_is_played(tmp_path: Path) -> None:
    """A set that lies device by device begins with a recording of each, and loses no row."""
    data = load(watch(tmp_path, subject=np.array([9, 9, 4])))
    assert data.series is not None
    mixed = interleaved(data, together=1, rows=9, mixed=True)
    assert mixed.series is not None
    assert mixed.series.tolist() == [0] * 5 + [2] * 4 + [1] * 2
    as_it_lies = interleaved(data, together=1, rows=9)
    assert as_it_lies.series is not None
    assert as_it_lies.series.tolist() == data.series.tolist()
    nobody = load(watch(tmp_path, subject=None))
    alone = interleaved(nobody, together=1, rows=9, mixed=True)
    np.testing.assert_array_equal(alone.X, nobody.X)


def test_a_folder_of_sound_is_a_class_a_file(tmp_path: Path) -> None:
    """Each file's recordings have its class, and its speaker as their device."""
    for k, speaker in enumerate(("ann", "bob")):
        audio = np.arange(6, dtype=np.int16) + 10 * k
        np.savez(
            tmp_path / f"{speaker}.npz", audio=audio, offsets=np.array([0, 4, 6]), speaker=speaker
        )
    data = load(str(tmp_path))
    assert (data.shape, data.X.dtype.str, data.classes) == ((1,), "<i2", 2)
    assert data.y is not None
    assert data.y.tolist() == [0] * 6 + [1] * 6
    assert data.names == ("ann/0", "ann/1", "bob/0", "bob/1")
    assert [one.rows for one in data.recordings()] == [4, 2, 4, 2]


def test_offsets_that_do_not_cut_are_refused(tmp_path: Path) -> None:
    """They must rise from 0 to the count of rows."""
    for wrong in ([0, 5, 7], [0, 7, 7, 11], [1, 5, 7, 11]):
        with pytest.raises(UsageError, match=r"offsets .* do not cut 11 rows"):
            load(watch(tmp_path, offsets=np.array(wrong)))
