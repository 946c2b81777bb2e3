"""What a producer or a subscriber imports: rows in, results out. Never imports the compiler.

::

    with Producer("tcp://127.0.0.1:5555", stream="cam0") as producer:
        producer.send(row, y=3)

    with Subscriber("tcp://127.0.0.1:5556", topics=("prediction/cam0",)) as subscriber:
        for message in subscriber:
            print(message.seq, message.y_pred)
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Literal, Self

import numpy as np
import zmq
from numpy.typing import ArrayLike, NDArray

from streamlearn.errors import NoAnswerError, RejectedError, UsageError
from streamlearn.wire.message import (
    DTYPES,
    MAX_PRODUCER_BYTES,
    Heartbeat,
    Label,
    Message,
    Sample,
    encode,
    stream_name,
)
from streamlearn.wire.published import Published, decode_published

__all__ = ["Producer", "Subscriber"]

# A pusher waits when its queue is full; a publisher drops, so it gets room for a burst.
_MORE: Final = int(zmq.SNDMORE)
"""A plain number: joining zmq's own flags costs as much as sending a frame."""
_QUEUE_MESSAGES: Final = {"push": 64, "pub": 1000}


class Producer:
    """Sends rows of one stream. For one thread.

    Parameters
    ----------
    endpoint
        Where the daemon listens: `ingest.pull` for kind "push", `ingest.sub` for kind "pub".
    stream
        The stream's name: 1 to 128 of `A-Z a-z 0-9 . _ / -`.
    producer
        Who numbers the rows, at most 64 bytes; leave it out while a stream has one producer.
    bind
        Listen at `endpoint` and let the daemon connect, instead of connecting to it.
    kind
        "push": nothing is dropped while both run, a slow daemon makes `send` wait. "pub": the
        newest rows win, `send` waits only until the daemon is there, which counts what it missed.
    timeout_s
        How long to wait for the daemon: at the start, when it takes no more rows, and on closing
        for what was sent to leave. None: for ever.
    shape
        Shape of one row; left out, the first `send`, of one row then, or `send_rows` fixes it.

    Attributes
    ----------
    seq
        Number of the next row. Set it before the first row to go on counting after a restart.

    """

    def __init__(
        self,
        endpoint: str,
        stream: str = "default",
        producer: str | None = None,
        *,
        bind: bool = False,
        kind: Literal["push", "pub"] = "push",
        timeout_s: float | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        self._stream = _checked_stream(stream)
        self._producer = _checked_producer(producer or "")
        self._endpoint, self._timeout_s, self._shape = endpoint, timeout_s, shape
        self.seq = 0
        self._seqs: dict[str, int] = {}
        self._there = False
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        # XPUB is PUB that can see whether anyone subscribed, so that the first rows are not lost.
        self._socket = self._context.socket(zmq.PUSH if kind == "push" else zmq.XPUB)
        self._socket.sndhwm = _QUEUE_MESSAGES[kind]
        self._socket.sndtimeo = _milliseconds(timeout_s)
        self._publishes = kind == "pub"
        self._monitor = None
        if kind == "push":
            self._monitor = self._socket.get_monitor_socket(zmq.Event.HANDSHAKE_SUCCEEDED)
        self._open(self._socket.bind if bind else self._socket.connect)

    def _open(self, attach: Callable[[str], Any]) -> None:
        try:
            attach(self._endpoint)
        except zmq.ZMQError as error:
            self._release(0.0)
            text = f"endpoint {self._endpoint!r}: {zmq.strerror(error.errno or 0)}; give tcp://HOST:PORT"
            raise UsageError(text) from None

    def switch(self, stream: str) -> None:
        """Go on as another stream through the same socket; each counts its own rows from 0."""
        self._seqs[self._stream] = self.seq
        self._stream = _checked_stream(stream)
        self.seq = self._seqs.get(stream, 0)

    def send(
        self,
        x: ArrayLike,
        y: int | Sequence[int] | NDArray[Any] | None = None,
        t: float | None = None,
    ) -> int:
        """Send one row, or several as one message.

        Parameters
        ----------
        x
            A row of the stream's shape, or [n, *shape] rows. The eight types of the wire go out as
            they are, other numbers as `<f8`. Numbers must be finite as float32.
        y
            Class, or [n] classes; -1 or None where not known.
        t
            Seconds since 1970 when the first row was measured.

        Returns
        -------
        int
            The first row's number, for `label`.

        Raises
        ------
        UsageError
            The shape, type or labels do not fit.
        NoAnswerError
            The daemon took no row within `timeout_s`; the rows were not sent.

        """
        rows = _wire_array(x)
        if self._shape is None:
            self._shape = _only_row(rows, y)
        if rows.shape == self._shape:
            rows = rows[np.newaxis]
        elif rows.shape[1:] != self._shape or not len(rows):
            wanted = f"{self._shape} for a row or (n, {str(self._shape)[1:]} for n rows"
            raise UsageError(f"x: expected shape {wanted}, got {rows.shape}")
        n, first = len(rows), self.seq
        when = math.nan if t is None else t
        labels = None if y is None else _labels(y, n)
        self._send(Sample(self._stream, self._producer, first, n, when, rows, labels))
        self.seq += n
        return first

    def send_rows(
        self, X: ArrayLike, y: ArrayLike | None = None, rows_per_message: int = 64
    ) -> int:
        """Send a whole array [n, *shape], `rows_per_message` at a time; raises like `send`."""
        rows, first = _wire_array(X), self.seq
        labels = None if y is None else _labels(y, len(rows))
        if self._shape is None:
            self._shape = rows.shape[1:]
        for i in range(0, len(rows), rows_per_message):
            part = slice(i, i + rows_per_message)
            self.send(rows[part], None if labels is None else labels[part])
        return first

    def label(self, seq: int, y: int | Sequence[int] | NDArray[Any]) -> None:
        """Send the class of a row sent before, or of consecutive rows from `seq` on."""
        labels = _labels(y, np.size(y))
        self._send(Label(self._stream, self._producer, seq, labels))

    def heartbeat(self) -> None:
        """Say that the producer lives though it has no row to send."""
        self._send(Heartbeat(self._stream, self._producer, self.seq))

    def _send(self, message: Message) -> None:
        if not self._there:
            self._wait_for_daemon()
        try:
            *frames, last = encode(message)
            for frame in frames:
                self._socket.send(frame, _MORE)
            self._socket.send(last)
        except zmq.Again:
            raise self._no_answer("took no more rows; is it paused, or too slow?") from None
        if self._publishes:
            self._forget_subscriptions()

    def _wait_for_daemon(self) -> None:
        """Rows sent to nobody would seem sent, so wait until someone is there."""
        sign = self._monitor or self._socket
        if not sign.poll(_milliseconds(self._timeout_s)):
            raise self._no_answer("is not there; does it run, and listen here?")
        self._there = True
        if self._monitor is None:
            self._forget_subscriptions()
        else:
            self._stop_monitor()

    def _forget_subscriptions(self) -> None:
        while self._socket.poll(0):
            self._socket.recv()

    def _stop_monitor(self) -> None:
        if self._monitor is not None:
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
            self._monitor = None

    def _no_answer(self, what: str) -> NoAnswerError:
        return NoAnswerError(f"{self._endpoint}: within {self._timeout_s} s the daemon {what}")

    def close(self) -> None:
        """Wait until what was sent has left, at most `timeout_s`, and let go of the socket.

        Raises
        ------
        NoAnswerError
            Some of it did not leave.

        """
        if self._socket.closed:
            return
        start = time.monotonic()
        self._release(self._timeout_s)
        if self._timeout_s is not None and time.monotonic() - start >= self._timeout_s:
            raise self._no_answer("did not take all rows; those that it did not take are lost")

    def _release(self, linger_s: float | None) -> None:
        self._stop_monitor()
        self._socket.close(linger=_milliseconds(linger_s))
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, NoAnswerError):
            self._release(0.0)
        else:
            self.close()


class Subscriber:
    """Iterates over what the daemon publishes, as typed messages. For one thread.

    Parameters
    ----------
    endpoint
        The daemon's `publish.bind`.
    topics
        Prefixes of the topics wanted, for example "prediction/cam0" or "metrics"; "" is all.
    timeout_s
        How long a message may be waited for; None: for ever.

    Attributes
    ----------
    missed
        Messages that the daemon published for these topics and that did not arrive.

    Raises
    ------
    NoAnswerError
        While iterating: nothing came within `timeout_s`. Iterating again goes on.

    """

    def __init__(
        self, endpoint: str, topics: Sequence[str] = ("",), timeout_s: float | None = None
    ) -> None:
        self._endpoint, self._timeout_s = endpoint, timeout_s
        self.missed = 0
        self._next: dict[str, int] = {}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.rcvtimeo = _milliseconds(timeout_s)
        for topic in (topics,) if isinstance(topics, str) else topics:
            self._socket.subscribe(topic)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            text = f"endpoint {endpoint!r}: {zmq.strerror(error.errno or 0)}; give tcp://HOST:PORT"
            raise UsageError(text) from None

    def __iter__(self) -> Iterator[Published]:
        return self

    def __next__(self) -> Published:
        while True:
            message = self._receive()
            if message is not None:
                self._count(message)
                return message

    def _receive(self) -> Published | None:
        try:
            return decode_published(self._socket.recv_multipart())
        except zmq.Again:
            text = f"{self._endpoint}: nothing was published within {self._timeout_s} s"
            raise NoAnswerError(f"{text}; does the daemon run, and do rows come in?") from None
        except RejectedError:
            return None  # another program publishes here, or a later version: not for us

    def _count(self, message: Published) -> None:
        # A number lower than the one awaited means that the daemon began anew: nothing is missed.
        awaited = self._next.get(message.topic, message.pub_seq)
        self.missed += max(0, message.pub_seq - awaited)
        self._next[message.topic] = message.pub_seq + 1

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close(linger=0)
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _milliseconds(seconds: float | None) -> int:
    return -1 if seconds is None else round(seconds * 1000)


def _checked_stream(stream: str) -> str:
    try:
        return stream_name(stream.encode())
    except RejectedError:
        text = f"stream: expected 1 to 128 of A-Z a-z 0-9 . _ / -, got {stream!r}"
        raise UsageError(text) from None


def _checked_producer(producer: str) -> str:
    size = len(producer.encode())
    if size > MAX_PRODUCER_BYTES:
        raise UsageError(f"producer: expected at most {MAX_PRODUCER_BYTES} bytes, got {size}")
    return producer


def _wire_array(x: ArrayLike) -> NDArray[Any]:
    """The rows in a type that the wire has: their own, or `<f8`, which holds what we learn from."""
    array = np.asarray(x)
    if array.dtype.str in DTYPES:
        return array
    if array.dtype.kind not in "biuf":
        raise UsageError(f"x: expected numbers, got {array.dtype}")
    near = array.dtype.newbyteorder("<").str
    return array.astype("|u1" if array.dtype.kind == "b" else near if near in DTYPES else "<f8")


def _only_row(rows: NDArray[Any], y: Any) -> tuple[int, ...]:
    """The shape of a row that is the first; labels for several say that it is not one."""
    if np.size(y) > 1:
        raise UsageError(
            f"x: expected one row, as Producer was given no shape, got shape {rows.shape} with "
            f"{np.size(y)} labels; send them with send_rows, or give shape={rows.shape[1:]}"
        )
    return rows.shape


def _labels(y: ArrayLike, n: int) -> NDArray[np.int32]:
    if type(y) is int and n == 1 and -1 <= y < 1 << 31:
        return np.array([y], np.int32)
    labels = np.asarray(y)
    if labels.dtype.kind not in "iu":
        raise UsageError(f"y: expected whole numbers, got {labels.dtype}")
    if labels.size != n or labels.ndim > 1:
        raise UsageError(f"y: expected {n} labels, got shape {labels.shape}")
    if labels.size and (labels.min() < -1 or labels.max() > np.iinfo(np.int32).max):
        raise UsageError(f"y: expected -1 or a class, got {labels.min()}…{labels.max()}")
    return labels.reshape(n).astype(np.int32)
