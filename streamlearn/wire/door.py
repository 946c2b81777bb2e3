"""The door of ingest: whether a client may send a message, to this stream, at this rate.

The gate lets a connection in once; the door asks again for every message, so that a client that was
revoked, or that writes into another's stream, is refused from the next message on.
"""

import math
import time

import zmq

from streamlearn.errors import RejectedError
from streamlearn.wire.allowed import Client
from streamlearn.wire.gate import Gate
from streamlearn.wire.pace import BURST_S, Pace


class Door:
    """For the ingest thread alone.

    Parameters
    ----------
    gate
        Knows who is allowed now.
    row_bytes
        Of a row's payload.
    message_rows
        Most rows of a message.

    Attributes
    ----------
    key
        Who sent the message that stands before the door; "" where nobody knows.

    """

    def __init__(self, gate: Gate, row_bytes: int = 4, message_rows: int = 1) -> None:
        self.key = ""
        self._gate, self._row_bytes, self._message_rows = gate, row_bytes, message_rows
        self._allowed = gate.allowed
        self._client: Client | None = None
        self._paces: dict[str, Pace] = {}
        """By key, where there is a rate."""
        self._streams: dict[str, set[tuple[str, str]]] = {}
        """Key → its (stream, producer)s since the start, where their number is bounded."""

    def see(self, frame: zmq.Frame) -> None:
        """Look who sent a message; before it is checked."""
        self.key = self._gate.key(frame)
        self._client = self._gate.clients.get(self.key)

    def changed(self) -> bool:
        """Whether the list of clients is another one than at the last call."""
        before, self._allowed = self._allowed, self._gate.allowed
        return before is not self._allowed

    def may_speak(self, key: str, stream: str, producer: str) -> bool:
        """Whether a key still may send rows of a producer to a stream."""
        client = self._gate.clients.get(key)
        return client is not None and (
            "producer" in client.rights and client.may_send(stream) and client.may_speak(producer)
        )

    def admit(self, stream: bytes) -> None:
        """Refuse a message whose sender may not send it.

        Raises
        ------
        RejectedError
            Under `auth`: it was revoked, is no producer, or the stream is not its own.

        """
        client = self._client
        if client is None:
            raise RejectedError("auth", "the key that sent it is no longer allowed")
        if "producer" not in client.rights:
            raise RejectedError("auth", f"client {client.name} is no longer a producer")
        if client.streams and not client.may_send(stream.decode("ascii", "replace")):
            raise RejectedError("auth", f"client {client.name} may not send this stream")

    def hear(self, producer: str) -> None:
        """Refuse a message that is signed with another's name.

        Raises
        ------
        RejectedError
            Under `auth`: the sender may not speak for this producer.

        """
        client = self._client
        if client is not None and not client.may_speak(producer):
            text = f"client {client.name} may not speak for producer {producer!r}"
            raise RejectedError("auth", text)

    @property
    def answers(self) -> bool:
        """Whether the sender is worth an answer: a producer, whatever it wants besides."""
        return self._client is not None and "producer" in self._client.rights

    def count(self, stream: str, producer: str) -> None:
        """Refuse a stream too many; each (stream, producer) counts once.

        Raises
        ------
        RejectedError
            Under `stream`: the sender may not send to so many.

        """
        client = self._client
        if client is None or not client.max_streams:
            return
        known = self._streams.setdefault(client.key, set())
        if (stream, producer) not in known and len(known) >= client.max_streams:
            limit = f"max_streams = {client.max_streams}"
            raise RejectedError("stream", f"one more than client {client.name}'s {limit}")
        known.add((stream, producer))

    # Rates.

    def affords(self, rows: int) -> bool:
        """Whether the sender may send so many rows now; takes them off what it has left."""
        client = self._client
        if client is None or not client.max_rows_per_s:
            return True
        left, pace = self._left(client)
        # A message larger than the whole burst goes through when the bucket is full, in debt.
        enough = left >= min(rows, client.max_rows_per_s * BURST_S)
        if enough:
            pace.spend(rows)
        return enough

    def _left(self, client: Client) -> tuple[float, Pace]:
        """Rows that a client with a rate may send now, and its bucket."""
        now_s, rate_hz = time.monotonic(), client.max_rows_per_s
        pace = self._paces.get(client.key)
        if pace is None:
            pace = self._paces[client.key] = Pace(rate_hz, now_s, self._row_bytes)
        return pace.left(rate_hz, now_s), pace

    def spend(self, rows: int, size_bytes: int) -> None:
        """Take rows off what the sender has left, which may go into debt."""
        client = self._client
        if client is not None and client.max_rows_per_s:
            self._left(client)[1].spend(rows, size_bytes)

    def hold_back(self, sharing: int) -> None:
        """Refuse rows of a sender that goes on far beyond what its credit allows.

        Parameters
        ----------
        sharing
            How many senders share its rate: each may go beyond by a message.

        Raises
        ------
        RejectedError
            Under `auth`; nothing of them is taken, they can be sent again.

        """
        client = self._client
        if client is None or not client.max_rows_per_s:
            return
        most = client.max_rows_per_s * BURST_S + max(1, sharing) * self._message_rows
        if self._left(client)[0] < -most:
            limit = f"max_rows_per_s = {client.max_rows_per_s:g}"
            raise RejectedError("auth", f"client {client.name} sends on without credit: {limit}")

    def credit_bytes(self, key: str, sharing: int) -> float:
        """Bytes that its rate lets each of a client's senders have on their way."""
        client = self._gate.clients.get(key)
        if client is None:
            return 0
        if not client.max_rows_per_s:
            return math.inf
        return self._left(client)[1].credit_bytes(sharing)

    def due_s(self, key: str) -> float:
        """When a client that has no credit gets some, by the monotonic clock."""
        client = self._gate.clients.get(key)
        if client is None or not client.max_rows_per_s:
            return 0.0
        return self._left(client)[1].due_s(client.max_rows_per_s)
