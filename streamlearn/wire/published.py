"""What the daemon publishes: typed messages, to frames and back. No sockets.

Frame 0 is the topic, frame 1 the header, frame 2 the payload where there is one. Every message
carries `pub_seq`, counted per topic from 0, so that a subscriber sees what it missed.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Final, TypeAlias

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from streamlearn.errors import RejectedError
from streamlearn.wire.message import VERSION, Frame

F32: TypeAlias = NDArray[np.float32]
I32: TypeAlias = NDArray[np.int32]


class Prediction(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What was predicted for consecutive rows, before they were learned."""

    kind: ClassVar[str] = "prediction"

    stream: str
    seq: int
    """The producer's number of the first row."""
    y_pred: I32
    """[n] predicted class."""
    y: I32
    """[n] true class, -1 where not known."""
    scores: F32
    """[n, K]; the largest wins."""
    t: float = math.nan
    """Seconds since 1970 when the first row was measured; NaN where the producer gave none."""
    step: int = 0
    """Rows learned when the prediction was made."""
    pub_seq: int = 0

    @property
    def topic(self) -> str:
        """`prediction/<stream>`."""
        return f"prediction/{self.stream}"


class Embedding(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A layer's activities for consecutive rows."""

    kind: ClassVar[str] = "embedding"

    stream: str
    seq: int
    layer: str
    """Which layer, or "all": every layer's activities side by side."""
    x: F32
    """[n, H]."""
    t: float = math.nan
    step: int = 0
    pub_seq: int = 0

    @property
    def topic(self) -> str:
        """`embedding/<stream>`."""
        return f"embedding/{self.stream}"


class Surprise(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """How unexpected consecutive rows were to the layers that tell what comes next."""

    kind: ClassVar[str] = "surprise"

    stream: str
    seq: int
    layers: list[str]
    """[L] which layers."""
    x: F32
    """[n, L]: standard deviations above what is usual; 0 where a layer could not tell."""
    t: float = math.nan
    step: int = 0
    pub_seq: int = 0

    @property
    def topic(self) -> str:
        """`surprise/<stream>`."""
        return f"surprise/{self.stream}"


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """All figures at one moment, by their names on the metrics page."""

    kind: ClassVar[str] = "metrics"
    topic: ClassVar[str] = "metrics"

    figures: dict[str, Any]
    t: float = math.nan
    step: int = 0
    pub_seq: int = 0


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened in the daemon, for example `started` or `checkpoint`."""

    kind: ClassVar[str] = "event"
    topic: ClassVar[str] = "event"

    name: str
    data: dict[str, Any]
    t: float = math.nan
    step: int = 0
    pub_seq: int = 0


Published: TypeAlias = Prediction | Embedding | Surprise | Metrics | Event

_COMMON: Final = frozenset(("v", "kind", "t", "step", "pub_seq"))


class _Header(msgspec.Struct, gc=False):
    v: int
    kind: str
    stream: str = ""
    seq: int = 0
    n: int = 0
    t: float | UnsetType = UNSET
    step: int = 0
    pub_seq: int = 0
    layer: str = ""
    layers: list[str] = []
    name: str = ""
    y_pred: list[int] = []
    y: list[int] = []


_encode = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(_Header).decode
_decode_map = msgspec.msgpack.Decoder(dict[str, Any]).decode
_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError)


def encode_published(message: Published) -> list[bytes]:
    """The frames of a message from the daemon: topic, header and, for rows, payload."""
    header: dict[str, Any] = {"v": VERSION, "kind": message.kind, "pub_seq": message.pub_seq}
    if not math.isnan(message.t):
        header["t"] = message.t
    header["step"] = message.step
    header.update(_own_keys(message))
    frames = [message.topic.encode(), _encode(header)]
    rows = _rows(message)
    return frames if rows is None else [*frames, rows.astype("<f4", copy=False).tobytes()]


def _own_keys(message: Published) -> dict[str, Any]:
    if isinstance(message, Metrics):
        return message.figures
    if isinstance(message, Event):
        return {"name": message.name, **message.data}
    keys = {"stream": message.stream, "seq": message.seq}
    if isinstance(message, Embedding):
        return {**keys, "n": len(message.x), "layer": message.layer}
    if isinstance(message, Surprise):
        return {**keys, "n": len(message.x), "layers": message.layers}
    labels = {"y_pred": message.y_pred.tolist(), "y": message.y.tolist()}
    return {**keys, "n": len(message.scores), **labels}


def _rows(message: Published) -> F32 | None:
    if isinstance(message, Prediction):
        return message.scores
    return message.x if isinstance(message, Embedding | Surprise) else None


def decode_published(frames: Sequence[Frame]) -> Published | None:
    """Read one message from the daemon; the reverse of `encode_published`.

    Returns
    -------
    Published | None
        None for a kind that this version does not know; a later daemon may have more.

    Raises
    ------
    RejectedError
        It is no message of the daemon: wrong frames, header, version or length.

    """
    if len(frames) not in (2, 3):
        raise RejectedError("frames", f"expected 2 or 3 frames, got {len(frames)}")
    try:
        header = _decode_header(frames[1])
        if header.v != VERSION:
            raise RejectedError("version", f"v: expected {VERSION}, got {header.v}")
        return _read(header, frames)
    except _MALFORMED as error:
        raise RejectedError("header", f"frame 1: {error}") from None


def _read(header: _Header, frames: Sequence[Frame]) -> Published | None:
    t = math.nan if header.t is UNSET else header.t
    common: dict[str, Any] = {"t": t, "step": header.step, "pub_seq": header.pub_seq}
    if header.kind in ("metrics", "event"):
        rest = {k: v for k, v in _decode_map(frames[1]).items() if k not in _COMMON}
        if header.kind == "metrics":
            return Metrics(figures=rest, **common)
        rest.pop("name", None)
        return Event(name=header.name, data=rest, **common)
    if header.kind not in ("prediction", "embedding", "surprise"):
        return None
    common |= {"stream": header.stream, "seq": header.seq}
    rows = _payload(header.n, frames)
    if header.kind == "embedding":
        return Embedding(layer=header.layer, x=rows, **common)
    if header.kind == "surprise":
        return Surprise(layers=header.layers, x=rows, **common)
    y_pred, y = _labels(header.y_pred, header.n), _labels(header.y, header.n)
    return Prediction(scores=rows, y_pred=y_pred, y=y, **common)


def _payload(n: int, frames: Sequence[Frame]) -> F32:
    if len(frames) != 3:
        raise RejectedError("frames", f"expected 3 frames, got {len(frames)}")
    if n < 1 or not frames[2] or len(frames[2]) % (4 * n):
        raise RejectedError("length", f"frame 2: {len(frames[2])} bytes are not {n} rows of <f4")
    return np.frombuffer(frames[2], "<f4").reshape(n, -1)


def _labels(y: list[int], n: int) -> I32:
    if len(y) != n:
        raise RejectedError("label", f"expected {n} labels, got {len(y)}")
    return np.array(y, np.int32)
