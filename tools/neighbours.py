"""One pass over raw pixels of unit length: the nearest of a bounded memory beside a softmax head.

No layer learns, so this is what rows as they come are worth. Into docs/results/neighbours.json.
Seed 0 takes the rows in their given order, every other seed in an order of its own; rows of sets
that are not measured stay as they were.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from results import update
from streams import ordered

from streamlearn import data
from streamlearn.bench.report import Row, report
from streamlearn.config import Config, parse
from streamlearn.data import Dataset
from streamlearn.evaluate import evaluate
from streamlearn.plan import CATALOGUE

HEADS: Final[Mapping[str, Mapping[str, Any]]] = {
    "softmax": {"kind": "softmax"},
    "neighbours, 5,000 rows kept": {"kind": "neighbours", "memory_rows": 5000},
    "neighbours, 10,000 rows kept": {"kind": "neighbours", "memory_rows": 10_000},
}
SETS: Final = ("optdigits", "mnist")
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


def main() -> None:
    """Measure the sets that are named; MNIST takes some ten minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*SETS, []], help="none: all")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for row in rows(arguments.name or [*SETS], arguments.seeds):
        print(update(report("neighbours", "make neighbours", [row]), order=ORDER))


if __name__ == "__main__":
    main()
