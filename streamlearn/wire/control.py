"""Control: one msgpack map in, one out. `Control` answers for the daemon, `request` asks it."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

import msgpack
import zmq

from streamlearn.errors import ArgumentError, NoAnswerError, StreamlearnError, UsageError
from streamlearn.schema import nearest
from streamlearn.wire.endpoint import bind
from streamlearn.wire.gate import OPEN, Gate
from streamlearn.wire.handshake import Handshake
from streamlearn.wire.keys import Keys, client_keys
from streamlearn.wire.message import VERSION

Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"
Map: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[Map], Map]

log = logging.getLogger(__name__)

_MAX_REQUEST_BYTES: Final = 64 << 20
_QUEUE_MESSAGES: Final = 4
# A nested list that claims more than this is given no memory; bulk goes as bytes.
_MAX_LIST: Final = 1 << 16
_MAX_MAP: Final = 1 << 10
_OTHER: Final = "is this a daemon's control.bind?"


class Control:
    """Answers requests, one after the other, on a thread of its own.

    Parameters
    ----------
    context
        Makes the socket.
    address
        `control.bind`.
    handlers
        Verb → what answers it: takes the request without `v` and `verb`, gives the answer without
        `v` and `ok`. A `StreamlearnError` is answered with its text.
    gate
        Who may ask.

    Attributes
    ----------
    endpoint
        After `start`: the address as bound, with the real port.

    """

    def __init__(
        self,
        context: Context,
        address: str,
        handlers: Mapping[str, Handler],
        gate: Gate = OPEN,
    ) -> None:
        self.endpoint = ""
        self._gate = gate
        self._context, self._address, self._handlers = context, address, handlers
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Bind the socket and answer; raises `StartError`, naming key, address and way out."""
        socket = self._context.socket(zmq.ROUTER)
        socket.linger = 200
        socket.maxmsgsize = _MAX_REQUEST_BYTES
        socket.set_hwm(_QUEUE_MESSAGES)
        self._gate.guard(socket, "control")
        # The other end of a pair wakes the thread for its end.
        ears = self._context.socket(zmq.PAIR)
        self._mouth = self._context.socket(zmq.PAIR)
        try:
            name = f"inproc://control-{id(self)}"
            ears.bind(name)
            self._mouth.connect(name)
            self.endpoint = bind(socket, "control.bind", self._address)
        except StreamlearnError:
            for one in (socket, ears, self._mouth):
                one.close(linger=0)
            raise
        self._thread = threading.Thread(target=self._run, args=(socket, ears), name="control")
        self._thread.start()

    def _run(self, socket: "zmq.Socket[bytes]", ears: "zmq.Socket[bytes]") -> None:
        interests: list[Any] = [(socket, zmq.POLLIN), (ears, zmq.POLLIN)]
        with socket, ears:
            while not any(one is ears for one, _ in zmq.zmq_poll(interests, -1)):
                self._serve(socket)

    def _serve(self, socket: "zmq.Socket[bytes]") -> None:
        frames = socket.recv_multipart(copy=False)
        if not self._gate.may(frames[-1], "control"):
            return  # revoked since it connected: it has no answer
        *envelope, body = [frame.bytes for frame in frames]
        # DEALER sends the map alone, REQ an empty frame before it; anything else has no answer.
        if len(envelope) in (1, 2) and not any(envelope[1:]):
            try:
                socket.send_multipart([*envelope, self.answer(body)], zmq.NOBLOCK)
            except zmq.ZMQError:
                log.debug("a client left, or reads no answers")

    def answer(self, body: bytes) -> bytes:
        """The answer to one request, whatever that holds."""
        try:
            answer = {"v": VERSION, "ok": True, **self._handle(_read(body))}
            return _pack(answer)
        except StreamlearnError as error:
            text, _, hint = str(error).partition("; ")
            return _pack({"v": VERSION, "ok": False, "error": text, "hint": hint})
        except Exception as error:
            log.exception("control: a verb failed")
            text = f"{type(error).__name__} inside the daemon: {error}"
            return _pack({"v": VERSION, "ok": False, "error": text, "hint": "see its log"})

    def _handle(self, request: Map) -> Map:
        version, verb = request.pop("v", None), request.pop("verb", None)
        if type(version) is not int or version != VERSION:
            raise UsageError(f"v: expected {VERSION}, got {version!r:.40}; speak version {VERSION}")
        if not isinstance(verb, str) or verb not in self._handlers:
            known = ", ".join(self._handlers)
            hint = nearest(verb, self._handlers) if isinstance(verb, str) else ""
            raise UsageError(f"verb: unknown {verb!r:.80}{hint or f'; expected one of {known}'}")
        return self._handlers[verb](request)

    def close(self) -> None:
        """Stop answering; the last answer is on its way. Closing twice is fine."""
        if self._thread is None:
            return
        self._mouth.send(b"")
        self._thread.join()
        self._mouth.close(linger=0)
        self._thread = None


def _read(body: bytes) -> Map:
    if len(body) > _MAX_REQUEST_BYTES:
        raise UsageError(f"request: {len(body)} bytes; send at most {_MAX_REQUEST_BYTES}")
    try:
        request = msgpack.unpackb(body, max_array_len=_MAX_LIST, max_map_len=_MAX_MAP)
    except Exception as error:  # noqa: BLE001  msgpack raises many kinds, all for what is no msgpack
        raise UsageError(f"request: not msgpack ({error}); send one map") from None
    if not isinstance(request, dict):
        raise UsageError(f"request: a {type(request).__name__}; send one map")
    return request


def _pack(answer: Map) -> bytes:
    packed: bytes = msgpack.packb(answer)
    return packed


def request(
    endpoint: str, verb: str, timeout_s: float = 5.0, *, keys: Keys | None = None, **args: Any
) -> Map:
    """Ask a daemon for one thing.

    Parameters
    ----------
    endpoint
        Its `control.bind`.
    verb
        For example "status".
    timeout_s
        How long to wait for the answer.
    keys
        The folder of this client's keys, where the daemon has keys.
    args
        Keys of the request beside `v` and `verb`.

    Returns
    -------
    dict
        The answer: `ok` true and what was asked for, or `ok` false with `error` and `hint`.

    Raises
    ------
    NoAnswerError
        None came in time, or what came is none.
    UsageError
        The endpoint is none.

    """
    own = client_keys(keys)
    context: Context = zmq.Context()
    with context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        if own is not None:
            own.arm(socket)
        handshake = Handshake(socket, endpoint)
        try:
            socket.connect(endpoint)
        except zmq.ZMQError as error:
            handshake.stop()
            why = zmq.strerror(error.errno or 0)
            text = f"expected tcp://HOST:PORT, got {endpoint!r}: {why}"
            raise ArgumentError("endpoint", text) from None
        with suppress(zmq.Again):  # who is refused by now has nobody to send to, and is told below
            socket.send(msgpack.packb({"v": VERSION, "verb": verb, **args}), zmq.NOBLOCK)
        if not _answered(socket, handshake, timeout_s):
            text = f"{endpoint}: no answer to {verb} within {timeout_s:g} s"
            raise NoAnswerError(f"{text}; does the daemon run, and is this its control.bind?")
        try:
            return read_answer(socket.recv())
        except NoAnswerError as error:
            raise NoAnswerError(f"{endpoint}: {error}") from None


def read_answer(body: bytes) -> Map:
    """Read what a daemon answered; raises `NoAnswerError` where that is no answer of one."""
    try:
        answer = msgpack.unpackb(body)
    except Exception as error:  # noqa: BLE001  msgpack raises many kinds, all for what is no msgpack
        raise NoAnswerError(f"an answer that is not msgpack ({error}); {_OTHER}") from None
    if not isinstance(answer, dict) or type(answer.get("ok")) is not bool:
        raise NoAnswerError(f"an answer without ok; {_OTHER}")
    return answer


def _answered(socket: "zmq.Socket[bytes]", handshake: Handshake, timeout_s: float) -> bool:
    """Wait for an answer; raises `NoAnswerError` as soon as the daemon refuses us."""
    until_s = time.monotonic() + timeout_s
    try:
        if not handshake.wait(round(timeout_s * 1000)):
            return False
    finally:
        handshake.stop()
    return bool(socket.poll(max(0, round((until_s - time.monotonic()) * 1000))))
