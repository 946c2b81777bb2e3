"""Checkpoints: what is saved is what is found again, or it is said that it is not."""

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from store.helpers import CONFIG, files_at_most, names, snapshot

from streamlearn.errors import ChangedError, DamagedError, StateError
from streamlearn.store import manifest
from streamlearn.store.checkpoint import ARRAYS, MANIFEST, Checkpoints, Snapshot
from streamlearn.store.digest import digest

DTYPES = ("<f4", "<f8", "<i8", "<i4", "|u1", "<u8")


def same(one: Snapshot, other: Snapshot) -> bool:
    """Whether two snapshots are equal to the bit."""
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        assert array.dtype == other.arrays[name].dtype
        assert array.shape == other.arrays[name].shape
        assert array.tobytes() == other.arrays[name].tobytes()
    return one._replace(arrays={}) == other._replace(arrays={})


def test_what_is_saved_is_found_again(tmp_path: Path) -> None:
    """Every field of the newest snapshot comes back, arrays to the bit."""
    store = Checkpoints(tmp_path)
    assert store.newest(CONFIG) is None
    store.save(snapshot(10))
    written = store.save(snapshot(20))
    found = Checkpoints(tmp_path).newest(CONFIG)
    assert found is not None
    assert same(found, snapshot(20))
    assert digest(found.arrays, found.rows_learned) == found.digest
    assert written.size_bytes == sum(file.stat().st_size for file in written.path.iterdir())


def test_names_of_checkpoints_do_not_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that come once are not interned: Python 3.12 would keep each of them for ever.

    A daemon saves, reads back and removes thousands of checkpoints a day.
    """
    interned: list[str] = []
    intern = sys.intern

    def note(text: str) -> str:
        interned.append(text)
        return intern(text)

    store = Checkpoints(tmp_path, keep=2)
    monkeypatch.setattr(sys, "intern", note)
    for rows in (10, 20, 30, 40):
        store.save(snapshot(rows))
        assert len(store.kept()) == min(rows // 10, 2)
        assert store.newest(CONFIG) is not None
    assert Path(tmp_path, "seen").name in interned
    assert [text for text in interned if "checkpoint-" in text] == []


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    arrays=st.dictionaries(
        st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12),
        st.sampled_from(DTYPES).flatmap(
            lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=5))
        ),
        max_size=5,
    )
)
def test_any_arrays_come_back(tmp_path: Path, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    """Any name, type and shape, none and empty too, NaN and all, from any layout in memory."""
    arrays = {name: np.asfortranarray(a) if a.ndim > 1 else a for name, a in arrays.items()}
    arrays |= {f"{name} backwards": a[::-1] for name, a in arrays.items() if a.ndim}
    arrays.pop("__metadata__", None)  # a word of the file format
    saved = snapshot()._replace(arrays=arrays)
    Checkpoints(tmp_path, keep=1).save(saved)
    found = Checkpoints(tmp_path).newest(CONFIG)
    assert found is not None
    assert same(found, saved)


def damages(path: Path) -> list[tuple[str, Callable[[], object]]]:
    """Ways to damage a file: a flipped byte at each 64th of it, cuts, additions, loss."""
    data = path.read_bytes()
    positions = sorted({i * (len(data) - 1) // 64 for i in range(65)})

    def flipped(i: int, bits: int) -> bytes:
        return data[:i] + bytes([data[i] ^ bits]) + data[i + 1 :]

    changed = {
        **{f"byte {i} ^ {bits}": flipped(i, bits) for i in positions for bits in (1, 32, 255)},
        **{f"cut at {i}": data[:i] for i in positions},
        "a byte more": data + b"\n",
        "zeros": bytes(len(data)),
    }
    ways: list[tuple[str, Callable[[], object]]] = [
        (name, lambda data=data: path.write_bytes(data)) for name, data in changed.items()
    ]
    return [*ways, ("missing", path.unlink)]


@pytest.mark.parametrize("name", [ARRAYS, MANIFEST])
def test_damage_is_seen_and_the_one_before_is_taken(tmp_path: Path, name: str) -> None:
    """Wherever a byte of the newest is changed, cut or gone, the one before is found instead."""
    store = Checkpoints(tmp_path)
    store.save(snapshot(10))
    path = store.save(snapshot(20)).path / name
    data = path.read_bytes()
    for damage, inflict in damages(path):
        inflict()
        found = store.newest(CONFIG)
        assert found is not None, damage
        assert found.rows_learned == 10, f"{name}: {damage} went unseen"
        assert len(store.notes) == 1
        assert str(path) in store.notes[0]
        path.write_bytes(data)
    found = store.newest(CONFIG)
    assert found is not None
    assert found.rows_learned == 20
    assert store.notes == ()


def test_falling_back_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says which checkpoint is damaged, and from which one the daemon goes on."""
    store = Checkpoints(tmp_path)
    first = store.save(snapshot(10)).path
    (store.save(snapshot(20)).path / ARRAYS).unlink()
    with caplog.at_level(logging.WARNING):
        store.newest(CONFIG)
    assert len(caplog.messages) == 1
    assert f"{ARRAYS}: missing; going on from {first.name}" in caplog.messages[0]


def test_when_all_are_damaged_nothing_is_learned_anew(tmp_path: Path) -> None:
    """With checkpoints but no whole one the daemon stops and says so: the loss is not hidden."""
    store = Checkpoints(tmp_path)
    for rows in (10, 20):
        (store.save(snapshot(rows)).path / MANIFEST).unlink()
    with pytest.raises(StateError, match=r"none of the 2 checkpoints is whole") as caught:
        store.newest(CONFIG)
    assert not isinstance(caught.value, DamagedError)
    assert "move the folder away" in str(caught.value)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    """After many saves the newest `keep` are there, and nothing else."""
    store = Checkpoints(tmp_path, keep=3)
    for rows in range(1, 13):
        store.save(snapshot(rows))
    assert [store.read(name).rows_learned for name in store.names()] == [12, 11, 10]
    assert names(tmp_path) == sorted(store.names())


def test_damaged_ones_do_not_count_as_kept(tmp_path: Path) -> None:
    """Pruning never removes the last whole checkpoint because newer damaged ones are there."""
    store = Checkpoints(tmp_path, keep=3)
    store.save(snapshot(10))
    for rows in (20, 30):
        (store.save(snapshot(rows)).path / ARRAYS).write_bytes(b"")
    later = Checkpoints(tmp_path, keep=2)
    later.save(snapshot(40))
    assert len(later.names()) == 4
    (later.folder / later.names()[0] / ARRAYS).unlink()
    found = Checkpoints(tmp_path).newest(CONFIG)
    assert found is not None
    assert found.rows_learned == 10


def test_names_count_up_beyond_damage_and_pruning(tmp_path: Path) -> None:
    """A new checkpoint never takes the name of one that is there, whatever else is there."""
    store = Checkpoints(tmp_path, keep=1)
    (tmp_path / "checkpoint-99999999").mkdir()
    (tmp_path / "checkpoint-copy").mkdir()
    assert store.save(snapshot(10)).path.name == "checkpoint-100000000"
    assert store.names() == ["checkpoint-100000000"]


def test_a_changed_configuration_is_refused_with_what_differs(tmp_path: Path) -> None:
    """Every key that differs is named with both values; the same values in tuples are the same."""
    store = Checkpoints(tmp_path)
    store.save(snapshot(10))
    (layer,) = CONFIG["layer"]
    assert store.newest({**CONFIG, "layer": (dict(layer),)})
    changed = {**CONFIG, "seed": 7, "layer": [{**layer, "units": 9}]}
    with pytest.raises(ChangedError) as caught:
        store.newest(changed)
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert "seed: saved 0, now 7" in lines
    assert "layer[0].units: saved 8, now 9" in lines
    assert not any("rule" in line for line in lines)


def test_another_format_is_refused_not_guessed_at(tmp_path: Path) -> None:
    """A checkpoint of a later version stops the start; an older one is not silently taken."""
    store = Checkpoints(tmp_path)
    store.save(snapshot(10))
    path = store.save(snapshot(20)).path / MANIFEST
    later = manifest.unseal(path.read_bytes(), "")._replace(format=2, streamlearn="9.9.9")
    path.write_bytes(manifest.seal(later))
    with pytest.raises(StateError, match=r"format 2.* go on with streamlearn 9\.9\.9") as caught:
        store.newest(CONFIG)
    assert not isinstance(caught.value, DamagedError)


def test_a_full_disk_leaves_the_earlier_ones(tmp_path: Path) -> None:
    """A save that the disk refuses says so, leaves nothing, and the next one works."""
    store = Checkpoints(tmp_path)
    sizes = [file.stat().st_size for file in store.save(snapshot(10)).path.iterdir()]
    before = names(tmp_path)
    for limit in (0, 100, min(sizes) - 1, max(sizes) - 1):
        with files_at_most(limit), pytest.raises(StateError, match="raise the limit"):
            store.save(snapshot(20))
        assert names(tmp_path) == before
        found = store.newest(CONFIG)
        assert found is not None
        assert found.rows_learned == 10
    store.save(snapshot(30))


def test_a_really_full_disk(tmp_path: Path) -> None:
    """The same on a file system without room, where this user may mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(tmp_path)]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("this user may not mount a small disk")
    try:
        store = Checkpoints(tmp_path)
        store.save(snapshot(10))
        large = snapshot(20)._replace(arrays={"w": np.zeros(1_000_000, np.float32)})
        with pytest.raises(StateError, match=r"No space left on device.*free some space"):
            store.save(large)
        assert store.names() == ["checkpoint-00000001"]
        with store.lock():
            assert store.newest(CONFIG) is not None
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_killed_while_saving_the_last_one_stays(tmp_path: Path) -> None:
    """Killed at any moment of a loop of saves, the folder holds a whole newest checkpoint."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent.parent)!r})\n"
        "from store.helpers import snapshot; from streamlearn.store.checkpoint import Checkpoints\n"
        f"store = Checkpoints({str(tmp_path)!r}, keep=2); held = store.lock(); rows = 0\n"
        "while True:\n"
        "    rows += 1; store.save(snapshot(rows)); print(rows, flush=True)\n"
    )
    random = np.random.default_rng(0)
    for _ in range(3):
        shutil.rmtree(tmp_path)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(int(random.integers(3, 40))):
                said = int(child.stdout.readline())
            child.kill()
            rest = child.stdout.read().split()
        store = Checkpoints(tmp_path)
        with store.lock():
            found = store.newest(CONFIG)
        assert found is not None
        assert store.notes == ()
        assert found.rows_learned >= max([said, *map(int, rest)])
        assert same(found, snapshot(found.rows_learned))


def test_nothing_that_is_read_can_run_code(tmp_path: Path) -> None:
    """An array of Python objects, which only pickle could write, is refused."""
    objects = snapshot()._replace(arrays={"w": np.array([object()])})
    with pytest.raises(StateError):
        Checkpoints(tmp_path).save(objects)
    assert names(tmp_path) == []


def test_the_manifest_says_what_it_is(tmp_path: Path) -> None:
    """Another program can read from the manifest what a checkpoint holds, and check it."""
    path = Checkpoints(tmp_path).save(snapshot(10)).path
    fields = json.loads((path / MANIFEST).read_text())
    assert fields["format"] == manifest.FORMAT == 1
    assert fields["rows_learned"] == 10
    assert fields["config"] == CONFIG
    assert fields["files"][ARRAYS]["bytes"] == (path / ARRAYS).stat().st_size
    blank = (path / MANIFEST).read_text().replace(fields["checksum"], "0" * 64)
    assert manifest._checksum(blank.encode()).decode() == fields["checksum"]
