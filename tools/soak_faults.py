"""What goes wrong in the soak: faults drawn from a seed, one after the other, under load."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import zmq
from faults import Lives
from soak_clients import Client, Wire

from streamlearn.bench.process import LOOPBACK
from streamlearn.client import Producer, Subscriber
from streamlearn.errors import NoAnswerError, RejectedError, StreamlearnError
from streamlearn.wire.control import request
from streamlearn.wire.message import Schema

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
from wire.rubbish import SPEECHES, messages

VISITORS: Final = 40
"""Names that come and go; more than `ingest.max_streams` has room for."""
_SCHEMA: Final = Schema(shape=(8, 8), dtype="|u1", classes=10)
_RUBBISH: Final = 40
_ANSWER_S: Final = 20.0


class World(NamedTuple):
    """What there is to break."""

    lives: Lives
    config: Path
    disk: Path | None
    """A small file system that holds the state; None where none may be mounted."""
    wires: Sequence[Wire]
    clients: Sequence[Client]
    over: threading.Event
    """Nothing more shall be broken."""


Fault = Callable[[World, random.Random], None]


def kill_producer(world: World, draw: random.Random) -> None:
    """A producer dies where it stands, and comes back a while later."""
    client = draw.choice(world.clients)
    client.kill()
    world.over.wait(draw.uniform(0.0, 2.0))
    client.start()


def restart_producer(world: World, draw: random.Random) -> None:
    """A producer ends in order and is started again."""
    client = draw.choice(world.clients)
    client.stop(60.0)
    client.start()


def cut(world: World, draw: random.Random) -> None:
    """All connections of a socket break, also in the middle of a message."""
    draw.choice(world.wires).cut()


def rubbish(world: World, draw: random.Random) -> None:
    """Messages that are none, on both sockets of ingest, and words of other protocols anywhere."""
    one = world.lives.one
    with zmq.Context() as context:
        for kind, endpoint in ((zmq.PUSH, one.pull), (zmq.DEALER, world.lives.router)):
            with context.socket(kind) as link:
                link.linger, link.sndtimeo = 1000, 2000
                link.connect(endpoint)
                with suppress(zmq.Again):
                    for frames, reason in messages(draw.randrange(1 << 30), _RUBBISH, _SCHEMA):
                        if reason != "":
                            link.send_multipart(frames)
    where = draw.choice((one.pull, world.lives.router, one.publish, one.control, one.observe))
    _speak(int(where.rpartition(":")[2]), draw.choice([*SPEECHES.values()]))


def _speak(port: int, speech: bytes) -> None:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), 0.5) as link:
        link.sendall(speech)
        link.recv(4096)


def idle_connection(world: World, draw: random.Random) -> None:
    """Connections to every socket that say nothing, or half a request, and hang up."""
    one = world.lives.one
    for where in (one.pull, world.lives.router, one.publish, one.control, one.observe):
        port = int(where.rpartition(":")[2])
        with suppress(OSError), socket.create_connection((LOOPBACK, port), 0.5) as link:
            link.sendall(b"GET /met" if where == one.observe else b"")
            world.over.wait(draw.uniform(0.0, 0.5))


def slow_subscriber(world: World, draw: random.Random) -> None:
    """Somebody wants to hear everything and reads nothing; its queue fills, and it leaves."""
    with zmq.Context() as context, context.socket(zmq.SUB) as link:
        link.linger, link.rcvhwm, link.rcvbuf = 0, 1, 4096
        link.subscribe("")
        link.connect(world.lives.one.publish)
        world.over.wait(draw.uniform(2.0, 8.0))


def subscribers(world: World, draw: random.Random) -> None:
    """Some come, hear something and leave."""
    for _ in range(draw.randrange(1, 5)):
        topic = draw.choice(["", "metrics", "prediction/cam0", "embedding/", "event", "none"])
        with Subscriber(world.lives.one.publish, [topic], timeout_s=0.3) as heard:
            for _ in range(draw.randrange(10)):
                with suppress(NoAnswerError):
                    next(heard)


def stand_still(world: World, draw: random.Random) -> None:
    """The daemon is stopped for seconds (SIGSTOP), and goes on."""
    process = world.lives.one.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    time.sleep(draw.uniform(0.5, 4.0))
    process.send_signal(signal.SIGCONT)


def reload(world: World, draw: random.Random) -> None:
    """The configuration changes, and is read again (SIGHUP)."""
    text = world.config.read_text(encoding="utf-8").splitlines()
    key = "embeddings_every_rows"
    every = f"{key} = {draw.choice((4, 8, 16))}"
    lines = [every if line.startswith(key) else line for line in text]
    world.config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    world.lives.one.signal(signal.SIGHUP)


def full_disk(world: World, draw: random.Random) -> None:
    """The disk of the state is full for a while."""
    if world.disk is None:
        return
    ballast = world.disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        left = os.statvfs(world.disk)
        os.posix_fallocate(file.fileno(), 0, left.f_bavail * left.f_frsize)
        while True:
            file.write(bytes(4096))
    world.over.wait(draw.uniform(0.5, 3.0))
    ballast.unlink()


def visitor(world: World, draw: random.Random) -> None:
    """A producer with a name of its own sends a little and leaves; some names are too many."""
    name = f"visitor{draw.randrange(VISITORS)}"
    row = np.full((8, 8, 8), draw.randrange(17), np.uint8)
    how: Any = {"ack": True, "shape": (8, 8), "timeout_s": _ANSWER_S}
    with (
        suppress(RejectedError, NoAnswerError),
        Producer(world.lives.router, name, name, **how) as one,
    ):
        one.send(row)


def orders(world: World, draw: random.Random) -> None:
    """Control: questions, a checkpoint, a pause, a layer that stands still for a moment."""
    for verb, args in draw.choice(ORDERS):
        with suppress(StreamlearnError):
            request(world.lives.one.control, verb, timeout_s=_ANSWER_S, **args)


_ROWS: Final = {"rows": bytes(128), "dtype": "|u1", "shape": [2, 8, 8]}
Order = tuple[str, dict[str, Any]]
ORDERS: Final[tuple[tuple[Order, ...], ...]] = (
    (("checkpoint", {}),),
    (("status", {}), ("ping", {}), ("no such verb", {})),
    (("infer", _ROWS), ("infer", {**_ROWS, "as": "lists"}), ("infer", {"rows": [[1.0]]})),
    (("set", {"key": "publish.metrics_every_s", "value": 0.25}), ("set", {"key": "seed"})),
    (("pause", {}), ("status", {}), ("resume", {})),
    (("freeze", {"layer": "layer1"}), ("infer", _ROWS), ("thaw", {"layer": "layer1"})),
)

FAULTS: Final[dict[str, Fault]] = {
    "producer killed": kill_producer,
    "producer restarted": restart_producer,
    "connections cut": cut,
    "rubbish": rubbish,
    "connections that say nothing": idle_connection,
    "slow subscriber": slow_subscriber,
    "subscribers come and go": subscribers,
    "daemon stands still": stand_still,
    "reload": reload,
    "disk full": full_disk,
    "visitor": visitor,
    "control": orders,
}
KILL: Final = "daemon killed"


def kill_daemon(world: World, draw: random.Random) -> None:
    """The daemon dies (kill -9), mostly at work, and is started again by its keeper."""
    lives = world.lives
    if draw.random() < 0.75:
        with suppress(StreamlearnError):
            lives.one.wait_ready(60.0)
        world.over.wait(draw.uniform(0.5, 3.0))
    dead, until_s = lives.one.process, time.monotonic() + _ANSWER_S
    lives.kill()
    while lives.one.process is dead:
        if time.monotonic() > until_s:
            raise StreamlearnError(f"it was not started again:\n{lives.one.said()}")
        time.sleep(0.02)


class Event(NamedTuple):
    """A fault, and when it began, in seconds since 1970."""

    t: float
    name: str


class Chaos:
    """Breaks something every few seconds, from a thread of its own.

    Parameters
    ----------
    world
        What there is to break.
    seed
        The same seed draws the same faults.
    pause_s
        Mean time between two.
    kills
        Whether the daemon is killed, too.

    Attributes
    ----------
    events
        What was broken.

    Raises
    ------
    StreamlearnError
        On leaving: a fault could not be made as meant, for example as a producer failed.

    """

    def __init__(self, world: World, seed: int, pause_s: float, *, kills: bool) -> None:
        self.events: list[Event] = []
        self._world, self._pause_s = world, pause_s
        self._draw = random.Random(seed)  # noqa: S311  no secret
        self._kills, self._faults = kills, {**FAULTS, KILL: kill_daemon}
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="chaos")

    def _names(self) -> Iterator[str]:
        """Every fault once, so that what they make the daemon take is taken; then by chance.

        Where the daemon is killed, it is after every other fault.
        """
        first = self._draw.sample([*FAULTS], len(FAULTS))
        while True:
            if self._kills:
                yield KILL
            yield first.pop() if first else self._draw.choice([*FAULTS])

    def _run(self) -> None:
        try:
            for name in self._names():
                if self._world.over.wait(self._draw.expovariate(1 / self._pause_s)):
                    return
                self.events.append(Event(time.time(), name))
                self._faults[name](self._world, self._draw)
        except BaseException as error:  # noqa: BLE001  told where it is joined
            self._error = error

    def __enter__(self) -> list[Event]:
        self._world.over.clear()
        self._thread.start()
        return self.events

    def __exit__(self, *_: object) -> None:
        self._world.over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error


@contextmanager
def small_disk(folder: Path, size_mib: int) -> Iterator[Path | None]:
    """A file system of its own in memory; None where this process may not mount one."""
    folder.mkdir()
    size = f"size={size_mib}m"
    if _run("mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)) != 0:
        yield None
        return
    try:
        yield folder
    finally:
        _run("umount", "-l", str(folder))


def _run(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode
