"""What happens to a daemon under a stream: clocks, stops, cut connections, a disk that fails.

Each kind has a form of `faults.Lives` where it needs one, and a function that does it while a
stream is played and holds that the daemon's figures, its pages or its log tell of it.
"""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from cutter import Cutter
from lives import PATIENCE_S, Lives
from lossy_link import MissingError
from own_disk import OwnDisk

from streamlearn.bench.process import DaemonProcess
from streamlearn.errors import StreamlearnError
from streamlearn.observe.metrics import LATENCY_BOUNDS_S
from streamlearn.store import atomic
from streamlearn.wire.control import request

HOUR_S = 3600
_SOON = f'latency_seconds_bucket{{le="{LATENCY_BOUNDS_S[-1]}"}}'
"""On the page: rows that were learned within ten seconds."""

# What the daemon tells.


def figures(one: DaemonProcess) -> dict[str, float]:
    """Figures of the metrics page by name with labels, without the prefix; none where it is not."""
    lines = [line for line in one.get("/metrics")[1].splitlines() if line[:1] not in ("", "#")]
    pairs = [line.removeprefix("streamlearn_").rpartition(" ") for line in lines]
    return {name: float(value) for name, _, value in pairs}


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds; raises `StreamlearnError` where that takes too long."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise StreamlearnError(f"not within {PATIENCE_S:g} s: {what}")
        time.sleep(0.02)


def tells(one: DaemonProcess, holds: Callable[[dict[str, float]], bool], what: str) -> None:
    """Wait until the figures tell something; raises like `until`."""
    until(lambda: bool(page := figures(one)) and holds(page), f"the figures tell that {what}")


def learned(one: DaemonProcess, rows: int) -> None:
    """Wait until so many rows are learned since its start."""
    tells(one, lambda f: f["samples_learned_total"] >= rows, f"{rows} rows are learned")


def nothing_amiss(one: DaemonProcess) -> None:
    """Hold that nothing was refused, dropped or missed."""
    for name, value in figures(one).items():
        if name.startswith(("samples_rejected", "samples_dropped", "samples_missed")) and value:
            raise StreamlearnError(f"{name} is {value:g}")


def still(over: threading.Event) -> None:
    """Hold that the stream goes on, so that the mishap fell into it."""
    if over.is_set():
        raise StreamlearnError("the stream was over before the mishap; give it more rows")


# The clock.


class Clocked(Lives):
    """Lives whose wall clock is moved while they run, by Debian's faketime; a monotonic one stays.

    Raises `MissingError` where it is not installed.
    """

    def __init__(self, config: Path, folder: Path, *more: Any) -> None:
        super().__init__(config, folder, *more)
        library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
        if library is None:
            raise MissingError("libfaketime, as in Debian's package faketime")
        self._offset = folder / "offset"
        self.shift(0)
        self.one.environment |= {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def shift(self, seconds: int) -> None:
        """Let the clock jump to so many seconds before or behind the true time."""
        atomic.write_file(self._offset, f"{seconds:+d}\n".encode())


def hours(shifts: Sequence[int], pause_s: float, lives: Clocked, over: threading.Event) -> None:
    """Let the clock jump; save after each jump, and kill where it went back."""
    learned(lives.one, 200)
    for shift in shifts:
        still(over)
        lives.shift(shift)
        request(lives.one.control, "checkpoint", timeout_s=PATIENCE_S)
        tells(
            lives.one,
            lambda f, s=shift: (
                abs(  # type: ignore[misc]
                    f["checkpoint_last_success_timestamp_seconds"] - time.time() - s
                )
                < 60
            ),
            f"the clock is {shift} s off",
        )
        page = figures(lives.one)
        # By the monotonic clock. The jump would be a row that took very long in it; many rows
        # that each wait a little on a busy machine are not.
        total, long = page["latency_seconds_sum"], page["latency_seconds_count"] - page[_SOON]
        if total < 0 or (long and total > HOUR_S / 2):
            raise StreamlearnError(f"latency_seconds_sum is {total:g}, {long:g} rows took long")
        if shift < 0:
            before = lives.kills
            lives.kill()
            until(lambda before=before: lives.kills > before, "a new life")  # type: ignore[misc]
            lives.one.wait_ready(PATIENCE_S)
        nothing_amiss(lives.one)
        over.wait(pause_s)


# A stop.


def stopped(seconds: float, lives: Lives, over: threading.Event) -> None:
    """Stop the daemon as by Ctrl-Z, its sockets open, then let it go on."""
    learned(lives.one, 200)
    still(over)
    lives.one.signal(signal.SIGSTOP)
    try:
        if lives.one.get("/livez", 0.5)[0]:
            raise StreamlearnError("a stopped daemon answered")
        over.wait(seconds)
        still(over)
        at = time.time()
    finally:
        lives.one.signal(signal.SIGCONT)
    until(lambda: lives.one.get("/readyz")[0] == 200, "it is ready again")
    tells(lives.one, lambda f: f["last_learned_timestamp_seconds"] >= at, "it learns again")
    nothing_amiss(lives.one)


# Producers that die in the middle of a message.


class CutOff(Lives):
    """Lives behind a `Cutter`."""

    def __init__(self, cuts: int, *more: Any) -> None:
        super().__init__(*more)
        self.cutter = Cutter(int(self.router.rpartition(":")[2]), cuts)
        self.cuts = cuts
        self.router = f"tcp://127.0.0.1:{self.cutter.port}"

    def __enter__(self) -> Self:
        self.cutter.__enter__()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.cutter.__exit__(*error)


def cut_off(lives: CutOff, over: threading.Event) -> None:
    """Wait until all connections died that shall; see what they left."""
    learned(lives.one, 1)
    folder = Path(f"/proc/{lives.one.pid}/fd")
    before = len([*folder.iterdir()])
    until(lambda: lives.cutter.done >= lives.cuts or over.is_set(), "every connection died")
    still(over)
    lives.cutter.hang_up()
    tells(lives.one, lambda f: f["hellos_total"] > lives.cuts, "producers came back")
    until(lambda: len([*folder.iterdir()]) <= before + 1, "no descriptor more than before")
    nothing_amiss(lives.one)


# A disk that becomes read-only.


class OnDisk(Lives):
    """Lives with their state on a disk of their own."""

    codes = (1,)

    def __init__(self, config: Path, folder: Path, specs: Any, settings: Sequence[str]) -> None:
        self.disk = OwnDisk(folder)
        state = self.disk.root / "state"
        super().__init__(config, folder, specs, (*settings, f"store.dir={state}"))
        self.one.state = state
        self.said = ""

    def __enter__(self) -> Self:
        self.disk.__enter__()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.disk.__exit__(*error)

    def mend(self) -> None:
        """Keep what it said, and mend the disk."""
        self.said = self.one.said()
        self.disk.mend()


def read_only(lives: OnDisk, over: threading.Event) -> None:
    """Let the disk fail while rows come; before that, while none are read."""
    one = lives.one
    learned(one, 200)
    request(one.control, "checkpoint", timeout_s=PATIENCE_S)
    request(one.control, "pause", timeout_s=PATIENCE_S)
    still(over)
    lives.disk.fail()
    if request(one.control, "checkpoint", timeout_s=PATIENCE_S)["ok"]:
        raise StreamlearnError("a checkpoint was written to a disk that is read-only")
    tells(one, lambda f: f["checkpoint_failures_total"] >= 1, "a checkpoint failed")
    request(one.control, "resume", timeout_s=PATIENCE_S)
    until(lambda: lives.kills > 0, "a stop, and a new life on the mended disk")
    still(over)
    if "read" not in lives.said or "journal.sqlite" not in lives.said:
        raise StreamlearnError(f"it did not say why it stopped:\n{lives.said}")
    one.wait_ready(PATIENCE_S)
