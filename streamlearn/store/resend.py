"""Rows of a dead letter as arrays again, to be sent under another name. Pure."""

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamlearn.errors import UsageError
from streamlearn.store.dead import Letter
from streamlearn.wire.message import DTYPES, MAX_PRODUCER_BYTES

AGAIN: Final = ".again"


class Rows(NamedTuple):
    """What a letter holds."""

    producer: str
    """The name under which the rows are numbered anew."""
    x: NDArray[Any]
    y: Any
    t: float | None


class _Header(msgspec.Struct):
    dtype: str = ""
    shape: tuple[int, ...] = ()
    y: int | list[int] | None = None
    t: float | None = None


def rows_of(letter: Letter) -> Rows:
    """The rows of a letter.

    Raises
    ------
    UsageError
        Its payload was too large to keep, or is not what its header says.

    """
    try:
        header = msgspec.msgpack.decode(letter.header, type=_Header)
        dtype = np.dtype(header.dtype if header.dtype in DTYPES else "V0")
        x = np.frombuffer(letter.payload, dtype).reshape(header.shape)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise UsageError(
            f"letter {letter.id}: cannot be sent again: {error}; see streamlearn dead show"
        ) from None
    if not x.size:
        raise UsageError(f"letter {letter.id}: its payload was too large to keep")
    return Rows(_name(letter.producer), x, header.y, header.t)


def _name(producer: str) -> str:
    if producer.endswith(AGAIN):
        return producer
    kept = producer.encode()[: MAX_PRODUCER_BYTES - len(AGAIN)].decode(errors="ignore")
    return kept + AGAIN
