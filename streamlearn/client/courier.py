"""The acknowledged side of a producer: one DEALER socket, and what is kept until it is durable.

After every disconnect it takes a new socket, says hello for each stream, and sends again from where
the daemon stands. It works while its producer calls: no thread.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from streamlearn.client.outbox import Outbox, Parcel
from streamlearn.client.spool import Spool
from streamlearn.errors import ArgumentError, NoAnswerError
from streamlearn.wire.acknowledged import decode_answer, encode_hello
from streamlearn.wire.handshake import REFUSALS, refusal
from streamlearn.wire.keys import ClientKeys
from streamlearn.wire.message import Message, Sample, encode

_SILENCE_S: Final = 5.0
"""How long an answer may stay out before the connection is taken for dead; doubles each time."""
_MOST_SILENCE_S: Final = 60.0
_LOOK_S: Final = 0.1
_PUMP_S: Final = 0.002
"""Answers are looked for this often while credit lasts: looking costs more than sending a row."""
_LAST: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)
"""Plain numbers: joining zmq's own flags costs as much as sending a frame."""
_RETRY_S: Final = 0.1
_MOST_RETRY_S: Final = 2.0
"""How long to wait before the next try to connect; doubles each time."""
_BATCH_FORGET: Final = 64
_NOT_THERE: Final = "is not there"
_ENDS_IT: Final = (
    "ends our connection at once; perhaps one side has keys and the other has none, or other ones"
)


class Courier:
    """Brings messages to a daemon, keeps them until they are durable.

    Parameters
    ----------
    endpoint
        The daemon's `ingest.router`.
    producer
        Who numbers the rows.
    spool
        Where messages are kept; None: in memory.
    spool_bytes
        Most bytes in the spool; beyond, `send` waits.
    timeout_s
        How long to wait for the daemon; None: for ever.
    keys
        What to speak with; None: plain text.

    """

    def __init__(
        self,
        endpoint: str,
        producer: str,
        spool: Spool | None,
        spool_bytes: int,
        timeout_s: float | None,
        keys: ClientKeys | None = None,
    ) -> None:
        self._endpoint, self._producer, self._timeout_s = endpoint, producer, timeout_s
        self._spool, self._spool_bytes = spool, spool_bytes
        self._keys, self._refused, self._absent = keys, "", _NOT_THERE
        self._boxes: dict[str, Outbox] = {}
        self._numbers = itertools.count(1)
        self._settled: dict[str, int] = {}
        self._settled_count = 0
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: Any = None
        self._there = self._gone = False
        self._retry_s = _RETRY_S
        self._heard_s, self._silence_s = time.monotonic(), _SILENCE_S
        self._pumped_s = 0.0
        try:
            self._connect()
        except zmq.ZMQError as error:
            self.release()
            why = zmq.strerror(error.errno or 0)
            text = f"expected tcp://HOST:PORT, got {endpoint!r}: {why}"
            raise ArgumentError("endpoint", text) from None
        for stream, parcel in spool.parcels() if spool else ():
            self.box(stream).add(parcel)

    def box(self, stream: str) -> Outbox:
        """The outbox of a stream; says hello for it where it is new."""
        if (box := self._boxes.get(stream)) is None:
            box = Outbox(stream, self._producer, lambda number: self._forget(stream, number))
            self._boxes[stream] = box
            if self._there:
                self._hello(box, anew=True)
        return box

    @property
    def rejected(self) -> int:
        """Rows that the daemon will never learn."""
        return sum(box.rejected for box in self._boxes.values())

    @property
    def lost(self) -> int:
        """Rows that the daemon asked for and that were gone here."""
        return sum(box.lost for box in self._boxes.values())

    @property
    def kept_rows(self) -> int:
        """Rows that are kept, as nobody told that they are durable or settled."""
        return sum(parcel.rows for box in self._boxes.values() for parcel in box.parcels)

    @property
    def silence(self) -> str:
        """Why an answer may stay out, as far as is known here."""
        for box in self._boxes.values():
            if box.refused:
                return str(box.refusal())
        return self._why("acknowledges no more")

    def position(self, stream: str) -> int:
        """The number of a stream's next row: the spool knows it, else the daemon is asked."""
        known = self._spool.next_seqs().get(stream, -1) if self._spool else -1
        box = self.box(stream)
        if known < 0:
            self._until(lambda: box.next_seq >= 0, box)
        return max(known, box.next_seq)

    def send(self, message: Message) -> None:
        """Keep a message and bring it on its way.

        Without a spool it returns when credit allowed it to be sent, with one when it is on disk.

        Raises
        ------
        NoAnswerError
            That took longer than `timeout_s`; the message is not kept.
        RejectedError
            The daemon takes nothing of this stream.

        """
        box = self.box(message.stream)
        rows = message.n if isinstance(message, Sample) else 0
        frames = tuple(encode(message))
        size = sum(map(len, frames))
        if self._spool:
            self._until(lambda: self._kept_bytes() + size <= self._spool_bytes, box)
            number = self._spool.add(message.stream, self._seq(message), rows, frames)
            box.add(Parcel(number, self._seq(message), rows, size, ()))
            self.pump(0.0)
            return
        parcel = Parcel(next(self._numbers), self._seq(message), rows, size, frames)
        box.add(parcel)
        self._send_due()
        if not box.unsent and time.monotonic() - self._pumped_s < _PUMP_S:
            return
        try:
            self._until(lambda: not box.unsent, box)
        except NoAnswerError:
            if box.take_back(parcel):
                raise

    def _seq(self, message: Message) -> int:
        return message.seq if isinstance(message, Sample) else self._after(message)

    def _after(self, message: Message) -> int:
        """The row that comes after all of a stream's that were sent."""
        sent = [p for p in self.box(message.stream).parcels if p.rows]
        return sent[-1].seq + sent[-1].rows if sent else max(0, self.box(message.stream).next_seq)

    def _kept_bytes(self) -> int:
        return sum(box.kept_bytes for box in self._boxes.values())

    def flush(self, timeout_s: float | None) -> bool:
        """Wait until all is durable or settled; False where the time ran out."""
        try:
            self._until(lambda: not any(b.parcels for b in self._boxes.values()), None, timeout_s)
        except NoAnswerError:
            return False
        finally:
            self._forget_now()
        return True

    def _until(
        self, done: Callable[[], bool], box: Outbox | None, timeout_s: float | None = -1.0
    ) -> None:
        """Work until something holds; raises `NoAnswerError` where the time ran out."""
        timeout_s = self._timeout_s if timeout_s == -1.0 else timeout_s
        began = time.monotonic()
        self.pump(0.0)
        while not done():
            if self._refused and self._spool is None:
                raise NoAnswerError(self._refused)
            if box is not None and box.refused:
                raise box.refusal()
            left = _LOOK_S
            if timeout_s is not None:
                left = min(left, began + timeout_s - time.monotonic())
                if left <= 0:
                    raise NoAnswerError(self._silent(timeout_s))
            self.pump(left)

    def _silent(self, timeout_s: float) -> str:
        return self._why("gave no more credit", f"within {timeout_s:g} s ")

    def _why(self, stopped: str, when: str = "") -> str:
        """Why nothing goes on: refused, not there, or there and this has stopped."""
        what = f"{stopped}; is it paused, or full?" if self._there else self._absent
        return self._refused or f"{self._endpoint}: {when}the daemon {what}"

    # The socket.

    def pump(self, wait_s: float) -> None:
        """Send what is due and hear what was answered, waiting at most so long for something."""
        self._send_due()
        self._pumped_s = time.monotonic()
        socket, monitor = self._socket, self._monitor
        assert socket is not None
        wait_ms = max(0, round(wait_s * 1000))
        for one, _ in zmq.zmq_poll([(socket, zmq.POLLIN), (monitor, zmq.POLLIN)], wait_ms):
            if one is socket:
                self._hear()
            else:
                self._look()
        self._send_due()
        now = time.monotonic()
        if self._gone:
            if now - self._heard_s > self._retry_s:
                self._retry_s = min(_MOST_RETRY_S, 2 * self._retry_s)
                self._connect()
        elif (
            any(box.waits for box in self._boxes.values()) and now - self._heard_s > self._silence_s
        ):
            self._silence_s = min(_MOST_SILENCE_S, 2 * self._silence_s)
            self._connect()

    def _connect(self) -> None:
        """Begin anew with a socket that holds nothing of the old connection.

        A socket is one connection: what it would send after one that it made by itself could come
        before the hello, and before what was lost.
        """
        self._close_socket()
        socket = self._context.socket(zmq.DEALER)
        socket.linger = 0
        socket.sndhwm = socket.rcvhwm = 0  # credit is the bound
        socket.reconnect_ivl = -1
        socket.tcp_keepalive = 1
        socket.tcp_keepalive_idle = 30
        if self._keys is not None:
            self._keys.arm(socket)
        ends = zmq.Event.DISCONNECTED | zmq.Event.CLOSED
        events = zmq.Event.HANDSHAKE_SUCCEEDED | REFUSALS | ends
        self._socket, self._monitor = socket, socket.get_monitor_socket(events)
        self._there = self._gone = False
        self._heard_s = time.monotonic()
        for box in self._boxes.values():
            box.welcomed = False
        socket.connect(self._endpoint)

    def _look(self) -> None:
        """See whether the connection came or went."""
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            if event != zmq.Event.HANDSHAKE_SUCCEEDED:
                # A refusal is followed by the end of the connection, which says nothing of it.
                self._refused = refusal(event, self._endpoint) or self._refused
                # It may end the connection before we have read why.
                early = event == zmq.Event.DISCONNECTED and not self._there
                self._absent = _ENDS_IT if early else _NOT_THERE
                self._there, self._gone, self._heard_s = False, True, time.monotonic()
                return
            self._there, self._retry_s, self._refused = True, _RETRY_S, ""
            for box in self._boxes.values():
                self._hello(box, anew=True)

    def _hello(self, box: Outbox, *, anew: bool = False) -> None:
        self._heard_s = time.monotonic()
        self._put(encode_hello(box.hello(anew=anew)))

    def _put(self, frames: Sequence[bytes]) -> bool:
        """Hand a message to the socket; False where its connection is gone."""
        assert self._socket is not None
        try:
            for frame in frames[:-1]:
                self._socket.send(frame, _MORE)
            self._socket.send(frames[-1], _LAST)
        except zmq.Again:
            self._there = False
        return self._there

    def _hear(self) -> None:
        assert self._socket is not None
        while self._socket.poll(0):
            frames = self._socket.recv_multipart()
            answer = decode_answer(frames[0]) if len(frames) == 1 else None
            box = self._boxes.get(answer.stream) if answer else None
            if answer is None or box is None:
                continue
            self._heard_s, self._silence_s = time.monotonic(), _SILENCE_S
            if box.heard(answer):
                self._hello(box)
        self._forget_some()

    def _send_due(self) -> None:
        if not self._there or self._socket is None:
            return
        for box in self._boxes.values():
            if box.unsent and not box.in_flight:
                self._heard_s = time.monotonic()  # the wait for an answer begins now
            while (parcel := box.due()) is not None:
                frames = parcel.frames
                if not frames and self._spool:
                    frames = self._spool.frames(parcel.number)
                if not self._put(frames):
                    return
                box.sent()
            if box.wants_sync:
                self._hello(box)

    # The spool.

    def _forget(self, stream: str, number: int) -> None:
        self._settled[stream] = number
        self._settled_count += 1

    def _forget_some(self) -> None:
        """Take what is settled out of the spool, now and then: it may stay a little longer."""
        if self._settled_count >= _BATCH_FORGET:
            self._forget_now()

    def _forget_now(self) -> None:
        if self._spool:
            for stream, number in self._settled.items():
                self._spool.forget(stream, number)
        self._settled.clear()
        self._settled_count = 0

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
            self._socket.close(linger=0)
            self._socket = None

    def close(self) -> None:
        """Wait until all is durable, at most `timeout_s`, and let go.

        Raises `NoAnswerError` where some is not, and no spool keeps it.
        """
        done = self._context.closed or self.flush(self._timeout_s)
        left = self.kept_rows
        self.release()
        if not done and self._spool is None:
            raise NoAnswerError(f"{self._silent(self._timeout_s or 0.0)}; {left} rows may be lost")

    def release(self) -> None:
        """Let go of socket and spool; again is harmless."""
        if not self._context.closed:
            self._close_socket()
            self._context.term()
        if self._spool:
            self._spool.close()
