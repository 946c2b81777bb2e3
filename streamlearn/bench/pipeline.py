"""Rows a second through real sockets, beside the same learner fed in one process."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from streamlearn.bench import learners
from streamlearn.bench.bare import bare_hz
from streamlearn.bench.load import Feed, rate_hz, watched
from streamlearn.bench.process import DaemonProcess
from streamlearn.bench.report import Row, Say, median_row
from streamlearn.evaluate import evaluate

REPEATS: Final = 3
SECONDS: Final = 5.0
"""About how long each measurement lasts."""
ROWS_A_MESSAGE: Final = {"mnist": (16, 1), "tiny": (1, 64)}
_ALONE: Final = "`evaluate`, in process"
_BARE: Final = "the same sender into a socket that forgets"
PROMISED_HZ: Final = {("tiny", 1): 40_000.0, ("tiny", 64): 500_000.0}
_TRIAL_ROWS: Final = {"mnist": 3000, "tiny": 100_000}


def in_process_hz(name: str, total: int) -> float:
    """Rows a second of `evaluate`."""
    with tempfile.TemporaryDirectory() as folder:
        config = learners.config(name, Path(folder))
    dataset = learners.rows(name)
    result = evaluate(config, dataset, passes=total // dataset.rows + 1, limit=total)
    return float(result["samples_per_s"])


def through_sockets_hz(name: str, total: int, rows_per_message: int) -> float:
    """Rows a second from a PUSH socket to learned, by a daemon of its own."""
    dataset = learners.rows(name)
    with tempfile.TemporaryDirectory() as folder:
        daemon = DaemonProcess(learners.file(name, Path(folder)), folder, ["store.keep=1"])
        with daemon, Feed(daemon.pull, dataset, rows_per_message, total):
            return rate_hz(watched(daemon, time.perf_counter(), total))


def measure(say: Say) -> list[Row]:
    """Rows of `bench pipeline`."""
    return [row for name in ROWS_A_MESSAGE for row in _measured(name, say)]


def _measured(name: str, say: Say) -> list[Row]:
    say(f"{name}: how fast is it")
    total = int(in_process_hz(name, _TRIAL_ROWS[name]) * SECONDS)
    alone: list[float] = []
    sent: dict[int, list[float]] = {rows: [] for rows in ROWS_A_MESSAGE[name]}
    bare: dict[int, list[float]] = {rows: [] for rows in ROWS_A_MESSAGE[name]}
    for repeat in range(REPEATS):
        say(f"{name}: repeat {repeat + 1} of {REPEATS}, {total} rows each")
        alone.append(in_process_hz(name, total))
        for rows, rates in sent.items():
            rates.append(through_sockets_hz(name, _fewer(total, rows), rows))
            bare[rows].append(bare_hz(learners.rows(name), _fewer(total, rows), rows))
    return [
        row
        for rows, rates in sent.items()
        for row in _rows(name, rows, rates, {_ALONE: alone, _BARE: bare[rows]})
    ]


def _fewer(total: int, rows_per_message: int) -> int:
    """One-row messages of a tiny learner come more slowly than it learns."""
    return total // 8 if rows_per_message == 1 and total > 400_000 else total


def _rows(name: str, rows: int, rates: list[float], peers: dict[str, list[float]]) -> list[Row]:
    messages = "a row" if rows == 1 else f"{rows} rows"
    title = f"{name}, {messages} a message"
    made = [
        median_row(title, rates, "rows/s", peer=statistics.median(of), note=f"peer: {peer}")
        for peer, of in peers.items()
    ]
    if promised := PROMISED_HZ.get((name, rows)):
        made.append(median_row(title, rates, "rows/s", limit=promised, note="limit: at least"))
    return made
