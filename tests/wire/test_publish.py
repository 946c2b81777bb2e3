"""Publishing over real sockets: nothing for nobody, losses counted and seen, bounded memory."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import zmq
from wire.recorder import DEADLINE_S, until

from streamlearn.client import Subscriber
from streamlearn.errors import RejectedError, StartError
from streamlearn.options import PublishOptions
from streamlearn.wire.publish import Publisher
from streamlearn.wire.published import (
    Embedding,
    Event,
    Metrics,
    Prediction,
    Surprise,
    decode_published,
)

ANY = "tcp://127.0.0.1:0"
Y = np.array([1, 0], np.int32)
SCORES = np.array([[0.25, 0.75], [1, 0]], np.float32)


def head(seq: int = 0, stream: str = "cam0") -> SimpleNamespace:
    """What stands before the rows."""
    return SimpleNamespace(stream=stream, seq=seq, t=1.5e9, step=seq)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """One that is open and has a short queue."""
    with zmq.Context() as context:
        one = Publisher(context, PublishOptions(bind=ANY, queue_messages=20))
        one.open()
        yield one
        one.close()


def heard(publisher: Publisher, topic: str) -> None:
    """Wait until somebody's subscription has come."""

    def wanted() -> bool:
        publisher.listen()
        return publisher.wanted(topic)

    until(wanted, f"a subscription to {topic}")


def test_each_kind_arrives_as_it_was(publisher: Publisher) -> None:
    """Predictions, embeddings, metrics and events come typed, numbered per topic."""
    with Subscriber(publisher.endpoint, timeout_s=DEADLINE_S) as subscriber:
        heard(publisher, "metrics")
        publisher.step = 12
        for seq in (0, 2):
            publisher.prediction(head(seq), Y, Y, SCORES)
        publisher.embedding(head(), "all", SCORES)
        publisher.surprise(head(), ["layer1", "layer2"], SCORES)
        publisher.metrics({"streamlearn_kappa": 0.5})
        publisher.event({"name": "checkpoint", "rows_learned": 3})
        first, second, third, told, fourth, fifth = (next(subscriber) for _ in range(6))
        assert subscriber.missed == 0
    assert isinstance(first, Prediction)
    assert isinstance(second, Prediction)
    assert (first.stream, first.seq, first.t, first.pub_seq) == ("cam0", 0, 1.5e9, 0)
    assert (second.seq, second.step, second.pub_seq) == (2, 2, 1)
    assert first.y_pred.tolist() == first.y.tolist() == [1, 0]
    np.testing.assert_array_equal(first.scores, SCORES)
    assert isinstance(third, Embedding)
    assert (third.layer, third.pub_seq, third.x.tolist()) == ("all", 0, SCORES.tolist())
    assert isinstance(told, Surprise)
    assert (told.layers, told.x.tolist()) == (["layer1", "layer2"], SCORES.tolist())
    assert isinstance(fourth, Metrics)
    assert (fourth.figures, fourth.step) == ({"streamlearn_kappa": 0.5}, 12)
    assert isinstance(fifth, Event)
    assert (fifth.name, fifth.data) == ("checkpoint", {"rows_learned": 3})
    said = {"prediction": 2, "embedding": 1, "surprise": 1, "metrics": 1, "event": 1}
    assert publisher.published == said


def test_nothing_is_made_for_nobody(publisher: Publisher) -> None:
    """Only what somebody subscribed to is wanted and sent; a prefix wants all that it begins."""
    publisher.prediction(head(), Y, Y, SCORES)
    assert publisher.published["prediction"] == 0
    with Subscriber(publisher.endpoint, ("prediction/cam",), DEADLINE_S) as subscriber:
        heard(publisher, "prediction/")
        assert publisher.wanted("prediction/cam0")
        assert not publisher.wanted("prediction/microphone")
        assert not publisher.wanted("embedding/")
        publisher.embedding(head(), "all", SCORES)
        publisher.prediction(head(), Y, Y, SCORES)
        assert isinstance(next(subscriber), Prediction)

    def nobody() -> bool:
        publisher.listen()
        return not publisher.wanted("prediction/cam0")

    until(nobody, "the subscriber to be gone")
    assert publisher.published.pop("prediction") == 1
    assert not any(publisher.published.values())


def test_a_slow_subscriber_hurts_only_itself(publisher: Publisher) -> None:
    """That its queue ran full is counted; the quick one gets every message."""
    scores = np.zeros((64, 1000), np.float32)
    y = np.zeros(64, np.int32)
    got: list[int] = []
    with (
        Subscriber(publisher.endpoint, ("prediction/",), DEADLINE_S) as quick,
        zmq.Context() as context,
        context.socket(zmq.SUB) as slow,
    ):
        heard(publisher, "prediction/cam0")  # the quick one is there before the first message
        slow.linger, slow.rcvhwm = 0, 1
        for topic in ("prediction/", "event"):
            slow.subscribe(topic)
        slow.connect(publisher.endpoint)
        heard(publisher, "event")
        thread = threading.Thread(
            target=lambda: got.extend(next(quick).pub_seq for _ in range(200))
        )
        thread.start()
        for i in range(200):
            publisher.prediction(head(i * 64), y, y, scores)
            # libzmq counts its queue of 20 down by tens, and looks each millisecond.
            until(lambda i=i: len(got) > i - 3, "the quick one")  # type: ignore[misc]
        thread.join()
        assert quick.missed == 0
    assert got == list(range(200))
    assert publisher.dropped["prediction"] > 0


def test_a_flood_of_subscriptions_is_shaken_off(publisher: Publisher) -> None:
    """Too many subscriptions end all connections; an honest subscriber is back by itself."""
    with Subscriber(publisher.endpoint, ("metrics",), DEADLINE_S) as honest:
        heard(publisher, "metrics")
        with zmq.Context() as context, context.socket(zmq.SUB) as hostile:
            hostile.linger = hostile.sndhwm = 0
            hostile.connect(publisher.endpoint)
            for i in range(6000):
                hostile.subscribe(f"x{i}")

            def shaken() -> bool:
                publisher.listen()
                return publisher._socket is None

            until(shaken, "the flood")

        def back() -> bool:
            honest._socket.poll(1)  # like anyone who waits for messages
            publisher.listen()
            return publisher.wanted("metrics")

        until(back, "the honest one")
        assert len(publisher._subscriptions) <= 4096
        publisher.metrics({"a": 1.0})
        assert isinstance(next(honest), Metrics)


def test_a_taken_address_is_told(publisher: Publisher) -> None:
    """The error names key, address and way out."""
    with zmq.Context() as context:
        second = Publisher(context, PublishOptions(bind=publisher.endpoint))
        with pytest.raises(StartError, match=f"publish.bind: {publisher.endpoint} is taken"):
            second.open()


def test_switched_off_it_does_nothing() -> None:
    """Without an address there is no socket, and publishing costs nothing."""
    with zmq.Context() as context:
        one = Publisher(context, PublishOptions(bind=""))
        one.open()
        one.listen()
        one.metrics({})
        one.prediction(head(), Y, Y, SCORES)
        one.close()
    assert not any(one.published.values())


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"metrics"],
        [b"metrics", b"\xc1"],
        [b"metrics", b"\x82\xa1v\x02\xa4kind\xa7metrics"],
        [b"prediction/a", b"\x83\xa1v\x01\xa4kind\xaaprediction\xa1n\x01"],
        [b"prediction/a", b"\x83\xa1v\x01\xa4kind\xaaprediction\xa1n\x01", b"123"],
        [b"prediction/a", b"\x83\xa1v\x01\xa4kind\xaaprediction\xa1n\x01", b"1234"],
    ],
)
def test_what_is_no_message_is_refused(frames: list[bytes]) -> None:
    """A subscriber at the wrong port gets an error it can skip, never a crash."""
    with pytest.raises(RejectedError):
        decode_published(frames)


def test_later_kinds_are_passed_over() -> None:
    """A message of a kind that this version does not know is no error."""
    assert decode_published([b"new/a", b"\x82\xa1v\x01\xa4kind\xa3new"]) is None
