"""So many connections of a socket for each key, wherever it comes from: others find room."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from keyring import PATIENCE_S, Keyring
from visitors import ALL, serving, wait

from streamlearn.client import Subscriber
from streamlearn.errors import NoAnswerError
from streamlearn.options import PublishOptions
from streamlearn.options_outside import SecurityOptions
from streamlearn.wire.gate import Gate
from streamlearn.wire.keys import ClientKeys
from streamlearn.wire.publish import Publisher


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    """Make two clients who may do everything."""
    return Keyring(tmp_path / "keys", honest=ALL, former=ALL)


@pytest.mark.parametrize("where", ["tcp", "ipc"])
def test_a_key_has_so_many_connections(keys: Keyring, tmp_path: Path, where: str) -> None:
    """From wherever, silent or not: one more is refused and counted, another key's comes in.

    When one ends, the one that waits comes in.
    """
    address = "tcp://127.0.0.1:0" if where == "tcp" else f"ipc://{tmp_path}/socket"
    with serving(keys, "pull", address, max_connections_each=3, handshake_s=0.5) as one:
        server, visit = one
        former = [visit("former", place) for place in (2, 3, 4)]
        former[0].speak()
        server.hear_more(1)
        assert server.gate.refused == 0
        waiting = visit("former", 5, inside=False)
        wait(lambda: server.gate.refused > 0)
        visit("honest").speak()
        server.hear_more(1)
        assert not waiting.inside
        former[1].leave()
        wait(lambda: waiting.inside)


def test_who_comes_and_goes_is_not_counted_on(keys: Keyring) -> None:
    """A client that connects again and again, saying nothing or something, is let in each time."""
    with serving(keys, max_connections_each=3) as (server, visit):
        visit("former")
        for i in range(8):
            one = visit("former")
            if i % 2:
                one.speak()
                server.hear_more(1)
            one.leave()
        assert server.gate.refused == 0


def test_one_key_with_many_addresses_leaves_room(keys: Keyring) -> None:
    """It holds no more than its share of the socket, whatever it asks for; others come in."""
    bounds = {"max_connections": 8, "max_connections_each": 3, "handshake_s": 0.3}
    with serving(keys, **bounds) as (server, visit):
        greedy = [visit("former", 2 + i, inside=False) for i in range(6)]
        wait(lambda: sum(one.inside for one in greedy) == 3 and server.gate.refused >= 3)
        visit("honest")
        assert sum(one.inside for one in greedy) == 3


@contextlib.contextmanager
def publishing(keys: Keyring) -> Iterator[Publisher]:
    """Open a guarded publisher."""
    named = dict(text.removeprefix("security.").split("=", 1) for text in keys.settings)
    gate, context = Gate(SecurityOptions(**named)), zmq.Context()
    gate.open(context)
    publisher = Publisher(context, PublishOptions(bind="tcp://127.0.0.1:0"), gate)
    publisher.open()
    yield publisher
    publisher.close(0)
    gate.close()
    context.term()


def few(hostile: Any) -> None:
    """Ask for ever more topics, slowly."""
    for i in range(6000):
        hostile.subscribe(f"x{i}")


def same(hostile: Any) -> None:
    """Ask for one topic, leave it, ask again: never many at once."""
    for _ in range(60_000):
        hostile.subscribe("x")
        hostile.unsubscribe("x")


def long(hostile: Any) -> None:
    """Ask for a topic that is longer than any there is."""
    hostile.subscribe("x" * 300)


@pytest.mark.parametrize("flood", [few, same, long])
def test_a_flood_of_subscriptions_ends_the_flooder(
    keys: Keyring, flood: Callable[[Any], None]
) -> None:
    """And no other: an honest subscriber misses nothing."""
    with (
        publishing(keys) as publisher,
        Subscriber(publisher.endpoint, ["metrics"], PATIENCE_S, keys=keys.of("honest")) as honest,
        zmq.Context() as context,
        context.socket(zmq.SUB) as hostile,
    ):

        def hears() -> bool:
            publisher.listen()
            return publisher.wanted("metrics")

        wait(hears)
        hostile.linger = hostile.sndhwm = 0
        ClientKeys.read(keys.of("former")).arm(hostile)
        hostile.reconnect_ivl = -1
        monitor = hostile.get_monitor_socket(zmq.Event.DISCONNECTED)
        hostile.connect(publisher.endpoint)
        flood(hostile)

        def ended() -> bool:
            publisher.listen()
            publisher.metrics({"a": 1.0})
            return bool(monitor.poll(0))

        if flood is not same:  # which does no harm where it is read as fast as it comes
            wait(ended)
        else:
            hostile.close()
        wait(lambda: publisher.listen() or len(publisher._subscriptions) == 1)
        honest._socket.rcvtimeo = 100
        with contextlib.suppress(NoAnswerError):
            for _ in range(publisher.published["metrics"]):
                next(honest)
        assert honest.missed == 0
        if not hostile.closed:
            hostile.disable_monitor()
        monitor.close(0)


def test_who_asks_for_what_others_have_is_known(keys: Keyring) -> None:
    """Of three who hear the same, the revoked one ends and the others miss nothing."""
    with publishing(keys) as publisher, contextlib.ExitStack() as stack:
        ours = []
        for name in ("honest", "former", "honest"):
            one = Subscriber(publisher.endpoint, ["metrics"], PATIENCE_S, keys=keys.of(name))
            ours.append(stack.enter_context(one))

        def hear() -> bool:
            publisher.listen()
            publisher.metrics({"a": 1.0})
            return all(one._socket.poll(0) for one in ours)

        wait(hear)
        keys.revoke("former")
        publisher._gate.reload()
        count = publisher._gate.refused
        wait(lambda: publisher._gate.refused > count)  # it tries to come back
        publisher.metrics({"last": 1.0})
        for one in (ours[0], ours[2]):
            assert any("last" in message.figures for message in one)
            assert one.missed == 0
