"""A reload that takes a key away ends that client's connections, and nobody else's."""

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import zmq
from keyring import PATIENCE_S, Keyring
from zmq.utils.monitor import parse_monitor_message

from streamlearn.options_outside import SecurityOptions
from streamlearn.wire.allowed import Client, Right
from streamlearn.wire.gate import Gate
from streamlearn.wire.keys import ClientKeys, KeyPair
from streamlearn.wire.watch import Watch

ALL: tuple[Right, ...] = ("producer", "subscriber", "control")
KINDS = {
    "pull": (zmq.PULL, zmq.PUSH, "producer"),
    "sub": (zmq.SUB, zmq.XPUB, "producer"),
    "router": (zmq.ROUTER, zmq.DEALER, "producer"),
    "publish": (zmq.XPUB, zmq.SUB, "subscriber"),
    "control": (zmq.ROUTER, zmq.DEALER, "control"),
}


def wait(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Server:
    """A guarded socket whose messages are read, as the daemon's parts do."""

    def __init__(self, keys: Keyring, kind: str, address: str, more: dict[str, Any]) -> None:
        named = dict(text.removeprefix("security.").split("=", 1) for text in keys.settings)
        self.keys, self.gate = keys, Gate(SecurityOptions(**named, **more))
        self._context: zmq.Context[Any] = zmq.Context()
        self.gate.open(self._context)
        self.socket = self._context.socket(KINDS[kind][0])
        if kind == "sub":
            self.socket.subscribe(b"")
        if kind == "publish":
            self.socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.gate.guard(self.socket, KINDS[kind][2])
        self.socket.bind(address)
        self.endpoint = self.socket.last_endpoint.rstrip(b"\0").decode()
        self._awaited = 0
        self.heard: list[tuple[str, int]] = []
        """Key and descriptor of each message."""

    def hear(self) -> None:
        """Read what came."""
        while self.socket.poll(0):
            frame = self.socket.recv_multipart(copy=False)[-1]
            if key := self.gate.key(frame):  # else ZeroMQ's own word that a subscription ended
                self.heard.append((key, frame.get(zmq.SRCFD)))

    def hear_more(self, count: int) -> None:
        """Read so many messages more than the last time."""
        self._awaited += count

        def enough() -> bool:
            self.hear()
            return len(self.heard) >= self._awaited

        wait(enough)

    def revoke(self, name: str) -> None:
        """Take a client off the list and read that again, as at SIGHUP."""
        self.keys.revoke(name)
        self.gate.reload()

    def close(self) -> None:
        """Let go of all."""
        self.socket.close(linger=0)
        self.gate.close()
        self._context.term()


class Visitor:
    """A client's bare connection, which can tell what became of it."""

    def __init__(
        self, server: Server, name: str, kind: str, place: int = 1, *, inside: bool = True
    ) -> None:
        self._kind = KINDS[kind][1]
        self._context: zmq.Context[Any] = zmq.Context()
        self.socket = self._context.socket(self._kind)
        self.socket.linger, self.socket.reconnect_ivl = 0, 20
        ClientKeys.read(server.keys.of(name)).arm(self.socket)
        self._monitor = self.socket.get_monitor_socket(zmq.Event.ALL)
        self.said: list[int] = []
        self._server, self._listened = server, False
        self.socket.connect(server.endpoint.replace("tcp://", f"tcp://127.0.0.{place}:0;"))
        wait(lambda: self.inside or not inside)

    @property
    def events(self) -> list[int]:
        """All that has happened to it so far."""
        while self._monitor.poll(0):
            event: Any = parse_monitor_message(self._monitor.recv_multipart())
            self.said.append(event["event"])
        return self.said

    @property
    def inside(self) -> bool:
        """Whether it was let in."""
        return zmq.Event.HANDSHAKE_SUCCEEDED in self.events

    @property
    def ended(self) -> bool:
        """Whether its first connection has ended."""
        return zmq.Event.DISCONNECTED in self.events

    @property
    def refused(self) -> bool:
        """Whether it was told that it is not allowed to come."""
        return zmq.Event.HANDSHAKE_FAILED_AUTH in self.events

    def speak(self) -> None:
        """Say something."""
        if self._kind == zmq.SUB:
            self.socket.subscribe(f"topic{time.monotonic_ns()}")
        else:
            wait(self._is_heard)
            self.socket.send(b"hello")

    def _is_heard(self) -> bool:
        """Whether what it says will go anywhere: a publisher waits for a subscription."""
        if self._kind == zmq.XPUB and not self._listened:
            self._server.hear()  # it asks for all only now
            self._listened = bool(self.socket.poll(0)) and self.socket.recv() == b"\1"
        return self._listened or self._kind != zmq.XPUB

    def leave(self) -> None:
        """End it; once is enough."""
        if not self.socket.closed:
            self.socket.disable_monitor()
            self._monitor.close(linger=0)
            self.socket.close()
            self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    """Make two clients who may do everything."""
    return Keyring(tmp_path / "keys", honest=ALL, former=ALL)


@contextmanager
def serving(
    keys: Keyring, kind: str = "pull", address: str = "tcp://127.0.0.1:0", **more: Any
) -> Iterator[tuple[Server, Callable[..., Visitor]]]:
    """Open a guarded socket; and what lets a client connect to it."""
    server = Server(keys, kind, address, more)
    try:
        with ExitStack() as visitors:

            def visit(name: str, place: int = 1, *, inside: bool = True) -> Visitor:
                one = Visitor(server, name, kind, place, inside=inside)
                return visitors.enter_context(one)

            yield server, visit
    finally:
        server.close()


@pytest.mark.parametrize("where", ["tcp", "ipc"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_revoked_client_is_cut_off(keys: Keyring, tmp_path: Path, kind: str, where: str) -> None:
    """All of its connections end and it does not come back; another's stays, and goes on."""
    address = "tcp://127.0.0.1:0" if where == "tcp" else f"ipc://{tmp_path}/socket"
    with serving(keys, kind, address) as (server, visit):
        everyone = [visit(name) for name in ("former", "honest", "former", "honest")]
        for one in everyone:
            one.speak()
        server.hear_more(4)
        before = set(server.heard)
        server.revoke("former")
        wait(lambda: everyone[0].ended and everyone[2].ended)
        wait(lambda: everyone[0].refused and everyone[2].refused)
        for one in (everyone[1], everyone[3]):
            assert not one.ended
            one.speak()
        server.hear_more(2)
        assert set(server.heard[-2:]) < before


@pytest.mark.parametrize("kind", KINDS)
def test_a_revoked_client_that_never_spoke_is_cut_off(keys: Keyring, kind: str) -> None:
    """Beside an allowed one that has: at once, as it must be its."""
    with serving(keys, kind) as (server, visit):
        former, honest = visit("former"), visit("honest")
        honest.speak()
        server.hear_more(1)
        server.revoke("former")
        wait(lambda: former.ended)
        assert not honest.ended


@pytest.mark.parametrize("who", ["honest", "former"])
def test_whose_is_unsure_stays_until_one_speaks(keys: Keyring, who: str) -> None:
    """Neither of two at one address has spoken: both stay; then the right one goes."""
    with serving(keys) as (server, visit):
        visitors = {name: visit(name) for name in ("former", "honest")}
        server.revoke("former")
        third = visit("honest")  # the gate has served it, so it has seen the new list
        third.speak()
        server.hear_more(1)
        assert not any(one.ended for one in visitors.values())
        visitors[who].speak()
        server.hear_more(1)
        wait(lambda: visitors["former"].ended)
        assert not visitors["honest"].ended
        assert not third.ended


def test_who_loses_one_right_of_two_stays_with_the_other(keys: Keyring) -> None:
    """A change of a client's rights ends its connections where it has none any more."""
    with (
        serving(keys, "pull") as (server, visit),
        serving(keys, "publish") as (publisher, subscribe),
    ):
        producer, subscriber = visit("former"), subscribe("former")
        producer.speak()
        subscriber.speak()
        server.hear_more(1)
        publisher.hear_more(1)
        file = keys.file("former")
        file.write_text(file.read_text("utf-8").replace('"producer", ', ""), "utf-8")
        for one in (server, publisher):
            one.gate.reload()
        wait(lambda: producer.ended)
        subscriber.speak()
        publisher.hear_more(1)
        assert not subscriber.ended


def test_where_we_went_ourselves_it_ends_too(keys: Keyring) -> None:
    """A publisher that the daemon connects to is cut off once it is revoked; another stays."""
    with serving(keys, "sub") as (server, _), zmq.Context() as context, ExitStack() as stack:

        def publisher(name: str) -> Any:
            one = stack.enter_context(context.socket(zmq.XPUB))
            one.linger = 0
            ClientKeys.read(keys.of(name)).arm(one)
            one.bind("tcp://127.0.0.1:0")
            server.socket.connect(one.last_endpoint.rstrip(b"\0").decode())
            wait(lambda: bool(one.poll(0) or server.hear()))
            assert one.recv() == b"\1"
            one.send(b"hello")
            server.hear_more(1)
            return one

        former, honest = publisher("former"), publisher("honest")
        server.revoke("former")
        assert former.poll(PATIENCE_S * 1000)
        assert former.recv() == b"\0"  # ZeroMQ's word that the subscriber left
        honest.send(b"still here")
        server.hear_more(1)
        assert server.heard[-1] == server.heard[1]
        assert not honest.poll(0)


def test_a_list_that_cannot_be_read_ends_all(keys: Keyring) -> None:
    """Where nobody is allowed any more, nobody stays; put back, they come again by themselves."""
    with serving(keys) as (server, visit):
        honest = visit("honest")
        folder = keys.folder / "allowed"
        folder.rename(keys.folder / "away")
        server.gate.reload()
        wait(lambda: honest.ended)
        (keys.folder / "away").rename(folder)
        server.gate.reload()
        visit("honest")


def test_while_nobody_answers_nobody_comes_in(keys: Keyring) -> None:
    """A guarded socket whose gate is not open lets no handshake through."""
    named = dict(text.removeprefix("security.").split("=", 1) for text in keys.settings)
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        Gate(SecurityOptions(**named)).guard(pull, "producer")
        pull.bind("tcp://127.0.0.1:0")
        push = context.socket(zmq.PUSH)
        push.linger = 0
        ClientKeys.read(keys.of("honest")).arm(push)
        monitor = push.get_monitor_socket(zmq.Event.DISCONNECTED | zmq.Event.HANDSHAKE_SUCCEEDED)
        push.connect(pull.last_endpoint.rstrip(b"\0").decode())
        assert monitor.poll(PATIENCE_S * 1000)
        event: Any = parse_monitor_message(monitor.recv_multipart())
        assert event["event"] == zmq.Event.DISCONNECTED
        push.disable_monitor()
        monitor.close(linger=0)
        push.close()


def test_a_descriptor_that_is_anothers_by_now_is_left_alone() -> None:
    """The end of a connection is never taken out on whoever has its number since."""
    key = KeyPair.new().public.decode()
    client = Client(key=key, rights=("producer",), name="former")
    watch = Watch("producer", 0, SecurityOptions(), lambda _: None, lambda _: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
        other = socket.create_connection(listener.getsockname())
        newcomer, _ = listener.accept()
        watch.take(zmq.Event.ACCEPTED, far.fileno(), endpoint)
        watch.settle()
        user = watch.prove(client, "127.0.0.1")
        assert user is not None
        number = far.detach()
        os.dup2(newcomer.fileno(), number)  # the first connection is closed, this one has its place
        newcomer.close()
        assert watch.speak(user, number, lambda _: False)
        with near, other, socket.socket(fileno=number) as place:
            assert near.recv(1) == b""
            place.sendall(b"x")
            assert other.recv(1) == b"x"
            other.sendall(b"y")
            assert place.recv(1) == b"y"


def test_the_lost_one_goes_as_soon_as_it_is_told_apart() -> None:
    """Of two silent ones at one address the revoked one ends when the other has spoken."""
    watch = Watch("producer", 0, SecurityOptions(), lambda _: None, lambda _: None)
    users = []
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        ours, theirs = [], []
        for _ in range(2):
            theirs.append(stack.enter_context(socket.create_connection(listener.getsockname())))
            ours.append(stack.enter_context(listener.accept()[0]))
            watch.take(zmq.Event.ACCEPTED, ours[-1].fileno(), endpoint)
        for name in ("honest", "former"):
            key = KeyPair.new().public.decode()
            client = Client(key=key, rights=("producer",), name=name)
            users.append(watch.prove(client, "127.0.0.1") or "")
        watch.settle()

        def may(key: str) -> bool:
            return users[0].startswith(key)

        watch.end_lost(may)
        assert not select.select(theirs, [], [], 0)[0]
        assert watch.speak(users[0], ours[0].fileno(), may)
        assert select.select(theirs, [], [], PATIENCE_S)[0] == [theirs[1]]


def test_of_those_who_left_nothing_is_kept(keys: Keyring) -> None:
    """Also where what they said is read only after they have gone."""
    with serving(keys) as (server, visit):
        for read in (True, False):
            one = visit("honest")
            one.socket.linger = 1000 * int(PATIENCE_S)
            for _ in range(3):
                one.speak()
            if read:
                server.hear_more(3)
                server.gate.reload()  # so that its thread does not sleep on
                wait(server.gate._spoken.empty)
            one.leave()
        wait(lambda: not server.gate._heard)
        server.hear_more(3)
        wait(lambda: not server.gate._heard)


# So many connections a key.


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
