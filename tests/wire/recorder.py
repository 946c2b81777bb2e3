"""A sink that writes down what ingest gives it, with as much room as a test wants."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import zmq

from streamlearn.errors import RejectedError
from streamlearn.options import IngestOptions
from streamlearn.wire.batch import Keeps, Limits
from streamlearn.wire.ingest import Ingest
from streamlearn.wire.message import Heartbeat, Label, Sample, Schema

DEADLINE_S = 20.0


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail, saying which, when it does not come true in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}"
        threading.Event().wait(0.002)


class Recorder:
    """The sink. `space` rows can be written; a test makes more with `make_room`."""

    joins = True

    def __init__(self, space: int = 1 << 40) -> None:
        self.rows: list[tuple[str, int, float, int]] = []
        """stream, seq, first number, label; one a row."""
        self.labels: list[tuple[str, int, int]] = []
        self.beats: list[Heartbeat] = []
        self.refused: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.refuse_stream = ""
        self._space = space
        self._more = threading.Condition()

    def make_room(self, rows: int) -> None:
        """Let so many more rows in."""
        with self._more:
            self._space += rows
            self._more.notify_all()

    def room(self) -> int:
        """Rows that can be written now."""
        return self._space

    def source(self, stream: str, _producer: str) -> int:
        """Know whoever comes."""
        if stream == self.refuse_stream:
            raise RejectedError("stream", "one too many")
        return 0

    def flush(self) -> None:
        """Nothing waits here."""

    def wait_room(self, timeout_s: float) -> bool:
        """Wait until there is room."""
        with self._more:
            return self._more.wait_for(lambda: self._space > 0, timeout_s)

    def _take(self, stream: str, rows: int) -> None:
        if stream == self.refuse_stream:
            raise RejectedError("stream", "one too many")
        assert 0 < rows <= self._space
        with self._more:
            self._space -= rows

    def sample(self, message: Sample, start: int, stop: int) -> None:
        """Write rows down."""
        self._take(message.stream, stop - start)
        for i in range(start, stop):
            y = -1 if message.y is None else int(message.y[i])
            self.rows.append((message.stream, message.seq + i, float(message.x[i, 0]), y))

    def label(self, message: Label, start: int, stop: int) -> None:
        """Write late labels down."""
        self._take(message.stream, stop - start)
        for i in range(start, stop):
            self.labels.append((message.stream, message.seq + i, int(message.y[i])))

    def heartbeat(self, message: Heartbeat) -> None:
        """Write a heartbeat down."""
        self.beats.append(message)

    def rejected(self, error: RejectedError, stream: bytes) -> None:
        """Count a refused message."""
        assert isinstance(stream, bytes)
        self.refused[error.reason] += 1

    def dropped(self, reason: str, rows: int, _message: object) -> None:
        """Count dropped rows."""
        self.lost[reason] += rows

    def seqs(self) -> list[int]:
        """Numbers of the rows, in the order of arrival."""
        return [seq for _, seq, _, _ in self.rows]


@contextmanager
def reading(
    options: IngestOptions,
    schema: Schema,
    sink: Recorder,
    acknowledged: tuple[Keeps, Limits] | None = None,
) -> Iterator[Ingest]:
    """Run an ingest on a thread of its own; stop it without draining if the test did not."""
    with zmq.Context() as context:
        ingest = Ingest(context, options, schema, sink, acknowledged)
        try:
            ingest.open()
            thread = threading.Thread(target=ingest.run, name="ingest")
            thread.start()
            try:
                yield ingest
            finally:
                ingest.stop(0.0)
                thread.join(DEADLINE_S)
                assert not thread.is_alive()
        finally:
            ingest.close()
