"""How much memory a daemon keeps resident, and that it does not grow with the stream."""

import tempfile
import threading
from pathlib import Path
from typing import Final

from streamlearn.bench import learners
from streamlearn.bench.load import Feed, learned, resident_mib
from streamlearn.bench.process import DaemonProcess
from streamlearn.bench.report import Row, Say, median_row

TOTAL_ROWS: Final = 5_000_000
SETTLED_ROWS: Final = TOTAL_ROWS // 20
"""After this many every buffer has been used once."""
PROMISED_MIB: Final = 220.0
GROWTH_MIB: Final = 2.0
_LOOK_S: Final = 2.0
_ROWS_A_MESSAGE: Final = 64


def measure(say: Say) -> list[Row]:
    """Rows of `bench memory`."""
    with tempfile.TemporaryDirectory() as folder:
        path = learners.file("digits", Path(folder))
        with DaemonProcess(path, folder) as daemon:
            ready = resident_mib(daemon.pid)
            with Feed(daemon.pull, learners.rows("digits"), _ROWS_A_MESSAGE):
                looks = _watched(daemon, say)
    settled = next(mib for rows, mib in looks if rows >= SETTLED_ROWS)
    rows, last = looks[-1]
    note = f"digits, {rows:,} rows"
    return [
        median_row("resident when ready", [ready], "MiB", note="digits, warm kernel cache"),
        median_row(
            "resident, most", [max(mib for _, mib in looks)], "MiB", limit=PROMISED_MIB, note=note
        ),
        median_row(
            "growth",
            [last - settled],
            "MiB",
            limit=GROWTH_MIB,
            note=f"from row {SETTLED_ROWS:,} to row {rows:,}",
        ),
    ]


def _watched(daemon: DaemonProcess, say: Say) -> list[tuple[int, float]]:
    """Rows learned and memory, every few seconds until all rows have passed."""
    looks: list[tuple[int, float]] = []
    pause = threading.Event()
    while not looks or looks[-1][0] < TOTAL_ROWS:
        pause.wait(_LOOK_S)
        looks.append((learned(daemon), resident_mib(daemon.pid)))
        say("{:,} rows, {:.1f} MiB".format(*looks[-1]))
    return looks
