"""The client over real sockets: what was sent arrives, waiting has an end, no compiler."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zmq

from streamlearn.client import Producer, Subscriber
from streamlearn.errors import NoAnswerError, UsageError
from streamlearn.wire.message import Heartbeat, Label, Message, Sample, Schema, decode
from streamlearn.wire.published import Event, encode_published

DEADLINE_S = 20.0
Endpoint = Callable[[], str]


def receive(address: str, count: int, schema: Schema, kind: int = zmq.PULL) -> list[Message]:
    """Listen, and give the next messages decoded."""
    with zmq.Context() as context, context.socket(kind) as socket:
        if kind == zmq.SUB:
            socket.subscribe(b"")
        socket.bind(address)
        found = []
        for _ in range(count):
            assert socket.poll(DEADLINE_S * 1000), f"{len(found)} of {count} messages"
            found.append(decode(socket.recv_multipart(), schema))
        return found


def played(
    endpoint: str, play: Callable[[Producer], Any], count: int, schema: Schema, **options: Any
) -> list[Message]:
    """What arrives when a producer in a thread of its own plays something and leaves."""

    def run() -> None:
        with Producer(endpoint, timeout_s=DEADLINE_S, **options) as producer:
            play(producer)

    thread = threading.Thread(target=run)
    thread.start()
    found = receive(endpoint, count, schema, zmq.SUB if options.get("kind") == "pub" else zmq.PULL)
    thread.join()
    return found


PAIR = Schema(shape=(2,), dtype=None, classes=10)


def test_rows_labels_and_heartbeats(endpoint: Endpoint) -> None:
    """A row, rows, a label, labels and a heartbeat go out numbered, with all that was said."""
    firsts = []

    def play(producer: Producer) -> None:
        firsts.append(producer.send([1.0, 2.0], y=3, t=5.0))
        firsts.append(producer.send(np.array([[1, 2], [3, 4]], "|u1"), y=[-1, 9]))
        producer.label(1, 4)
        producer.label(0, np.array([1, 2]))
        producer.heartbeat()

    one, two, label, labels, beat = played(endpoint(), play, 5, PAIR, stream="s", producer="p")
    assert firsts == [0, 1]
    assert isinstance(one, Sample)
    assert isinstance(two, Sample)
    assert isinstance(label, Label)
    assert isinstance(labels, Label)
    assert (one.stream, one.producer, one.seq, one.n, one.t) == ("s", "p", 0, 1, 5.0)
    assert one.y is not None
    assert two.y is not None
    assert (one.x.tolist(), one.y.tolist()) == ([[1.0, 2.0]], [3])
    assert (two.seq, two.x.dtype, two.x.tolist()) == (1, np.uint8, [[1, 2], [3, 4]])
    assert two.y.tolist() == [-1, 9]
    assert (label.seq, label.y.tolist(), labels.y.tolist()) == (1, [4], [1, 2])
    assert beat == Heartbeat("s", "p", 3)


@pytest.mark.parametrize("kind", ["push", "pub"])
def test_leaving_delivers_what_was_sent(endpoint: Endpoint, kind: str) -> None:
    """A producer that sends and leaves at once, before anyone listens, loses nothing."""
    X = np.arange(600, dtype="<f4").reshape(300, 2)

    def play(producer: Producer) -> None:
        producer.send_rows(X, np.arange(300) % 10, rows_per_message=7)

    found = played(endpoint(), play, 43, PAIR, kind=kind)
    assert all(isinstance(message, Sample) for message in found)
    np.testing.assert_array_equal(np.vstack([m.x for m in found if isinstance(m, Sample)]), X)
    assert [m.seq for m in found] == list(range(0, 300, 7))


def test_a_producer_may_listen(endpoint: Endpoint) -> None:
    """With `bind` the daemon comes to the producer."""
    address = endpoint()
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.connect(address)
        with Producer(address, bind=True, timeout_s=DEADLINE_S) as producer:
            producer.send([1.0, 2.0])
        assert pull.poll(DEADLINE_S * 1000)
        assert decode(pull.recv_multipart(), PAIR).seq == 0


@pytest.mark.parametrize("kind", ["push", "pub"])
def test_nobody_there_is_told_in_time(endpoint: Endpoint, kind: Any) -> None:
    """With `timeout_s` the first row waits so long for a daemon, then says what to look at."""
    start = time.monotonic()
    with (
        pytest.raises(NoAnswerError, match="does it run, and listen here"),
        Producer(endpoint(), kind=kind, timeout_s=0.2) as producer,
    ):
        producer.send([1.0])
    assert time.monotonic() - start < 5


def test_a_daemon_that_takes_nothing_is_told_in_time(endpoint: Endpoint) -> None:
    """A full queue blocks for `timeout_s` and no longer; what was counted was sent."""
    address = endpoint()
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvhwm = 1
        pull.bind(address)
        with (
            pytest.raises(NoAnswerError, match="took no more rows"),
            Producer(address, timeout_s=0.3) as producer,
        ):
            producer.send_rows(np.zeros((4_000_000, 2)), rows_per_message=4000)
        assert 0 < producer.seq < 4_000_000


def test_numbers_go_on_after_a_restart(endpoint: Endpoint) -> None:
    """`seq` can be set to where another run of the producer ended."""

    def play(producer: Producer) -> None:
        producer.seq = 41
        producer.send([0.0, 0.0])

    assert [m.seq for m in played(endpoint(), play, 1, PAIR)] == [41]


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        ([1, 2], "<f8"),
        ([1.5, 2.5], "<f8"),
        ([True, False], "|u1"),
        (np.array([1, 2], ">f4"), "<f4"),
        (np.array([1, 2], ">i2"), "<i2"),
        (np.array([1, 2], "<f2"), "<f2"),
        (np.array([1, 2], "<u4"), "<f8"),
        (np.array([[1, 0], [2, 0]], "<f4")[:, 0], "<f4"),
    ],
)
def test_any_numbers_find_a_type_of_the_wire(endpoint: Endpoint, given: Any, dtype: str) -> None:
    """What the wire has goes as it is, byte order is mended, the rest goes as `<f8`."""
    (got,) = played(endpoint(), lambda producer: producer.send(given), 1, PAIR)
    assert isinstance(got, Sample)
    assert got.x.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got.x[0].astype("<f8"), np.asarray(given).astype("<f8"))


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda p: p.send(["a", "b"]), "x: expected numbers"),
        (lambda p: p.send([1.0, 2.0, 3.0]), r"x: expected shape \(2,\) for a row or \(n, 2,\)"),
        (lambda p: p.send(np.zeros((0, 2))), "x: expected shape"),
        (lambda p: p.send([1.0, 2.0], y=1.5), "y: expected whole numbers"),
        (lambda p: p.send([1.0, 2.0], y=-2), "y: expected -1 or a class"),
        (lambda p: p.send([1.0, 2.0], y=[1, 2]), "y: expected 1 labels"),
        (lambda p: p.send([1.0, 2.0], y=True), "y: expected whole numbers"),
        (lambda p: p.send_rows(np.zeros((3, 2)), [1, 2]), "y: expected 3 labels"),
    ],
)
def test_a_wrong_call_is_told_at_once(
    endpoint: Endpoint, call: Callable[[Producer], Any], word: str
) -> None:
    """What the daemon would refuse is refused here, where somebody can read it."""
    with Producer(endpoint(), timeout_s=1.0, shape=(2,)) as producer:
        with pytest.raises(UsageError, match=word):
            call(producer)
        assert producer.seq == 0


def test_rows_that_come_first_need_a_shape(endpoint: Endpoint) -> None:
    """Of 16 rows with 16 labels nobody says where a row ends: the error names both ways out."""
    way = r"x: expected one row.*\(16, 6\) with 16 labels.*send_rows.*shape=\(6,\)"

    def play(producer: Producer) -> None:
        with pytest.raises(UsageError, match=way):
            producer.send(np.zeros((16, 6)), y=[1] * 16)
        producer.send_rows(np.zeros((16, 6)), [1] * 16)

    (got,) = played(endpoint(), play, 1, Schema(shape=(6,), dtype=None, classes=10))
    assert isinstance(got, Sample)
    assert (got.seq, got.n) == (0, 16)


@pytest.mark.parametrize(
    "options",
    [{"stream": "a b"}, {"stream": ""}, {"producer": "p" * 65}, {"endpoint": "nonsense"}],
)
def test_a_wrong_producer_is_told_at_once(endpoint: Endpoint, options: dict[str, Any]) -> None:
    """Names and endpoints are checked before anything opens."""
    with pytest.raises(UsageError, match=next(iter(options))):
        Producer(**{"endpoint": endpoint(), **options})


def publish(socket: "zmq.Socket[bytes]", *numbers: int) -> None:
    """Publish events with these `pub_seq`."""
    for number in numbers:
        socket.send_multipart(encode_published(Event(name="e", data={}, pub_seq=number)))


def test_a_subscriber_sees_what_it_missed(endpoint: Endpoint) -> None:
    """Gaps in `pub_seq` are counted, a restart of the daemon and foreign messages are not."""
    address = endpoint()
    with (
        zmq.Context() as context,
        context.socket(zmq.XPUB) as pub,
        Subscriber(address, timeout_s=DEADLINE_S) as subscriber,
    ):
        pub.bind(address)
        assert pub.poll(DEADLINE_S * 1000)
        publish(pub, 5, 6)
        pub.send_multipart([b"foreign", b"message"])
        pub.send_multipart([b"new", b"\x82\xa1v\x01\xa4kind\xa3new"])
        publish(pub, 9, 10, 0, 2)
        seen = [next(subscriber).pub_seq for _ in range(6)]
        assert seen == [5, 6, 9, 10, 0, 2]
        assert subscriber.missed == 3


def test_a_silent_daemon_is_told_in_time(endpoint: Endpoint) -> None:
    """Without messages iterating ends in `NoAnswerError`, and can begin again."""
    with Subscriber(endpoint(), ("metrics",), timeout_s=0.1) as subscriber:
        for _ in range(2):
            with pytest.raises(NoAnswerError, match="nothing was published within"):
                next(subscriber)
    with pytest.raises(UsageError, match="nonsense"):
        Subscriber("nonsense")


def test_the_client_is_light() -> None:
    """Importing the client loads no compiler, no part of the learner and no configuration."""
    code = "import sys, streamlearn.client; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    loaded = set(done.stdout.split())
    assert "streamlearn.client" in loaded
    assert not {
        name
        for name in loaded
        if name in ("numba", "llvmlite", "streamlearn.part", "streamlearn.config")
        or name.startswith(("streamlearn.rules", "streamlearn.heads", "streamlearn.kernels"))
    }
