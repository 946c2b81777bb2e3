"""ROUTER over real sockets: what is answered when, and what nobody can do to it."""

import time

import msgspec
import numpy as np
import pytest
from wire.recorder import Recorder, until
from wire.routing import LIMITS, SCHEMA, Memory, routing
from wire.rubbish import messages

from streamlearn.wire.acknowledged import (
    LAST_SEQ,
    Answer,
)
from streamlearn.wire.message import Heartbeat, Label, Sample, encode


def test_hello_rows_ack() -> None:
    """The welcome says what comes next and the credit; rows are kept, learned, then told of."""
    keeps, sink = Memory(), Recorder()
    with routing(keeps, sink) as (client, _):
        assert client.hello(id=5) == Answer(1, "welcome", "cam0", 0, 1 << 14, id=5)
        client.send(0, 3, y=np.array([0, 1, 2], np.int32))
        answer = client.hear()
        assert (answer.kind, answer.next_seq) == ("ack", 3)
        until(lambda: len(sink.rows) == 3, "the rows")
        client.send(3)
        assert client.hear().next_seq == 4
    assert sink.rows[:3] == [("cam0", i, float(i), i) for i in range(3)]
    assert sum(keeps.batches) == len(keeps.learned) == 2


def test_a_wrong_message_of_a_stream_too_many_is_counted_and_no_more() -> None:
    """It has no place in which it could be settled; the next client is served as before."""
    keeps, sink = Memory(), Recorder()
    sink.refuse_stream = "cam1"
    with routing(keeps, sink) as (client, other):
        wrong = Sample("cam1", "p", 0, 1, np.nan, np.zeros((1, 3), "<f4"), None)
        client.socket.send_multipart(encode(wrong))
        until(lambda: sink.refused["shape"] == 1, "it is counted")
        assert other.hello().next_seq == 0
    assert not keeps.entries
    assert not keeps.refused


def test_rows_that_are_there_are_dropped_silently() -> None:
    """Sent twice, learned once; of a message that is there in part, the rest is taken."""
    keeps, sink = Memory(), Recorder()
    with routing(keeps, sink) as (client, _):
        client.hello()
        client.send(0, 4)
        assert client.hear().next_seq == 4
        client.send(0, 4)
        client.send(1, 2)
        assert client.silent()
        client.send(2, 5, y=np.array([0, 1, 2, 0, 1], np.int32))
        assert client.hear().next_seq == 7
        until(lambda: len(sink.rows) == 7, "the rest")
    assert [(seq, x, y) for _, seq, x, y in sink.rows[4:]] == [
        (4, 4.0, 2),
        (5, 5.0, 0),
        (6, 6.0, 1),
    ]
    assert sink.refused == {}


def test_a_gap_is_told_once_and_nothing_of_it_taken() -> None:
    """Rows above next_seq: one welcome for all of them, labels behind them wait as well."""
    keeps, sink = Memory(), Recorder()
    with routing(keeps, sink) as (client, _):
        client.hello()
        client.send(0)
        assert client.hear().next_seq == 1
        for seq in (2, 3, 4):
            client.send(seq)
        client.socket.send_multipart(encode(Label("cam0", "p", 0, np.array([1], np.int32))))
        answer = client.hear()
        assert (answer.kind, answer.next_seq, answer.id) == ("welcome", 1, None)
        assert client.silent()
        client.send(1)
        client.send(2)
        assert [client.hear().next_seq for _ in range(1)] in ([2], [3])
        until(lambda: len(sink.rows) == 3, "the rows")
    assert sink.seqs() == [0, 1, 2]
    assert sink.labels == []


def test_who_says_no_hello_is_told_where_we_stand() -> None:
    """A client that connects anew and goes on: its first message is not taken, a welcome comes."""
    keeps, sink = Memory(), Recorder()
    with routing(keeps, sink) as (client, other):
        client.hello()
        client.send(0)
        assert client.hear().next_seq == 1
        other.send(1)
        answer = other.hear()
        assert (answer.kind, answer.next_seq) == ("welcome", 1)
        other.send(1)
        assert other.hear().next_seq == 2
    assert sink.seqs() == [0, 1]


def test_several_producers_of_a_stream_number_on_their_own() -> None:
    """Each has its own next_seq, and the answers come to who sent."""
    keeps, sink = Memory(), Recorder()
    with routing(keeps, sink) as (client, other):
        client.hello(producer="a")
        other.hello(producer="b")
        client.send(0, 3, "a")
        assert client.hear().next_seq == 3
        other.send(0, 2, "b")
        assert other.hear().next_seq == 2
        assert keeps.places.hellos == 2
        assert client.hello(producer="b").next_seq == 2
        assert other.hello(producer="a").next_seq == 3
    assert {(e.pair, e.next_seq) for e in keeps.entries} == {
        (("cam0", "a"), 3),
        (("cam0", "b"), 2),
    }


def test_rows_that_can_never_be_learned_are_settled_and_set_aside() -> None:
    """The wrong shape and what is not finite: a reject, then rows go on behind them."""
    keeps, sink = Memory(), Recorder()
    wide = np.zeros((2, 3), "<f4")
    with routing(keeps, sink) as (client, _):
        client.hello()
        client.socket.send_multipart(encode(Sample("cam0", "p", 0, 2, np.nan, wide, None)))
        told = [client.hear(), client.hear()]
        assert told[0] == Answer(1, "reject", "cam0", seq=0, n=2, reason="shape")
        assert (told[1].kind, told[1].next_seq) == ("ack", 2)
        x = np.array([[1.0, np.inf]], "<f4")
        client.socket.send_multipart(encode(Sample("cam0", "p", 2, 1, np.nan, x, None)))
        assert client.hear().reason == "nonfinite"
        assert client.hear().next_seq == 3
        client.send(3)
        assert client.hear().next_seq == 4
        client.socket.send_multipart(encode(Sample("cam0", "p", 0, 2, np.nan, wide, None)))
        assert client.silent()
    assert [(r.which.seq, r.which.n, r.error.reason) for r in keeps.refused] == [
        (0, 2, "shape"),
        (2, 1, "nonfinite"),
    ]
    assert keeps.refused[0].frames[2] == wide.tobytes()
    assert sink.seqs() == [3]
    assert [e.learned for e in keeps.entries] == [False, False, True]


def test_a_full_ring_holds_up_what_is_read() -> None:
    """Kept rows wait for room in parts; no more is read than a batch."""
    keeps, sink = Memory(), Recorder(space=3)
    with routing(keeps, sink) as (client, _):
        client.hello()
        for i in range(400):
            client.send(10 * i, 10)
        until(lambda: len(sink.rows) == 3, "three rows")
        time.sleep(0.1)
        assert sum(e.rows for e in keeps.entries) <= 2 * (LIMITS.commit_rows + 10)
        sink.make_room(1 << 20)
        until(lambda: len(sink.rows) == 4000, "the rest")
    assert sink.seqs() == list(range(4000))


def test_heartbeats_and_labels() -> None:
    """A heartbeat is answered, one that tells of missing rows by a welcome; labels are kept."""
    keeps, sink = Memory(), Recorder()
    with routing(keeps, sink) as (client, _):
        client.hello()
        client.send(0, 2)
        client.hear()
        client.socket.send_multipart(encode(Label("cam0", "p", 0, np.array([1, 2], np.int32))))
        assert client.hear().kind == "ack"
        client.socket.send_multipart(encode(Heartbeat("cam0", "p", 2)))
        assert (client.hear().next_seq, keeps.entries[-1].rows) == (2, 0)
        client.socket.send_multipart(encode(Heartbeat("cam0", "p", 5)))
        assert client.hear().kind == "welcome"
        until(lambda: len(sink.labels) == 2, "the labels")


def test_a_stream_too_many_is_refused() -> None:
    """Its hello is answered, so that the client does not wait for ever; nothing is kept for it."""
    keeps, sink = Memory(), Recorder()
    sink.refuse_stream = "cam0"
    with routing(keeps, sink) as (client, _):
        answer = client.hello()
        assert (answer.kind, answer.n, answer.reason) == ("reject", 0, "stream")
        client.send(0)
        assert client.silent()
    assert sink.refused == {"stream": 2}
    assert list(keeps.places) == []


def test_a_hello_may_tell_where_rows_begin() -> None:
    """Rows before `first` are gone at the producer: next_seq goes there, never back."""
    keeps, sink = Memory(), Recorder()
    with routing(keeps, sink) as (client, _):
        assert client.hello(first=100).next_seq == 100
        client.send(100)
        assert client.hear().next_seq == 101
        assert client.hello(first=7).next_seq == 101


def test_numbers_end_before_the_answer_to_them_would() -> None:
    """The last row is 2^64-2, as next_seq must be told; one more is refused, and harms nobody."""
    keeps, sink = Memory(), Recorder()
    with routing(keeps, sink) as (client, _):
        assert client.hello(first=LAST_SEQ).next_seq == LAST_SEQ
        for n in (2, 1):
            x = np.zeros((n, 2), "<f4")
            client.socket.send_multipart(encode(Sample("cam0", "p", LAST_SEQ, n, np.nan, x, None)))
        assert client.hear().next_seq == LAST_SEQ + 1
        x = np.zeros((1, 2), "<f4")
        last = Sample("cam0", "p", LAST_SEQ + 1, 1, np.nan, x, None)
        client.socket.send_multipart(encode(last))
        assert client.hello().next_seq == LAST_SEQ + 1
    assert sink.seqs() == [LAST_SEQ]
    assert sink.refused == {"seq": 2}


def test_rubbish_changes_nothing_but_the_counts() -> None:
    """Thousands of mutated messages beside an honest client: its rows come through, in order."""
    keeps, sink = Memory(free=1 << 30), Recorder()
    with routing(keeps, sink) as (client, other):
        client.hello()
        for i, (frames, _) in enumerate(messages(3, 4000, SCHEMA)):
            other.socket.send_multipart(frames or [b""])
            if i % 10 == 0:
                client.send(i // 10)
        head = msgspec.msgpack.encode({"v": 1, "kind": "hello", "producer": "p"})
        other.socket.send_multipart([b"cam0", head + b"\x00"])
        until(lambda: sum(1 for s, *_ in sink.rows if s == "cam0") == 400, "the honest rows")
    assert [seq for s, seq, *_ in sink.rows if s == "cam0"] == list(range(400))
    assert sum(sink.refused.values()) > 1000


@pytest.mark.parametrize("rows", [1, 50])
def test_a_batch_is_bounded(rows: int) -> None:
    """However much waits, no transaction has more than the limits and one message."""
    keeps, sink = Memory(free=1 << 30), Recorder()
    limits = LIMITS._replace(commit_s=0.2, commit_rows=100)
    with routing(keeps, sink, limits) as (client, _):
        client.hello()
        for i in range(300):
            client.send(rows * i, rows)
        until(lambda: len(sink.rows) == 300 * rows, "all rows")
    assert max(keeps.batches) * rows <= 100 + rows
    assert len(keeps.batches) >= 3
