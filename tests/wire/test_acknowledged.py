"""The words of the acknowledged mode: read as written, and no rubbish gets through."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlearn.errors import RejectedError
from streamlearn.wire.acknowledged import (
    GAP,
    LAST_SEQ,
    Answer,
    Hello,
    Place,
    ack,
    credit,
    decode_answer,
    decode_hello,
    encode_hello,
    judge,
    numbers,
    reject,
    welcome,
)

pack = msgspec.msgpack.encode
HEADS = st.dictionaries(
    st.sampled_from(["v", "kind", "producer", "stream", "id", "first", "seq", "shape", "y"]),
    st.none()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=70)
    | st.floats()
    | st.lists(st.integers(-3, 5), max_size=4)
    | st.sampled_from(["hello", "sample", 1]),
)


def test_a_hello_is_read_as_it_was_said() -> None:
    """With and without what may be left out."""
    for hello in (Hello("cam0", "p"), Hello("cam0", "p", 7, LAST_SEQ), Hello("a/b", "é" * 32, 0)):
        assert decode_hello(encode_hello(hello)) == hello


def test_answers_are_read_as_they_were_given() -> None:
    """The largest numbers too; what is no answer is None."""
    assert decode_answer(welcome("s", 2**64 - 1, 5, 3)) == Answer(
        1, "welcome", "s", 2**64 - 1, 5, id=3
    )
    assert decode_answer(ack("s", 7, 0)) == Answer(1, "ack", "s", 7)
    assert decode_answer(reject("s", 7, 2, "shape")) == Answer(
        1, "reject", "s", seq=7, n=2, reason="shape"
    )
    for wrong in (b"", b"\xff", pack({"v": 2, "kind": "ack"}), pack({"v": 1, "kind": "other"})):
        assert decode_answer(wrong) is None


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ({"v": 2, "producer": "p"}, "version"),
        ({"v": 1}, "header"),
        ({"v": 1, "producer": "é" * 33}, "header"),
        ({"v": 1, "producer": 7}, "header"),
        ({"v": 1, "producer": "p", "first": -1}, "seq"),
        ({"v": 1, "producer": "p", "first": 2**64 - 1}, "seq"),
        ({"v": 1, "producer": "p", "first": 1.0}, "header"),
    ],
)
def test_a_wrong_hello_has_its_reason(head: dict, reason: str) -> None:
    """It is refused under the word of docs/wire.md."""
    with pytest.raises(RejectedError) as refused:
        decode_hello([b"cam0", pack({"kind": "hello", **head})])
    assert refused.value.reason == reason


@given(st.lists(st.binary(max_size=200) | HEADS.map(pack), max_size=4))
def test_rubbish_is_refused_or_not_ours(frames: list[bytes]) -> None:
    """Whatever bytes come: a hello, None or `RejectedError`; nothing else, ever."""
    try:
        hello = decode_hello(frames)
        assert hello is None or hello.producer
    except RejectedError:
        pass
    which = numbers(frames)
    assert which is None or 0 <= which.seq <= which.seq + which.n - 1 <= LAST_SEQ
    for frame in frames:
        decode_answer(frame)


def test_numbers_of_refused_rows() -> None:
    """They are read where the header says them, whatever else is wrong with it."""
    head = {"v": 1, "seq": 7, "producer": "p", "shape": [3, 9], "dtype": "?"}
    assert numbers([b"cam0", pack(head), b""]) == ("cam0", "p", 7, 3)
    assert numbers([b"cam0", pack(head | {"shape": "x"}), b""]) == ("cam0", "p", 7, 1)
    assert numbers([b"cam0", pack(head | {"shape": [2**63]}), b""]) is not None
    for wrong in ({"seq": -1}, {"producer": ""}, {"v": 3}, {"kind": "label"}, {"shape": [0]}):
        assert numbers([b"cam0", pack(head | wrong), b""]) is None
    assert numbers([b"cam0", pack(head)]) is None
    assert numbers([b"", pack(head), b""]) is None
    last = head | {"seq": LAST_SEQ, "shape": [1, 9]}
    assert numbers([b"cam0", pack(last), b""]) == ("cam0", "p", LAST_SEQ, 1)
    assert numbers([b"cam0", pack(last | {"shape": [2, 9]}), b""]) is None


def test_rows_are_new_there_or_after_a_gap() -> None:
    """By the one number that is known of a producer."""
    place = Place("s", "p", 10)
    assert [judge(place, seq, 3) for seq in (10, 9, 8, 7, 3, 11, LAST_SEQ)] == [
        *(0, 1, 2, 3, 3),
        *(GAP, GAP),
    ]


@given(st.integers(0, 1 << 40), st.integers(1, 1 << 31), st.integers(0, 5000))
def test_credit_never_gives_away_more_than_is_free(free: int, most: int, clients: int) -> None:
    """All together at most half of what is free, each at most its bound."""
    one = credit(free, most, clients)
    assert 0 <= one <= most
    assert one * max(1, clients) * 2 <= free
    assert credit(0, most, clients) == 0
