"""What ROUTER takes in and nobody knows of yet: written together, then answered and learned."""

import math
from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol

from streamlearn.errors import RejectedError
from streamlearn.wire.acknowledged import Numbers, Place, Places
from streamlearn.wire.message import Message, Sample, Schema, encode


class Entry(NamedTuple):
    """What goes into the journal: a message, or rows that are settled without being learned."""

    learned: bool
    rows: int
    """Rows whose numbers it settles; 0 for labels."""
    frames: Sequence[bytes]
    pair: tuple[str, str]
    """(stream, producer)."""
    next_seq: int
    """First row of the pair that comes after it."""


class Refused(NamedTuple):
    """A message to be set aside."""

    which: Numbers
    error: RejectedError
    frames: Sequence[bytes]


class Keeps(Protocol):
    """Where batches become durable; see `streamlearn.durable`."""

    places: Places
    """How far every producer is, with what was taken and is not durable yet."""

    def append(self, entries: Sequence[Entry], refused: Sequence[Refused]) -> "Future[None]":
        """Make a batch durable, all or nothing, on a thread of its own; one at a time.

        What is given back has `NoSpaceError` where it may be tried again.
        """

    def free_bytes(self) -> int:
        """What may still be appended."""

    def size_of(self, frames: Sequence[bytes]) -> int:
        """What a message takes."""

    def delivered(self, entry: Entry, part: int) -> None:
        """Note that the next entry went to the learner: all of it, or its first `part` rows."""


class Limits(NamedTuple):
    """When a batch is written, and what one client may have on its way."""

    commit_s: float
    commit_rows: int
    commit_bytes: int
    credit_bytes: int


class Answers(NamedTuple):
    """What senders are told once a batch is durable: how far they were when it was closed."""

    acks: list[tuple[Place, int]]
    welcomes: list[tuple[Place, int, int | None]]
    rejects: list[tuple[Place, Numbers, str]]


class Batch:
    """Messages that are written together, and what their senders are told then."""

    def __init__(self) -> None:
        self.entries: list[tuple[Entry, Message | None]] = []
        self.refused: list[Refused] = []
        self.size_bytes = self.rows = 0
        self.due_s = math.inf
        self.moved: dict[int, Place] = {}
        self.welcomes: list[tuple[Place, int | None]] = []
        self.rejects: list[tuple[Place, Numbers, str]] = []

    def add(self, entry: Entry, message: Message | None, size_bytes: int, due_s: float) -> None:
        """Add an entry; the first one sets the time at which the batch is due."""
        self.entries.append((entry, message))
        self.size_bytes += size_bytes
        self.rows += max(1, entry.rows)
        self.due_s = min(self.due_s, due_s)

    @property
    def counts(self) -> int:
        """What counts towards the most that are written together."""
        return self.rows + len(self.welcomes)

    def concerns(self, place: Place) -> bool:
        """Whether its sender is told something once this is durable."""
        return id(place) in self.moved or any(one is place for one, _ in self.welcomes)

    def answers(self) -> Answers:
        """What to say once it is durable; what comes in from now on is not part of it."""
        welcomed = {id(place) for place, _ in self.welcomes}
        acks = [(one, one.next_seq) for key, one in self.moved.items() if key not in welcomed]
        welcomes = [(place, place.next_seq, number) for place, number in self.welcomes]
        return Answers(acks, welcomes, self.rejects)


def without(message: Sample, there: int, schema: Schema) -> tuple[Sample, list[bytes]]:
    """The rows of a message that are not there yet, and the frames that say them."""
    y = None if message.y is None else message.y[there:]
    x = message.x[there:].reshape(-1, *schema.shape)
    head = (message.stream, message.producer, message.seq + there, message.n - there, message.t)
    rest = Sample(*head, x, y)
    frames = encode(rest)
    return Sample(*head, x.reshape(len(x), -1), y), frames
