"""Where samples come in: one thread reads the sockets, and sleeps while nothing comes.

PULL is read only while there is room, so a slow learner slows the senders. SUB is always read: the
newest rows wait for room, older ones are dropped and counted. ROUTER acknowledges what is on the
disk. What becomes of a message is the sink's business.
"""

import math
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeAlias, TypeVar

import zmq

from streamlearn.errors import NoAnswerError, StartError
from streamlearn.options import IngestOptions
from streamlearn.pipeline.threads import settle
from streamlearn.wire.batch import Keeps, Limits
from streamlearn.wire.door import Door
from streamlearn.wire.endpoint import bind
from streamlearn.wire.gate import OPEN, Gate
from streamlearn.wire.message import Schema
from streamlearn.wire.router import Router
from streamlearn.wire.source import Pull, Sink, Socket, Source, Sub

Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"
T = TypeVar("T")

_QUEUE_MESSAGES: Final = 64
_QUEUE_BYTES: Final = 64 << 20
_LEAST_FRAME_BYTES: Final = 1 << 20
_WAIT_ROOM_S: Final = 0.02
_WAIT_ROOM_WITH_SUB_S: Final = 0.002
_QUIET_S: Final = 0.05


class Ingest:
    """Reads the sockets on one thread and hands checked messages to the sink.

    Parameters
    ----------
    context
        Makes the sockets.
    options
        `[ingest]`: addresses and limits.
    schema
        What rows must be.
    sink
        Takes the messages; its methods are called from the thread that runs `run`.
    acknowledged
        What makes messages durable, and when; None where nothing is acknowledged.
    gate
        Who may send.

    Attributes
    ----------
    endpoints
        After `open`: configuration key → address as bound, with the real port.

    """

    def __init__(
        self,
        context: Context,
        options: IngestOptions,
        schema: Schema,
        sink: Sink,
        acknowledged: tuple[Keeps, Limits] | None = None,
        gate: Gate = OPEN,
    ) -> None:
        self.endpoints: dict[str, str] = {}
        self._context, self._options = context, options
        self._schema, self._sink = schema, sink
        self._acknowledged = acknowledged
        self.router: Router | None = None
        row_bytes = schema.largest_payload_bytes // schema.max_rows
        self._gate = gate
        self._door = Door(gate, row_bytes, schema.max_rows) if gate.allowed else None
        self._sources: deque[Source] = deque()
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self._paused = self._ended = False
        self._stop_at_s: float | None = None
        self._wake_in, self._wake_out = os.pipe()
        os.set_blocking(self._wake_in, False)
        os.set_blocking(self._wake_out, False)

    def open(self) -> None:
        """Make and bind the sockets; raises `StartError`, naming key, address and way out."""
        options = self._options
        try:
            if options.pull:
                socket = self._socket(zmq.PULL)
                self._sources.append(Pull(socket, self._schema, self._sink))
                self.endpoints["ingest.pull"] = bind(socket, "ingest.pull", options.pull)
            if options.sub or options.sub_connect:
                self._open_sub()
            if options.router and self._acknowledged:
                socket = self._socket(zmq.ROUTER)
                keeps, limits = self._acknowledged
                self.router = Router(socket, self._schema, self._sink, keeps, limits, self._wake)
                self._sources.append(self.router)
                self.endpoints["ingest.router"] = bind(socket, "ingest.router", options.router)
            for source in self._sources:
                source.let_in(self._door)
        except StartError:
            self.close()
            raise

    def _open_sub(self) -> None:
        options = self._options
        socket = self._socket(zmq.SUB)
        socket.subscribe(b"")
        self._sources.append(Sub(socket, self._schema, self._sink, options.sub_pending_rows))
        if options.sub:
            self.endpoints["ingest.sub"] = bind(socket, "ingest.sub", options.sub)
        for address in options.sub_connect:
            try:
                socket.connect(address)
            except zmq.ZMQError as error:
                why = zmq.strerror(error.errno or 0)
                text = f"ingest.sub_connect: {address} cannot be connected to: {why}"
                raise StartError(f"{text}; give tcp://HOST:PORT") from None

    def _socket(self, kind: int) -> Socket:
        """A socket whose queue is bounded in bytes as well as it can be.

        ZeroMQ counts messages, so large ones get a short queue. A frame beyond what is valid is
        still taken in, up to twice its size, so that it is counted; beyond, its sender is cut off.
        No heartbeats of ZMTP: a socket that waits for room does not read them either.
        """
        largest = min(self._options.max_message_bytes, self._schema.largest_payload_bytes)
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.maxmsgsize = max(_LEAST_FRAME_BYTES, 2 * largest)
        socket.rcvhwm = max(8, min(_QUEUE_MESSAGES, _QUEUE_BYTES // largest))
        self._gate.guard(socket, "producer")
        return socket

    def run(self) -> None:
        """Read until `stop`; the target of a thread."""
        try:
            while self._stop_at_s is None:
                self._run_calls()
                # A call waits only for the message that is halfway in, not for a quiet moment.
                called = not self._calls.empty()
                more = self._turn(paused=self._paused or called)
                if not more and (not called or self._halfway()):
                    self._wait()
            self._drain()
            for source in self._sources:
                source.abandon()
        finally:
            self._ended = True
            self._run_calls()

    def _turn(self, *, paused: bool) -> bool:
        # They take turns in being first, so that neither can take all the room.
        self._sources.rotate(1)
        more = [source.turn(paused=paused) for source in self._sources]
        self._sink.flush()
        return any(more)

    def _wait(self) -> None:
        if self._halfway() or (not self._paused and any(s.waits for s in self._sources)):
            self._wait_room()
        else:
            self._sleep(paused=self._paused)

    def _halfway(self) -> bool:
        return any(source.halfway for source in self._sources)

    def _wait_room(self) -> None:
        subscribed = any(isinstance(source, Sub) for source in self._sources)
        self._sink.wait_room(_WAIT_ROOM_WITH_SUB_S if subscribed else _WAIT_ROOM_S)

    def _sleep(self, *, paused: bool) -> None:
        """Sleep until a message comes, a source is due, or somebody wakes us."""
        sockets: list[Any] = [
            source.socket for source in self._sources if source.listens(paused=paused)
        ]
        interests = [(one, zmq.POLLIN) for one in (*sockets, self._wake_in)]
        due_s = min((source.due_s for source in self._sources), default=math.inf)
        left_ms = -1 if due_s == math.inf else max(0, math.ceil(1000 * (due_s - time.monotonic())))
        for one, _ in zmq.zmq_poll(interests, left_ms):
            if one == self._wake_in:
                os.read(one, 4096)

    def _drain(self) -> None:
        """Take what has arrived already, but not for ever."""
        # Not unbound first: that would cut the connections off whose rows are on their way.
        while time.monotonic() < (self._stop_at_s or 0.0):
            if self._turn(paused=False):
                continue
            if any(source.waits for source in self._sources):
                self._wait_room()
            elif not self._arrives(_QUIET_S) and not any(s.pending for s in self._sources):
                return

    def _arrives(self, within_s: float) -> bool:
        reading = [source.socket for source in self._sources if source.listens(paused=False)]
        interests: list[Any] = [(socket, zmq.POLLIN) for socket in reading]
        return bool(zmq.zmq_poll(interests, round(within_s * 1000)))

    def call(self, fn: Callable[[], T]) -> "Future[T]":
        """Run a function on the ingest thread, between two messages.

        Returns
        -------
        Future[T]
            What it gave or raised; `NoAnswerError` where ingest has ended.

        """
        future: Future[T] = Future()
        self._calls.put((fn, future))
        self._wake()
        if self._ended:
            self._run_calls()
        return future

    def _run_calls(self) -> None:
        """Answer those who called; never while a message is halfway in, unless it is over."""
        while self._ended or not self._halfway():
            try:
                fn, future = self._calls.get_nowait()
            except Empty:
                return
            if self._ended:
                future.set_exception(NoAnswerError("ingest has ended; start the daemon again"))
            else:
                settle(fn, future)

    def deliver_to(self, sink: Sink) -> None:
        """Hand messages to another sink from now on; only out of `call`."""
        self._sink = sink
        for source in self._sources:
            source.sink = sink

    def credit_bytes(self) -> int:
        """What a producer of ROUTER may have on its way now; 0 where there is no such socket."""
        return self.router.credit_bytes if self.router else 0

    def pause(self) -> None:
        """Deliver nothing more: PULL is not read, so its senders wait; SUB keeps the newest."""
        self._paused = True
        self._wake()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._paused = False
        self._wake()

    def stop(self, drain_s: float) -> None:
        """Let `run` end once what has arrived is delivered, at most `drain_s` from now.

        Rows that a sender goes on sending meanwhile are lost on the way when the socket closes.
        """
        until = time.monotonic() + drain_s
        self._stop_at_s = until if self._stop_at_s is None else min(until, self._stop_at_s)
        self._wake()

    def _wake(self) -> None:
        # A full pipe wakes as well as one byte more would; a closed one has nobody to wake.
        with suppress(OSError):
            os.write(self._wake_out, b"\0")

    def close(self) -> None:
        """Close the sockets; `run` must have ended. Closing twice is fine."""
        self._ended = True
        for source in self._sources:
            source.socket.close(linger=0)
        self._sources.clear()
        for end in {self._wake_in, self._wake_out} - {-1}:
            os.close(end)
        self._wake_in = self._wake_out = -1
