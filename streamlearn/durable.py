"""What outlives a crash beside the checkpoints: the journal, dead letters, and how far we are.

The ingest thread uses it while rows come in, the main thread before and after that. From the end of
recovery on everything is written on one thread of its own, so that nobody waits for the disk who
has other things to do.
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

from streamlearn.config import Config, learner_part
from streamlearn.errors import DamagedError, NoSpaceError, StateError
from streamlearn.observe.board import Board
from streamlearn.pipeline.intake import Intake
from streamlearn.pipeline.joined import Run, fitting, joined
from streamlearn.store import recovery
from streamlearn.store.checkpoint import Checkpoints, Snapshot
from streamlearn.store.dead import DeadLetters, Letter
from streamlearn.store.journal import (
    DREAM,
    MESSAGE,
    NAME,
    SKIPPED,
    Journal,
    Record,
    configured,
    size_of,
)
from streamlearn.store.manifest import Manifest
from streamlearn.wire.acknowledged import Places, numbers
from streamlearn.wire.batch import Entry, Limits, Refused
from streamlearn.wire.message import Label, Sample, Schema, decode

log = logging.getLogger(__name__)

_ROOM_S: Final = 0.02
_TELL_S: Final = 2.0
_LEAST_COVERED: Final = 2
"""Checkpoints that the journal reaches back to, so that one damaged one loses nothing."""


class Progress(NamedTuple):
    """How far replay is."""

    done: int
    total: int
    """Rows of the journal that the checkpoint does not have."""


class Durable:
    """The acknowledged rows of a daemon.

    Parameters
    ----------
    config
        `[journal]`, `[store]` and `[ingest]` of it.

    Attributes
    ----------
    places
        How far every producer is.
    dead
        The dead letters.

    """

    def __init__(self, config: Config) -> None:
        options, folder = config.journal, Path(config.store.dir)
        _refuse_emptied(folder)
        self.journal = Journal(folder, options.max_bytes)
        self.dead = DeadLetters(folder, options.dead_bytes)
        self.limits = Limits(
            commit_s=options.commit_ms / 1000,
            commit_rows=options.commit_rows,
            commit_bytes=options.commit_bytes,
            credit_bytes=config.ingest.credit_bytes,
        )
        self.places = Places()
        self.progress = Progress(0, 0)
        self._keep = config.store.keep
        self._learner_part = learner_part(config)
        self._id, self._part = 0, 0
        self._next: dict[tuple[str, str], int] = {}
        self._run, self._newest = Run(), 0
        """While rows are replayed: messages that wait, and the number of the last one's record."""
        self._saved_bytes = 0
        self._writer = ThreadPoolExecutor(1, "journal")
        self._writing: Future[None] | None = None

    @staticmethod
    def wanted(config: Config) -> bool:
        """Whether rows are acknowledged, or were: what is in a journal is learned in any case."""
        return bool(config.ingest.router) or (Path(config.store.dir) / NAME).exists()

    # Recovery.

    def resume(self, snapshot: Snapshot | None) -> None:
        """Stand where a checkpoint ends, or at the beginning.

        Raises
        ------
        DamagedError
            The journal does not reach back to it.
        ChangedError
            There is no checkpoint, and the journal was begun under another configuration.

        """
        journal = self.journal
        known = configured(journal, self._learner_part)
        if snapshot is None and journal.last >= journal.first:
            recovery.refuse_changed(str(journal.path), known, self._learner_part)
        saved = dict(snapshot.meta.get("journal", {})) if snapshot else {}
        self._id, self._part = saved.get("id", 0), saved.get("part", 0)
        places = saved.get("places", [])
        self._next = {(stream, producer): next_seq for stream, producer, next_seq in places}
        if self._id > journal.last:
            log.warning("the journal ends before the checkpoint; it begins anew")
            journal.begin_at(self._id + 1)
        if self._id + 1 < journal.first:
            raise DamagedError(
                f"{journal.path}: begins with record {journal.first}, and the checkpoint needs "
                f"{self._id + 1}: put back the checkpoints that belong to it, or move it away and "
                "lose what it holds"
            )
        self.progress = Progress(0, journal.rows_after(self._id))

    def replay(self, intake: Intake, schema: Schema, fine: Callable[[], None]) -> int:
        """Let the learner take in what the journal holds after the checkpoint; rows replayed.

        Parameters
        ----------
        intake
            Its pipeline runs.
        schema
            What rows are; limits on sizes do not matter, the rows were within them once.
        fine
            Called now and then; raises where a stage failed.

        Raises
        ------
        DamagedError
            A record is not what was written; see `streamlearn fsck`.

        """
        told_s = time.monotonic()
        for record in self.journal.after(self._id):
            self._replay_one(record, intake, schema, fine)
            if time.monotonic() - told_s > _TELL_S:
                told_s = time.monotonic()
                done, total = self.progress
                log.info("recovering", extra={"rows": done, "of": total})
        self._hand_over(intake, fine)
        intake.flush()
        self.places = Places([[*pair, next_seq] for pair, next_seq in self._next.items()])
        return self.progress.done

    def _replay_one(
        self, record: Record, intake: Intake, schema: Schema, fine: Callable[[], None]
    ) -> None:
        message = decode(record.frames, schema) if record.kind == MESSAGE else None
        if isinstance(message, Sample):
            self._take(record, message, intake, fine)
            return
        self._hand_over(intake, fine)
        if isinstance(message, Label):
            self._write_parts(intake.label, message, len(message.y), intake, fine)
            pair = (message.stream, message.producer)
            self._note(record.id, pair, self._next.get(pair, 0))
        elif record.kind == DREAM:
            self._dream_again(int(record.header), intake, fine)
            self._id, self._part = record.id, 0
        else:
            which = numbers([*record.frames, b""])
            assert which is not None
            self._note(record.id, (which.stream, which.producer), which.seq + which.n)
            self._advance(record.rows)

    def _take(
        self, record: Record, message: Sample, intake: Intake, fine: Callable[[], None]
    ) -> None:
        """Put a message behind those that wait to go to the learner together."""
        if not (intake.joins and self._run.takes(message)):
            self._hand_over(intake, fine)
        self._run.add(message)
        self._newest = record.id

    def _hand_over(self, intake: Intake, fine: Callable[[], None]) -> None:
        """Let the learner have the messages that wait."""
        while messages := self._run.messages:
            whole = 0 if self._part else fitting(messages, intake.room())
            if whole:
                fine()
                rows = joined(messages[:whole])
                intake.sample(rows, 0, rows.n)
            else:
                whole, rows = 1, messages[0]
                self._write_parts(intake.sample, rows, rows.n, intake, fine)
            self._run.cut(whole)
            number = self._newest - len(messages)
            self._note(number, (rows.stream, rows.producer), rows.seq + rows.n)
            self._advance(rows.n)

    def _write_parts(
        self,
        write: Callable[..., None],
        message: Sample | Label,
        n: int,
        intake: Intake,
        fine: Callable[[], None],
    ) -> None:
        """Write a message's rows or labels, from the first not learned on, as there is room."""
        start = self._part
        while start < n:
            fine()
            stop = min(n, start + intake.room())
            if stop > start:
                write(message, start, stop)
                start = stop
            else:
                intake.wait_room(_ROOM_S)

    def _advance(self, rows: int) -> None:
        self.progress = Progress(self.progress.done + rows, self.progress.total)

    def _dream_again(self, left: int, intake: Intake, fine: Callable[[], None]) -> None:
        while left > 0:
            fine()
            # Not `intake.room`, as what it shows again would come before the dream, not after it.
            if not (done := intake.dream(left, 0.0)):
                intake.wait_room(_ROOM_S)
            left -= done

    def dream(self, intake: Intake, rows: int, quiet_s: float) -> None:
        """Let the learner dream, if the stream was quiet for so long, and write down that it did.

        Ingest thread. While something is written or waits to be learned the stream is not quiet.
        """
        if self._writing is not None and not self._writing.done():
            return
        if self._id != self.journal.last or not (done := intake.dream(rows, quiet_s)):
            return
        number = self.journal.last + 1
        record = Record(number, DREAM, 0, b"", b"%d" % done, b"")
        self._writer.submit(self.journal.append, [record]).result()
        self._id, self._part = number, 0

    def _note(self, number: int, pair: tuple[str, str], next_seq: int) -> None:
        self._id, self._part = number, 0
        self._next[pair] = next_seq

    # What the socket needs; see `streamlearn.wire.batch.Keeps`.

    def append(self, entries: Sequence[Entry], refused: Sequence[Refused]) -> "Future[None]":
        """Make a batch durable; one at a time."""
        self._writing = self._writer.submit(self._append, entries, refused)
        return self._writing

    def _append(self, entries: Sequence[Entry], refused: Sequence[Refused]) -> None:
        """Dead letters first, as they may come twice, then the journal."""
        first = self.journal.last + 1
        records = [
            Record(
                first + i, MESSAGE if entry.learned else SKIPPED, entry.rows, *_three(entry.frames)
            )
            for i, entry in enumerate(entries)
        ]
        try:
            if refused:
                self._set_aside(refused)
            self.journal.append(records)
        except NoSpaceError as error:
            log.error("nothing is acknowledged", extra={"error": str(error), "limit": "space"})  # noqa: TRY400
            raise

    def _set_aside(self, refused: Sequence[Refused]) -> None:
        try:
            self.dead.add([_letter(one) for one in refused])
        except StateError:
            self.journal.failures += 1  # the batch waits, whichever file has no room
            raise

    def free_bytes(self) -> int:
        """What may still be appended."""
        return self.journal.free_bytes

    def size_of(self, frames: Sequence[bytes]) -> int:
        """What a message takes."""
        return size_of(*frames)

    def delivered(self, entry: Entry, part: int) -> None:
        """Note that the next entry went to the learner: all of it, or its first `part` rows."""
        if part:
            self._part = part
        else:
            self._note(self._id + 1, entry.pair, entry.next_seq)

    # Checkpoints.

    def mark(self) -> dict[str, Any]:
        """What a checkpoint holds of it: where learning stands, and every position."""
        places = [[*pair, next_seq] for pair, next_seq in self._next.items()]
        return {"id": self._id, "part": self._part, "places": places}

    @property
    def wants_checkpoint(self) -> bool:
        """Whether one is due by size: so often that `store.keep` of them never fill the journal."""
        grown = self.journal.size_bytes - self._saved_bytes
        return grown > self.journal.max_bytes // (self._keep + 1) or (
            self.journal.free_bytes < self.journal.max_bytes // 16
        )

    def saved(self, keep: int) -> None:
        """Note that a checkpoint was written."""
        self._keep, self._saved_bytes = keep, self.journal.size_bytes

    def trim(self, manifests: Sequence[Manifest]) -> None:
        """Remove what all of the kept checkpoints have; rows go on coming in meanwhile."""
        if len(manifests) < min(_LEAST_COVERED, self._keep):
            return
        covered = min(manifest.meta.get("journal", {}).get("id", 0) for manifest in manifests)
        while self._writer.submit(self._trim, covered).result():
            log.debug("the journal is long")

    def _trim(self, covered: int) -> bool:
        before = self.journal.size_bytes
        more = self.journal.trim(covered)
        self._saved_bytes -= before - self.journal.size_bytes
        return more

    def supply(self, board: Board, credit_bytes: Callable[[], int]) -> None:
        """Let the board ask for the figures of the journal."""
        journal, dead = self.journal, self.dead
        board.supply("journal_bytes", lambda: journal.size_bytes)
        board.supply("journal_rows", lambda: journal.rows)
        board.supply("journal_commits_total", lambda: journal.commits)
        board.supply("journal_commit_seconds", lambda: journal.commit_s)
        board.supply("journal_failures_total", lambda: journal.failures)
        board.supply("credit_bytes", credit_bytes)
        board.supply("hellos_total", lambda: self.places.hellos)
        board.supply("dead_letters_total", lambda: {"kept": dead.added, "dropped": dead.dropped})
        board.supply("recovery_rows", lambda: self.progress.total)
        board.supply("recovery_rows_left", lambda: self.progress.total - self.progress.done)

    def close(self) -> None:
        """Let go of the files, once what was begun is written."""
        self._writer.shutdown()
        self.journal.close()
        self.dead.close()


def _refuse_emptied(folder: Path) -> None:
    """Raise `DamagedError` where the journal is a file of no bytes beside a checkpoint from it."""
    path = folder / NAME
    if not path.exists() or path.stat().st_size:
        return
    manifest = Checkpoints(folder).newest_manifest()
    if manifest is not None and (at := manifest.meta.get("journal", {}).get("id", 0)):
        raise DamagedError(
            f"{path}: is empty, and a checkpoint was taken at record {at}: put it back, or move it "
            "away and lose the rows after the checkpoint"
        )


def replay_schema(schema: Schema) -> Schema:
    """What a journal's rows are: a row is what it is now, but sizes were checked when it came."""
    return Schema(schema.shape, schema.dtype, schema.classes, 1 << 20, 1 << 40, 1 << 30)


def _three(frames: Sequence[bytes]) -> tuple[bytes, bytes, bytes]:
    stream, header, *payload = frames
    return bytes(stream), bytes(header), bytes(payload[0]) if payload else b""


def _letter(one: Refused) -> Letter:
    which, frames = one.which, _three(one.frames)
    detail = one.error.detail[:300]
    return Letter(0, 0.0, one.error.reason, detail, which.producer, which.seq, which.n, *frames)
