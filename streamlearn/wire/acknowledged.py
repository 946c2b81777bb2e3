"""The acknowledged mode: what both sides say, and what becomes of a message. No I/O.

A client says hello, the daemon welcomes it with the first row that it has not yet; rows then go in
order, and each answer tells how far they are durable and how many bytes may be on their way. Of
every (stream, producer) the daemon knows one number, `next_seq`: rows below it are there, rows from
it on are new, rows above it leave a gap.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from streamlearn.errors import RejectedError
from streamlearn.wire.message import (
    MAX_HEADER_BYTES,
    MAX_PRODUCER_BYTES,
    MAX_SEQ,
    VERSION,
    Frame,
    stream_name,
)

LAST_SEQ: Final = MAX_SEQ - 1
"""The largest number of a row here: the number after it must fit into an answer, too."""
GAP: Final = -1


class Hello(msgspec.Struct, frozen=True, gc=False):
    """A client is there: first of all, and after every reconnect."""

    stream: str
    producer: str
    id: int | None = None
    """Anything; the welcome repeats it."""
    first: int | None = None
    """The oldest row that the client can still send; None where it does not say."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What the daemon says; keys that a kind does not have keep their defaults."""

    v: int
    kind: Literal["welcome", "ack", "reject"]
    stream: str = ""
    next_seq: int = 0
    credit: int = 0
    seq: int = 0
    n: int = 0
    reason: str = ""
    id: int | None = None


class Numbers(NamedTuple):
    """Which rows a message holds, as far as its header can be read."""

    stream: str
    producer: str
    seq: int
    n: int


class _Hello(msgspec.Struct, gc=False):
    v: int = 0
    kind: str = ""
    producer: str = ""
    id: int | None = None
    first: int | None = None


class _Numbers(msgspec.Struct, gc=False):
    v: int = 0
    kind: str = "sample"
    producer: str = ""
    seq: int = -1
    shape: Any = UNSET


class _Kind(msgspec.Struct, gc=False):
    kind: str | UnsetType = UNSET


_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_encode = msgspec.msgpack.Encoder().encode
_decode_kind = msgspec.msgpack.Decoder(_Kind).decode
_decode_hello = msgspec.msgpack.Decoder(_Hello).decode
_decode_numbers = msgspec.msgpack.Decoder(_Numbers).decode
_decode_answer = msgspec.msgpack.Decoder(Answer).decode


def encode_hello(hello: Hello) -> list[bytes]:
    """The frames of a hello."""
    head: dict[str, Any] = {"v": VERSION, "kind": "hello"}
    head |= {"producer": hello.producer, "stream": hello.stream}
    head |= {key: value for key in ("id", "first") if (value := getattr(hello, key)) is not None}
    return [hello.stream.encode(), _encode(head)]


def decode_hello(frames: Sequence[Frame]) -> Hello | None:
    """The hello in a message, None where it is of another kind.

    Raises
    ------
    RejectedError
        It is a hello, and wrong.

    """
    if len(frames) != 2 or len(frames[1]) > MAX_HEADER_BYTES:
        return None
    try:
        if _decode_kind(frames[1]).kind != "hello":
            return None
        head = _decode_hello(frames[1])
    except _MALFORMED as error:
        raise RejectedError("header", f"frame 1: {error}") from None
    stream = stream_name(frames[0])
    if head.v != VERSION:
        raise RejectedError("version", f"v: expected {VERSION}, got {head.v}")
    check_producer(head.producer)
    if head.first is not None and not 0 <= head.first <= LAST_SEQ:
        raise RejectedError("seq", f"first: expected 0…2^64-2, got {head.first}")
    if head.id is not None and not -(1 << 63) <= head.id <= MAX_SEQ:
        raise RejectedError("header", "id: expected a whole number of 64 bits")
    return Hello(stream, head.producer, head.id, head.first)


def check_producer(producer: str) -> None:
    """Refuse rows that nobody numbers; raises `RejectedError`."""
    if not producer:
        raise RejectedError("header", "producer: missing; the acknowledged mode needs one")
    if len(producer.encode()) > MAX_PRODUCER_BYTES:
        raise RejectedError("header", f"producer: expected at most {MAX_PRODUCER_BYTES} bytes")


def numbers(frames: Sequence[Frame]) -> Numbers | None:
    """Which rows a refused sample holds, to settle them; None where it does not say."""
    if len(frames) != 3 or len(frames[1]) > MAX_HEADER_BYTES:
        return None
    try:
        stream, head = stream_name(frames[0]), _decode_numbers(frames[1])
        check_producer(head.producer)
    except (*_MALFORMED, RejectedError):
        return None
    shape = head.shape
    n = shape[0] if isinstance(shape, list) and shape and type(shape[0]) is int else 1
    if head.v != VERSION or head.kind != "sample" or n < 1 or not 0 <= head.seq <= LAST_SEQ + 1 - n:
        return None
    return Numbers(stream, head.producer, head.seq, n)


def welcome(stream: str, next_seq: int, credit: int, id: int | None = None) -> bytes:  # noqa: A002
    """Say which row comes next, and how many bytes may be on their way."""
    answer: dict[str, Any] = {"v": VERSION, "kind": "welcome", "stream": stream}
    answer |= {"next_seq": next_seq, "credit": credit}
    return _encode(answer if id is None else answer | {"id": id})


def ack(stream: str, next_seq: int, credit: int) -> bytes:
    """Say that every row below `next_seq` is durable."""
    answer = {"v": VERSION, "kind": "ack", "stream": stream}
    return _encode(answer | {"next_seq": next_seq, "credit": credit})


def reject(stream: str, seq: int, n: int, reason: str) -> bytes:
    """Say that rows will never be learned."""
    answer = {"v": VERSION, "kind": "reject", "stream": stream}
    return _encode(answer | {"seq": seq, "n": n, "reason": reason})


def decode_answer(frame: Frame) -> Answer | None:
    """What the daemon said; None where this version does not know it."""
    try:
        answer = _decode_answer(frame)
    except _MALFORMED:
        return None
    return answer if answer.v == VERSION else None


class Place:
    """How far one (stream, producer) is, and who speaks for it now."""

    __slots__ = ("astray", "key", "next_seq", "peer", "producer", "stream", "told")

    def __init__(self, stream: str, producer: str, next_seq: int = 0) -> None:
        self.stream, self.producer = stream, producer
        self.next_seq = next_seq
        """First row that was not taken; rows below it are durable once their batch is."""
        self.peer: bytes | None = None
        """The socket that last said something for it."""
        self.key = ""
        """The client whose socket that is, where there are keys."""
        self.astray = False
        """Rows above `next_seq` came: it was told once, and all is ignored until the right one."""
        self.told = -1
        """The credit that it was told last."""


class Places:
    """The places of all (stream, producer).

    Parameters
    ----------
    saved
        [stream, producer, next_seq], from a checkpoint and the journal after it.

    Attributes
    ----------
    hellos
        How often somebody began to speak for one of them.

    """

    def __init__(self, saved: Sequence[Sequence[Any]] = ()) -> None:
        self._places = {(s, p): Place(s, p, next_seq) for s, p, next_seq in saved}
        self.hellos = 0

    def get(self, stream: str, producer: str) -> Place | None:
        """A place that is known."""
        return self._places.get((stream, producer))

    def make(self, stream: str, producer: str) -> Place:
        """A new place; whoever calls has seen that there is room for one more."""
        place = self._places[stream, producer] = Place(stream, producer)
        return place

    def greet(self, place: Place, first: int | None) -> None:
        """Count a hello and take it; see `resume`."""
        self.hellos += 1
        resume(place, first)

    def spoken_for(self) -> list[Place]:
        """Those for which somebody spoke since the start."""
        return [place for place in self._places.values() if place.peer is not None]

    def __iter__(self) -> Iterator[Place]:
        return iter(self._places.values())


def judge(place: Place, seq: int, n: int) -> int:
    """How many of rows seq…seq+n-1 are there; n: all, `GAP`: rows before are missing."""
    if seq > place.next_seq:
        return GAP
    return min(n, place.next_seq - seq)


def resume(place: Place, first: int | None) -> int:
    """Take a hello: go on from `first` where rows before it are gone; how many are lost so."""
    place.astray = False
    lost = 0 if first is None else max(0, first - place.next_seq)
    place.next_seq += lost
    return lost


def credit(free_bytes: int, most_bytes: int, clients: int) -> int:
    """Bytes that one client may have on their way: its share of what is free, at most `most_bytes`.

    What clients were told before may be on its way already, so half of what is free is given away.
    """
    return min(most_bytes, free_bytes // (2 * max(1, clients)))
