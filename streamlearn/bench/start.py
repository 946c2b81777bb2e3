"""How long a daemon takes until it is ready, with kernels compiled before and without."""

import tempfile
from pathlib import Path
from typing import Final

from streamlearn.bench import learners
from streamlearn.bench.process import DaemonProcess
from streamlearn.bench.report import Row, Say, median_row

REPEATS: Final = 5
PROMISED_WARM_S: Final = 2.0
PROMISED_COLD_S: Final = 60.0


def ready_s(name: str, cache: Path) -> float:
    """Seconds from the command to a ready daemon, with a folder of compiled kernels."""
    with tempfile.TemporaryDirectory() as folder:
        path = learners.file(name, Path(folder))
        daemon = DaemonProcess(path, folder, environment={"NUMBA_CACHE_DIR": str(cache)})
        try:
            seconds = daemon.start().wait_ready(300.0)
            daemon.stop()
        finally:
            daemon.kill()
    return seconds


def measure(say: Say) -> list[Row]:
    """Rows of `bench start`."""
    with tempfile.TemporaryDirectory() as cache:
        say("cold")
        cold = ready_s("digits", Path(cache))
        warm = []
        for repeat in range(REPEATS):
            say(f"warm, repeat {repeat + 1} of {REPEATS}")
            warm.append(ready_s("digits", Path(cache)))
    return [
        median_row(
            "ready, kernels compiled before",
            warm,
            "s",
            limit=PROMISED_WARM_S,
            note="promised: below; digits",
        ),
        median_row(
            "ready, first start",
            [cold],
            "s",
            limit=PROMISED_COLD_S,
            note="promised: below; digits, every kernel compiled",
        ),
    ]
