"""The wire format, version 1: frames in, checked messages out, and back. No sockets.

`decode` takes what a producer sent, `encode` is its reverse; `docs/wire.md` is the text for writers
of other clients. Nothing here trusts a byte: a message is either returned whole or refused with one
of the reasons in `streamlearn.errors`.

Faults are looked for in this order, and the first one found is the reason: count of frames, stream,
size of the header, header, version, types of the header's keys, t, presence of a payload; then of a
sample dtype, shape, rows, seq, size and length of the payload, labels, numbers that are not finite.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Final, TypeAlias

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType
from numpy.typing import NDArray

from streamlearn.errors import Reason, RejectedError

VERSION: Final = 1
DTYPES: Final = ("|u1", "|i1", "<i2", "<u2", "<i4", "<f2", "<f4", "<f8")
MAX_HEADER_BYTES: Final = 4096
MAX_SEQ: Final = 2**64 - 1
MAX_STREAM_BYTES: Final = 128
MAX_PRODUCER_BYTES: Final = 64

Frame: TypeAlias = bytes | memoryview
I32: TypeAlias = NDArray[np.int32]

# Values from here on round to infinity as float32 (the largest one is 2^128 - 2^104).
_F32_LIMIT: Final = 2.0**128 - 2.0**103


class Sample(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Rows with what is known of them."""

    stream: str
    producer: str
    """Who numbers the rows; "" where the sender gave no name."""
    seq: int
    """Number of the first row."""
    n: int
    t: float
    """Seconds since 1970 when the first row was measured; NaN where not given."""
    x: NDArray[Any]
    """[n, …] rows of any wire type, finite as float32; decoded: [n, D], maybe read-only."""
    y: I32 | None
    """[n] class, -1 where not known; None: no labels at all."""


class Label(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Classes for rows that were sent before, from `seq` on; y is [n]."""

    stream: str
    producer: str
    seq: int
    y: I32


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """The producer lives; its next row will be `seq`."""

    stream: str
    producer: str
    seq: int


Message: TypeAlias = Sample | Label | Heartbeat


@dataclass(frozen=True)
class Schema:
    """What a stream's messages must be.

    Parameters
    ----------
    shape
        Shape of one row; its product is D.
    dtype
        The wire type that rows must have, or None for any of `DTYPES`.
    classes
        K: labels are -1…K-1.
    max_header_bytes, max_payload_bytes, max_rows
        Limits of one message; beyond them it is refused as `size`.

    """

    shape: tuple[int, ...]
    dtype: str | None
    classes: int
    max_header_bytes: int = MAX_HEADER_BYTES
    max_payload_bytes: int = 16 << 20
    max_rows: int = 4096
    width: int = field(init=False)
    one_row: tuple[int, ...] = field(init=False)
    dtypes: dict[str, np.dtype[Any]] = field(init=False)
    labels: dict[int, I32] = field(init=False)
    """Every label there is, as the [1] array that a message of one row needs."""

    @property
    def largest_payload_bytes(self) -> int:
        """Bytes of the largest payload that can be valid."""
        widest = max(dtype.itemsize for dtype in self.dtypes.values())
        return min(self.max_payload_bytes, self.max_rows * self.width * widest)

    def __post_init__(self) -> None:
        names = DTYPES if self.dtype is None else (self.dtype,)
        labels = np.arange(-1, self.classes, dtype=np.int32)
        labels.flags.writeable = False
        derived = {
            "width": math.prod(self.shape),
            "one_row": (1, *self.shape),
            "dtypes": {name: np.dtype(name) for name in names},
            "labels": {int(label): labels[i : i + 1] for i, label in enumerate(labels)},
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)


class _Header(msgspec.Struct, gc=False):
    """Defaults stand for a missing key and are no valid value, except where a key is optional."""

    v: int = 0
    kind: str = "sample"
    seq: int = -1
    producer: str = ""
    t: float | UnsetType = UNSET
    dtype: str = ""
    # The lengths keep a header that claims four billion entries from being given their memory.
    shape: Annotated[tuple[int, ...], Meta(max_length=32)] = ()
    y: int | Annotated[list[int], Meta(max_length=MAX_HEADER_BYTES)] | UnsetType = UNSET


class _OnlyVersion(msgspec.Struct, gc=False):
    v: Any = None


_decode_header = msgspec.msgpack.Decoder(_Header).decode
_decode_version = msgspec.msgpack.Decoder(_OnlyVersion).decode
_encode = msgspec.msgpack.Encoder().encode
_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_STREAM = re.compile(rb"[A-Za-z0-9._/-]{1,128}")
_KEY = re.compile(r"`\$\.(\w+)")
_REASON_OF_KEY: Final[dict[str, Reason]] = {
    "seq": "seq",
    "dtype": "dtype",
    "shape": "shape",
    "y": "label",
}


def decode(frames: Sequence[Frame], schema: Schema) -> Message:
    """Check one message to the daemon, and return it.

    Parameters
    ----------
    frames
        Stream name, header and, for a sample, payload. The payload is not copied.
    schema
        What rows must be.

    Raises
    ------
    RejectedError
        With the reason under which the message is counted; never any other error.

    """
    count = len(frames)
    if count != 3 and count != 2:  # noqa: PLR1714  a tuple test costs twice as much here
        raise RejectedError("frames", f"expected 2 or 3 frames, got {count}")
    stream = stream_name(frames[0])
    header = _header(frames[1], schema)
    kind = header.kind
    if (kind == "sample") != (count == 3):
        raise RejectedError("frames", f"a {_known_kind(kind)} has not {count} frames")
    if kind == "sample":
        return _sample(stream, header, frames[2], schema)
    if _known_kind(kind) == "label":
        return _label(stream, header, schema)
    return Heartbeat(stream, header.producer, _checked_seq(header.seq, 1))


def stream_name(frame: Frame) -> str:
    """The stream's name in frame 0; raises `RejectedError` where it is none."""
    if len(frame) > MAX_STREAM_BYTES:
        raise RejectedError("stream", f"frame 0: expected 1…128 bytes, got {len(frame)}")
    return _stream_name(bytes(frame))


@lru_cache(maxsize=1024)
def _stream_name(name: bytes) -> str:
    if not _STREAM.fullmatch(name):
        raise RejectedError("stream", f"frame 0: expected A-Z a-z 0-9 . _ / -, got {name!r}")
    return name.decode("ascii")


def _known_kind(kind: str) -> str:
    if kind not in ("sample", "label", "heartbeat"):
        raise RejectedError("header", f"kind: expected sample, label or heartbeat, got {kind!r}")
    return kind


def _header(frame: Frame, schema: Schema) -> _Header:
    if len(frame) > schema.max_header_bytes:
        limit = schema.max_header_bytes
        raise RejectedError("size", f"frame 1: expected at most {limit} bytes, got {len(frame)}")
    try:
        header = _decode_header(frame)
    except _MALFORMED as error:
        raise _header_fault(frame, error) from None
    if header.v != VERSION:
        raise RejectedError("version", f"v: expected {VERSION}, got {header.v}")
    # The test on characters is free, and only long names can have too many bytes.
    if len(header.producer) > 16 and len(header.producer.encode()) > MAX_PRODUCER_BYTES:
        raise RejectedError("header", f"producer: expected at most {MAX_PRODUCER_BYTES} bytes")
    if header.t is not UNSET and not math.isfinite(header.t):
        raise RejectedError("nonfinite", f"t: expected a finite number, got {header.t}")
    return header


def _header_fault(frame: Frame, error: Exception) -> RejectedError:
    """Name the fault; the version comes first, as another version may have other types."""
    try:
        version = _decode_version(frame).v
    except _MALFORMED:
        return RejectedError("header", f"frame 1: {error}")
    if type(version) is not int or version != VERSION:
        return RejectedError("version", f"v: expected {VERSION}, got {version!r:.40}")
    key = _KEY.search(str(error))
    return RejectedError(_REASON_OF_KEY.get(key[1] if key else "", "header"), f"frame 1: {error}")


def _checked_seq(seq: int, n: int) -> int:
    if not 0 <= seq <= MAX_SEQ + 1 - n:
        raise RejectedError("seq", f"expected 0…2^64-{n} for {n} rows, got {seq}")
    return seq


def _sample(stream: str, header: _Header, payload: Frame, schema: Schema) -> Sample:
    dtype = schema.dtypes.get(header.dtype)
    if dtype is None:
        known = " ".join(schema.dtypes)
        raise RejectedError("dtype", f"expected {known}, got {header.dtype!r:.40}")
    n = 1 if header.shape == schema.one_row else _row_count(header.shape, schema)
    seq = _checked_seq(header.seq, n)
    _check_length(len(payload), n * schema.width * dtype.itemsize, schema)
    y = None if header.y is UNSET else _labels(header.y, n, schema)
    flat: NDArray[Any] = np.frombuffer(payload, dtype)
    if dtype.kind == "f" and not _finite(flat):
        raise RejectedError("nonfinite", "frame 2: NaN, infinity or too large for float32")
    t = math.nan if header.t is UNSET else header.t
    return Sample(stream, header.producer, seq, n, t, flat.reshape(n, schema.width), y)


def _row_count(shape: tuple[int, ...], schema: Schema) -> int:
    if len(shape) != len(schema.one_row) or shape[1:] != schema.shape or shape[0] < 1:
        wanted = ", ".join(("n ≥ 1", *map(str, schema.shape)))
        raise RejectedError("shape", f"expected [{wanted}], got {list(shape)!s:.80}")
    if shape[0] > schema.max_rows:
        raise RejectedError("size", f"expected at most {schema.max_rows} rows, got {shape[0]}")
    return shape[0]


def _check_length(got: int, expected: int, schema: Schema) -> None:
    if got > schema.max_payload_bytes:
        limit = schema.max_payload_bytes
        raise RejectedError("size", f"frame 2: expected at most {limit} bytes, got {got}")
    if got != expected:
        raise RejectedError("length", f"frame 2: the shape needs {expected} bytes, got {got}")


def _finite(flat: NDArray[Any]) -> bool:
    """Whether every number is finite as float32."""
    ok = np.abs(flat) < _F32_LIMIT if flat.itemsize == 8 else np.isfinite(flat)
    # Looking for a zero byte costs a quarter of `ok.all()` on a short row, and less on a long one.
    return b"\0" not in ok.tobytes()


def _labels(y: int | list[int], n: int, schema: Schema) -> I32:
    """The labels as [n] int32; an int stands for a list of one."""
    if type(y) is int:
        if n == 1 and y in schema.labels:
            return schema.labels[y]
        y = [y]
    assert isinstance(y, list)
    if len(y) != n:
        raise RejectedError("label", f"y: expected {n} labels, got {len(y)}")
    if not schema.labels.keys() >= set(y):
        top = schema.classes - 1
        raise RejectedError("label", f"y: expected -1…{top}, got {min(y)}…{max(y)}")
    return np.array(y, np.int32)


def _label(stream: str, header: _Header, schema: Schema) -> Label:
    y = header.y
    n = 1 if isinstance(y, int) else 0 if y is UNSET else len(y)
    if n == 0:
        raise RejectedError("label", "y: a label message needs at least one label")
    if n > schema.max_rows:
        raise RejectedError("size", f"expected at most {schema.max_rows} rows, got {n}")
    seq = _checked_seq(header.seq, n)
    assert y is not UNSET
    return Label(stream, header.producer, seq, _labels(y, n, schema))


def encode(message: Message) -> list[bytes]:
    """The frames of a message to the daemon; the reverse of `decode`.

    The rows of a `Sample` go out in their own shape [n, …] and type, one of `DTYPES`.
    """
    if isinstance(message, Sample):
        return _encode_sample(message)
    if isinstance(message, Label):
        return [*_encode_head(message, "label", {"y": _plain_labels(message.y)})]
    return [*_encode_head(message, "heartbeat", {})]


def _encode_head(message: Message, kind: str, rest: dict[str, Any]) -> tuple[bytes, bytes]:
    header: dict[str, Any] = {"v": VERSION, "kind": kind, "seq": message.seq}
    if message.producer:
        header["producer"] = message.producer
    header.update(rest)
    return message.stream.encode(), _encode(header)


def _encode_sample(message: Sample) -> list[bytes]:
    rest: dict[str, Any] = {} if math.isnan(message.t) else {"t": message.t}
    rest["dtype"] = message.x.dtype.str
    rest["shape"] = message.x.shape
    if message.y is not None:
        rest["y"] = _plain_labels(message.y)
    return [*_encode_head(message, "sample", rest), message.x.tobytes()]


def _plain_labels(y: I32) -> int | list[int]:
    labels: list[int] = y.tolist()
    return labels[0] if len(labels) == 1 else labels
