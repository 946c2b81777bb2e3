"""Ingest over real sockets: each promise of each socket, and no harm from anyone."""

import resource
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import zmq
from wire.recorder import DEADLINE_S, Recorder, reading, until
from wire.rubbish import SPEECHES, foreign, messages

from streamlearn.client import Producer
from streamlearn.errors import NoAnswerError, StartError
from streamlearn.options import IngestOptions
from streamlearn.wire.ingest import Ingest
from streamlearn.wire.message import Schema

ANY = "tcp://127.0.0.1:0"
SCHEMA = Schema(shape=(2,), dtype=None, classes=3)


def pull(**more: object) -> IngestOptions:
    """Options of an ingest that only pulls."""
    return IngestOptions(**{"pull": ANY, **more})  # type: ignore[arg-type]


def rows(first: int, n: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    """Rows [n, 2] that carry their number."""
    return np.arange(first, first + n, dtype="<f4")[:, None].repeat(2, axis=1)


@pytest.mark.parametrize("kind", ["tcp", "ipc"])
def test_pulled_rows_arrive_in_order(kind: str, tmp_path: Path) -> None:
    """Rows, labels and heartbeats come to the sink as they were sent, over TCP and ipc."""
    sink = Recorder()
    address = ANY if kind == "tcp" else f"ipc://{tmp_path}/pull"
    with reading(pull(pull=address), SCHEMA, sink) as ingest:
        with Producer(ingest.endpoints["ingest.pull"], "cam0", timeout_s=DEADLINE_S) as producer:
            producer.send([0.0, 0.0], y=2)
            producer.send_rows(rows(1, 99), np.arange(99) % 3, rows_per_message=7)
            producer.label(0, [1, 2])
            producer.heartbeat()
        until(lambda: bool(sink.beats), "the heartbeat")
    assert sink.seqs() == list(range(100))
    assert [x for _, _, x, _ in sink.rows] == list(range(100))
    assert [y for _, _, _, y in sink.rows] == [2, *(i % 3 for i in range(99))]
    assert sink.labels == [("cam0", 0, 1), ("cam0", 1, 2)]
    assert (sink.beats[0].seq, sink.refused, sink.lost) == (100, Counter(), Counter())


def test_a_full_ring_makes_pull_senders_wait() -> None:
    """Without room nothing is dropped: the sender is stopped, and goes on when there is room."""
    sink = Recorder(space=10)
    with reading(pull(), SCHEMA, sink) as ingest:
        producer = Producer(ingest.endpoints["ingest.pull"], timeout_s=0.5, shape=(2,))
        many = np.zeros((4_000_000, 2), "<f8")
        with pytest.raises(NoAnswerError, match="took no more rows"), producer:
            producer.send_rows(many, rows_per_message=4000)
        sent = producer.seq
        assert len(sink.rows) == 10
        sink.make_room(1 << 40)
        # What the producer gave up on is at most its own queue and one message on the way.
        until(lambda: len(sink.rows) >= min(sent, 40_000) - 66 * 4000, "the rest")
    assert sink.seqs() == list(range(len(sink.rows)))
    assert set(sink.lost) <= {"stopping"}


def test_a_message_larger_than_the_room_comes_in_parts() -> None:
    """A message of more rows than the ring has is written as room comes, in order."""
    sink = Recorder(space=3)
    with (
        reading(pull(), SCHEMA, sink) as ingest,
        Producer(ingest.endpoints["ingest.pull"], timeout_s=DEADLINE_S) as producer,
    ):
        producer.send_rows(rows(0, 20), rows_per_message=20)
        for room in (3, 10, 13, 20):
            until(lambda room=room: len(sink.rows) == room, f"{room} rows")  # type: ignore[misc]
            sink.make_room({3: 7, 10: 3, 13: 7}.get(room, 0))
    assert sink.seqs() == list(range(20))


def test_sub_keeps_the_newest_and_counts_the_rest() -> None:
    """When behind, the oldest rows are dropped and counted; those that come are the newest."""
    sink = Recorder(space=0)
    options = pull(pull="", sub=ANY, sub_pending_rows=50)
    with reading(options, SCHEMA, sink) as ingest:
        endpoint = ingest.endpoints["ingest.sub"]
        with Producer(endpoint, kind="pub", timeout_s=DEADLINE_S) as producer:
            for i in range(300):
                producer.send(rows(i, 1)[0])
            until(lambda: sink.lost["behind"] == 250, "what was dropped")
            sink.make_room(1 << 20)
            until(lambda: len(sink.rows) == 50, "the newest rows")
    assert sink.seqs() == list(range(250, 300))


def test_sub_connects_to_producers_that_listen(endpoint: "object") -> None:
    """`sub_connect` names producers that bind; the daemon goes to them."""
    sink = Recorder()
    address = endpoint()  # type: ignore[operator]
    options = pull(pull="", sub_connect=(address,))
    with (
        reading(options, SCHEMA, sink),
        Producer(address, kind="pub", bind=True, timeout_s=DEADLINE_S) as producer,
    ):
        producer.send([1.0, 2.0])
        until(lambda: len(sink.rows) == 1, "the row")


def test_both_sockets_get_their_turn() -> None:
    """A flood on one socket does not starve the other."""
    sink = Recorder()
    with reading(pull(sub=ANY), SCHEMA, sink) as ingest:
        done = threading.Event()

        def flood() -> None:
            with Producer(ingest.endpoints["ingest.pull"], "flood", timeout_s=DEADLINE_S) as one:
                while not done.is_set():
                    one.send([0.0, 0.0])

        thread = threading.Thread(target=flood)
        thread.start()
        endpoint = ingest.endpoints["ingest.sub"]
        with Producer(endpoint, "calm", kind="pub", timeout_s=DEADLINE_S) as producer:
            producer.send([1.0, 1.0])
            until(lambda: any(stream == "calm" for stream, *_ in list(sink.rows)), "the calm row")
        done.set()
        thread.join()


def test_paused_means_that_nothing_comes_in() -> None:
    """While paused no row reaches the sink; after `resume` all of them do."""
    sink = Recorder()
    with (
        reading(pull(), SCHEMA, sink) as ingest,
        Producer(ingest.endpoints["ingest.pull"], timeout_s=DEADLINE_S) as producer,
    ):
        ingest.pause()
        ingest.call(lambda: None).result(DEADLINE_S)
        for i in range(20):
            producer.send(rows(i, 1)[0])
        assert ingest.call(lambda: len(sink.rows)).result(DEADLINE_S) == 0
        ingest.resume()
        until(lambda: sink.seqs() == list(range(20)), "the rows")


def test_calls_run_on_the_ingest_thread_between_messages() -> None:
    """A call sees whole messages only, gives its result or its error, and is never forgotten."""
    sink = Recorder(space=5)
    with (
        reading(pull(), SCHEMA, sink) as ingest,
        Producer(ingest.endpoints["ingest.pull"], timeout_s=DEADLINE_S, shape=(2,)) as producer,
    ):
        assert ingest.call(threading.current_thread).result(DEADLINE_S).name == "ingest"
        with pytest.raises(ZeroDivisionError):
            ingest.call(lambda: 1 / 0).result(DEADLINE_S)
        producer.send(rows(0, 8))
        until(lambda: len(sink.rows) == 5, "half of the message")
        seen = ingest.call(lambda: len(sink.rows))
        sink.make_room(100)
        assert seen.result(DEADLINE_S) == 8
    with pytest.raises(NoAnswerError):
        ingest.call(lambda: None).result(0)


def test_stop_takes_what_has_arrived() -> None:
    """Rows that left the producer before `stop` are delivered."""
    sink = Recorder(space=0)
    with reading(pull(), SCHEMA, sink) as ingest:
        with Producer(ingest.endpoints["ingest.pull"], timeout_s=DEADLINE_S) as producer:
            producer.send_rows(rows(0, 1000), rows_per_message=1)
        ingest.stop(DEADLINE_S)
        sink.make_room(1000)
        until(lambda: len(sink.rows) == 1000, "all rows")
    assert sink.seqs() == list(range(1000))


def test_stop_is_bounded() -> None:
    """A sink without room and a producer that never ends cannot hold the stop up."""
    sink = Recorder(space=0)
    with (
        reading(pull(), SCHEMA, sink) as ingest,
        Producer(ingest.endpoints["ingest.pull"], timeout_s=DEADLINE_S) as producer,
    ):
        producer.send([0.0, 0.0])
        start = time.monotonic()
        ingest.stop(0.3)
        with pytest.raises(NoAnswerError):
            ingest.call(lambda: None).result(DEADLINE_S)
        assert time.monotonic() - start < 5


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_a_taken_address_is_told(scheme: str, tmp_path: Path) -> None:
    """The error names key, address and way out; an ipc path is not stolen from its owner."""
    address = ANY if scheme == "tcp" else f"ipc://{tmp_path}/in"
    sink = Recorder()
    with reading(pull(pull=address), SCHEMA, sink) as first, zmq.Context() as context:
        taken = first.endpoints["ingest.pull"]
        second = Ingest(context, pull(pull=taken), SCHEMA, sink)
        with pytest.raises(StartError) as caught:
            second.open()
        text = str(caught.value)
        assert "ingest.pull" in text
        assert taken in text
        assert "stop that one, or choose another" in text
        with Producer(taken, timeout_s=DEADLINE_S) as producer:
            producer.send([0.0, 0.0])
        until(lambda: len(sink.rows) == 1, "a row through the first one")


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("tcp://192.0.2.1:5555", "no address of this machine"),
        ("ipc:///nowhere/at/all", "folder that does not exist"),
        ("ipc://" + "x" * 200, "too long"),
        ("bird://sky", "give tcp://HOST:PORT"),
        ("tcp://127.0.0.1:99999", "give tcp://HOST:PORT"),
    ],
)
def test_an_impossible_address_is_told(address: str, word: str) -> None:
    """Each kind of wrong address has an answer to "what now"."""
    with zmq.Context() as context:
        ingest = Ingest(context, pull(pull=address), SCHEMA, Recorder())
        with pytest.raises(StartError, match=r"ingest\.pull") as caught:
            ingest.open()
        assert word in str(caught.value)


def test_a_sink_may_refuse() -> None:
    """What the sink refuses is counted there, and the next message comes."""
    sink = Recorder()
    sink.refuse_stream = "bad"
    with reading(pull(), SCHEMA, sink) as ingest:
        for stream in ("bad", "good"):
            with Producer(
                ingest.endpoints["ingest.pull"], stream, timeout_s=DEADLINE_S, shape=(2,)
            ) as one:
                one.send(rows(0, 3))
        until(lambda: len(sink.rows) == 3 and sink.refused["stream"] == 1, "both")


def test_rubbish_is_counted_and_nothing_else_happens() -> None:
    """Among 20,000 messages of rubbish every valid row arrives, every other has its reason."""
    sink = Recorder()
    expected: Counter[str] = Counter()
    unknown = 0
    with reading(pull(), SCHEMA, sink) as ingest, zmq.Context() as context:
        with context.socket(zmq.PUSH) as push:
            push.connect(ingest.endpoints["ingest.pull"])
            for frames, reason in messages(3, 20_000, SCHEMA):
                push.send_multipart(frames)
                unknown += reason is None
                if reason:
                    expected[reason] += 1
        total = expected.total() + unknown
        until(lambda: sink.refused.total() == total and len(sink.rows) == 4000, "all messages")
    assert sink.seqs() == list(range(4000))
    assert not expected - sink.refused
    assert set(expected) == set(sink.refused)


def test_other_protocols_do_no_harm() -> None:
    """HTTP, TLS, noise, broken ZMTP and frames of four gigabytes leave it serving, and small."""
    sink = Recorder()
    with reading(pull(), SCHEMA, sink) as ingest:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        port = int(ingest.endpoints["ingest.pull"].rpartition(":")[2])
        assert foreign("127.0.0.1", port) == list(SPEECHES)
        with Producer(ingest.endpoints["ingest.pull"], timeout_s=DEADLINE_S) as producer:
            producer.send([0.0, 0.0])
        until(lambda: len(sink.rows) == 1, "a row after all that")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_an_oversized_frame_is_counted_or_its_sender_cut_off() -> None:
    """Somewhat too large is counted as `size`; far too large ends the connection, no more."""
    sink = Recorder()
    options = pull(max_message_bytes=1024)
    schema = Schema(shape=(2,), dtype=None, classes=3, max_payload_bytes=1024)
    with reading(options, schema, sink) as ingest:
        endpoint = ingest.endpoints["ingest.pull"]
        with Producer(endpoint, timeout_s=DEADLINE_S, shape=(2,)) as producer:
            producer.send(np.zeros((100, 2), "<f8"))
        until(lambda: sink.refused["size"] == 1, "the count")
        with zmq.Context() as context, context.socket(zmq.PUSH) as push:
            push.connect(endpoint)
            push.send(b"x" * (4 << 20))
        with Producer(endpoint, timeout_s=DEADLINE_S) as producer:
            producer.send([0.0, 0.0])
        until(lambda: len(sink.rows) == 1, "a row after that")


def test_idle_costs_nothing() -> None:
    """Without messages the thread sleeps: under 1 % of a core, here 20 ms in 2 s."""
    with reading(pull(sub=ANY), SCHEMA, Recorder()):
        start = time.process_time()
        threading.Event().wait(2.0)
        assert time.process_time() - start < 0.02


def test_the_endpoint_tells_the_real_port() -> None:
    """Port 0 takes any free one, and `endpoints` says which."""
    with reading(pull(), SCHEMA, Recorder()) as ingest:
        host, _, port = ingest.endpoints["ingest.pull"].removeprefix("tcp://").partition(":")
        with socket.create_connection((host, int(port)), 5):
            pass
