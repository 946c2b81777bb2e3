"""What a daemon costs that has nothing to do."""

import tempfile
import threading
import time
from pathlib import Path
from typing import Final

from streamlearn.bench import learners
from streamlearn.bench.load import cpu_s
from streamlearn.bench.process import DaemonProcess
from streamlearn.bench.report import Row, Say, median_row

REPEATS: Final = 3
SECONDS: Final = 10.0
SETTLE_S: Final = 2.0
PROMISED_PERCENT: Final = 1.0


def measure(say: Say) -> list[Row]:
    """Rows of `bench idle`."""
    shares: list[float] = []
    pause = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        path = learners.file("digits", Path(folder))
        with DaemonProcess(path, folder) as daemon:
            pause.wait(SETTLE_S)
            for repeat in range(REPEATS):
                say(f"{SECONDS:.0f} s, repeat {repeat + 1} of {REPEATS}")
                began, used = time.perf_counter(), cpu_s(daemon.pid)
                pause.wait(SECONDS)
                passed = time.perf_counter() - began
                shares.append(100 * (cpu_s(daemon.pid) - used) / passed)
    note = "promised: below; digits, no rows, metrics each second"
    return [median_row("idle daemon", shares, "% of a core", limit=PROMISED_PERCENT, note=note)]
