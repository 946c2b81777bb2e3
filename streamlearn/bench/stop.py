"""How long a daemon under full load takes from SIGTERM to a drained, saved end."""

import tempfile
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

from streamlearn.bench import learners
from streamlearn.bench.load import Feed
from streamlearn.bench.process import DaemonProcess
from streamlearn.bench.report import Row, Say, median_row
from streamlearn.errors import StreamlearnError
from streamlearn.store.describe import describe

REPEATS: Final = 3
LOAD_S: Final = 4.0
PROMISED_S: Final = 5.0
_ROWS_A_MESSAGE: Final = 16


class Stop(NamedTuple):
    """One stop under load."""

    seconds: float
    rows: int
    """Rows in the checkpoint that it left."""


def stopped(name: str) -> Stop:
    """Load a daemon, stop it, look at what it left.

    Raises
    ------
    StreamlearnError
        It ended with another exit code than 0, or left no whole checkpoint.

    """
    with tempfile.TemporaryDirectory() as folder:
        path = learners.file(name, Path(folder))
        daemon = DaemonProcess(path, folder, ["store.checkpoint_every_s=0"])
        with daemon, Feed(daemon.pull, learners.rows(name), _ROWS_A_MESSAGE):
            threading.Event().wait(LOAD_S)
            began = time.perf_counter()
            code = daemon.stop(60.0)
            seconds = time.perf_counter() - began
        left = describe(daemon.state)
        if code != 0 or not left["rows_learned"]:
            raise StreamlearnError(f"{name}: exit code {code}; left {left}\n{daemon.said()}")
    return Stop(seconds, left["rows_learned"])


def measure(say: Say) -> list[Row]:
    """Rows of `bench stop`."""
    return [_measured(name, say) for name in ("digits", "mnist")]


def _measured(name: str, say: Say) -> Row:
    stops = []
    for repeat in range(REPEATS):
        say(f"{name}, repeat {repeat + 1} of {REPEATS}")
        stops.append(stopped(name))
    rows = min(stop.rows for stop in stops)
    note = f"promised: below; exit code 0, checkpoint of {rows:,} rows or more"
    return median_row(
        f"{name}, SIGTERM under load",
        [stop.seconds for stop in stops],
        "s",
        limit=PROMISED_S,
        note=note,
    )
