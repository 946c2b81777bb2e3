"""How long a row takes: from received to published, and from due to be sent to arrived.

At half of the load that the daemon can carry, row by row, on a fixed schedule. The first figure is
the daemon's own, from its histogram. The second one is what a client sees: a row that waits behind
a slow one counts with its whole wait, and so do sender and receiver, which are processes of their
own and share the cores with the daemon.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamlearn.bench import learners
from streamlearn.bench.pipeline import through_sockets_hz
from streamlearn.bench.process import DaemonProcess
from streamlearn.bench.report import Row, Say, median_row
from streamlearn.client import Subscriber
from streamlearn.errors import NoAnswerError
from streamlearn.observe.latency import Histogram
from streamlearn.wire.published import Prediction

REPEATS: Final = 3
SECONDS: Final = 6.0
WARM_UP_S: Final = 1.0
PROMISED_P99_MS: Final = 5.0
_TRIAL_ROWS: Final = {"mnist": 4000, "tiny": 100_000}

Arrival = tuple[float, int, int]
"""When a prediction came, its first row, how many rows it holds."""


def latencies_ms(name: str, rate_hz: float) -> tuple[float, NDArray[np.float64]]:
    """The 99th percentile inside the daemon, and what each row took as clients see it.

    The latter without the rows of the first second.
    """
    with tempfile.TemporaryDirectory() as folder:
        daemon = DaemonProcess(learners.file(name, Path(folder)), folder)
        with daemon, Subscriber(daemon.publish, ("prediction/",), timeout_s=5.0) as subscriber:
            command = [sys.executable, "-m", "streamlearn.bench.schedule", daemon.pull, name]
            command += [str(rate_hz), str(SECONDS)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender:  # noqa: S603
                arrivals = _arrivals(subscriber, int(rate_hz * SECONDS))
                assert sender.stdout is not None
                start = float(sender.stdout.readline())
            inside_ms = 1e3 * _quantile(daemon.get("/metrics")[1], 0.99)
    return inside_ms, _waits_ms(arrivals, start, rate_hz)


def _quantile(page: str, q: float) -> float:
    """A quantile of the daemon's latency histogram, seconds."""
    head = "streamlearn_latency_seconds_bucket{le="
    pairs = [
        (line.split('"')[1], float(line.split()[-1]))
        for line in page.splitlines()
        if line.startswith(head)
    ]
    histogram = Histogram([float(bound) for bound, _ in pairs[:-1]])
    return histogram.with_counts([count for _, count in pairs]).quantile(q)


def _arrivals(subscriber: Subscriber, total: int) -> list[Arrival]:
    arrivals: list[Arrival] = []
    seen = 0
    for message in subscriber:
        if isinstance(message, Prediction):
            arrivals.append((time.time(), message.seq, len(message.y_pred)))
            seen += len(message.y_pred)
        if seen >= total:
            return arrivals
    raise NoAnswerError(f"{seen} predictions came of {total}")


def _waits_ms(arrivals: list[Arrival], start: float, rate_hz: float) -> NDArray[np.float64]:
    came = np.repeat([a[0] for a in arrivals], [a[2] for a in arrivals])
    row = np.concatenate([np.arange(seq, seq + n) for _, seq, n in arrivals])
    due_s = row / rate_hz
    return ((came - start - due_s) * 1e3)[due_s >= WARM_UP_S]


def measure(say: Say) -> list[Row]:
    """Rows of `bench latency`."""
    return [row for name in _TRIAL_ROWS for row in _measured(name, say)]


def _measured(name: str, say: Say) -> list[Row]:
    say(f"{name}: how much it can carry")
    rate_hz = through_sockets_hz(name, _TRIAL_ROWS[name], 1) / 2
    halves: list[float] = []
    tails: list[float] = []
    inside: list[float] = []
    for repeat in range(REPEATS):
        say(f"{name}: {rate_hz:.0f} rows/s, repeat {repeat + 1} of {REPEATS}")
        inside_ms, waits = latencies_ms(name, rate_hz)
        inside.append(inside_ms)
        halves.append(float(np.percentile(waits, 50)))
        tails.append(float(np.percentile(waits, 99)))
    note = f"{rate_hz:.0f} rows/s, half of what it carries, a row a message"
    return [
        median_row(
            f"{name}, received to published, p99", inside, "ms", limit=PROMISED_P99_MS, note=note
        ),
        median_row(f"{name}, due to arrived, p50", halves, "ms", note=note),
        median_row(f"{name}, due to arrived, p99", tails, "ms", note=note),
    ]
