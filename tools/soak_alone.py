"""One kind of disturbance alone, as often as it can be, and what of it stays in memory.

The soak tells that memory grows, not by what. Here a daemon that learns a little meets one kind of
fault some thousand times. In the first half all buffers fill; what it holds at the middle and at
the end, garbage collected, is compared, and divided by the faults in between. A leak is bytes a
fault, whatever else moves.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np
import zmq
from lives import Lives
from probed import Inside, ask
from results import update
from soak import PATIENCE_S, world
from soak_clients import HERE
from soak_faults import (
    Fault,
    World,
    cut,
    full_disk,
    idle_connection,
    orders,
    reload,
    rubbish,
    visitor,
)
from soak_figures import Plan, rounded
from soak_looks import KIB, Look, look, slope

from streamlearn.bench.report import Row, median_row, report
from streamlearn.client import Producer
from streamlearn.wire.control import request

NAME: Final = "soak-alone"
PAUSE: Final = "a look for garbage"
_REPEATS: Final = 9
_LETTERS: Final = 64
_HEARD_MS: Final = 300
_PAUSE_S: Final = 0.02


class Probed(Lives):
    """A daemon that tells what it holds."""

    def _next_command(self) -> list[str]:
        begin = self._plain.index("run")
        return [sys.executable, str(HERE / "probed.py"), str(probe(self)), *self._plain[begin:]]


def probe(lives: Lives) -> Path:
    """Where it tells."""
    return lives.one.log.with_name("probe")


def nothing(world: World, draw: random.Random) -> None:
    """Only rows are learned, and saved each second."""
    _ = draw
    world.over.wait(1.0)
    time.sleep(1.0)


def scrape(world: World, draw: random.Random) -> None:
    """Prometheus asks for the figures."""
    _ = draw
    world.lives.one.get("/metrics")


def page(world: World, draw: random.Random) -> None:
    """Somebody looks at the page."""
    _ = draw
    world.lives.one.get("/")


def listeners(world: World, draw: random.Random) -> None:
    """Four subscribers come, the first hears something, and all leave."""
    topics = ["", "metrics", "prediction/cam0", f"none{draw.randrange(1000)}"]
    with zmq.Context() as context:
        links = [context.socket(zmq.SUB) for _ in topics]
        for link, topic in zip(links, topics, strict=True):
            link.linger = 0
            link.subscribe(topic)
            link.connect(world.lives.one.publish)
        links[0].poll(_HEARD_MS)
        for link in links:
            link.close()


def checkpoint(world: World, draw: random.Random) -> None:
    """Control orders a checkpoint."""
    _ = draw
    request(world.lives.one.control, "checkpoint", timeout_s=PATIENCE_S)


def letters(world: World, draw: random.Random) -> None:
    """A producer sends what can never be learned."""
    name = f"clumsy{draw.randrange(4)}"
    how: Any = {"ack": True, "shape": (9, 9)}
    with Producer(world.lives.router, name, name, **how) as one:
        for _ in range(_LETTERS):
            one.send(np.zeros((8, 9, 9), np.uint8))


def reread(world: World, draw: random.Random) -> None:
    """The file changes, and is read again."""
    reload(world, draw)
    time.sleep(_PAUSE_S)


def cut_off(world: World, draw: random.Random) -> None:
    """The producer's connection breaks; it comes back."""
    cut(world, draw)
    time.sleep(_PAUSE_S)


KINDS: Final[dict[str, tuple[Fault, int]]] = {
    "load alone": (nothing, 1),
    "scrapes": (scrape, 1),
    "pages": (page, 1),
    "subscribers": (listeners, 4),
    "visitors": (visitor, 1),
    "connections cut": (cut_off, 1),
    "rubbish": (rubbish, 1),
    "connections that say nothing": (idle_connection, 5),
    "control": (orders, 1),
    "checkpoints": (checkpoint, 1),
    "dead letters": (letters, _LETTERS),
    "reloads": (reread, 1),
    "disk full": (full_disk, 1),
}
"""What is done, and how many it counts as."""


class Found(NamedTuple):
    """What one kind came to."""

    looks: Sequence[Look]
    """Of the second half."""
    events: int
    """In it."""
    middle: Inside
    end: Inside


class _Doer:
    """Does it again and again from a thread, and looks at the daemon every second."""

    def __init__(self, here: World, kind: str, seed: int) -> None:
        self.events = 0
        self.looks: list[Look] = []
        self._here, self._over = here, threading.Event()
        self._fault, self._each = KINDS[kind]
        self._draw = random.Random(seed)  # noqa: S311  no secret
        self._thread = threading.Thread(target=self._run, name=kind)
        here.over.set()  # faults make no pauses
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            with suppress(zmq.ZMQError):
                self._fault(self._here, self._draw)
            self.events += self._each

    def watch(self, seconds: float) -> None:
        """Let it go on for a while."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            one = self._here.lives.one
            if found := look(time.time(), one.pid, one.state, float(self.events)):
                self.looks.append(found)
            time.sleep(1.0)

    def close(self) -> None:
        """Wait for its end."""
        self._over.set()
        self._thread.join()


def alone(folder: Path, kind: str, seconds: float, seed: int = 1) -> Found:
    """Meet a daemon with one kind of disturbance, in an empty folder."""
    with world(folder, Plan(seconds, 0.0), Probed) as here:
        client = here.clients[0]
        client.start()
        doer = _Doer(here, kind, seed)
        try:
            doer.watch(seconds / 2)
            middle, events = ask(probe(here.lives), "gc"), doer.events
            doer.looks.clear()
            doer.watch(seconds / 2)
        finally:
            doer.close()
        end = ask(probe(here.lives), "gc")
        client.stop(PATIENCE_S)
        here.lives.end()
    return Found(doer.looks, doer.events - events, middle, end)


def row(kind: str, found: Found) -> Row:
    """What it comes to, as a row of the report; the limit is twice the standard error."""
    looks = found.looks
    by_event = slope([one.rows for one in looks], [KIB * one.anonymous_kib for one in looks])
    grown = looks[-1].anonymous_kib - looks[0].anonymous_kib
    used, sqlite = (
        (getattr(found.end, name) - getattr(found.middle, name)) / KIB
        for name in ("used_bytes", "sqlite_bytes")
    )
    blocks = found.end.blocks - found.middle.blocks
    return Row(
        name=kind,
        ours=rounded(by_event.value),
        unit="bytes each",
        limit=rounded(2 * by_event.error),
        note=f"{found.events:,} of them; heaps and stacks {grown:+.0f} KiB, malloc in use "
        f"{used:+.0f} KiB, SQLite {sqlite:+.0f} KiB of it, Python {blocks:+,} pieces",
    )


def pause(folder: Path) -> Row:
    """How long a look for garbage takes, in a daemon that is ready, beside one through all."""
    with world(folder, Plan(0.0, 0.0), Probed) as here:
        known = [ask(probe(here.lives), "gc") for _ in range(_REPEATS)]
        everything = [ask(probe(here.lives), "gc of all") for _ in range(_REPEATS)]
        here.lives.end()
    note = f"{known[-1].objects:,} objects; peer: with what was set aside"
    peer = 1000 * median(one.collecting_s for one in everything)
    ours = [1000 * one.collecting_s for one in known]
    return median_row(PAUSE, ours, "ms", peer=rounded(peer), note=note)


def main() -> None:
    """Try all kinds, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", nargs="*", help=f"some of {PAUSE}, {', '.join(KINDS)}")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each kind: 120")
    chosen = parser.parse_args()
    for kind in chosen.kind or (PAUSE, *KINDS):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            made = (
                pause(folder) if kind == PAUSE else row(kind, alone(folder, kind, chosen.seconds))
            )
        print(f"{kind}: {made.ours:g} {made.unit}; {made.note}", flush=True)
        update(report(NAME, f"make {NAME}", [made]), order=[PAUSE, *KINDS])


if __name__ == "__main__":
    main()
