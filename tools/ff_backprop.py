"""One pass of backprop over MNIST beside layers that learn locally, into docs/results.

First plain backprop in eager PyTorch, one example at a time, with a rate that falls to zero at the
last row, which must be known beforehand. Then two layers of 1000 with the trimmings of local
projection (smoothed labels, rates that need no end, averaged weights, inputs decorrelated by their
second moments), once with a backward pass and once without: the same compiled code, so that the
difference is what locality costs or gives. Every row is predicted before it is learned.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from ff_backprop_net import Net
from results import write
from streams import ordered

from streamlearn import data
from streamlearn.bench.report import Report, Row, report
from streamlearn.bench.torch_forward_forward import MISSING, TorchBackprop
from streamlearn.data import Dataset
from streamlearn.part import F32, I32

STATE: Final = Path("state-reproduce")
"""Where a run that is stopped goes on from."""
PLAIN: Final = (784, 2000, 10)
SHAPE: Final = (784, 1000, 10)
PLAIN_RATE: Final = 0.05
RATES: Final = {True: (0.06, 0.003), False: (0.06, 0.006)}
"""Rates of W and M, with a backward pass and without. For backprop the best of five pairs, by the
error on rows of the training set that were held out; for local learning those it is used with."""


class Run(NamedTuple):
    """One pass with one seed."""

    test_percent: float
    running_percent: float
    """Each row predicted before it was learned."""
    us: float | None
    """Processor time an example, which is the time on a quiet machine; None: not measured."""


class Rows(NamedTuple):
    """Rows as both networks take them."""

    x: F32
    y: I32


def scaled(dataset: Dataset) -> Rows:
    """Pixels from 0 to 1."""
    assert dataset.y is not None
    x = dataset.X.reshape(dataset.rows, -1).astype(np.float32) / np.float32(255)
    return Rows(np.ascontiguousarray(x), dataset.y)


def by_rms(rows: Rows) -> Rows:
    """Rows divided by their root mean square."""
    rms = np.sqrt(np.square(rows.x).mean(axis=1, keepdims=True)) + np.float32(1e-12)
    return Rows(np.ascontiguousarray(rows.x / rms), rows.y)


def percent(said: I32, y: I32) -> float:
    """Share of wrong answers."""
    return 100 * float(np.mean(said != y))


def plain(train: Rows, test: Rows, seed: int) -> dict[str, Run]:
    """Eager PyTorch; raises `SystemExit` where it is not installed."""
    peer = TorchBackprop.made(PLAIN, PLAIN_RATE, seed)
    if peer is None:
        sys.exit(f"ff_backprop: {MISSING}, or leave it out with --only trimmed")
    decay = np.linspace(1, 0, len(train.x), endpoint=False, dtype=np.float32)
    began = time.process_time()
    said = peer.learn(train.x, train.y, decay).predicted
    us = 1e6 * (time.process_time() - began) / len(train.x)
    errors = percent(peer.answers(test.x), test.y), percent(said, train.y)
    return {"plain": Run(*errors, us)}


def trimmed(train: Rows, test: Rows, seed: int) -> dict[str, Run]:
    """Both ways of learning the two layers, by name."""
    train, test = by_rms(train), by_rms(test)
    runs = {}
    for backward in (True, False):
        net = Net(SHAPE, backward=backward, rates=RATES[backward], seed=seed)
        began = time.process_time()
        said = net.learn(train.x, train.y)
        us = 1e6 * (time.process_time() - began) / len(train.x)
        answers = net.answers(test.x)
        columns = {"backprop": 1} if backward else {"local": 0, "local 2": 1, "local 1": 2}
        for name, j in columns.items():
            errors = percent(answers[:, j], test.y), percent(said[:, j], train.y)
            runs[name] = Run(*errors, us)
    return runs


PARTS: Final[dict[str, Callable[[Rows, Rows, int], dict[str, Run]]]] = {
    "plain": plain,
    "trimmed": trimmed,
}
NAMES: Final = {
    "plain": "backprop, PyTorch SGD, 784-2000-10, plain",
    "backprop": "backprop, 784-1000-1000-10 with skip, trimmed",
    "local": "local, the same, both layers' own read-outs together",
    "local 2": "local, the same, second layer's read-out",
    "local 1": "local, the same, first layer's read-out (backprop 784-1000-10)",
}


def rows_of(runs: Sequence[dict[str, Run]]) -> Iterator[Row]:
    """Mean and spread over the seeds; the local ones beside backprop of the same shape."""
    for name, title in NAMES.items():
        each = [run[name] for run in runs if name in run]
        if not each:
            continue
        errors = [run.test_percent for run in each]
        beside = [run["backprop"].test_percent for run in runs if "backprop" in run]
        local = name.startswith("local") and beside
        note = f"{statistics.fmean(run.running_percent for run in each):.2f} while learning; "
        note += "eager, one thread" if name == "plain" else "compiled"
        times = [run.us for run in each if run.us is not None]
        note += f", {statistics.median(times):.0f} µs of processor time an example" if times else ""
        yield Row(
            name=title,
            ours=round(statistics.fmean(errors), 3),
            unit="% of test rows wrong",
            peer=round(statistics.fmean(beside), 3) if local else None,
            seeds=len(each),
            spread=round(max(errors) - min(errors), 3),
            note=note + ("; peer: backprop, trimmed" if local else ""),
        )


class Kept:
    """Runs that are done, in a file, so that one can stop and go on.

    Parameters
    ----------
    path
        The file; None keeps nothing.

    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        there = path is not None and path.exists()
        self._runs: dict[str, dict[str, Any]] = (
            json.loads(path.read_text(encoding="utf-8")) if path and there else {}
        )

    def has(self, name: str, seed: int) -> bool:
        """Whether it was measured before."""
        return f"{name}, seed {seed}" in self._runs

    def run(self, name: str, seed: int, measure: Callable[[], dict[str, Run]]) -> dict[str, Run]:
        """What was measured before, or is now."""
        key = f"{name}, seed {seed}"
        if key not in self._runs:
            self._runs[key] = {one: list(run) for one, run in measure().items()}
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.write_text(json.dumps(self._runs, indent=2), encoding="utf-8")
        found = {one: Run(*figures) for one, figures in self._runs[key].items()}
        for one, run in found.items():
            print(
                f"{key}: {one}: {run.test_percent:.2f} of test, {run.running_percent:.2f} running"
            )
        return found


def measured(seeds: int, parts: Sequence[str], limit: int | None = None) -> Iterator[Report]:
    """After each seed, all networks so far; seed 0 takes the rows in their given order."""
    whole = data.load("mnist")
    assert whole.test is not None
    test = scaled(whole.test)
    kept = Kept(STATE / "backprop.json" if limit is None else None)
    runs = []
    for seed in range(seeds):
        train = scaled(ordered(whole.train, seed).first(limit or whole.rows))
        run: dict[str, Run] = {}
        for name in PARTS:
            if name in parts or kept.has(name, seed):
                run |= kept.run(name, seed, partial(PARTS[name], train, test, seed))
        runs.append(run)
        yield report("ff-backprop", "python tools/ff_backprop.py", rows_of(runs))


def main() -> None:
    """Measure; three seeds of everything take a quarter of an hour."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=PARTS, help="plain needs PyTorch, trimmed does not")
    parser.add_argument("--rows", type=int, help="learn only the first rows, and write nothing")
    arguments = parser.parse_args()
    parts = [arguments.only] if arguments.only else list(PARTS)
    for result in measured(arguments.seeds, parts, arguments.rows):
        for row in result.rows:
            print(f"{row.name}: {row.ours} {row.unit} ({row.note})")
        if arguments.rows is None:
            print(write(result), flush=True)


if __name__ == "__main__":
    main()
