"""Messages of one producer that follow each other, as one: rows are cheap together, dear alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlearn.part import UNLABELLED
from streamlearn.wire.message import I32, Sample


class Joined(Sample, frozen=True, eq=False, gc=False):
    """Rows of several messages; `t` is that of the first."""

    times: NDArray[np.float64]
    """[n] what `t` of each row's own message is."""
    messages: int


def follows(before: Sample, message: Sample) -> bool:
    """Whether a message goes on where another one ends, with rows of the same type."""
    return (
        message.seq == before.seq + before.n
        and message.producer == before.producer
        and message.stream == before.stream
        and message.x.dtype == before.x.dtype
    )


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
