"""One producer of the soak, made to be killed and started anew: `soak_producer.py JOB` as JSON.

What a row is follows from its number alone, so that every life of a producer sends the same ones.
How far it is stands in a ledger, a file of two numbers that outlives it: rows issued, and rows that
the daemon called durable. SIGTERM: wait until all is durable, then end.
"""

import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamlearn.client import Producer
from streamlearn.data import load

ROWS: Final = 8
"""Rows a message."""
WRONG_EVERY: Final = 97
"""Every so many messages one names a class that is not there."""
_LATE_BY: Final = 5
"""Messages that a late label comes after its rows."""
_BEHIND_S: Final = 30.0
"""What is made up for after a pause; rows of a longer one are not."""


class Job(msgspec.Struct, frozen=True):
    """What a producer does."""

    endpoint: str
    stream: str
    """Its own name, too."""
    ledger: str
    rate_hz: float
    """Rows a second."""
    ack: bool = True
    spool: str | None = None
    shape: tuple[int, ...] = (8, 8)
    """Of a row; another one than the daemon's is refused."""

    @property
    def clumsy(self) -> bool:
        """Whether none of its rows can be learned."""
        return self.shape != (8, 8)


class Ledger:
    """Two numbers in a file, kept where the process that writes them is killed."""

    def __init__(self, path: str | Path) -> None:
        if not Path(path).exists():
            Path(path).write_bytes(bytes(16))
        self._numbers = np.memmap(path, np.uint64, "r+", shape=(2,))

    @property
    def issued(self) -> int:
        """Rows that the producer was given."""
        return int(self._numbers[0])

    @issued.setter
    def issued(self, rows: int) -> None:
        self._numbers[0] = rows

    @property
    def acknowledged(self) -> int:
        """Rows below it were called durable, or settled as they can never be learned."""
        return int(self._numbers[1])

    @acknowledged.setter
    def acknowledged(self, rows: int) -> None:
        self._numbers[1] = max(self._numbers[1], np.uint64(rows))


def is_wrong(message: int) -> bool:
    """Whether a message of an acknowledged stream is one that can never be learned."""
    return message % WRONG_EVERY == 13


def wrong_below(rows: int) -> int:
    """Rows below a number that are in such messages."""
    return ROWS * sum(map(is_wrong, range(rows // ROWS)))


class Script:
    """What a job sends, by the message's number."""

    def __init__(self, job: Job) -> None:
        data = load("optdigits").train
        assert data.y is not None
        self._x = np.resize(data.X, (len(data.X), *job.shape)).astype(np.uint8)
        self._y, self._job = data.y, job

    def _at(self, message: int) -> NDArray[np.intp]:
        return np.arange(message * ROWS, (message + 1) * ROWS) % len(self._y)

    def x(self, message: int) -> NDArray[Any]:
        """Rows [ROWS, *shape]."""
        return self._x[self._at(message)]

    def y(self, message: int) -> NDArray[Any] | None:
        """Labels that go with the rows; a fifth has none for ever, a third has them later."""
        if is_wrong(message) and self._job.ack:
            return np.full(ROWS, 10)
        return None if message % 5 == 0 or message % 3 == 1 else self._y[self._at(message)]

    def late(self, message: int) -> tuple[int, NDArray[Any]] | None:
        """First row and labels that come late, once a message was sent."""
        late = message - _LATE_BY
        if late < 0 or late % 3 != 1 or late % 5 == 0 or (is_wrong(late) and self._job.ack):
            return None
        return late * ROWS, self._y[self._at(late)]


def play(job: Job, producer: Producer, ends: list[int]) -> None:
    """Send at a steady rate until told to end."""
    ledger, script = Ledger(job.ledger), Script(job)
    if not job.ack:
        producer.seq = ledger.issued
    first = message = producer.seq // ROWS
    began = time.monotonic()
    while not ends:
        ledger.issued = (message + 1) * ROWS
        producer.send(script.x(message), script.y(message))
        if not job.clumsy and (late := script.late(message)):
            producer.label(*late)
        if job.ack:
            ledger.acknowledged = producer.durable_seq
        message += 1
        due = began + (message - first) * ROWS / job.rate_hz
        if (now := time.monotonic()) - due > _BEHIND_S:
            began += now - due
        time.sleep(max(0.0, due - now))
    producer.flush()
    if job.ack:
        ledger.acknowledged = producer.durable_seq


def main() -> None:
    """Play the job that is given."""
    job = msgspec.json.decode(sys.argv[1], type=Job)
    ends: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        ends.append(number)

    signal.signal(signal.SIGTERM, end)
    how: Any = {"ack": True, "spool": job.spool} if job.ack else {}
    with Producer(job.endpoint, job.stream, job.stream, shape=job.shape, **how) as producer:
        play(job, producer, ends)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
