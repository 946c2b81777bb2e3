"""Publishing: one XPUB socket that knows who listens, so that nothing is made for nobody.

A subscriber that reads too slowly loses messages; the others do not, the loss is counted, and the
gap in `pub_seq` shows it to the one who lost them.
"""

import time
from collections import Counter
from contextlib import suppress
from typing import Any, Final, Protocol, TypeAlias

import zmq

from streamlearn.errors import StartError
from streamlearn.options import PublishOptions
from streamlearn.part import F32, I32
from streamlearn.wire.endpoint import bind
from streamlearn.wire.gate import OPEN, Gate
from streamlearn.wire.published import (
    Embedding,
    Event,
    Metrics,
    Prediction,
    Published,
    Surprise,
    encode_published,
)

Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"
Socket: TypeAlias = "zmq.Socket[bytes]"

# The longest topic has 139 bytes; libzmq spends some 100 bytes on each byte of a subscription.
_MAX_TOPIC_BYTES: Final = 256
# A handshake's longest command has 257 bytes and what the client's library says of itself.
_MAX_FRAME_WITH_KEYS_BYTES: Final = 512
_MAX_SUBSCRIPTIONS: Final = 4096
_MAX_TOPICS: Final = 4096


class Header(Protocol):
    """What stands before the rows of a message."""

    stream: str
    seq: int
    t: float
    step: int


class Publisher:
    """Sends what the daemon has to say. For one thread, `open` and `close` aside.

    Parameters
    ----------
    context
        Makes the socket.
    options
        `[publish]`: the address, "" for none, and the length of a subscriber's queue.
    gate
        Who may subscribe.

    Attributes
    ----------
    published
        Messages sent, by kind: prediction, embedding, metrics, event.
    dropped
        How often a subscriber's queue ran full, by kind. Until it has room again it loses every
        message; libzmq does not tell how many, the gap in `pub_seq` does.
    endpoint
        After `open`: the address as bound, with the real port; "" where there is none.
    step
        Rows learned so far, for the headers of metrics and events; its user keeps it.

    """

    def __init__(self, context: Context, options: PublishOptions, gate: Gate = OPEN) -> None:
        kinds = [message.kind for message in (Prediction, Embedding, Surprise, Metrics, Event)]
        self.published = dict.fromkeys(kinds, 0)
        self.dropped = dict.fromkeys(kinds, 0)
        self.endpoint = ""
        self.step = 0
        self._context, self._options, self._gate = context, options, gate
        self._socket: Socket | None = None
        self._subscriptions: dict[str, str] = {}
        """Topic → User-Id of who asked for it last; "" where nobody knows."""
        self._flooders: set[str] = set()
        """User-Ids whose connections are about to end."""
        self._wanted: dict[str, bool] = {}
        self._pub_seq: dict[str, int] = {}

    def open(self) -> None:
        """Bind the socket; raises `StartError`, naming key, address and way out."""
        if not self._options.bind:
            return
        self._socket = self._make(self._options.bind)

    def _make(self, address: str) -> Socket:
        socket = self._context.socket(zmq.XPUB)
        socket.linger = 0
        socket.sndhwm = self._options.queue_messages
        socket.maxmsgsize = _MAX_FRAME_WITH_KEYS_BYTES if self._gate.allowed else _MAX_TOPIC_BYTES
        socket.setsockopt(zmq.XPUB_NODROP, 1)
        # Each subscription comes up, also one that another has already: it tells whose it is.
        socket.setsockopt(zmq.XPUB_VERBOSE, int(self._gate.allowed is not None))
        self._gate.guard(socket, "subscriber")
        try:
            self.endpoint = bind(socket, "publish.bind", address)
        except StartError:
            socket.close(linger=0)
            raise
        return socket

    def listen(self) -> None:
        """Take in who subscribed and who left; once a block is enough."""
        if self._socket is None:
            self._come_back()
        came = Counter[str]()
        while self._socket is not None and self._socket.poll(0):
            frame = self._socket.recv(copy=False)
            user = self._gate.user(frame)  # its connection is known from now on
            if not self._note(frame.bytes, user):
                continue
            came[user] += 1
            if came[user] > _MAX_SUBSCRIPTIONS or len(frame) > _MAX_TOPIC_BYTES:
                self._shake_off(user)
                return
            if max(came.total(), len(self._subscriptions)) > 2 * _MAX_SUBSCRIPTIONS:
                self._drop_all()
        if len(self._subscriptions) > _MAX_SUBSCRIPTIONS:
            self._shake_off_most()

    def _note(self, words: bytes, user: str) -> bool:
        """Take in who subscribed to what, or that nobody is left; whether one subscribed."""
        topic, subscribes = words[1:].decode("ascii", "replace"), words[:1] == b"\x01"
        if subscribes:
            self._subscriptions[topic] = user
        elif words[:1] == b"\x00":
            self._subscriptions.pop(topic, None)
        self._wanted.clear()
        return subscribes

    def _shake_off_most(self) -> None:
        """End the connection that asked for most, where those that are ending leave too many."""
        asked = Counter(self._subscriptions.values())
        self._flooders &= asked.keys()
        if asked.total() - sum(asked[user] for user in self._flooders) > _MAX_SUBSCRIPTIONS:
            self._shake_off(max(asked.keys() - self._flooders, key=asked.__getitem__))

    def _shake_off(self, user: str) -> None:
        """End a flooder's connection; where nobody knows whose it is, everybody's."""
        if not user:
            self._drop_all()
        elif user not in self._flooders:
            self._flooders.add(user)
            self._gate.end(user)

    def _drop_all(self) -> None:
        """End every connection. The honest come back."""
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None
        self._subscriptions.clear()
        self._flooders.clear()
        self._wanted.clear()

    def _come_back(self) -> None:
        """Bind again after `_drop_all`; the old socket may hold the address a moment longer."""
        if self.endpoint:
            with suppress(StartError):
                self._socket = self._make(self.endpoint)

    def wanted(self, topic: str) -> bool:
        """Whether anyone listens to topics that begin like this, or to all that it begins with."""
        known = self._wanted.get(topic)
        if known is None:
            if len(self._wanted) >= _MAX_TOPICS:
                self._wanted.clear()
            known = any(s.startswith(topic) or topic.startswith(s) for s in self._subscriptions)
            self._wanted[topic] = known
        return known

    def prediction(self, head: Header, y_pred: I32, y: I32, scores: F32) -> None:
        """Publish classes [n] and scores [n, K] predicted before the rows were learned."""
        topic = f"prediction/{head.stream}"
        if self.wanted(topic):
            rows: dict[str, Any] = {"y_pred": y_pred, "y": y, "scores": scores}
            self._send(Prediction(**rows, **_head(head), pub_seq=self._next(topic)))

    def embedding(self, head: Header, layer: str, values: F32) -> None:
        """Publish activities [n, H] of a layer, or of "all"."""
        topic = f"embedding/{head.stream}"
        if self.wanted(topic):
            rows: dict[str, Any] = {"layer": layer, "x": values}
            self._send(Embedding(**rows, **_head(head), pub_seq=self._next(topic)))

    def surprise(self, head: Header, layers: list[str], values: F32) -> None:
        """Publish how unexpected rows were [n, L] to layers that tell what comes next."""
        topic = f"surprise/{head.stream}"
        if self.wanted(topic):
            rows: dict[str, Any] = {"layers": layers, "x": values}
            self._send(Surprise(**rows, **_head(head), pub_seq=self._next(topic)))

    def metrics(self, figures: dict[str, Any]) -> None:
        """Publish all figures, by their names on the metrics page."""
        if self.wanted("metrics"):
            self._send(Metrics(figures=figures, **self._now("metrics")))

    def event(self, event: dict[str, Any]) -> None:
        """Publish that something happened: `name` says what, the other keys more of it."""
        if self.wanted("event"):
            data = dict(event)
            self._send(Event(name=data.pop("name"), data=data, **self._now("event")))

    def _now(self, topic: str) -> dict[str, Any]:
        return {"t": time.time(), "step": self.step, "pub_seq": self._next(topic)}

    def _next(self, topic: str) -> int:
        """The next `pub_seq` of a topic; of too many topics the oldest begins anew."""
        number = self._pub_seq.get(topic, 0)
        if number == 0 and len(self._pub_seq) >= _MAX_TOPICS:
            del self._pub_seq[next(iter(self._pub_seq))]
        self._pub_seq[topic] = number + 1
        return number

    def _send(self, message: Published) -> None:
        socket, frames = self._socket, encode_published(message)
        if socket is None:
            return
        try:
            socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            # Without NODROP the full queues are passed over, and the others get it.
            self.dropped[message.kind] += 1
            socket.setsockopt(zmq.XPUB_NODROP, 0)
            socket.send_multipart(frames, zmq.NOBLOCK)
            socket.setsockopt(zmq.XPUB_NODROP, 1)
        self.published[message.kind] += 1

    def close(self, linger_s: float = 0.5) -> None:
        """Close the socket; what was just sent has a moment to leave. Closing twice is fine."""
        self.endpoint = ""
        if self._socket is not None:
            self._socket.close(linger=round(linger_s * 1000))
            self._socket = None


def _head(head: Header) -> dict[str, Any]:
    return {"stream": head.stream, "seq": head.seq, "t": head.t, "step": head.step}
