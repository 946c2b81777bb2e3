"""Messages of one producer that follow each other, as one: rows are cheap together, dear alone."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamlearn.part import UNLABELLED
from streamlearn.wire.message import I32, Sample

_MOST_MESSAGES: Final = 256
_MOST_BYTES: Final = 1 << 20


class Joined(Sample, frozen=True, eq=False, gc=False):
    """Rows of several messages; `t` is that of the first."""

    times: NDArray[np.float64]
    """[n] what `t` of each row's own message is."""
    messages: int


class Run:
    """Messages that wait to become one, few enough to be copied at once."""

    def __init__(self) -> None:
        self.messages: list[Sample] = []
        self._bytes = 0

    def takes(self, message: Sample) -> bool:
        """Whether a message goes on where the last one ends, with rows of the same type."""
        if not self.messages:
            return True
        last = self.messages[-1]
        return (
            message.seq == last.seq + last.n
            and message.producer == last.producer
            and message.stream == last.stream
            and message.x.dtype == last.x.dtype
            and len(self.messages) < _MOST_MESSAGES
            and self._bytes + message.x.nbytes <= _MOST_BYTES
        )

    def add(self, message: Sample) -> None:
        """Append a message that it takes."""
        self.messages.append(message)
        self._bytes += message.x.nbytes

    def cut(self, count: int) -> None:
        """Take the first messages away."""
        self._bytes -= sum(message.x.nbytes for message in self.messages[:count])
        del self.messages[:count]


def joined(messages: Sequence[Sample]) -> Sample:
    """One message of the rows of all, each of which follows the one before."""
    first = messages[0]
    if len(messages) == 1:
        return first
    counts = [message.n for message in messages]
    return Joined(
        first.stream,
        first.producer,
        first.seq,
        sum(counts),
        first.t,
        np.concatenate([message.x for message in messages]),
        _labels(messages),
        np.repeat([message.t for message in messages], counts),
        len(messages),
    )


def _labels(messages: Sequence[Sample]) -> I32 | None:
    if all(message.y is None for message in messages):
        return None
    parts: list[NDArray[Any]] = [
        np.full(message.n, UNLABELLED, np.int32) if message.y is None else message.y
        for message in messages
    ]
    return np.concatenate(parts)


def fitting(messages: Sequence[Sample], room: int) -> int:
    """How many of the messages have, together, no more rows than there is room for."""
    for i, message in enumerate(messages):
        room -= message.n
        if room < 0:
            return i
    return len(messages)
