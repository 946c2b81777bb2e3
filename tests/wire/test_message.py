"""The wire format: every fault has its reason, every valid message survives the round trip."""

import math
import struct
import timeit
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.errors import REASONS, RejectedError
from streamlearn.wire import message as wire
from streamlearn.wire.message import (
    DTYPES,
    MAX_SEQ,
    Heartbeat,
    Label,
    Sample,
    Schema,
    decode,
    encode,
)

SCHEMA = Schema(shape=(2, 3), dtype=None, classes=10, max_payload_bytes=4096, max_rows=8)
ROW = np.arange(6, dtype="<f4")


def frames(payload: bytes | None = None, *, stream: bytes = b"cam0", **header: Any) -> list[bytes]:
    """One valid row, with the header's keys replaced; a value of ... leaves the key out."""
    whole = {"v": 1, "kind": "sample", "seq": 0, "dtype": "<f4", "shape": [1, 2, 3], **header}
    packed = msgpack.packb({key: value for key, value in whole.items() if value is not ...})
    return [stream, packed, ROW.tobytes() if payload is None else payload]


def short(**header: Any) -> list[bytes]:
    """A label or heartbeat: no payload, no dtype, no shape."""
    return frames(**{"dtype": ..., "shape": ..., **header})[:2]


def reason(message: list[bytes], schema: Schema = SCHEMA) -> str:
    """Why a message is refused; "" where it is not."""
    try:
        decode(message, schema)
    except RejectedError as error:
        return error.reason
    return ""


def floats(*values: float, dtype: str = "<f4") -> bytes:
    """Six numbers, the last ones zero."""
    return np.array([*values, *[0.0] * (6 - len(values))], dtype).tobytes()


HUGE = 2**64 - 1
FAULTS: dict[str, list[list[bytes]]] = {
    "frames": [
        [],
        [b"cam0"],
        frames()[:2],
        [*frames(), b""],
        [*short(kind="label", y=1), b""],
        [*short(kind="heartbeat"), b"x"],
        [b"a"] * 1000,
    ],
    "stream": [
        frames(stream=name)
        for name in (
            b"",
            b"a" * 129,
            b"a b",
            b"a\n",
            b"\xff",
            "ä".encode(),
            b"a*",
            b"\0",
            b"cam0\0",
        )
    ],
    "size": [
        frames(junk=b"x" * 4096),
        [b"cam0", b"\xc1" * 4097, b""],
        frames(b"\0" * 8192),
        frames(b"", shape=[9, 2, 3]),
        frames(b"", shape=[HUGE, 2, 3]),
        short(kind="label", y=[1] * 9),
    ],
    "header": [
        [b"cam0", packed, b""]
        for packed in (
            b"",
            b"\xc1",
            b"\x90",
            b"\x01",
            b"\x81",
            b"\x81\xa1v",
            b"\x81\xa1z\xc1",
            b"\xdf\xff\xff\xff\xff",
            b"\x81\xa1v\x01\x00",
            b"\x81\xa1z" + b"\x91" * 4000 + b"\x01",
            b"GET / HTTP/1.1\r\n",
            msgpack.packb({1: 2, "v": 1}),
            msgpack.packb({b"v": 1}),
            b"\x82\xa1v\x01\xa8producer\xa2\xff\xfe",
            b"\x82\xa1v\x01\xa5shape\xdd\xff\xff\xff\xff",
            b"\x82\xa1v\x01\xa1y\xdd\xff\xff\xff\xff",
        )
    ]
    + [
        frames(kind="hello"),
        frames(kind=5),
        frames(kind=None),
        frames(kind=b"sample"),
        short(kind="labels", y=1),
        frames(producer="p" * 65),
        frames(producer="ä" * 33),
        frames(producer=7),
        frames(t="now"),
        frames(t=True),
    ],
    "version": [frames(v=v) for v in (..., 0, 2, -1, HUGE, True, 1.0, "1", None, [1], b"\x01")]
    + [frames(v=2, seq="later versions may", dtype=5, shape={"have": "others"})],
    "seq": [frames(seq=seq) for seq in (..., -1, -(2**63), True, 1.0, "1", None, [0])]
    + [
        frames(floats() * 2, seq=HUGE, shape=[2, 2, 3]),
        short(kind="label", seq=HUGE, y=[1, 1]),
        short(kind="label", seq=..., y=1),
        short(kind="heartbeat", seq=-1),
        short(kind="heartbeat", seq=...),
    ],
    "dtype": [
        frames(dtype=name)
        for name in (..., "", "f4", ">f4", "|O", "<i8", "<f4 ", "float32", "|V4", 4, None, b"<f4")
    ],
    "shape": [
        frames(shape=shape)
        for shape in (
            ...,
            [],
            [1],
            [6],
            [1, 6],
            [1, 3, 2],
            [1, 2, 3, 1],
            [0, 2, 3],
            [-1, 2, 3],
            [1, -2, -3],
            [1, 0, 3],
            [1, HUGE, HUGE],
            [True, 2, 3],
            [1.0, 2, 3],
            ["1", 2, 3],
            "123",
            6,
            None,
            [1] * 40,
        )
    ],
    "length": [frames(payload) for payload in (b"", b"\0" * 23, b"\0" * 25, b"\0" * 48)]
    + [frames(dtype="<f8"), frames(shape=[2, 2, 3])],
    "label": [
        frames(y=y)
        for y in (-2, 10, HUGE, -(2**63), True, 1.0, "1", None, {}, [], [1, 2], [10], [True], [[1]])
    ]
    + [
        frames(floats() * 2, shape=[2, 2, 3], y=1),
        frames(floats() * 2, shape=[2, 2, 3], y=[1, HUGE]),
        short(kind="label"),
        short(kind="label", y=[]),
        short(kind="label", y=10),
        short(kind="label", y=[0, -2]),
        short(kind="label", y=None),
    ],
    "nonfinite": [
        frames(floats(0, bad, dtype=dtype), dtype=dtype)
        for bad in (math.nan, math.inf, -math.inf)
        for dtype in ("<f2", "<f4", "<f8")
    ]
    + [
        frames(floats(5, 1e39, dtype="<f8"), dtype="<f8"),
        frames(floats(-(2.0**128 - 2.0**103), dtype="<f8"), dtype="<f8"),
        frames(t=math.nan),
        frames(t=math.inf),
        short(kind="heartbeat", t=math.nan),
    ],
}


@pytest.mark.parametrize(
    ("expected", "message"),
    [(expected, message) for expected, messages in FAULTS.items() for message in messages],
)
def test_each_fault_has_its_reason(expected: str, message: list[bytes]) -> None:
    """A fault is refused under its own reason, not under a neighbour's."""
    assert reason(message) == expected


def test_every_reason_is_reached() -> None:
    """Each reason of the wire stands in the table above, but `auth`, which needs keys."""
    assert set(FAULTS) == set(REASONS) - {"auth"}


def test_a_refusal_says_where_and_what() -> None:
    """The text has the place and the value found, cut to a readable length."""
    with pytest.raises(RejectedError, match=r"shape: expected \[n ≥ 1, 2, 3\], got \[1, 3, 2\]"):
        decode(frames(shape=[1, 3, 2]), SCHEMA)
    for message in (frames(dtype="x" * 3000), frames(v="x" * 3000), frames(shape=[HUGE] * 30)):
        with pytest.raises(RejectedError) as caught:
            decode(message, SCHEMA)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "message",
    [
        frames(),
        frames(kind=...),
        frames(seq=HUGE),
        frames(y=-1),
        frames(y=9),
        frames(y=[3]),
        frames(y=[-1]),
        frames(t=5),
        frames(t=-1.5),
        frames(producer="p" * 64),
        frames(producer="ä" * 32),
        frames(stream=b"A" * 128),
        frames(stream=b"a.b_c/d-e"),
        frames(junk=[1, {"deep": [None, b"x"]}], more=None),
        frames(floats(3.4e38, -3.4e38)),
        frames(floats(3.4028235e38, 1e20, dtype="<f8"), dtype="<f8"),
        frames(floats(65504, dtype="<f2"), dtype="<f2"),
        frames(floats() * 8, shape=[8, 2, 3], y=list(range(8))),
        short(kind="label", y=0),
        short(kind="label", y=[-1, 5], seq=HUGE - 1),
        short(kind="heartbeat", seq=HUGE),
        [bytes(f) for f in frames()],
        [memoryview(f) for f in frames()],  # type: ignore[list-item]
    ],
)
def test_what_is_valid_is_taken(message: list[bytes]) -> None:
    """Everything that the text allows is allowed, unknown keys and extreme values too."""
    assert reason(message) == ""


def test_the_streams_dtype_binds() -> None:
    """Where the stream has a dtype, only that one is taken."""
    schema = Schema(shape=(2, 3), dtype="|u1", classes=10)
    assert reason(frames(), schema) == "dtype"
    assert reason(frames(b"123456", dtype="|u1"), schema) == ""


def test_a_stream_without_classes_takes_no_label() -> None:
    """With no classes there is only "not known"."""
    schema = Schema(shape=(2, 3), dtype=None, classes=0)
    assert reason(frames(y=0), schema) == "label"
    assert reason(frames(y=-1), schema) == ""


def test_a_key_given_twice_counts_once() -> None:
    """The last value stands, as in most readers of msgpack."""
    packed = frames()[1]
    twice = bytes([packed[0] + 1]) + packed[1:] + b"\xa3seq\x05"
    assert decode([b"cam0", twice, ROW.tobytes()], SCHEMA).seq == 5


def test_a_long_payload_is_checked_to_its_end() -> None:
    """Not a number is found in long rows too, wherever it stands."""
    schema = Schema(shape=(10_000,), dtype="<f4", classes=2)
    for place in (0, 5000, 9999):
        x = np.ones(10_000, "<f4")
        x[place] = np.nan
        message = frames(x.tobytes(), shape=[1, 10_000])
        assert reason(message, schema) == "nonfinite"
    assert reason(frames(np.full(10_000, 3e38, "<f4").tobytes(), shape=[1, 10_000]), schema) == ""


names = st.text("abcXYZ019._/-", min_size=1, max_size=128)
producers = st.text(max_size=16)
dtypes = st.sampled_from(DTYPES)
times = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Any valid sample for `SCHEMA`."""
    n = draw(st.integers(1, 8))
    dtype = np.dtype(draw(dtypes))
    raw = draw(st.binary(min_size=6 * n * dtype.itemsize, max_size=6 * n * dtype.itemsize))
    x = np.frombuffer(raw, dtype).reshape(n, 2, 3)
    if dtype.kind == "f":
        most = min(3e38, float(np.finfo(dtype).max))
        x = np.where(np.abs(x) <= dtype.type(most), x, dtype.type(0))
    seq = draw(st.integers(0, MAX_SEQ + 1 - n))
    t = draw(st.one_of(st.just(math.nan), times))
    labels = draw(st.one_of(st.none(), st.lists(st.integers(-1, 9), min_size=n, max_size=n)))
    y = None if labels is None else np.array(labels, np.int32)
    return Sample(draw(names), draw(producers), seq, n, t, x, y)


@given(samples())
def test_samples_survive_the_round_trip(sent: Sample) -> None:
    """What is encoded is decoded, to the bit."""
    got = decode(encode(sent), SCHEMA)
    assert isinstance(got, Sample)
    assert (got.stream, got.producer, got.seq, got.n) == (
        sent.stream,
        sent.producer,
        sent.seq,
        sent.n,
    )
    assert struct.pack("<d", got.t) == struct.pack("<d", sent.t)
    assert got.x.dtype == sent.x.dtype
    assert got.x.shape == (sent.n, 6)
    assert got.x.tobytes() == sent.x.tobytes()
    assert (got.y is None) == (sent.y is None)
    if sent.y is not None and got.y is not None:
        assert got.y.dtype == np.int32
        np.testing.assert_array_equal(got.y, sent.y)


@given(
    names, producers, st.integers(0, HUGE - 8), st.lists(st.integers(-1, 9), min_size=1, max_size=8)
)
def test_labels_and_heartbeats_survive_the_round_trip(
    stream: str, producer: str, seq: int, y: list[int]
) -> None:
    """What is encoded is decoded."""
    label = decode(encode(Label(stream, producer, seq, np.array(y, np.int32))), SCHEMA)
    assert isinstance(label, Label)
    assert (label.stream, label.producer, label.seq, label.y.tolist()) == (stream, producer, seq, y)
    beat = Heartbeat(stream, producer, seq)
    assert decode(encode(beat), SCHEMA) == beat


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), HUGE) | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
keys = st.sampled_from(["v", "kind", "seq", "producer", "t", "dtype", "shape", "y", "other"])


@given(st.lists(st.binary(max_size=64), max_size=5))
def test_any_bytes_are_decoded_or_refused(message: list[bytes]) -> None:
    """Whatever comes, `decode` returns a message or raises `RejectedError`, nothing else."""
    reason(message)


@given(st.dictionaries(keys, anything), st.binary(max_size=64))
def test_any_header_is_decoded_or_refused(changes: dict[str, Any], payload: bytes) -> None:
    """The same for well-formed headers that hold anything under any known key."""
    reason(frames(payload, **changes))
    reason(frames(**changes))
    reason(short(**changes))


@given(st.integers(0, 2**31), st.integers(0, 255))
def test_any_flipped_byte_is_decoded_or_refused(place: int, value: int) -> None:
    """The same for a valid message with one byte changed, or cut off anywhere."""
    whole = frames(y=3, producer="p", t=1.5)
    for i in range(3):
        changed = list(whole)
        at = place % len(whole[i])
        changed[i] = whole[i][:at] + bytes([value]) + whole[i][at + 1 :]
        reason(changed)
        changed[i] = whole[i][:at]
        reason(changed)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(width=64), min_size=6, max_size=6))
def test_finite_means_finite_as_float32(values: list[float]) -> None:
    """Rows pass if and only if the float32 rows that are learned from are finite."""
    with np.errstate(over="ignore"):
        finite = bool(np.isfinite(np.array(values, "<f8").astype(np.float32)).all())
    got = reason(frames(np.array(values, "<f8").tobytes(), dtype="<f8"))
    assert got == ("" if finite else "nonfinite")


def test_decoding_costs_little_more_than_its_header() -> None:
    """A row of 16 numbers costs at most 30 times what msgspec alone spends on its header."""
    schema = Schema(shape=(16,), dtype="<f4", classes=10)
    message = frames(np.ones(16, "<f4").tobytes(), shape=[1, 16], y=3)

    def best(call: Any) -> float:
        return min(timeit.repeat(call, number=20, repeat=300))

    ratio = best(lambda: decode(message, schema)) / best(lambda: wire._decode_header(message[1]))
    assert ratio < 30
