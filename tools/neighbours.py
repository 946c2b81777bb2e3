"""One pass over raw pixels of unit length: the nearest of a bounded memory beside a softmax head.

No layer learns, so this is what rows as they come are worth. Into docs/results/neighbours.json, and
what an approximate search costs and gives beside an exact one into neighbours-index.json.
Seed 0 takes the rows in their given order, every other seed in an order of its own; rows of sets
that are not measured stay as they were.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from results import update, write
from streams import ordered

from streamlearn import data
from streamlearn.bench.report import Row, report
from streamlearn.config import Config, parse
from streamlearn.data import Dataset
from streamlearn.evaluate import evaluate
from streamlearn.heads.neighbours import Neighbours
from streamlearn.part import F32, I32, Place, Rows
from streamlearn.plan import CATALOGUE

HEADS: Final[Mapping[str, Mapping[str, Any]]] = {
    "softmax": {"kind": "softmax"},
    "neighbours, 5,000 rows kept": {"kind": "neighbours", "memory_rows": 5000},
    "neighbours, 10,000 rows kept": {"kind": "neighbours", "memory_rows": 10_000},
}
SETS: Final = ("optdigits", "mnist")
LOOK_SHARES: Final = (0.2, 0.1, 0.05, 0.02)
MEMORY: Final = ("memory", "labels", "born", "counts", "labelled")
INDEX: Final = ("anchors", "cells", "sorted_in")
"""Arrays of a head: what it remembers, and how that is sorted in."""
ASKED: Final = 1000
"""Test rows that searches are compared on."""
BLOCK: Final = 256
ORDER: Final = tuple(f"{name}: {head}" for name in SETS for head in HEADS)


def configured(dataset: Dataset, head: Mapping[str, Any], seed: int) -> Config:
    """Pixels of unit length straight into one head, on one thread."""
    raw = {
        "seed": seed,
        "stream": {"shape": list(dataset.shape), "dtype": "|u1", "classes": dataset.classes},
        "prepare": [{"step": "unit_norm"}],
        "head": [dict(head)],
        "pipeline": {"threads": 1},
    }
    return parse(raw, CATALOGUE)


def measured(name: str, head: str, seeds: int) -> Row:
    """Test error of a head, mean over the seeds; error while learning and rate beside it."""
    whole, runs = data.load(name), []
    for seed in range(seeds):
        print(f"{name}: {head}, seed {seed} of {seeds}", file=sys.stderr, flush=True)
        train = ordered(whole.train, seed)
        runs.append(evaluate(configured(train, HEADS[head], seed), train, test=whole.test))
    errors = [100 * run["test"]["error"] for run in runs]
    running = statistics.fmean(100 * run["prequential"]["error"] for run in runs)
    rate = statistics.median(run["samples_per_s"] for run in runs)
    note = f"{errors[0]:.2f} in the given order; {running:.2f} while learning; {rate:,.0f} rows/s"
    return Row(
        name=f"{name}: {head}",
        ours=round(statistics.fmean(errors), 3),
        unit="% of test rows wrong",
        seeds=seeds,
        spread=round(max(errors) - min(errors), 3),
        note=note,
    )


def rows(names: list[str], seeds: int) -> Iterator[Row]:
    """All heads on each set."""
    for name in names:
        for head in HEADS:
            yield measured(name, head, seeds)


def unit_rows(dataset: Dataset) -> tuple[F32, I32]:
    """Pixels of unit length [n, D] and labels [n]."""
    x = dataset.X.reshape(dataset.rows, -1).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x, np.asarray(dataset.y, np.int32)


def knowing(x: F32, y: I32) -> Neighbours:
    """A head with an approximate index that has learned all rows."""
    head = searching(x.shape, index="approximate")
    for begin in range(0, len(x), BLOCK):
        these = slice(begin, begin + BLOCK)
        out = np.zeros((len(x[these]), 10), np.float32)
        head.learn(Rows(x[these], out, y[these], begin))
    return head


def searching(shape: tuple[int, ...], **options: Any) -> Neighbours:
    """A head that keeps as many rows as the shape has."""
    made = Neighbours.Options(kind="neighbours", memory_rows=shape[0], **options)
    return Neighbours(made, Place(shape[1], shape[1:], 10, 1))


def answered(head: Neighbours, x: F32, *, together: bool) -> tuple[F32, float]:
    """Scores of rows [B, D], and microseconds of processor time a row."""
    out = np.zeros((len(x), 10), np.float32)
    step = len(x) if together else 1
    began = time.thread_time()
    for begin in range(0, len(x), step):
        head.infer(x[begin : begin + step], out[begin : begin + step])
    return out, 1e6 * (time.thread_time() - began) / len(x)


def searches(asked: int) -> Iterator[Row]:
    """Exact and approximate search over the whole of MNIST: time a row, answers that are equal."""
    whole = data.load("mnist")
    assert whole.test is not None
    x, y = unit_rows(whole.train)
    rows, truth = unit_rows(whole.test.first(asked))
    known, exact = knowing(x, y).arrays(), None
    for share in (1.0, *LOOK_SHARES):
        options = {"index": "approximate", "look_share": share} if share < 1 else {}
        head = searching(x.shape, **options)
        for name in MEMORY + (INDEX if options else ()):
            head.arrays()[name][...] = known[name]
        answered(head, rows[:8], together=True)
        scores, together_us = answered(head, rows, together=True)
        _, alone_us = answered(head, rows[: asked // 10], together=False)
        exact = scores if exact is None else exact
        same = 100 * float((scores == exact).all(axis=1).mean())
        wrong = 100 * float((scores.argmax(axis=1) != truth).mean())
        yield Row(
            name=f"looks at {share:.0%} of 60,000 rows",
            ours=round(alone_us, 1),
            unit="µs a row, one by one",
            note=f"{together_us:,.0f} µs in blocks; {same:.1f} % of {asked} rows answered as by an "
            f"exact search; {wrong:.1f} % wrong",
        )


def main() -> None:
    """Measure the sets that are named; MNIST takes some ten minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*SETS, "index", []], help="none: all")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    names = arguments.name or [*SETS, "index"]
    if "index" in names:
        done = [*searches(ASKED)]
        print(write(report("neighbours-index", "make neighbours ARGS=index", done)))
    for row in rows([name for name in names if name in SETS], arguments.seeds):
        print(update(report("neighbours", "make neighbours", [row]), order=ORDER))


if __name__ == "__main__":
    main()
