"""A guarded socket without its daemon, and bare clients that tell what became of them."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import zmq
from keyring import PATIENCE_S, Keyring
from zmq.utils.monitor import parse_monitor_message

from streamlearn.options_outside import SecurityOptions
from streamlearn.wire.allowed import Right
from streamlearn.wire.gate import Gate
from streamlearn.wire.keys import ClientKeys

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
