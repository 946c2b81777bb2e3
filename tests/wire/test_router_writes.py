"""What ROUTER does while the disk is slow or full."""

import time

from wire.recorder import Recorder, until
from wire.routing import Memory, routing

from streamlearn.wire.acknowledged import (
    Hello,
    encode_hello,
)


def test_nothing_is_told_before_it_is_kept() -> None:
    """A full disk: no ack, no row learned, no more is read; all of it comes once there is room."""
    keeps, sink = Memory(), Recorder()
    keeps.full = True
    with routing(keeps, sink) as (client, other):
        client.hello()
        client.send(0, 2)
        assert client.silent()
        other.socket.send_multipart(encode_hello(Hello("cam0", "q")))
        time.sleep(0.1)
        assert (sink.rows, keeps.entries) == ([], [])
        keeps.full = False
        assert client.hear().next_seq == 2
        assert other.hear().kind == "welcome"
    assert sink.seqs() == [0, 1]


def test_rows_are_read_while_others_are_written() -> None:
    """An answer tells how far the batch that was written goes, not what came in meanwhile."""
    keeps, sink = Memory(), Recorder()
    with routing(keeps, sink) as (client, other):
        client.hello()
        keeps.slow = True
        client.send(0, 2)
        until(lambda: keeps.appends == 1, "the first write")
        client.send(2, 3)
        other.socket.send_multipart(encode_hello(Hello("cam0", "q")))
        assert client.silent()
        assert other.silent()
        assert sink.rows == []
        keeps.finish()
        assert client.hear().next_seq == 2
        until(lambda: keeps.appends == 2, "the second write")
        assert len(sink.rows) == 2
        assert client.silent()
        keeps.slow = False
        keeps.finish()
        assert (client.hear().next_seq, other.hear().kind) == (5, "welcome")
        until(lambda: len(sink.rows) == 5, "the rest")
    assert [len(entry.frames) for entry in keeps.learned] == [3, 3]


def test_a_write_that_finds_no_room_is_tried_again_in_order() -> None:
    """What came in behind it waits: numbers in the journal never change places."""
    keeps, sink = Memory(), Recorder()
    with routing(keeps, sink) as (client, _):
        client.hello()
        keeps.slow = keeps.full = True
        client.send(0, 2)
        until(lambda: keeps.appends == 1, "the first write")
        client.send(2, 3)
        keeps.finish()
        assert client.silent()
        keeps.full = keeps.slow = False
        assert client.hear().next_seq == 2
        assert client.hear().next_seq == 5
        until(lambda: len(sink.rows) == 5, "the rows")
    assert [entry.next_seq for entry in keeps.entries] == [2, 5]


def test_credit_goes_to_nothing_and_comes_back() -> None:
    """A full journal: credit 0 and nothing dropped; when it was trimmed, credit is told unasked."""
    keeps, sink = Memory(free=1), Recorder()
    with routing(keeps, sink) as (client, _):
        assert client.hello().credit == 0
        client.send(0)
        assert client.silent()
        keeps.free = 1 << 20
        told = client.hear()
        while told.next_seq != 1 or not told.credit:
            told = client.hear()
    assert sink.seqs() == [0]
