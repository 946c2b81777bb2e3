"""A module more while a daemon learns a live stream: how long it takes, and what rows notice.

    make infomax-added                       a minute
    make infomax-added ARGS=--short          seconds, made-up samples, for CI

A real daemon runs configs/infomax_watch.toml. Recordings of the watch come in together at their own
rate, each as a stream of its own, and a subscriber listens to the codes. Modules that read the
first one's codes are added through control while rows flow, one after the other. Measured: the time
from the request to the answer; the longest silence between two codes meanwhile, beside the longest
one while nothing was added; rows that were sent and never learned; and whether the digest of all
that was there is as it was. Writes docs/results/infomax-added.json.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import infomax_made_up
import numpy as np
from numpy.typing import NDArray
from results import write

from streamlearn import data
from streamlearn.bench.process import DaemonProcess
from streamlearn.bench.report import Report, Row, median_row, report
from streamlearn.client import Producer, Subscriber
from streamlearn.config import environment
from streamlearn.data import Dataset
from streamlearn.errors import NoAnswerError
from streamlearn.wire.control import request
from streamlearn.wire.published import Embedding

CONFIG: Final = Path(__file__).resolve().parent.parent / "configs" / "infomax_watch.toml"
WINDOW: Final = 10
HOP: Final = 5
RATE_HZ: Final = 50.0
PATIENCE_S: Final = 300.0
SILENT_S: Final = 10.0
"""Without a row, after which no more is expected."""
MODULE: Final = {"rule": "greedy_infomax", "units": 64, "reads": ["layer1"]}


class Plan(NamedTuple):
    """How much is done."""

    together: int = 16
    """Streams."""
    modules: int = 5
    """Added, one after the other."""
    quiet_s: float = 5.0
    """Before the first, and after each."""


class Sender(threading.Thread):
    """Plays recordings, a hop of each in turn, round and round at real-time rate.

    Parameters
    ----------
    endpoint
        Where the daemon takes rows.
    samples
        [streams, n, channels], n a multiple of the hop.

    """

    def __init__(self, endpoint: str, samples: NDArray[np.float32]) -> None:
        super().__init__(daemon=True)
        self._endpoint, self._samples, self._ended = endpoint, samples, threading.Event()
        self.sent = 0
        """Samples of each stream."""

    def run(self) -> None:
        """Send until `stop`."""
        began, shape = time.monotonic(), self._samples.shape[2:]
        with Producer(self._endpoint, "arm/0", timeout_s=PATIENCE_S, shape=shape) as producer:
            while not self._ended.is_set():
                at = self.sent % self._samples.shape[1]
                for i, one in enumerate(self._samples):
                    producer.switch(f"arm/{i}")
                    producer.send(one[at : at + HOP])
                self.sent += HOP
                self._ended.wait(max(0.0, began + self.sent / RATE_HZ - time.monotonic()))

    def stop(self) -> int:
        """End it between two turns; returns how many rows it sent."""
        self._ended.set()
        self.join(PATIENCE_S)
        return self.rows()

    def rows(self) -> int:
        """Windows of all streams so far."""
        return len(self._samples) * max(0, (self.sent - WINDOW) // HOP + 1)


class Listener(threading.Thread):
    """Notes when codes came, until it is told to stop.

    Parameters
    ----------
    endpoint
        Where the daemon publishes.

    """

    def __init__(self, endpoint: str) -> None:
        super().__init__(daemon=True)
        self._endpoint, self._ended = endpoint, threading.Event()
        self.times: list[float] = []
        self.rows = self.missed = 0

    def run(self) -> None:
        """Listen."""
        with Subscriber(self._endpoint, ["embedding/"], timeout_s=0.2) as codes:
            while not self._ended.is_set():
                try:
                    message = next(codes)
                except NoAnswerError:
                    continue
                assert isinstance(message, Embedding)
                self.times.append(time.monotonic())
                self.rows += len(message.x)
                self.missed = codes.missed

    def stop(self) -> None:
        """End it."""
        self._ended.set()
        self.join(PATIENCE_S)

    def silence(self, begin: float, end: float) -> float:
        """Seconds of the longest silence that ended between two moments."""
        times = np.array([begin, *(t for t in self.times if begin < t <= end)])
        return float(np.diff(times).max()) if len(times) > 1 else end - begin


class Found(NamedTuple):
    """What came of it."""

    seconds: list[float]
    """From request to answer, of each module."""
    waited_s: list[float]
    """How long the daemon itself says that rows waited."""
    silences: list[float]
    """The longest one at each module."""
    usual: float
    """The longest one while nothing was added."""
    sent: int
    """Rows."""
    learned: int
    changed: int
    """Times that the digest of what was there was another one afterwards."""


def samples_of(watch: Dataset, together: int) -> NDArray[np.float32]:
    """The longest recordings, cut to one length: [streams, n, channels]."""
    longest = sorted(watch.recordings(), key=lambda r: -len(r.X))[:together]
    n = len(longest[-1].X) // HOP * HOP
    return np.stack([one.X[:n] for one in longest]).astype(np.float32)


def measured(config: Path, samples: NDArray[np.float32], plan: Plan) -> Found:
    """Add modules to a daemon that learns."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ends:
        daemon = DaemonProcess(config, folder)
        ends.callback(daemon.kill)
        daemon.start().wait_ready(PATIENCE_S)
        sender, listener = Sender(daemon.pull, samples), Listener(daemon.publish)
        listener.start()
        sender.start()
        _wait(lambda: len(listener.times) > 0, "no code was published")
        threading.Event().wait(plan.quiet_s)
        answers, spans = [], []
        quiet = (listener.times[0], time.monotonic())
        for _ in range(plan.modules):
            began = time.monotonic()
            answers.append(request(daemon.control, "add_layer", PATIENCE_S, **MODULE))
            answered = time.monotonic()
            threading.Event().wait(plan.quiet_s)
            spans.append((began, answered, time.monotonic()))
        sent = sender.stop()
        learned = _learned(daemon, sent)
        listener.stop()
    return Found(
        seconds=[answered - began for began, answered, _ in spans],
        waited_s=[float(one["waited_s"]) for one in answers],
        silences=[listener.silence(began, end) for began, _, end in spans],
        usual=listener.silence(*quiet),
        sent=sent,
        learned=learned,
        changed=sum(one["digest_before"] != one["digest_of_what_was"] for one in answers),
    )


def _wait(done: Any, complaint: str) -> None:
    """Wait until something is so, or say what is wrong."""
    deadline, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not done():
        if time.monotonic() > deadline:
            sys.exit(f"infomax_added: {complaint} within {PATIENCE_S:g} s")
        pause.wait(0.05)


def _learned(daemon: DaemonProcess, sent: int) -> int:
    """Rows learned, once all are or no more come."""
    known, since, pause = -1, time.monotonic(), threading.Event()
    while known < sent and time.monotonic() - since < SILENT_S:
        now = int(request(daemon.control, "status", PATIENCE_S)["rows_learned"])
        known, since = (now, time.monotonic()) if now > known else (known, since)
        pause.wait(0.05)
    return known


def rows_of(found: Found, plan: Plan) -> list[Row]:
    """A row of the table for each of the things promised."""
    flow = plan.together * RATE_HZ / HOP
    note = f"64 units on 256; {plan.together} watches in real time, {flow:g} rows a second"
    waited = f"the daemon itself: {1000 * statistics.median(found.waited_s):.0f} ms; "
    return [
        median_row("from request to answer", found.seconds, "s", note=note),
        median_row(
            "longest silence between codes meanwhile",
            [1000 * s for s in found.silences],
            "ms",
            note=f"{waited}while nothing was added {1000 * found.usual:.0f} ms",
        ),
        Row(
            name="rows lost",
            ours=found.sent - found.learned,
            unit="rows",
            note=f"of {found.sent:,}",
        ),
        Row(
            name="digest of what was there changed",
            ours=found.changed,
            unit="times",
            note=f"of {plan.modules}",
        ),
    ]


def reported(rows: Sequence[Row]) -> Report:
    """What is written."""
    return report("infomax-added", "make infomax-added", list(rows))


def main() -> None:
    """Measure, show and write; in short, only measure and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="made-up samples, one module")
    short = parser.parse_args().short
    plan = Plan(4, 1, 0.5) if short else Plan()
    watch = infomax_made_up.watch() if short else _watch()
    samples = samples_of(watch, plan.together)
    samples = np.concatenate((samples, samples), axis=2) if short else samples
    found = measured(CONFIG, samples, plan)
    for row in rows_of(found, plan):
        print(f"{row.name}: {row.ours:g} {row.unit}; {row.note}")
    if short and (found.sent != found.learned or found.changed):
        sys.exit("infomax_added: a row was lost, or what was there has changed")
    if not short:
        print(write(reported(rows_of(found, plan))))


def _watch() -> Dataset:
    return data.load(str((environment().data or Path()) / "watch" / "watch.npz"))


if __name__ == "__main__":
    main()
