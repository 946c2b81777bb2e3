"""The door of ingest: whether a client may send a message, to this stream, at this rate.

The gate lets a connection in once; the door asks again for every message, so that a client that was
revoked, or that writes into another's stream, is refused from the next message on.
"""

import time
from typing import Final

import zmq

from streamlearn.errors import RejectedError
from streamlearn.wire.allowed import Client
from streamlearn.wire.gate import Gate

BURST_S: Final = 1.0
"""Rows of so many seconds may come at once."""


class Door:
    """For the ingest thread alone.

    Parameters
    ----------
    gate
        Knows who is allowed now.

    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._client: Client | None = None
        self._buckets: dict[str, tuple[float, float]] = {}
        """Key → rows that it may send now, as of when."""
        self._streams: dict[str, set[tuple[str, str]]] = {}
        """Key → its (stream, producer)s since the start, where their number is bounded."""

    def see(self, frame: zmq.Frame) -> None:
        """Look who sent a message; before it is checked."""
        self._client = self._gate.client(frame)

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

    def affords(self, rows: int) -> bool:
        """Whether the sender may send so many rows now; takes them off what it has left."""
        client = self._client
        if client is None or not client.max_rows_per_s:
            return True
        now_s, most = time.monotonic(), client.max_rows_per_s * BURST_S
        left, then_s = self._buckets.get(client.key, (most, now_s))
        left = min(most, left + (now_s - then_s) * client.max_rows_per_s)
        # A message larger than the whole burst goes through when the bucket is full, in debt.
        enough = left >= min(rows, most)
        self._buckets[client.key] = (left - rows if enough else left, now_s)
        return enough
