"""Where messages become rows of the ring: positions of producers, late labels, what was missed.

One thread calls it, in the order of arrival; that order is the order of learning.
"""

import math
import time
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from streamlearn.errors import RejectedError
from streamlearn.part import I32, UNLABELLED, Arrays, Origin
from streamlearn.pipeline.counts import Counts
from streamlearn.pipeline.history import History
from streamlearn.pipeline.joined import Joined
from streamlearn.pipeline.rehearsal import Rehearsal
from streamlearn.pipeline.ring import AGAIN, DREAM, FRESH, LATE, Ring
from streamlearn.pipeline.streams import Kept, Streams, marks
from streamlearn.prepare.window import Window
from streamlearn.wire.message import Heartbeat, Label, Sample

_MORE_ROOM_S: Final = 0.001


class Feeds(Protocol):
    """What intake needs of a pipeline."""

    ring: Ring

    def commit(self, rows: int) -> None:
        """Hand rows to the first stage."""

    def wake(self) -> None:
        """Let the first stage look at what was handed over."""

    def wait_room(self, timeout_s: float) -> bool:
        """Wait until the ring has room."""


class Looks(NamedTuple):
    """What the learner looks back on; without it, rows stand alone."""

    streams: Streams
    """Which streams are kept."""
    window: Window | None = None
    """What makes rows of samples; None where every sample is a row."""
    reach: int = 1
    """Rows of a stream that an answer looks back on, the newest among them."""
    rehearsal: Rehearsal | None = None
    """What is shown again; None where nothing is."""


class Intake:
    """Writes messages into the ring.

    Parameters
    ----------
    pipeline
        The ring and how rows are handed over.
    width
        D: numbers a row of the ring.
    dtype
        Type of the rows on the wire; late rows are kept in it.
    keep_rows
        How many rows a late label can reach.
    max_sources
        Most (stream, producer) pairs; a message of one more is refused.
    looks
        What is kept of every stream; None where no part looks back.

    Attributes
    ----------
    joins
        Whether messages may come as one, see `joined`: nothing asks where one begins.

    """

    def __init__(
        self,
        pipeline: Feeds,
        width: int,
        dtype: DTypeLike,
        keep_rows: int,
        max_sources: int,
        looks: Looks | None = None,
    ) -> None:
        self.counts = Counts()
        self.joins = looks is None
        self.sources: list[tuple[str, str]] = []
        self._pipeline = pipeline
        self._ring = ring = pipeline.ring
        self._history = History(keep_rows, width, dtype)
        self._max_sources = max_sources
        self._ids: dict[tuple[str, str], int] = {}
        self._next_seq: list[int] = []
        self._looks = looks
        self._marks: list[tuple[int, int]] = []
        self._kept = Kept(0, "")
        self._last_s = time.monotonic()
        self._origin = [ring.column(name) for name in Origin._fields]
        names = ("x", "kind", "y", "source", "seq", "t", "received", "sample")
        (
            self._x,
            self._kind,
            self._y,
            self._source,
            self._seq,
            self._t,
            self._received,
            self._sample,
        ) = (ring.column(name) for name in names)

    @property
    def samples(self) -> int:
        """Fresh rows taken in over the learner's life."""
        return self._history.samples

    @property
    def streams_kept(self) -> int:
        """Streams of which something is kept now."""
        return len(self._looks.streams) if self._looks is not None else 0

    def room(self) -> int:
        """Rows that can be written now; what is to be shown again goes in first.

        A late label may need the rows before its row, too, so room is counted in as many.
        """
        if self._looks is None:
            return self._ring.free()
        free = self._ring.free() // self._looks.reach
        rehearsal = self._looks.rehearsal
        if rehearsal is None or not free:
            return free
        if rehearsal.until() <= 0:
            self._show_again(*rehearsal.take())
        return max(0, min(self._ring.free() // self._looks.reach, rehearsal.until()))

    def _show_again(self, x: Any, y: I32, of: tuple[int, int] = (0, 0)) -> None:
        """Write rows of one stream, if it is known by its marks, from their beginning, aside."""
        for b in range(len(x)):
            slot = self._aside(x[b], int(y[b]), of, begins=b == 0)
            self._kind[slot], self._source[slot] = AGAIN, 0
            self._seq[slot], self._sample[slot] = 0, self.samples
            self._pipeline.commit(1)

    def _aside(self, x: Any, y: int, of: tuple[int, int], *, begins: bool) -> int:
        """Write a row that belongs to a moment that is gone; its kind is the caller's."""
        slot: int = self._ring.writable(1).start
        self._x[slot], self._y[slot] = x, y
        self._t[slot], self._received[slot] = np.nan, time.monotonic()
        if self._looks is not None:
            origin = (self._looks.streams.live, begins, *of)
            for column, value in zip(self._origin, origin, strict=True):
                column[slot] = value
        return slot

    def wait_room(self, timeout_s: float) -> bool:
        """Wait until the ring has room."""
        self._pipeline.wake()
        if not self._pipeline.wait_room(timeout_s):
            return False
        if self._looks is not None and self._ring.free() < self._looks.reach:
            time.sleep(_MORE_ROOM_S)  # there is room, but not for all that goes with a row
        return True

    def flush(self) -> None:
        """Let the stages look at what was written; without it they may sleep on."""
        self._pipeline.wake()

    def source(self, stream: str, producer: str) -> int:
        """The number of a (stream, producer); raises `RejectedError` where there are too many."""
        number = self._ids.get((stream, producer))
        if number is not None:
            return number
        if len(self.sources) >= self._max_sources:
            limit = self._max_sources
            raise RejectedError(
                "stream", f"{stream!r} is one more than ingest.max_streams = {limit}"
            )
        self.sources.append((stream, producer))
        self._next_seq.append(-1)
        self._ids[stream, producer] = len(self.sources) - 1
        self._marks.append(marks(stream, producer))
        return len(self.sources) - 1

    def sample(self, message: Sample, start: int, stop: int) -> None:
        """Write rows start:stop of a message; there must be room for them."""
        source = self.source(message.stream, message.producer)
        if start == 0:
            self.counts.messages += message.messages if isinstance(message, Joined) else 1
            follows = self._follow(source, message.seq, message.n)
        else:
            follows = True
        begins = self._place(source, message.t if start == 0 else math.nan, follows=follows)
        self.counts.received += stop - start
        x, y = message.x[start:stop], None if message.y is None else message.y[start:stop]
        t = message.times[start:stop] if isinstance(message, Joined) else message.t
        rows = _Rows(source, message.seq + start, 1, t, begins)
        if self._looks is None or self._looks.window is None:
            self._write(rows, x, y)
            return
        cut = self._looks.window.cut(self._kept.slot, x, y, begins=begins)
        if len(cut.last):
            seq = rows.seq + int(cut.last[0])
            rows = _Rows(source, seq, self._hop, t, cut.begins)
            self._write(rows, cut.x, cut.y)

    def _place(self, source: int, t: float, *, follows: bool) -> bool:
        if self._looks is None:
            return False
        # For every part of a message: another socket's may have come between two of them.
        self._kept = self._looks.streams.take(source, t, follows=follows)
        if self._kept.begins:
            self.counts.begun[self._kept.begins] += 1
        return self._kept.begins != ""

    def _write(self, rows: "_Rows", x: Any, y: I32 | None) -> None:
        """Write rows of a source, in as many pieces as the ring's end makes of them."""
        start = 0
        while start < len(x):
            here = self._ring.writable(len(x) - start)
            end = start + here.stop - here.start
            labels = None if y is None else y[start:end]
            self._t[here] = rows.t[start:end] if isinstance(rows.t, np.ndarray) else rows.t
            self._write_fresh(here, rows, rows.seq + start * rows.hop, x[start:end], labels)
            self._pipeline.commit(end - start)
            rows, start = rows._replace(begins=False), end

    def _write_fresh(self, here: slice, rows: "_Rows", seq: int, x: Any, y: I32 | None) -> None:
        n = here.stop - here.start
        samples = self._history.samples
        self._x[here] = x
        self._kind[here] = FRESH
        self._y[here] = UNLABELLED if y is None else y
        self._source[here] = rows.source
        if n == 1:
            self._seq[here.start], self._sample[here.start] = seq, samples
        else:
            self._seq[here] = np.arange(seq, seq + n * rows.hop, rows.hop, dtype=np.uint64)
            self._sample[here] = np.arange(samples, samples + n)
        if self._looks is not None:
            self._write_origin(here, self._kept.slot, rows.source)
            self._origin[1][here.start] = rows.begins
            if self._looks.rehearsal is not None:
                self._looks.rehearsal.see(self._kept.slot, x, y, begins=rows.begins)
        self._received[here] = self._last_s = time.monotonic()
        self._history.add(rows.source, seq, x, y, rows.hop)

    def _write_origin(self, here: slice, slot: int, source: int) -> None:
        for column, value in zip(self._origin, (slot, 0, *self._marks[source]), strict=True):
            column[here] = value

    def _follow(self, source: int, seq: int, n: int) -> bool:
        """Count rows missing since the last message of a source; whether none is."""
        before = self._next_seq[source]
        if 0 <= before < seq:
            self.counts.missed += seq - before
        self._next_seq[source] = seq + n
        return before in (-1, seq)

    def label(self, message: Label, start: int, stop: int) -> None:
        """Join labels start:stop of a message to their rows; there must be room for them."""
        source = self.source(message.stream, message.producer)
        for i in range(start, stop):
            y = int(message.y[i])
            if y != UNLABELLED:
                self._label_one(source, message.seq + i, y)

    def _label_one(self, source: int, seq: int, y: int) -> None:
        sample = self._history.find(source, seq)
        if sample < 0:
            self.counts.labels_dropped["too_late"] += 1
            return
        x = self._history.label(sample, y)
        if x is None:
            self.counts.labels_dropped["known"] += 1
            return
        before, of = self._before(source, seq), self._marks[source]
        self._show_again(before, np.full(len(before), UNLABELLED, np.int32), of)
        slot = self._aside(x, y, of, begins=not len(before))
        self._kind[slot], self._source[slot] = LATE, source
        self._seq[slot], self._sample[slot] = seq, sample
        self._last_s = time.monotonic()
        self.counts.labels_late += 1
        self._pipeline.commit(1)

    def _before(self, source: int, seq: int) -> list[Any]:
        """The rows that an answer to a row looks back on, without it, as far as they are kept."""
        found: list[Any] = []
        for k in range(1, self._looks.reach if self._looks else 1):
            sample = self._history.find(source, seq - k * self._hop)
            if sample < 0:
                break
            found.insert(0, self._history.row(sample))
        return found

    def dream(self, rows: int, quiet_s: float) -> int:
        """Write rows that stand for silence, if nothing came for so long; returns how many."""
        if time.monotonic() - self._last_s < quiet_s:
            return 0
        here = self._ring.writable(rows)
        self._x[here], self._y[here], self._kind[here] = 0, UNLABELLED, DREAM
        self._source[here], self._seq[here], self._sample[here] = 0, 0, self.samples
        self._t[here], self._received[here] = np.nan, time.monotonic()
        self._origin[1][here] = 0
        count: int = here.stop - here.start
        self._pipeline.commit(count)
        self.flush()
        return count

    def heartbeat(self, message: Heartbeat) -> None:
        """A producer says that it is alive and which seq comes next."""
        source = self.source(message.stream, message.producer)
        if not self._follow(source, message.seq, 0):
            self._cut(source)

    def rejected(self, error: RejectedError, stream: bytes) -> None:
        """Count a refused message under its reason."""
        self.counts.rejected[error.reason] += 1
        name = stream[:128].decode("ascii", "backslashreplace")
        self.counts.examples[error.reason] = f"stream {name}: {error.detail}"[:300]

    def dropped(self, reason: str, rows: int, message: Sample | Label) -> None:
        """Count rows of a message that were dropped on purpose; they are not missed besides."""
        self.counts.dropped[reason] += rows
        if isinstance(message, Sample):
            with suppress(RejectedError):
                source = self.source(message.stream, message.producer)
                if rows == message.n:
                    self._follow(source, message.seq, message.n)
                self._cut(source)

    def _cut(self, source: int) -> None:
        """Let a stream begin anew with its next row, though its seq will go on."""
        if self._looks is not None:
            self._looks.streams.cut(source)

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        """Copies of what a checkpoint needs of it: kept rows, and positions as plain values."""
        arrays = {f"history/{name}": a.copy() for name, a in self._history.arrays().items()}
        names = [[stream, producer] for stream, producer in self.sources]
        positions = {"samples": self.samples, "sources": names, "next_seq": self._next_seq.copy()}
        if self._looks is not None:
            positions["streams"] = self._looks.streams.snapshot()
            arrays |= {name: array.copy() for name, array in self._looks_arrays().items()}
        return arrays, positions

    @property
    def _hop(self) -> int:
        return self._looks.window.hop if self._looks and self._looks.window else 1

    def _looks_arrays(self) -> Arrays:
        kept = self._looks and {"window": self._looks.window, "again": self._looks.rehearsal}
        return {
            f"{name}/{key}": array
            for name, one in (kept or {}).items()
            if one is not None
            for key, array in one.arrays().items()
        }

    def restore(self, arrays: Arrays, positions: dict[str, Any]) -> None:
        """Take up where a snapshot ended."""
        for name, array in self._history.arrays().items():
            array[...] = arrays[f"history/{name}"]
        self.sources = [(stream, producer) for stream, producer in positions["sources"]]
        self._ids = {pair: i for i, pair in enumerate(self.sources)}
        self._marks = [marks(*pair) for pair in self.sources]
        self._next_seq = list(positions["next_seq"])
        if self._looks is not None:
            self._looks.streams.restore(positions.get("streams", []))
        for name, array in self._looks_arrays().items():
            # A layer that was added may look back where nothing did, or further than before.
            if name in arrays and arrays[name].shape == array.shape:
                array[...] = arrays[name]
        self._history.restored(positions["samples"], self._hop)


class _Rows(NamedTuple):
    """What the rows of one message have in common."""

    source: int
    seq: int
    """Of the first."""
    hop: int
    """From one seq to the next."""
    t: float | NDArray[np.float64]
    """One for all, or [n]."""
    begins: bool
