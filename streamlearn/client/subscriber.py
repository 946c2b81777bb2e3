"""What hears a daemon's results."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import zmq

from streamlearn.client.pusher import milliseconds
from streamlearn.errors import ArgumentError, NoAnswerError, RejectedError
from streamlearn.wire.handshake import Handshake
from streamlearn.wire.keys import Keys, client_keys
from streamlearn.wire.published import Published, decode_published


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
    keys
        The folder of this client's keys, where the daemon has keys.

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
        self,
        endpoint: str,
        topics: Sequence[str] = ("",),
        timeout_s: float | None = None,
        *,
        keys: Keys | None = None,
    ) -> None:
        own = client_keys(keys)
        self._endpoint, self._timeout_s = endpoint, timeout_s
        self.missed = 0
        self._next: dict[str, int] = {}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.rcvtimeo = milliseconds(timeout_s)
        if own is not None:
            own.arm(self._socket)
        for topic in (topics,) if isinstance(topics, str) else topics:
            self._socket.subscribe(topic)
        self._handshake = Handshake(self._socket, endpoint)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            why = zmq.strerror(error.errno or 0)
            text = f"expected tcp://HOST:PORT, got {endpoint!r}: {why}"
            raise ArgumentError("endpoint", text) from None

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
            self._wait_to_be_let_in()
            return decode_published(self._socket.recv_multipart())
        except zmq.Again:
            text = f"{self._endpoint}: nothing was published within {self._timeout_s} s"
            raise NoAnswerError(f"{text}; does the daemon run, and do rows come in?") from None
        except RejectedError:
            return None  # another program publishes here, or a later version: not for us

    def _wait_to_be_let_in(self) -> None:
        if not self._handshake.over and not self._handshake.wait(milliseconds(self._timeout_s)):
            raise zmq.Again

    def _count(self, message: Published) -> None:
        # A number lower than the one awaited means that the daemon began anew: nothing is missed.
        awaited = self._next.get(message.topic, message.pub_seq)
        self.missed += max(0, message.pub_seq - awaited)
        self._next[message.topic] = message.pub_seq + 1

    def close(self) -> None:
        """Let go of the socket."""
        self._handshake.stop()
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
