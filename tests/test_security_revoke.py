"""A reload that takes a key away ends that client's connections, and nobody else's."""

import os
import select
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import zmq
from keyring import PATIENCE_S, Keyring
from visitors import ALL, KINDS, serving, wait
from zmq.utils.monitor import parse_monitor_message

from streamlearn.options_outside import SecurityOptions
from streamlearn.wire.allowed import Client
from streamlearn.wire.gate import Gate
from streamlearn.wire.keys import ClientKeys, KeyPair
from streamlearn.wire.watch import Watch


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    """Make two clients who may do everything."""
    return Keyring(tmp_path / "keys", honest=ALL, former=ALL)


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
