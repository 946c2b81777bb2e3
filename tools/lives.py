"""A daemon's state through several lives, and how it ends: what faults are tried on."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import numpy as np

from streamlearn.bench.process import LOOPBACK, DaemonProcess, free_ports
from streamlearn.errors import StreamlearnError
from streamlearn.store.checkpoint import Checkpoints

HERE = Path(__file__).resolve().parent
PATIENCE_S = 120.0
LOOK_S = 0.2
"""How often it is looked how much memory a life takes."""
Daemon = TypeVar("Daemon", bound=DaemonProcess)


class End(NamedTuple):
    """How a run ended: equal ends mean that nothing was lost, doubled or changed."""

    rows: int
    digest: str
    arrays: dict[str, np.ndarray]
    """Figures, kept rows and windows, by name."""


def acknowledging(
    kind: type[Daemon], config: Path, folder: Path, settings: Sequence[str] = ()
) -> tuple[Daemon, str]:
    """A daemon that acknowledges rows and saves when asked, and where it takes them."""
    while True:
        router = f"tcp://{LOOPBACK}:{free_ports(1)[0]}"
        more = (f"ingest.router={router}", "store.checkpoint_every_s=0", *settings)
        one = kind(config, folder, more)
        if router not in (one.pull, one.publish, one.control, f"tcp://{one.observe}"):
            return one, router


class Lives:
    """One state folder through several lives of a daemon; whoever dies is started anew.

    What befalls it beside kills is a subclass's business; see tools/mishaps.py.

    Parameters
    ----------
    config
        What it runs.
    folder
        Where its state and log go.
    specs
        Failpoints of the first lives, one a life, as `POINT:COUNT`; later ones have none.
    settings
        More overrides.

    Attributes
    ----------
    router
        Where producers send; what a subclass puts between stands there.
    codes
        How a life may end before the last.
    ended
        Exit codes of the lives before the last.
    peak_bytes
        Most memory that any of them took.

    """

    codes = (-9,)
    """Exit codes of lives that are followed by another."""

    def __init__(
        self, config: Path, folder: Path, specs: Sequence[str] = (), settings: Sequence[str] = ()
    ) -> None:
        self.one, self.router = acknowledging(DaemonProcess, config, folder, settings)
        self._plain = self.one.command
        self._specs = list(specs)
        self.ended: list[int] = []
        self.peak_bytes = 0
        self._ends = False
        self._thread = threading.Thread(target=self._watch, name="watch")

    def __enter__(self) -> Self:
        self._start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        self.one.kill()
        self._thread.join()

    def _start(self) -> None:
        self.one.command = self._next_command()
        self.one.start()

    def _next_command(self) -> list[str]:
        """What the next life runs."""
        if not self._specs:
            return self._plain
        armed = [sys.executable, str(HERE / "armed.py"), self._specs.pop(0)]
        return [*armed, *self._plain[self._plain.index("run") :]]

    def _watch(self) -> None:
        while not self._ends:
            process = self.one.process
            assert process is not None
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(LOOK_S)
                if self._ends:
                    return
                if code not in self.codes:
                    raise StreamlearnError(f"ended with exit code {code}:\n{self.one.said()}")
                self.mend()
                self._start()
                self.ended.append(code)
            self.peak_bytes = max(self.peak_bytes, memory_bytes(self.one.pid))

    @property
    def kills(self) -> int:
        """Lives that ended before the last."""
        return len(self.ended)

    def mend(self) -> None:
        """Put right what ended a life, before the next one begins."""

    def kill(self) -> None:
        """Kill the life that is, whatever it does."""
        self.one.process.kill()  # type: ignore[union-attr]

    def end(self) -> End:
        """Stop it in order and read what it left."""
        self.one.wait_ready(PATIENCE_S)
        self._ends = True
        code = self.one.stop(PATIENCE_S)
        if code != 0:
            raise StreamlearnError(f"ended with exit code {code}:\n{self.one.said()}")
        self._thread.join()
        return end_of(self.one.state)


def memory_bytes(pid: int) -> int:
    """What a process holds in memory; 0 where it has ended."""
    with suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0


def end_of(state: Path) -> End:
    """What the newest checkpoint of a folder holds."""
    store = Checkpoints(state)
    found = store.read(store.names()[0])
    kept = ("figures/", "window/", "history/", "again/")
    arrays = {name: np.array(a) for name, a in found.arrays.items() if name.startswith(kept)}
    return End(found.rows_learned, found.digest, arrays)


def differences(one: End, other: End) -> list[str]:
    """In what two ends differ; nothing where they are equal to the bit."""
    lines = [
        f"{n}: {a} and {b}"
        for n, a, b in zip(End._fields, one, other, strict=True)
        if n != "arrays" and a != b
    ]
    names = sorted({*one.arrays, *other.arrays})
    return lines + [n for n in names if one.arrays[n].tobytes() != other.arrays[n].tobytes()]
