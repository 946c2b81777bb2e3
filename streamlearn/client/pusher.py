"""The plain side of a producer: one PUSH or PUB socket; what is sent is gone."""

import time
from collections.abc import Callable
from typing import Any, Final, Literal

import zmq

from streamlearn.errors import ArgumentError, NoAnswerError
from streamlearn.wire.handshake import Handshake
from streamlearn.wire.keys import ClientKeys
from streamlearn.wire.message import Message, encode

# A pusher waits when its queue is full; a publisher drops, so it gets room for a burst.
_MORE: Final = int(zmq.SNDMORE)
"""A plain number: joining zmq's own flags costs as much as sending a frame."""
_QUEUE_MESSAGES: Final = {"push": 64, "pub": 1000}


class Pusher:
    """Sends messages and keeps none.

    Parameters
    ----------
    endpoint
        Where the daemon listens, or connects to.
    kind
        "push" or "pub".
    bind
        Listen instead of connecting.
    timeout_s
        How long to wait for the daemon; None: for ever.
    keys
        What to speak with; None: plain text.

    """

    def __init__(
        self,
        endpoint: str,
        kind: Literal["push", "pub"],
        timeout_s: float | None,
        *,
        bind: bool,
        keys: ClientKeys | None = None,
    ) -> None:
        self._endpoint, self._timeout_s = endpoint, timeout_s
        self._there = False
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        # XPUB is PUB that can see whether anyone subscribed, so that the first rows are not lost.
        self._socket = self._context.socket(zmq.PUSH if kind == "push" else zmq.XPUB)
        self._socket.sndhwm = _QUEUE_MESSAGES[kind]
        self._socket.sndtimeo = milliseconds(timeout_s)
        self._publishes = kind == "pub"
        if keys is not None:
            keys.arm(self._socket)
        self._handshake = Handshake(self._socket, endpoint) if kind == "push" else None
        self._open(self._socket.bind if bind else self._socket.connect)

    def _open(self, attach: Callable[[str], Any]) -> None:
        try:
            attach(self._endpoint)
        except zmq.ZMQError as error:
            self.release()
            why = zmq.strerror(error.errno or 0)
            text = f"expected tcp://HOST:PORT, got {self._endpoint!r}: {why}"
            raise ArgumentError("endpoint", text) from None

    def send(self, message: Message) -> None:
        """Send a message; raises `NoAnswerError` where the daemon takes none in time."""
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
        wait = self._handshake.wait if self._handshake else self._socket.poll
        if not wait(milliseconds(self._timeout_s)):
            raise self._no_answer("is not there; does it run, and listen here?")
        self._there = True
        if self._publishes:
            self._forget_subscriptions()

    def _forget_subscriptions(self) -> None:
        while self._socket.poll(0):
            self._socket.recv()

    def _no_answer(self, what: str) -> NoAnswerError:
        return NoAnswerError(f"{self._endpoint}: within {self._timeout_s} s the daemon {what}")

    def close(self) -> None:
        """Wait until what was sent has left, and let go; `NoAnswerError` where some did not."""
        if self._socket.closed:
            return
        start = time.monotonic()
        self._let_go(self._timeout_s)
        if self._timeout_s is not None and time.monotonic() - start >= self._timeout_s:
            raise self._no_answer("did not take all rows; those that it did not take are lost")

    def release(self) -> None:
        """Let go at once; again is harmless."""
        if not self._socket.closed:
            self._let_go(0.0)

    def _let_go(self, linger_s: float | None) -> None:
        if self._handshake is not None:
            self._handshake.stop()
        self._socket.close(linger=milliseconds(linger_s))
        self._context.term()


def milliseconds(seconds: float | None) -> int:
    """The time as ZeroMQ wants it; -1 is for ever."""
    return -1 if seconds is None else round(seconds * 1000)
