"""The third socket of ingest, ROUTER: what is acknowledged is on the disk, and is learned once.

::

    read → judge → batch → one transaction → deliver in the journal's order → answer

While one batch is written, on the journal's thread, the next is read; all else happens on the
ingest thread. Rows are durable before they are acknowledged and before they are learned. While the
disk or the ring has no room nothing more is read, so senders wait.
"""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final

from streamlearn.errors import NoSpaceError, RejectedError
from streamlearn.failpoints import reach
from streamlearn.wire.acknowledged import (
    GAP,
    LAST_SEQ,
    Hello,
    Numbers,
    Place,
    ack,
    check_producer,
    decode_hello,
    judge,
    numbers,
    reject,
    welcome,
)
from streamlearn.wire.backlog import Backlog
from streamlearn.wire.batch import Answers, Batch, Entry, Keeps, Limits, Refused, without
from streamlearn.wire.credit import Credits
from streamlearn.wire.door import Door
from streamlearn.wire.message import Heartbeat, Label, Message, Sample, Schema, decode
from streamlearn.wire.source import Sink, Socket, Source, receive

_BURST_MESSAGES: Final = 64
_OUTSIDE: Final = ("stream", "auth")
"""Reasons for which a message has no place in which it could be settled."""
_AGAIN_S: Final = 0.2
"""How long to wait before the disk is asked again whether it has room."""


class Router(Source):
    """Messages that are acknowledged.

    Parameters
    ----------
    socket
        ROUTER.
    schema
        What rows must be.
    sink
        Where durable messages go.
    keeps
        Makes them durable.
    limits
        See `Limits`.
    wake
        Called, from any thread, when a batch was written and the ingest thread has to go on.

    """

    def __init__(
        self,
        socket: Socket,
        schema: Schema,
        sink: Sink,
        keeps: Keeps,
        limits: Limits,
        wake: Callable[[], None],
    ) -> None:
        super().__init__(socket, schema, sink)
        self._keeps, self._limits, self._wake = keeps, limits, wake
        self._batch = Batch()
        self._closed: tuple[Batch, Answers] | None = None
        """The batch that is written now, or waits for room on the disk."""
        self._writing: Future[None] | None = None
        self._again_s = 0.0
        self._backlog = Backlog(keeps)
        self._credits = Credits(keeps, limits.credit_bytes)

    def let_in(self, door: Door | None) -> None:
        """Ask of each message from now on whether its sender may; None: everybody may."""
        self.door = self._credits.door = door

    @property
    def waits(self) -> bool:
        """Whether anything durable waits for room."""
        return self.halfway or bool(self._backlog)

    @property
    def pending(self) -> bool:
        """Whether something was taken in and is not answered yet."""
        return self._closed is not None or self._batch.due_s != math.inf

    @property
    def due_s(self) -> float:
        """When to be called next though nothing comes, by the monotonic clock."""
        return min(self._commit_s, self._credits.due_s)

    @property
    def _commit_s(self) -> float:
        if self._writing is not None:
            return math.inf
        return max(self._next.due_s, self._again_s)

    @property
    def _next(self) -> Batch:
        """What is written next."""
        return self._closed[0] if self._closed else self._batch

    @property
    def credit_bytes(self) -> int:
        """What a client may have on its way now."""
        return self._credits.now

    def listens(self, *, paused: bool) -> bool:
        """Whether it would read what comes."""
        return not paused and self._takes()

    def turn(self, *, paused: bool) -> bool:
        """Read, write, deliver and answer what can be; whether it may have more to read."""
        if self.door is not None and self.door.changed():
            self._credits.part(self.door)
        self._written()
        self._learn(paused=paused)
        more = self._read() if not paused else False
        full = self._is_full() and self._writing is None and not self._again_s
        if full or time.monotonic() >= self._commit_s:
            self._commit()
            self._written()
            self._learn(paused=paused)
        self._tell_credit()
        return more and self._takes()

    def abandon(self) -> None:
        """Nothing to count: what is durable is learned at the next start, the rest sent again."""

    # Read and judge.

    def _takes(self) -> bool:
        return not (self.waits or self._is_full())

    def _is_full(self) -> bool:
        batch, limits = self._batch, self._limits
        return batch.size_bytes >= limits.commit_bytes or batch.counts >= limits.commit_rows

    def _read(self) -> bool:
        for _ in range(_BURST_MESSAGES):
            if not self._takes():
                return False
            if (frames := receive(self.socket, 5, self.door)) is None:
                return False
            self._take(frames[0], frames[1:])
        return True

    def _take(self, peer: bytes, frames: list[bytes]) -> None:
        if not self._admits(frames):
            self._turn_away(peer, frames)
            return
        try:
            if (hello := decode_hello(frames)) is not None:
                self._greet(peer, hello)
                return
            message = decode(frames, self._schema)
            check_producer(message.producer)
            place = self._greeted(peer, message.stream, message.producer)
            if place is None:
                return
            if isinstance(message, Sample):
                self._rows(place, message, frames)
            elif isinstance(message, Label):
                self._labels(place, message, frames)
            else:
                self._beat(place, message)
        except RejectedError as error:
            self._refuse(peer, frames, error)

    def _turn_away(self, peer: bytes, frames: list[bytes]) -> None:
        """Answer a producer's hello for another's stream; else nothing is settled or answered."""
        if self.door is not None and self.door.answers:
            with suppress(RejectedError):
                if (hello := decode_hello(frames)) is not None:
                    self._send(peer, reject(hello.stream, 0, 0, "auth"))

    def _place(self, peer: bytes, stream: str, producer: str) -> Place:
        """The place that a peer speaks for from now on; `RejectedError` where it may not."""
        place = self._keeps.places.get(stream, producer)
        if self.door is not None:
            self.door.hear(producer)
            self.door.count(stream, producer)
        self.sink.source(stream, producer)
        if place is None:
            place = self._keeps.places.make(stream, producer)
        self._credits.come(place, peer)
        return place

    def _greeted(self, peer: bytes, stream: str, producer: str) -> Place | None:
        """The place that a peer said hello for; None, and a welcome, where it did not."""
        known = self._keeps.places.get(stream, producer)
        if known is not None and self._credits.is_of(known, peer):
            return known
        place = self._place(peer, stream, producer)
        place.astray = False
        self._astray(place)
        return None

    def _greet(self, peer: bytes, hello: Hello) -> None:
        try:
            place = self._place(peer, hello.stream, hello.producer)
        except RejectedError as error:
            self._send(peer, reject(hello.stream, 0, 0, error.reason))
            raise
        self._keeps.places.greet(place, hello.first)
        self._batch.welcomes.append((place, hello.id))
        self._batch.due_s = min(self._batch.due_s, self._soon())

    def _soon(self) -> float:
        return time.monotonic() + self._limits.commit_s

    def _rows(self, place: Place, message: Sample, frames: list[bytes]) -> None:
        if message.seq + message.n - 1 > LAST_SEQ:
            raise RejectedError("seq", "the last row here is 2^64-2")
        self._hold_back(place)
        there = judge(place, message.seq, message.n)
        if there == GAP:
            self._astray(place)
        elif there < message.n:
            if there:
                message, frames = without(message, there, self._schema)
            self._settle(place, message.n, frames, message)

    def _hold_back(self, place: Place) -> None:
        """Refuse rows of who sends on without credit; they can be sent again."""
        try:
            self._credits.hold_back(place)
        except RejectedError:
            self._astray(place)
            raise

    def _settle(
        self, place: Place, rows: int, frames: Sequence[bytes], message: Message | None
    ) -> None:
        """Put a message into the batch; without one, rows that are settled and not learned."""
        place.next_seq += rows
        place.astray = False
        pair = (place.stream, place.producer)
        entry = Entry(message is not None, rows, frames, pair, place.next_seq)
        size_bytes = self._keeps.size_of(entry.frames)
        if self.door is not None and rows:
            self.door.spend(rows, size_bytes)
        self._batch.moved[id(place)] = place
        self._batch.add(entry, message, size_bytes, self._soon())

    def _labels(self, place: Place, message: Label, frames: list[bytes]) -> None:
        if message.seq + len(message.y) > place.next_seq:
            self._astray(place)
        elif not place.astray:
            self._settle(place, 0, frames, message)

    def _beat(self, place: Place, message: Heartbeat) -> None:
        if message.seq > place.next_seq:
            self._astray(place)
        else:
            self._batch.moved[id(place)] = place
            self._batch.due_s = min(self._batch.due_s, self._soon())

    def _astray(self, place: Place) -> None:
        """Rows before these are missing: say so once, ignore all until the right ones come."""
        if not place.astray:
            place.astray = True
            self._batch.welcomes.append((place, None))
            self._batch.due_s = min(self._batch.due_s, self._soon())

    def _refuse(self, peer: bytes, frames: list[bytes], error: RejectedError) -> None:
        """Count a message; where it says which rows it holds, they are settled and set aside."""
        self.sink.rejected(error, frames[0] if frames else b"")
        which = None if error.reason in _OUTSIDE else numbers(frames)
        if which is None:
            return
        with suppress(RejectedError):  # it has no place, and one reason is enough
            self._set_aside(peer, frames, error, which)

    def _set_aside(
        self, peer: bytes, frames: list[bytes], error: RejectedError, which: Numbers
    ) -> None:
        place = self._greeted(peer, which.stream, which.producer)
        if place is None:
            return
        self._hold_back(place)
        there = judge(place, which.seq, which.n)
        if there == GAP:
            self._astray(place)
        elif there < which.n:
            rest = which._replace(seq=which.seq + there, n=which.n - there)
            self._settle(place, rest.n, frames[:2], None)
            self._batch.refused.append(Refused(rest, error, frames))
            self._batch.rejects.append((place, rest, error.reason))

    # Write, answer, deliver.

    def _commit(self) -> None:
        """Begin to write; where there is no room the batch stays as it is, and is tried again."""
        batch = self._next
        if batch.due_s == math.inf or not self._has_room(batch):
            return
        if self._closed is None:
            self._closed, self._batch = (batch, batch.answers()), Batch()
        if batch.entries:
            entries = [entry for entry, _ in batch.entries]
            self._writing = self._keeps.append(entries, batch.refused)
            self._writing.add_done_callback(lambda _: self._wake())

    def _written(self) -> None:
        """Once the batch is durable, let it be learned and answer."""
        if self._closed is None or (self._writing is not None and not self._writing.done()):
            return
        batch, answers = self._closed
        try:
            if batch.entries:
                if self._writing is None:
                    return  # it waits for room
                self._writing.result()
        except NoSpaceError:
            self._stall()
            return
        finally:
            self._writing = None
        self._closed, self._again_s = None, 0.0
        self._credits.stopped = False
        self._backlog.extend(batch.entries)
        reach("router.before_ack")
        self._answer(answers)
        reach("router.after_ack")

    def _has_room(self, batch: Batch) -> bool:
        if batch.size_bytes <= self._keeps.free_bytes():
            return True
        self._stall()
        return False

    def _stall(self) -> None:
        """The disk has no room: nothing more is promised until it is asked again."""
        self._again_s = time.monotonic() + _AGAIN_S
        self._credits.stopped = True

    def _answer(self, answers: Answers) -> None:
        for place, which, reason in answers.rejects:
            self._send(place.peer, reject(place.stream, which.seq, which.n, reason))
        now = self._credits.now
        for place, next_seq in answers.acks:
            told = self._credits.granted(place, now)
            self._send(place.peer, ack(place.stream, next_seq, told))
        for place, next_seq, number in answers.welcomes:
            told = self._credits.granted(place, now)
            self._send(place.peer, welcome(place.stream, next_seq, told, number))

    def _tell_credit(self) -> None:
        """Tell those whose credit came to nothing or came back."""
        for place in self._credits.to_tell():
            if not self._pending(place):
                told = self._credits.granted(place, self._credits.now)
                self._send(place.peer, ack(place.stream, place.next_seq, told))

    def _pending(self, place: Place) -> bool:
        """Whether it is about to be told: its rows are taken, and not durable."""
        closed = self._closed is not None and self._closed[0].concerns(place)
        return closed or self._batch.concerns(place)

    def _send(self, peer: bytes | None, answer: bytes) -> None:
        """Answer a peer; one that is gone, or reads nothing, loses it and asks again by a hello."""
        if peer is not None:
            self.socket.send_multipart([peer, answer])

    def _learn(self, *, paused: bool) -> None:
        """Deliver what is durable, in order, as far as there is room; paused, begin nothing new."""
        self._go_on()
        while True:
            self._backlog.went(self._start if self.halfway else None)
            if paused or self.halfway or not self._backlog:
                return
            if (message := self._backlog.take(joins=self.sink.joins)) is not None:
                self._deliver(message)
