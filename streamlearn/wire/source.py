"""What each socket of ingest promises: PULL drops nothing, SUB keeps the newest.

The acknowledged promise (`ingest.router`) is in `streamlearn.wire.router`.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import zmq

from streamlearn.errors import RejectedError
from streamlearn.wire.door import Door
from streamlearn.wire.message import Heartbeat, Label, Message, Sample, Schema, decode

Socket: TypeAlias = "zmq.Socket[bytes]"

# So that the other socket, calls and the end of it all get their turn.
_BURST_MESSAGES: Final = 32


class Sink(Protocol):
    """Who takes the messages; called from the ingest thread alone."""

    joins: bool
    """Whether messages may come as one, see `streamlearn.pipeline.joined`."""

    def room(self) -> int:
        """Rows that can be written now."""

    def wait_room(self, timeout_s: float) -> bool:
        """Wait until there is room."""

    def source(self, stream: str, producer: str) -> int:
        """Know a (stream, producer) from now on; `RejectedError` where there are too many."""

    def flush(self) -> None:
        """No more rows for the moment, or many since the last time: let them be learned."""

    def sample(self, message: Sample, start: int, stop: int) -> None:
        """Write rows start:stop of a message; stop - start is at most `room()`.

        Where it refuses the message with `RejectedError`, it does so before the first row.
        """

    def label(self, message: Label, start: int, stop: int) -> None:
        """Write labels start:stop for rows that came before; else like `sample`."""

    def heartbeat(self, message: Heartbeat) -> None:
        """Note that a producer lives; may refuse like `sample`."""

    def rejected(self, error: RejectedError, stream: bytes) -> None:
        """Count a refused message; `stream` is its frame 0, whatever that holds."""

    def dropped(self, reason: str, rows: int, message: Sample | Label) -> None:
        """Count rows of a message, or all of them, that were dropped on purpose."""


class Source:
    """One socket, and the message of it that is being delivered, in parts as there is room."""

    def __init__(self, socket: Socket, schema: Schema, sink: Sink) -> None:
        self.socket = socket
        self._schema, self.sink = schema, sink
        self._message: Sample | Label | None = None
        self._start = 0
        self.door: Door | None = None
        """Asks of each message whether its sender may; None where everybody may."""

    def let_in(self, door: Door | None) -> None:
        """Ask of each message from now on whether its sender may; None: everybody may."""
        self.door = door

    @property
    def halfway(self) -> bool:
        """Whether a message is being delivered."""
        return self._message is not None

    @property
    def waits(self) -> bool:
        """Whether anything waits for room."""
        return self.halfway

    @property
    def pending(self) -> bool:
        """Whether something was taken in and is not answered yet."""
        return False

    @property
    def due_s(self) -> float:
        """When it wants its turn though nothing comes, by the monotonic clock."""
        return math.inf

    def listens(self, *, paused: bool) -> bool:
        """Whether it would read what comes."""
        return not paused

    def turn(self, *, paused: bool) -> bool:
        """Deliver and read what can be; whether it may have more to read."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Count what could not be delivered before the end."""
        if self._message is not None:
            left = _rows(self._message) - self._start
            self.sink.dropped("stopping", left, self._message)
            self._message = None

    def _admits(self, frames: list[bytes]) -> bool:
        """Whether its sender may send a message; counts it where not."""
        stream = frames[0] if frames else b""
        try:
            if self.door is not None:
                self.door.admit(stream)
        except RejectedError as error:
            self.sink.rejected(error, stream)
            return False
        return True

    def _checked(self, frames: list[bytes]) -> Message | None:
        if not self._admits(frames):
            return None
        try:
            message = decode(frames, self._schema)
            if self.door is not None:
                self.door.hear(message.producer)
                self.door.count(message.stream, message.producer)
        except RejectedError as error:
            self.sink.rejected(error, frames[0])
            return None
        if self.door is None or not isinstance(message, Sample) or self.door.affords(message.n):
            return message
        self.sink.dropped("rate", message.n, message)
        return None

    def _deliver(self, message: Message) -> None:
        """Deliver what there is room for; the rest waits for `_go_on`."""
        if isinstance(message, Heartbeat):
            self._write(self.sink.heartbeat, message)
        else:
            self._message, self._start = message, 0
            self._go_on()

    def _go_on(self) -> None:
        """Deliver more of the message that waits, if any."""
        message = self._message
        if message is None:
            return
        start, n = self._start, _rows(message)
        stop = min(n, start + self.sink.room())
        if stop > start:
            write = self.sink.label if isinstance(message, Label) else self.sink.sample
            self._start = stop
            if not self._write(write, message, start, stop) or stop == n:
                self._message = None

    def _write(self, write: Callable[..., None], message: Message, *part: int) -> bool:
        try:
            write(message, *part)
        except RejectedError as error:
            self.sink.rejected(error, message.stream.encode())
            return False
        return True


class Pull(Source):
    """Messages that are never dropped: while one of them waits for room, no other is read."""

    def turn(self, *, paused: bool) -> bool:
        """Deliver and read what can be; whether it may have more to read."""
        self._go_on()
        for _ in range(0 if paused else _BURST_MESSAGES):
            if (
                self._message is not None
                or (frames := receive(self.socket, door=self.door)) is None
            ):
                return False
            if (message := self._checked(frames)) is not None:
                self._deliver(message)
        return not paused


class Sub(Source):
    """Messages of which the newest win: all are read at once, and wait here for room."""

    def __init__(self, socket: Socket, schema: Schema, sink: Sink, most_rows: int) -> None:
        super().__init__(socket, schema, sink)
        self._most_rows = most_rows
        self._waiting: deque[Message] = deque()
        self._waiting_rows = 0

    @property
    def waits(self) -> bool:
        """Whether anything waits for room."""
        return self.halfway or bool(self._waiting)

    def listens(self, *, paused: bool) -> bool:
        """It always reads, as the newest win."""
        _ = paused
        return True

    def turn(self, *, paused: bool) -> bool:
        """Deliver and read what can be; whether it may have more to read."""
        self._go_on()
        more = self._read()
        while not (paused or self.halfway) and self._waiting and self.sink.room():
            message = self._waiting.popleft()
            self._waiting_rows -= _rows(message)
            self._deliver(message)
        return more

    def _read(self) -> bool:
        for _ in range(_BURST_MESSAGES):
            if (frames := receive(self.socket, door=self.door)) is None:
                return False
            if (message := self._checked(frames)) is not None:
                self._keep(message)
        return True

    def _keep(self, message: Message) -> None:
        self._waiting.append(message)
        self._waiting_rows += _rows(message)
        while self._waiting_rows > self._most_rows and len(self._waiting) > 1:
            oldest = self._waiting.popleft()
            lost = _rows(oldest)
            self._waiting_rows -= lost
            if not isinstance(oldest, Heartbeat):
                self.sink.dropped("behind", lost, oldest)


def _rows(message: Message) -> int:
    """Rows of the ring that a message takes; a heartbeat counts as one, to bound those too."""
    if isinstance(message, Sample):
        return message.n
    return len(message.y) if isinstance(message, Label) else 1


def receive(socket: Socket, most: int = 4, door: Door | None = None) -> list[bytes] | None:
    """Frames of the next message, the first `most` of them; None where there is no message.

    The door is shown who sent it.
    """
    try:
        frame = socket.recv(zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return None
    frames = [frame.bytes]
    while frame.more:
        frame = socket.recv(zmq.NOBLOCK, copy=False)
        if len(frames) < most:
            frames.append(frame.bytes)
    if door is not None:
        door.see(frame)
    return frames
