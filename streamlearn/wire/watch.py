"""The watch over one socket: what its monitor says of connections, and which of them must end."""

import ipaddress
import logging
import os
import socket as plain
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import zmq

from streamlearn.options_outside import SecurityOptions
from streamlearn.wire.allowed import Client, Right
from streamlearn.wire.connections import Connection, Connections

log = logging.getLogger(__name__)

EVENTS: Final = (
    zmq.Event.ACCEPTED
    | zmq.Event.CONNECTED
    | zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
    | zmq.Event.MONITOR_STOPPED
)
"""What a monitor has to tell."""
_HERE: Final = "this machine"
KEY_CHARS: Final = 40


class Watch:
    """What is known of one socket's connections; for the gate's thread.

    Parameters
    ----------
    right
        What a client needs to be let in.
    number
        Of the socket.
    options
        `[security]`.
    refuse
        Counts something refused, by a text that says what.
    forget
        Called with the User-Id of a connection that has ended.

    """

    def __init__(
        self,
        right: Right,
        number: int,
        options: SecurityOptions,
        refuse: Callable[[str], None],
        forget: Callable[[str], None],
    ) -> None:
        self.right, self.number = right, number
        self._options, self._count, self._forget = options, refuse, forget
        self._connections = Connections()
        self._excess: list[tuple[int, Connection, str]] = []
        self._succeeded = 0
        self._told = self._failed = False

    @property
    def domain(self) -> bytes:
        """The socket's ZAP domain: its own, so that each socket's connections are known apart."""
        return f"{self.right} {self.number}".encode()

    # What happened.

    def take(self, event: int, value: int, endpoint: str) -> None:
        """Take in one event; `settle` follows when there are no more of them."""
        if event in (zmq.Event.ACCEPTED, zmq.Event.CONNECTED):
            self._came(value, endpoint, accepted=event == zmq.Event.ACCEPTED)
        elif event == zmq.Event.HANDSHAKE_SUCCEEDED:
            self._succeeded += 1
        elif event == zmq.Event.DISCONNECTED:
            self._gone(value)
        elif event == zmq.Event.HANDSHAKE_FAILED_AUTH:
            self._told = True  # counted where it was refused
        else:
            self._failed = True  # its end is the next event

    def _came(self, descriptor: int, endpoint: str, *, accepted: bool) -> None:
        """A connection was made; one too many is to end, of all or of those from its address."""
        place, inode = _seen(descriptor, endpoint, accepted=accepted)
        one = Connection(place, inode, accepted, self._succeeded)
        self._connections.come(descriptor, one)
        most, each = self._options.max_connections, self._options.max_connections_each
        if accepted and self._connections.accepted > most:
            self._excess.append((descriptor, one, f"security.max_connections = {most}"))
        elif accepted and self._from(place) > each:
            limit = f"security.max_connections_each = {each} from {place}"
            self._excess.append((descriptor, one, limit))

    def _from(self, place: str) -> int:
        """How many have come from an address; programs of this machine have none."""
        return 0 if place in ("", _HERE) else self._connections.accepted_from(place)

    def _gone(self, descriptor: int) -> None:
        """A connection ended. One that never shook hands, and of which nothing was said, counts."""
        told, failed = self._told, self._failed
        self._told = self._failed = False
        one = self._connections.leave(descriptor)
        if one is not None and one.user:
            self._forget(one.user)
        if one is not None and one.ended:
            return
        if failed:
            self._refuse("a handshake that failed, or was not finished")
        elif not told and one is not None and one.succeeded == self._succeeded:
            self._refuse("a connection that does not speak our protocol")

    def _refuse(self, text: str) -> None:
        # In plain text there is nothing to prove, so whoever leaves early proves nothing either.
        if self._options.server_key:
            self._count(f"{self.right}: {text}")

    def settle(self) -> None:
        """End what is too much; after all that has happened was taken in."""
        # Not earlier: an event that waits may say that the descriptor is another's already.
        for descriptor, one, limit in self._excess:
            if self._connections.of(descriptor) is one and self._end(descriptor, one):
                self._count(f"{self.right}: more than {limit}")
        self._excess.clear()

    def stop(self) -> None:
        """Forget all; the socket is closed."""
        for user in self._connections.users():
            self._forget(user)

    # Whose they are.

    def prove(self, client: Client, address: str) -> str | None:
        """Let in a client that has proven its key from an address.

        Returns
        -------
        str or None
            The User-Id for its messages: the key, the socket, when; None where it is one too many.

        """
        most = self._options.max_connections_each
        if self._connections.count(client.key) >= most:
            limit = f"security.max_connections_each = {most}"
            self._count(f"{self.right}: more than {limit} of client {client.name}")
            return None
        when = self._connections.prove(client.key, _place(address))
        return f"{client.key}{self.number}.{when}"

    def speak(self, user: str, descriptor: int, may: Callable[[str], bool]) -> bool:
        """Learn whose connection it is that a message came over; False where that is not known."""
        key, when = user[:KEY_CHARS], int(user.rpartition(".")[2])
        if not self._connections.speak(descriptor, user, key, when):
            return False
        if self._connections.unsure:
            self.end_lost(may)  # it may be the one that kept a lost one from being told apart
        return True

    def end_lost(self, may: Callable[[str], bool]) -> None:
        """End the connections of all keys that may be here no longer; leave the others alone."""
        count = 0
        for descriptor in self._connections.lost(may):
            one = self._connections.of(descriptor)
            count += one is not None and not one.ended and self._end(descriptor, one)
        if count:
            told = {"right": self.right, "connections": count}
            log.info("connections of revoked clients ended", extra=told)

    def end(self, user: str) -> None:
        """End the connection of a User-Id, if it is still there."""
        for descriptor, one in self._connections.known_as(user):
            if not one.ended and self._end(descriptor, one):
                log.warning("a greedy client's connection ended", extra={"right": self.right})

    def _end(self, descriptor: int, one: Connection) -> bool:
        """End a connection, if the descriptor still is its; whether it was."""
        one.ended = _shut(descriptor, one.inode)
        return one.ended


def number_of(user: str) -> int:
    """Which socket's watch gave a User-Id."""
    return int(user[KEY_CHARS:].partition(".")[0])


def _place(address: str) -> str:
    """An address as it is compared; ZAP gives user and process where there is none."""
    try:
        number = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return _HERE
    return str(getattr(number, "ipv4_mapped", None) or number)


@contextmanager
def _held(descriptor: int) -> Iterator[plain.socket]:
    """The socket behind a descriptor, which cannot become another's meanwhile."""
    duplicate = os.dup(descriptor)
    try:
        one = plain.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        raise
    with one:
        yield one


def _seen(descriptor: int, endpoint: str, *, accepted: bool) -> tuple[str, int]:
    """Where a connection comes from, and its inode; "", 0 where it is gone already."""
    with suppress(OSError), _held(descriptor) as one:
        peer = one.getpeername()
        if _is_of(one.getsockname() if accepted else peer, endpoint):
            place = _place(str(peer[0])) if isinstance(peer, tuple) else _HERE
            return place, os.fstat(one.fileno()).st_ino
    return "", 0


def _is_of(name: Any, endpoint: str) -> bool:
    """Whether a socket's name is that of an endpoint, as far as it can be compared."""
    if endpoint.startswith("tcp://"):
        return isinstance(name, tuple) and str(name[1]) == endpoint.rpartition(":")[2]
    path = f"@{name[1:].decode(errors='replace')}" if isinstance(name, bytes) else name
    return endpoint == f"ipc://{path}"


def _shut(descriptor: int, inode: int) -> bool:
    """Shut a connection down, if the descriptor is of this inode; whether it was."""
    with suppress(OSError), _held(descriptor) as one:
        if inode and os.fstat(one.fileno()).st_ino == inode:
            one.shutdown(plain.SHUT_RDWR)
            return True
    return False
