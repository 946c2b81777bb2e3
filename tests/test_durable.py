"""What a learner makes of a checkpoint and the journal after it, in one process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlearn.config import Config, parse
from streamlearn.data import load
from streamlearn.durable import Durable, replay_schema
from streamlearn.errors import ChangedError, DamagedError, NoSpaceError, RejectedError
from streamlearn.learner import Learner, schema_of
from streamlearn.plan import CATALOGUE
from streamlearn.store.checkpoint import Checkpoints, Snapshot
from streamlearn.store.manifest import Manifest
from streamlearn.wire.acknowledged import Numbers
from streamlearn.wire.batch import Entry, Refused
from streamlearn.wire.message import Label, Sample, decode, encode

WINDOW = {
    "stream": {"shape": [8, 8], "classes": 10, "live": 2},
    "labels": {"rehearse_every": 7, "rehearse_rows": 20},
    "prepare": [{"step": "window", "rows": 3, "hop": 2}],
    "layer": [{"rule": "hebbian", "units": 12}],
}
PLAIN = {
    "stream": {"shape": [8, 8], "classes": 10},
    "layer": [{"rule": "hebbian", "units": 12}],
}
DREAMS = {
    "stream": {"shape": [8, 8], "classes": 10},
    "layer": [{"rule": "forward_forward", "units": 12, "phases": "apart", "labels": "none"}],
}


def config(folder: Path, raw: dict[str, Any]) -> Config:
    """A small learner with its state in a folder."""
    more = {"store": {"dir": str(folder)}, "pipeline": {"ring_rows": 64}}
    return parse({"head": [{"kind": "softmax"}], **raw, **more}, CATALOGUE)


class Life:
    """A learner and what is durable of it, as the ingest thread has them."""

    def __init__(self, folder: Path, raw: dict[str, Any], snapshot: Snapshot | None) -> None:
        self.learner = Learner(config(folder, raw))
        self.learner.assemble()
        self.learner.warm()
        self.durable = Durable(self.learner.config)
        self.durable.resume(snapshot)
        if snapshot is not None:
            self.learner.restore(snapshot)
        self.learner.pipeline.start()
        schema = replay_schema(schema_of(self.learner.config))
        self.replayed = self.durable.replay(self.learner.intake, schema, lambda: None)

    def take(self, message: Sample | Label, pause: int = 0) -> Snapshot | None:
        """Make a message durable, then learn it; returns a checkpoint once `pause` rows are."""
        n = message.n if isinstance(message, Sample) else 0
        known = {stream: end for stream, _, end in self.durable.mark()["places"]}
        end = message.seq + n if n else known[message.stream]
        entry = Entry(True, n, encode(message), (message.stream, message.producer), end)
        self.durable.append([entry], []).result()
        read = decode(entry.frames, schema_of(self.learner.config))
        assert isinstance(read, Sample | Label)
        self._write(read, 0, pause)
        if pause:
            self.durable.delivered(entry, pause)
        saved = self.checkpoint() if pause else None
        self._write(read, pause, n or len(message.y))  # type: ignore[arg-type]
        self.durable.delivered(entry, 0)
        return saved

    def _write(self, message: Sample | Label, start: int, end: int) -> None:
        intake = self.learner.intake
        write: Any = intake.sample if isinstance(message, Sample) else intake.label
        while start < end:
            if rows := min(end - start, intake.room()):
                write(message, start, start + rows)
                start += rows
            else:
                intake.wait_room(1.0)

    def checkpoint(self) -> Snapshot:
        """The learner at this moment, with where it stands in the journal."""
        pending = self.learner.begin_snapshot()
        pending.meta["journal"] = self.durable.mark()
        self.learner.intake.flush()
        return self.learner.finish_snapshot(pending, 60.0)


@contextmanager
def living(folder: Path, raw: dict[str, Any], snapshot: Snapshot | None = None) -> Iterator[Life]:
    """A life that ends without saving anything."""
    folder.mkdir(exist_ok=True)
    life = Life(folder, raw, snapshot)
    try:
        yield life
    finally:
        life.learner.pipeline.close()
        life.durable.close()


def messages(first: int, last: int) -> Iterator[Sample | Label]:
    """Rows of two streams by turns, some of their labels late."""
    data = load("optdigits").train
    for i in range(first, last):
        stream, here = f"s{i % 2}", slice(5 * i, 5 * i + 5)
        x, y = data.X[here].astype("<f4"), data.y[here].astype(np.int32)
        yield Sample(stream, "p", i // 2 * 5, 5, float(i), x, None if i % 3 else y)
        if i % 3:
            yield Label(stream, "p", i // 2 * 5 + 1, y[1:3])


@pytest.mark.parametrize("raw", [WINDOW, DREAMS], ids=["windows shown again", "dreams"])
def test_a_crash_at_any_point_changes_nothing(raw: dict[str, Any], tmp_path: Path) -> None:
    """Windows, late labels, rows shown again, dreams: the same from checkpoint and journal."""

    def live(life: Life, first: int, last: int) -> None:
        for message in messages(first, last):
            life.take(message)
        life.durable.dream(life.learner.intake, 30, 0.0)

    with living(tmp_path / "whole", raw) as life:
        for first in (0, 20, 40):
            live(life, first, first + 20)
        expected = life.checkpoint()
    with living(tmp_path / "cut", raw) as life:
        live(life, 0, 20)
        saved = life.checkpoint()
        live(life, 20, 40)
    with living(tmp_path / "cut", raw, saved) as life:
        assert life.replayed == 100
        live(life, 40, 60)
        found = life.checkpoint()
    with living(tmp_path / "cut", raw) as life:
        assert life.replayed == 300
        again = life.checkpoint()
    assert found.digest == again.digest == expected.digest
    assert found.meta["journal"] == again.meta["journal"] == expected.meta["journal"]
    for name, array in expected.arrays.items():
        assert array.tobytes() == found.arrays[name].tobytes() == again.arrays[name].tobytes(), name


def bursts() -> Iterator[Sample | Label]:
    """Runs of messages of 1 to 90 rows by turns of two streams, some without labels, with gaps."""
    data, chance = load("optdigits").train, np.random.default_rng(1)
    seq = {"a": 0, "b": 0}
    for turn in range(6):
        stream = "ab"[turn % 2]
        for n in chance.choice([1, 1, 1, 3, 50, 90], 40).tolist():
            here = chance.integers(0, 3000, n)
            x, y = data.X[here].astype("<f4"), data.y[here].astype(np.int32)
            t = float(chance.random())
            yield Sample(stream, "p", seq[stream], n, t, x, y if chance.random() < 0.5 else None)
            seq[stream] += n
        yield Label(stream, "p", seq[stream] - 1, np.array([3], np.int32))
        seq[stream] += 2


def test_messages_replayed_together_leave_what_they_left_one_by_one(tmp_path: Path) -> None:
    """Weights, kept rows, positions, counts; also from a checkpoint in the middle of a message."""
    all_messages = list(bursts())
    half = next(i for i in range(100, 200) if len(encode(all_messages[i])[-1]) == 50 * 64 * 4)
    with living(tmp_path / "a", PLAIN) as life:
        for message in all_messages[:half]:
            life.take(message)
        saved = life.take(all_messages[half], 40)
        for message in all_messages[half + 1 :]:
            life.take(message)
        expected, counts = life.checkpoint(), vars(life.learner.intake.counts)
    with living(tmp_path / "a", PLAIN) as life:
        whole = life.checkpoint()
        assert vars(life.learner.intake.counts) == counts
        assert life.durable.progress.done == life.durable.progress.total == life.replayed
    with living(tmp_path / "a", PLAIN, saved) as life:
        rest = life.checkpoint()
    for found in (whole, rest):
        assert found.digest == expected.digest
        assert found.meta == expected.meta
        for name, array in expected.arrays.items():
            assert array.tobytes() == found.arrays[name].tobytes(), name


def test_the_journal_is_cut_when_two_checkpoints_have_it(tmp_path: Path) -> None:
    """One may be damaged: what only the newest has stays."""
    with living(tmp_path / "a", WINDOW) as life:
        manifests: list[Manifest] = []
        ids = []
        for first in (0, 10, 20):
            for message in messages(first, first + 10):
                life.take(message)
            one = life.checkpoint()
            ids.append(one.meta["journal"]["id"])
            manifests.insert(0, Manifest(1, "", 0, 0, 0, "", "", {}, dict(one.meta), {}))
            life.durable.trim(manifests)
            assert life.durable.journal.first == (1 if len(ids) == 1 else ids[0] + 1)


def test_a_journal_of_another_learner_is_refused(tmp_path: Path) -> None:
    """Without a checkpoint nothing else tells that rows belong to it."""
    with living(tmp_path / "a", WINDOW) as life:
        for message in messages(0, 3):
            life.take(message)
    with pytest.raises(ChangedError, match="rehearse_every"), living(tmp_path / "a", DREAMS):
        pass


def test_a_checkpoint_older_than_the_journal_is_refused(tmp_path: Path) -> None:
    """Rows between them would be left out in silence."""
    with living(tmp_path / "a", WINDOW) as life:
        old = life.checkpoint()
        for message in messages(0, 10):
            life.take(message)
        life.durable.journal.trim(5)
    with (
        pytest.raises(DamagedError, match="begins with record 6"),
        living(tmp_path / "a", WINDOW, old),
    ):
        pass


def test_an_emptied_journal_beside_a_checkpoint_is_refused(tmp_path: Path) -> None:
    """A file of no bytes is no journal that somebody moved away; it is left as it is."""
    with living(tmp_path / "a", WINDOW) as life:
        for message in messages(0, 10):
            life.take(message)
        saved = life.checkpoint()
    with Checkpoints(tmp_path / "a").lock():
        Checkpoints(tmp_path / "a").save(saved)
    path = tmp_path / "a" / "journal.sqlite"
    path.write_bytes(b"")
    with (
        pytest.raises(DamagedError, match=r"empty.*at record \d+.*move it away"),
        living(tmp_path / "a", WINDOW, saved),
    ):
        pass
    assert path.stat().st_size == 0


def test_a_checkpoint_without_its_journal_goes_on(tmp_path: Path) -> None:
    """Moved alone to another folder: numbers of records and of producers go on."""
    with living(tmp_path / "a", WINDOW) as life:
        for message in messages(0, 10):
            life.take(message)
        saved = life.checkpoint()
    with living(tmp_path / "b", WINDOW, saved) as life:
        assert life.replayed == 0
        assert life.durable.journal.last == saved.meta["journal"]["id"]
        place = life.durable.places.get("s0", "p")
        assert place is not None
        assert place.next_seq == 25
        for message in messages(10, 12):
            life.take(message)
    with living(tmp_path / "b", WINDOW, saved) as life:
        assert life.replayed == 10


def test_a_batch_that_waits_counts_whichever_file_has_no_room(tmp_path: Path) -> None:
    """A disk too full for a dead letter is a failure of the batch, and the letter counts once."""
    durable = Durable(config(tmp_path, WINDOW))
    error = RejectedError("shape", "another one")

    def write(seq: int) -> None:
        row = [b"cam0", b"h" * 1000, b"x" * 3000]
        entry = Entry(False, 1, row[:2], ("cam0", "p"), seq + 1)
        refused = Refused(Numbers("cam0", "p", seq, 1), error, row)
        durable.append([entry], [refused]).result()

    def room(database: Any, pages: int) -> None:
        database.execute(f"PRAGMA max_page_count = {pages}")

    write(0)
    for wait, full in enumerate((durable.dead._db, durable.journal._db), 1):
        assert full is not None
        room(full, 1)
        for seq in range(1, 40):  # until the pages that it has are full
            try:
                write(seq)
            except NoSpaceError:
                break
        assert durable.journal.failures == wait
        assert durable.dead.count()[0] == durable.dead.added
        room(full, 1_000_000)
    durable.close()
