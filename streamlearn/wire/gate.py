"""The gate: who may connect to which socket, and how many at once.

`Gate.guard` arms any of the daemon's sockets before it is bound or connected. With keys, every
connection must prove by CURVE that it holds one that is allowed, with the right that the socket
asks for. The gate's thread answers libzmq's question for each handshake (ZAP, RFC 27) and hears
from the sockets' monitors what became of connections. pyzmq's own authenticator has no place for
the monitors and would bring an event loop of its own.
"""

import logging
import os
import socket as plain
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeAlias

import zmq
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from streamlearn.errors import UsageError
from streamlearn.options_outside import SecurityOptions
from streamlearn.wire.allowed import Allowed, Client, Right, read_allowed, stamp
from streamlearn.wire.keys import KeyPair, read_pair

Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"
Socket: TypeAlias = "zmq.Socket[bytes]"

log = logging.getLogger(__name__)

_ZAP: Final = "inproc://zeromq.zap.01"
_LOOK_S: Final = 1.0
_EVENTS: Final = (
    zmq.Event.LISTENING
    | zmq.Event.ACCEPTED
    | zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
    | zmq.Event.MONITOR_STOPPED
)


class Gate:
    """Arms sockets, and lets in whom it may.

    Parameters
    ----------
    options
        `[security]`.

    Attributes
    ----------
    allowed
        Who may come in; None where there are no keys and everybody may.
    refused
        Connections and requests refused so far.
    let_in
        Right → keys that connected with it.

    Raises
    ------
    UsageError
        The key file or the folder of allowed clients is wrong: names file and way out.

    """

    def __init__(self, options: SecurityOptions) -> None:
        self.allowed: Allowed | None = None
        self.refused = 0
        self.let_in: dict[str, set[str]] = {}
        self._options = options
        self._pair, self._folder = read_keys(options)
        if self._folder is not None:
            self._stamp = stamp(self._folder)
            self.allowed = _whole(read_allowed(self._folder))
        self._guard = threading.Lock()
        self._watches: dict[Socket, _Watch] = {}
        self._new: SimpleQueue[tuple[Socket, Right]] = SimpleQueue()
        self._zap: Socket | None = None
        self._thread: threading.Thread | None = None

    def open(self, context: Context) -> None:
        """Begin to answer for all sockets of a context; before any of them is bound."""
        if self._pair is not None:
            self._zap = context.socket(zmq.REP)
            self._zap.linger = 0
            self._zap.bind(_ZAP)
        # The other end of a pair wakes the thread for a new socket, or for its end.
        self._ears, self._mouth = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        self._ears.bind(f"inproc://gate-{id(self)}")
        self._mouth.connect(f"inproc://gate-{id(self)}")
        self._thread = threading.Thread(target=self._run, name="gate")
        self._thread.start()

    def guard(self, socket: Socket, right: Right) -> None:
        """Arm a socket: keys, who may use it, how long a handshake may take, how many connect.

        Parameters
        ----------
        socket
            Not yet bound nor connected.
        right
            What a client must be allowed to do, to connect to it.

        """
        socket.handshake_ivl = round(self._options.handshake_s * 1000)
        socket.tcp_keepalive = 1
        socket.tcp_keepalive_idle = 60
        if self._pair is not None:
            socket.curve_server = True
            socket.curve_secretkey = self._pair.secret
            socket.zap_domain = right.encode()
        if self._thread is not None:
            self._new.put((socket.get_monitor_socket(_EVENTS), right))
            self._wake(b"look")

    def _wake(self, word: bytes) -> None:
        with self._guard:
            self._mouth.send(word)

    def close(self) -> None:
        """End the thread; the guarded sockets are closed before. Closing twice is fine."""
        if self._thread is None:
            return
        self._wake(b"")
        self._thread.join()
        self._mouth.close(linger=0)
        self._thread = None

    # Questions of other threads.

    @property
    def clients(self) -> Mapping[str, Client]:
        """Who is allowed now, by key; nobody where there are no keys."""
        return self.allowed.clients if self.allowed else {}

    def key(self, frame: zmq.Frame) -> str:
        """The key of who sent a frame; "" where there is none."""
        try:
            return str(frame.get("User-Id"))
        except zmq.ZMQError:
            return ""

    def may(self, frame: zmq.Frame, right: Right) -> bool:
        """Whether who sent a frame still has a right; counts it where not."""
        if self.allowed is None or self.allowed.may(self.key(frame), right):
            return True
        self.refuse(f"{right}: a message of a client that is no longer allowed to")
        return False

    def refuse(self, text: str) -> None:
        """Count something refused, and log it now and then."""
        with self._guard:
            self.refused += 1
        log.warning("refused", extra={"what": text, "limit": "auth"})

    def revoked(self, right: Right) -> bool:
        """Whether some client that came in with a right has lost it since; forgets them."""
        here, allowed = self.let_in.get(right, set()), self.allowed
        lost = {key for key in here.copy() if allowed and not allowed.may(key, right)}
        here -= lost
        return bool(lost)

    def reload(self) -> None:
        """Read the folder of allowed clients again; a broken file leaves only its client out."""
        if self._folder is None:
            return
        try:
            allowed = read_allowed(self._folder)
        except Exception as error:  # noqa: BLE001  the gate must not fall, whatever is in the folder
            # Without a list nobody comes in: who was revoked must not stay because of an accident.
            allowed = Allowed({}, (f"{self._folder}: {error}; nobody is let in",))
        self.allowed = allowed
        for line in allowed.errors:
            log.error("client not allowed", extra={"error": line})
        log.info("allowed clients read", extra={"clients": len(allowed.clients)})

    # The thread.

    def _run(self) -> None:
        due_s = time.monotonic() + _LOOK_S
        try:
            while self._turn():
                if self._folder is not None and time.monotonic() >= due_s:
                    due_s = time.monotonic() + _LOOK_S
                    self._look()
        finally:
            for one in (self._ears, self._zap, *self._watches):
                if one is not None:
                    one.close(linger=0)

    def _turn(self) -> bool:
        """Wait for something and serve it; False at the end."""
        sockets = [one for one in (self._ears, self._zap, *self._watches) if one is not None]
        interests: list[Any] = [(one, zmq.POLLIN) for one in sockets]
        for one, _ in zmq.zmq_poll(interests, 1000 * int(_LOOK_S) if self._folder else -1):
            if one is self._ears:
                if not self._ears.recv():
                    return False
                self._watch()
            elif one is self._zap:
                self._zap.send_multipart(self._answer(self._zap.recv_multipart()))
            elif not self._hear(one):
                self._watches.pop(one)
                one.close(linger=0)
        return True

    def _watch(self) -> None:
        with suppress(Empty):
            while True:
                monitor, right = self._new.get_nowait()
                options = self._options
                most = (options.max_connections, options.max_connections_each)
                self._watches[monitor] = _Watch(self, right, *most)

    def _hear(self, monitor: Socket) -> bool:
        """Take in what happened on a socket; False once it is closed."""
        watch = self._watches[monitor]
        while monitor.poll(0):
            event: Any = parse_monitor_message(monitor.recv_multipart())
            if event["event"] == zmq.Event.MONITOR_STOPPED:
                return False
            watch.take(event["event"], event["value"], event["endpoint"].decode())
        return True

    def _look(self) -> None:
        """Read the list again where its folder has changed."""
        now = stamp(self._folder) if self._folder else ()
        if now != self._stamp:
            self._stamp = now
            self.reload()

    def _answer(self, asked: list[bytes]) -> list[bytes]:
        """The answer to one handshake's question."""
        if len(asked) < 6 or asked[0] != b"1.0":
            return [b"1.0", asked[1] if len(asked) > 1 else b"", b"500", b"no ZAP", b"", b""]
        _, number, domain, address, _, mechanism, *credentials = asked
        where = f"{domain.decode('ascii', 'replace')}, from {address.decode('ascii', 'replace')}"
        if mechanism != b"CURVE" or len(credentials) != 1 or len(credentials[0]) != 32:
            return self._no(number, f"{where}: no CURVE key")
        key = z85.encode(credentials[0]).decode()
        client = self.allowed.clients.get(key) if self.allowed else None
        if client is None:
            return self._no(number, f"{where}: a key that is not in the list")
        right = next((right for right in client.rights if right.encode() == domain), None)
        if right is None:
            return self._no(number, f"{where}: client {client.name} has not this right")
        self.let_in.setdefault(right, set()).add(key)
        return [b"1.0", number, b"200", b"OK", key.encode(), b""]

    def _no(self, number: bytes, text: str) -> list[bytes]:
        self.refuse(text)
        return [b"1.0", number, b"400", b"not allowed", b"", b""]


class _Watch:
    """What is known of one socket's connections; for the gate's thread."""

    def __init__(self, gate: Gate, right: Right, most: int, each: int) -> None:
        self._gate, self._right, self._most, self._each = gate, right, most, each
        self._endpoint = ""
        self._succeeded = 0
        self._open: dict[int, int] = {}
        """Descriptor of a connection → handshakes that had succeeded when it came."""
        self._of: dict[int, str] = {}
        """Descriptor of a connection → where it comes from."""
        self._told = False
        self._cuts = 0

    def take(self, event: int, value: int, endpoint: str) -> None:
        """Take in one event."""
        if event == zmq.Event.LISTENING:
            self._endpoint = endpoint
        elif event == zmq.Event.ACCEPTED:
            self._came(value)
        elif event == zmq.Event.HANDSHAKE_SUCCEEDED:
            self._succeeded += 1
        elif event == zmq.Event.DISCONNECTED:
            self._gone(value)
        elif event == zmq.Event.HANDSHAKE_FAILED_AUTH:
            self._told = True  # counted where it was refused
        else:
            self._told = True
            self._failed()

    def _came(self, descriptor: int) -> None:
        """A connection was made; one too many ends, of all or of those from its address."""
        self._open[descriptor] = self._succeeded
        address = self._of[descriptor] = _address(descriptor)
        if len(self._open) > self._most:
            self._cut(descriptor, f"security.max_connections = {self._most}")
        elif address and Counter(self._of.values())[address] > self._each:
            limit = f"security.max_connections_each = {self._each}"
            self._cut(descriptor, f"{limit} from {address}")

    def _failed(self) -> None:
        """A handshake failed or was not finished; of those cut off it is known already."""
        if self._cuts:
            self._cuts -= 1
        else:
            self._refuse("a handshake that failed, or was not finished")

    def _gone(self, descriptor: int) -> None:
        """A connection ended. One that never shook hands, and of which nothing was said, counts."""
        before = self._open.pop(descriptor, -1)
        self._of.pop(descriptor, None)
        if not self._told and before == self._succeeded:
            self._refuse("a connection that does not speak our protocol")
        self._told = False

    def _refuse(self, text: str) -> None:
        # In plain text there is nothing to prove, so whoever leaves early proves nothing either.
        if self._gate.allowed is not None:
            self._gate.refuse(f"{self._right}: {text}")

    def _cut(self, descriptor: int, limit: str) -> None:
        """End a connection too many; only if the descriptor still is one of this socket."""
        with suppress(OSError), plain.socket(fileno=os.dup(descriptor)) as one:
            if _is_of(one.getsockname(), self._endpoint):
                one.shutdown(plain.SHUT_RDWR)
                self._cuts += 1
                self._open[descriptor] = -1
                self._gate.refuse(f"{self._right}: more than {limit}")


def _address(descriptor: int) -> str:
    """The other side's address; "" where it has none, or is gone."""
    with suppress(OSError), plain.socket(fileno=os.dup(descriptor)) as one:
        name = one.getpeername()
        return str(name[0]) if isinstance(name, tuple) else ""
    return ""


def _is_of(name: Any, endpoint: str) -> bool:
    """Whether a connection's own address is that of a listening socket."""
    if endpoint.startswith("tcp://"):
        return isinstance(name, tuple) and str(name[1]) == endpoint.rpartition(":")[2]
    return endpoint == f"ipc://{name}"


def read_keys(options: SecurityOptions) -> tuple[KeyPair | None, Path | None]:
    """The daemon's pair and the folder of allowed clients; None, None where there are no keys.

    Raises
    ------
    UsageError
        The key file is wrong; names it and the way out.

    """
    if not options.server_key:
        return None, None
    try:
        return read_pair(Path(options.server_key)), Path(options.allowed)
    except UsageError as error:
        raise UsageError(f"security.server_key: {error}") from None


def _whole(allowed: Allowed) -> Allowed:
    """At the start, nothing may be wrong with any file."""
    if allowed.errors:
        raise UsageError("security.allowed: " + "\nsecurity.allowed: ".join(allowed.errors))
    return allowed


OPEN: Final = Gate(SecurityOptions())
"""For sockets that no daemon guards: plain text, and nobody is asked."""
