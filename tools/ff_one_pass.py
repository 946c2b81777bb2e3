"""Forward-Forward after one strict pass over MNIST, into docs/results/ff-one-pass.json.

Every image is seen once, in an order of the seed's own, predicted before it is learned, and nothing
is kept but what the row's own note says. Each line is a shipped configuration, or one with a few
settings changed, so anyone can run it: `streamlearn evaluate FILE --data mnist --set ...`.
Lines that are not measured now stay as they were measured last.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from results import RESULTS, update
from streams import ordered

from streamlearn import data
from streamlearn.bench.report import Row, report
from streamlearn.config import load
from streamlearn.data import Dataset
from streamlearn.evaluate import evaluate
from streamlearn.plan import CATALOGUE

NAME: Final = "ff-one-pass"
CONFIGS: Final = Path(__file__).resolve().parent.parent / "configs"


class Line(NamedTuple):
    """One line of the table."""

    file: str
    """Configuration in configs/."""
    says: str
    """What it is, in words."""
    settings: tuple[str, ...] = ()
    """Overrides, as `--set` takes them."""
    asked: float | None = None
    """Test error in percent that it was to reach."""


LINES: Final[dict[str, Line]] = {
    "mnist": Line("forward_forward_mnist.toml", "projection, decorrelated, two layers", asked=1.5),
    "fast": Line("forward_forward_fast.toml", "projection, decorrelated, one layer", asked=2.1),
    "fast-constant": Line(
        "forward_forward_fast.toml",
        "the same with steps that never fall",
        ("layer.0.rate_floor=1.0", "layer.0.rate=0.02", "layer.0.read_rate=0.002"),
        1.9,
    ),
    "blocks": Line(
        "forward_forward_fast.toml",
        "class blocks, one layer",
        (
            'layer.0.labels="blocks"',
            "layer.0.decorrelate=false",
            "layer.0.rate=0.01",
            "layer.0.read_rate=0.003",
        ),
    ),
    "space": Line("forward_forward_space.toml", "local receptive fields, then projection", asked=1),
    "space-untrained": Line(
        "forward_forward_space.toml",
        "the same over fields that stay random",
        ("layer.0.frozen=true", "layer.0.silence=0.1"),
    ),
    "overlay": Line("forward_forward_overlay.toml", "label overlay, hard negatives", asked=3),
    "overlay-ring": Line(
        "forward_forward_overlay.toml",
        "the same, each of the last 100 rows visited twice more",
        ("layer.0.revisits=2",),
        2.3,
    ),
    "unsupervised": Line(
        "forward_forward_unsupervised.toml", "no labels, then a softmax head", asked=2.6
    ),
    "unsupervised-untrained": Line(
        "forward_forward_unsupervised.toml",
        "the same over units that stay random",
        ("layer.0.frozen=true",),
    ),
}


def runs(line: Line, whole: Dataset, seeds: Sequence[int], limit: int | None) -> list[Any]:
    """What `evaluate` reports for every seed."""
    reports = []
    for seed in seeds:
        config = load(CONFIGS / line.file, CATALOGUE, [*line.settings, f"seed={seed}"])
        train = ordered(whole.train, seed)
        reports.append(evaluate(config, train, test=whole.test, limit=limit))
        error = 100 * reports[-1]["test"]["error"]
        print(f"{line.says}, seed {seed}: {error:.2f} %", file=sys.stderr, flush=True)
    return reports


def row(line: Line, reports: Sequence[Any]) -> Row:
    """Mean test error in percent; the running error and the time of an example in the note."""
    errors = [100 * one["test"]["error"] for one in reports]
    running = statistics.fmean(100 * one["prequential"]["error"] for one in reports)
    micros = statistics.median(1e6 * one["seconds"] / one["samples"] for one in reports)
    changed = f"; --set {' '.join(line.settings)}" if line.settings else ""
    return Row(
        name=line.says,
        ours=round(statistics.fmean(errors), 3),
        unit="% of test rows wrong",
        limit=line.asked,
        seeds=len(errors),
        spread=round(max(errors) - min(errors), 3),
        note=f"{running:.2f} % while learning, {micros:,.0f} µs a row; {line.file}{changed}",
    )


def main() -> None:
    """Measure the lines that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help=f"some of {', '.join(LINES)}; none: all")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default 3)")
    parser.add_argument("--limit", type=int, help="rows of the pass, for a quick look")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON")
    arguments = parser.parse_args()
    wrong = [name for name in arguments.name if name not in LINES]
    if wrong:
        parser.error(f"{', '.join(wrong)}: expected some of {', '.join(LINES)}")
    whole = data.load("mnist")
    for name in arguments.name or LINES:
        reports = runs(LINES[name], whole, range(1, arguments.seeds + 1), arguments.limit)
        made = report(NAME, "make ff-one-pass", [row(LINES[name], reports)])
        print(update(made, arguments.out, [line.says for line in LINES.values()]))


if __name__ == "__main__":
    main()
