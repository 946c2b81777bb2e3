"""Where messages become rows of the ring: positions of producers, late labels, what was missed.

One thread calls it, in the order of arrival; that order is the order of learning.
"""

import time
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from streamlearn.errors import REASONS, RejectedError
from streamlearn.part import I32, UNLABELLED, Arrays
from streamlearn.pipeline.history import History
from streamlearn.pipeline.ring import DREAM, FRESH, LATE, Ring
from streamlearn.wire.message import Heartbeat, Label, Sample


class Feeds(Protocol):
    """What intake needs of a pipeline."""

    ring: Ring

    def commit(self, rows: int) -> None:
        """Hand rows to the first stage."""

    def wake(self) -> None:
        """Let the first stage look at what was handed over."""

    def wait_room(self, timeout_s: float) -> bool:
        """Wait until the ring has room."""


class Counts:
    """What came in and what became of it; plain numbers that only intake writes."""

    def __init__(self) -> None:
        self.received = 0
        self.messages = 0
        self.missed = 0
        self.labels_late = 0
        self.labels_dropped = {"too_late": 0, "known": 0}
        self.rejected = dict.fromkeys(REASONS, 0)
        self.dropped: dict[str, int] = {"behind": 0, "stopping": 0}
        self.examples: dict[str, str] = {}
        """Reason → the last message refused for it, in words."""


class Intake:
    """Writes messages into the ring.

    Parameters
    ----------
    pipeline
        The ring and how rows are handed over.
    width
        D: numbers a row.
    dtype
        Type of the rows on the wire; late rows are kept in it.
    keep_rows
        How many rows a late label can reach.
    max_sources
        Most (stream, producer) pairs; a message of one more is refused.

    """

    def __init__(
        self, pipeline: Feeds, width: int, dtype: DTypeLike, keep_rows: int, max_sources: int
    ) -> None:
        self.counts = Counts()
        self.sources: list[tuple[str, str]] = []
        self._pipeline = pipeline
        self._ring = ring = pipeline.ring
        self._history = History(keep_rows, width, dtype)
        self._max_sources = max_sources
        self._ids: dict[tuple[str, str], int] = {}
        self._next_seq: list[int] = []
        self._last_s = time.monotonic()
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

    def room(self) -> int:
        """Rows that can be written now."""
        return self._ring.free()

    def wait_room(self, timeout_s: float) -> bool:
        """Wait until the ring has room."""
        self._pipeline.wake()
        return self._pipeline.wait_room(timeout_s)

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
        return len(self.sources) - 1

    def sample(self, message: Sample, start: int, stop: int) -> None:
        """Write rows start:stop of a message; there must be room for them."""
        source = self.source(message.stream, message.producer)
        if start == 0:
            self.counts.messages += 1
            self._follow(source, message.seq, message.n)
        y = message.y
        while start < stop:
            here = self._ring.writable(stop - start)
            end = start + here.stop - here.start
            x, labels = message.x[start:end], None if y is None else y[start:end]
            self._write_fresh(here, source, message.seq + start, x, labels)
            self._t[here] = message.t
            self._pipeline.commit(end - start)
            start = end

    def _write_fresh(self, here: slice, source: int, seq: int, x: Any, y: I32 | None) -> None:
        n = here.stop - here.start
        samples = self._history.samples
        self._x[here] = x
        self._kind[here] = FRESH
        self._y[here] = UNLABELLED if y is None else y
        self._source[here] = source
        if n == 1:
            self._seq[here.start], self._sample[here.start] = seq, samples
        else:
            self._seq[here] = np.arange(seq, seq + n, dtype=np.uint64)
            self._sample[here] = np.arange(samples, samples + n)
        self._received[here] = self._last_s = time.monotonic()
        self._history.add(source, seq, x, y)
        self.counts.received += n

    def _follow(self, source: int, seq: int, n: int) -> None:
        """Count rows that are missing between the last message of a source and this one."""
        before = self._next_seq[source]
        if 0 <= before < seq:
            self.counts.missed += seq - before
        self._next_seq[source] = seq + n

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
        slot = self._ring.writable(1).start
        self._x[slot], self._y[slot], self._kind[slot] = x, y, LATE
        self._source[slot], self._seq[slot], self._sample[slot] = source, seq, sample
        self._t[slot] = np.nan
        self._received[slot] = self._last_s = time.monotonic()
        self.counts.labels_late += 1
        self._pipeline.commit(1)

    def dream(self, rows: int, quiet_s: float) -> int:
        """Write rows that stand for silence, if nothing came for so long; returns how many."""
        if time.monotonic() - self._last_s < quiet_s:
            return 0
        here = self._ring.writable(rows)
        self._x[here], self._y[here], self._kind[here] = 0, UNLABELLED, DREAM
        self._source[here], self._seq[here], self._sample[here] = 0, 0, self.samples
        self._t[here], self._received[here] = np.nan, time.monotonic()
        count: int = here.stop - here.start
        self._pipeline.commit(count)
        self.flush()
        return count

    def heartbeat(self, message: Heartbeat) -> None:
        """A producer says that it is alive and which seq comes next."""
        source = self.source(message.stream, message.producer)
        self._follow(source, message.seq, 0)

    def rejected(self, error: RejectedError, stream: bytes) -> None:
        """Count a refused message under its reason."""
        self.counts.rejected[error.reason] += 1
        name = stream[:128].decode("ascii", "backslashreplace")
        self.counts.examples[error.reason] = f"stream {name}: {error.detail}"[:300]

    def dropped(self, reason: str, rows: int, message: Sample | Label) -> None:
        """Count rows of a message that were dropped on purpose; they are not missed besides."""
        self.counts.dropped[reason] += rows
        if isinstance(message, Sample) and rows == message.n:
            with suppress(RejectedError):
                source = self.source(message.stream, message.producer)
                self._follow(source, message.seq, message.n)

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        """Copies of what a checkpoint needs of it: kept rows, and positions as plain values."""
        arrays = {f"history/{name}": a.copy() for name, a in self._history.arrays().items()}
        names = [[stream, producer] for stream, producer in self.sources]
        positions = {"samples": self.samples, "sources": names, "next_seq": self._next_seq.copy()}
        return arrays, positions

    def restore(self, arrays: Arrays, positions: dict[str, Any]) -> None:
        """Take up where a snapshot ended."""
        for name, array in self._history.arrays().items():
            array[...] = arrays[f"history/{name}"]
        self.sources = [(stream, producer) for stream, producer in positions["sources"]]
        self._ids = {pair: i for i, pair in enumerate(self.sources)}
        self._next_seq = list(positions["next_seq"])
        self._history.restored(positions["samples"])
