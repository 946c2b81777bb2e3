"""The gate: who may connect to which socket, and how many at once.

`Gate.guard` arms any of the daemon's sockets before it is bound or connected. With keys, every
connection must prove by CURVE that it holds one that is allowed, with the right that the socket
asks for. The gate's thread answers libzmq's question for each handshake (ZAP, RFC 27) and hears
from the sockets' monitors what became of connections. pyzmq's own authenticator has no place for
the monitors and would bring an event loop of its own. A client that loses its right, by a reload of
the list, loses its connections.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
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
from streamlearn.wire.watch import EVENTS, KEY_CHARS, Watch, number_of

Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"
Socket: TypeAlias = "zmq.Socket[bytes]"

log = logging.getLogger(__name__)

_ZAP: Final = "inproc://zeromq.zap.01"
_LOOK_S: Final = 1.0


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

    Raises
    ------
    UsageError
        The key file or the folder of allowed clients is wrong: names file and way out.

    """

    def __init__(self, options: SecurityOptions) -> None:
        self.allowed: Allowed | None = None
        self.refused = 0
        self._options = options
        self._pair, self._folder = read_keys(options)
        if self._folder is not None:
            self._stamp = stamp(self._folder)
            self.allowed = _whole(read_allowed(self._folder))
        self._guard = threading.Lock()
        self._watches: dict[Socket, Watch] = {}
        self._new: SimpleQueue[tuple[Socket, Watch]] = SimpleQueue()
        self._numbers = count()
        self._heard: dict[str, str] = {}
        """User-Id of messages → key; each connection is asked about once."""
        self._spoken: SimpleQueue[tuple[str, int]] = SimpleQueue()
        """User-Id and descriptor of first messages."""
        self._ends: SimpleQueue[str] = SimpleQueue()
        """User-Ids whose connections are to end."""
        self._reloaded = False
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
        watch = Watch(right, next(self._numbers), self._options, self.refuse, self._forget)
        if self._pair is not None:
            socket.curve_server = True
            socket.curve_secretkey = self._pair.secret
            socket.zap_domain = watch.domain
            socket.zap_enforce_domain = True  # while nobody answers, nobody comes in
        if self._thread is not None:
            self._new.put((socket.get_monitor_socket(EVENTS), watch))
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
            user = str(frame.get("User-Id"))
        except zmq.ZMQError:
            return ""
        return self._heard.get(user) or self._hear_first(user, frame)

    def _hear_first(self, user: str, frame: zmq.Frame) -> str:
        """Let the thread know over which connection a key speaks."""
        key = self._heard[user] = user[:KEY_CHARS]
        with suppress(zmq.ZMQError):
            self._spoken.put((user, int(frame.get(zmq.SRCFD))))
        if key not in self.clients:
            self._wake(b"look")
        return key

    def _forget(self, user: str) -> None:
        self._heard.pop(user, None)

    def user(self, frame: zmq.Frame) -> str:
        """Over which connection a frame came, for `end`; "" where nobody knows."""
        return str(frame.get("User-Id")) if self.key(frame) else ""

    def end(self, user: str) -> None:
        """End a connection that does more than it may."""
        self._ends.put(user)
        self._wake(b"look")

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

    def reload(self) -> None:
        """Read the folder of allowed clients again; a broken file leaves only its client out.

        Who has lost a right loses its connections to where it was needed.
        """
        if self._folder is None:
            return
        try:
            allowed = read_allowed(self._folder)
        except Exception as error:  # noqa: BLE001  the gate must not fall, whatever is in the folder
            # Without a list nobody comes in: who was revoked must not stay because of an accident.
            allowed = Allowed({}, (f"{self._folder}: {error}; nobody is let in",))
        self.allowed, self._reloaded = allowed, True
        if self._thread is not None:
            self._wake(b"look")
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
                self._attend()
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
            else:
                self._hear(one)
        return True

    def _watch(self) -> None:
        with suppress(Empty):
            while True:
                monitor, watch = self._new.get_nowait()
                self._watches[monitor] = watch

    def _hear(self, monitor: Socket) -> None:
        """Take in what happened on a socket; once it is closed, forget it."""
        watch = self._watches.get(monitor)
        while watch is not None and monitor.poll(0):
            event: Any = parse_monitor_message(monitor.recv_multipart())
            if event["event"] == zmq.Event.MONITOR_STOPPED:
                watch.stop()
                del self._watches[monitor]
                monitor.close(linger=0)
                return
            watch.take(event["event"], event["value"], event["endpoint"].decode())
        if watch is not None:
            watch.settle()

    def _attend(self) -> None:
        """Learn whose connections spoke, and end those whose keys have lost their right."""
        reloaded, self._reloaded = self._reloaded, False
        if not reloaded and self._spoken.empty() and self._ends.empty():
            return
        ends = [self._ends.get_nowait() for _ in range(self._ends.qsize())]
        spoken = [self._spoken.get_nowait() for _ in range(self._spoken.qsize())]
        for monitor in list(self._watches):
            self._hear(monitor)
        watches = {watch.number: watch for watch in self._watches.values()}
        for user, descriptor in spoken:
            watch = watches.get(number_of(user))
            if watch is None or not watch.speak(user, descriptor, self._still(watch.right)):
                self._forget(user)  # its connection has ended, what it said waited
        for user in ends:
            if (watch := watches.get(number_of(user))) is not None:
                watch.end(user)
        for watch in watches.values() if reloaded else ():
            watch.end_lost(self._still(watch.right))

    def _still(self, right: Right) -> Callable[[str], bool]:
        """Whether a key has a right, by the list of this moment."""
        allowed = self.allowed
        return lambda key: allowed is None or allowed.may(key, right)

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
        watch = self._up_to_date(domain)
        if watch is None or watch.right not in client.rights:
            return self._no(number, f"{where}: client {client.name} has not this right")
        user = watch.prove(client, address.decode("ascii", "replace"))
        if user is None:
            # It may come back: who dies and starts anew can find its old connections still here.
            return [b"1.0", number, b"300", b"too many connections", b"", b""]
        return [b"1.0", number, b"200", b"OK", user.encode(), b""]

    def _up_to_date(self, domain: bytes) -> Watch | None:
        """The watch over a socket, which has heard of all that came before this; by ZAP domain."""
        self._watch()
        for monitor, watch in list(self._watches.items()):
            if watch.domain == domain:
                self._hear(monitor)
                return watch
        return None

    def _no(self, number: bytes, text: str) -> list[bytes]:
        self.refuse(text)
        return [b"1.0", number, b"400", b"not allowed", b"", b""]


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
