"""A ROUTER over real sockets, its clients, and a journal whose disk does what it is told."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np
import zmq
from wire.recorder import DEADLINE_S, Recorder, reading

from streamlearn.errors import NoSpaceError
from streamlearn.options import IngestOptions
from streamlearn.wire.acknowledged import (
    Answer,
    Hello,
    Places,
    decode_answer,
    encode_hello,
)
from streamlearn.wire.batch import Entry, Limits, Refused
from streamlearn.wire.message import Sample, Schema, encode

ANY = "tcp://127.0.0.1:0"
SCHEMA = Schema(shape=(2,), dtype="<f4", classes=3)
LIMITS = Limits(commit_s=0.001, commit_rows=64, commit_bytes=1 << 16, credit_bytes=1 << 14)


class Memory:
    """A journal in memory, with a disk that can be full."""

    def __init__(self, free: int = 1 << 20) -> None:
        self.places = Places()
        self.entries: list[Entry] = []
        self.refused: list[Refused] = []
        self.batches: list[int] = []
        self.learned: list[Entry] = []
        self.free, self.full, self.slow = free, False, False
        self.appends = 0
        self._write: Callable[[], None] = lambda: None

    def append(self, entries: Sequence[Entry], refused: Sequence[Refused]) -> Future[None]:
        """Keep a batch, at once or when `finish` is called."""
        future: Future[None] = Future()
        self.appends += 1

        def write() -> None:
            if self.full:
                future.set_exception(NoSpaceError("full"))
                return
            self.entries += entries
            self.refused += refused
            self.batches.append(len(entries))
            future.set_result(None)

        self._write = write
        if not self.slow:
            write()
        return future

    def finish(self) -> None:
        """Let the write that was begun come to its end."""
        self._write()

    def free_bytes(self) -> int:
        """What is left."""
        return self.free

    def size_of(self, frames: Sequence[bytes]) -> int:
        """Bytes of a message."""
        return sum(map(len, frames))

    def delivered(self, entry: Entry, part: int) -> None:
        """Nothing is learned that is not kept."""
        assert entry in self.entries
        if not part:
            self.learned.append(entry)


class Client:
    """A bare DEALER."""

    def __init__(self, context: zmq.Context, endpoint: str) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(endpoint)

    def hello(self, stream: str = "cam0", producer: str = "p", **more: int) -> Answer:
        """Say hello and hear the welcome."""
        self.socket.send_multipart(encode_hello(Hello(stream, producer, **more)))
        return self.hear()

    def send(self, seq: int, n: int = 1, producer: str = "p", **more: object) -> None:
        """Send rows that carry their numbers."""
        x = np.arange(seq, seq + n, dtype="<f4")[:, None].repeat(2, axis=1)
        fields = {"stream": "cam0", "t": np.nan, "y": None, **more}
        self.socket.send_multipart(encode(Sample(producer=producer, seq=seq, n=n, x=x, **fields)))  # type: ignore[arg-type]

    def hear(self, timeout_s: float = DEADLINE_S) -> Answer:
        """The next answer."""
        assert self.socket.poll(round(1000 * timeout_s)), "no answer"
        answer = decode_answer(self.socket.recv())
        assert answer is not None
        return answer

    def silent(self) -> bool:
        """Whether nothing is answered."""
        return not self.socket.poll(50)


@contextmanager
def routing(
    keeps: Memory, sink: Recorder, limits: Limits = LIMITS
) -> Iterator[tuple[Client, Client]]:
    """An ingest with a ROUTER, and two clients of it."""
    options = IngestOptions(pull="", router=ANY)
    with reading(options, SCHEMA, sink, (keeps, limits)) as ingest, zmq.Context() as context:
        clients = [Client(context, ingest.endpoints["ingest.router"]) for _ in range(2)]
        try:
            yield clients[0], clients[1]
        finally:
            for client in clients:
                client.socket.close()
