"""The open questions of the Forward-Forward paper (Hinton 2022, section 8) as one table.

Each answer is configs/forward_forward_questions.toml with a few keys changed; --list prints the
command of each. Same net, same stream (the first 20,000 rows of MNIST, in an order a seed), three
seeds. So that an answer is not judged by a rate that was made for another one, each takes the best
of three rates, chosen by one run on rows that are neither learned from nor tested on.
Whether goodness is better judged layer by layer or summed over the net no configuration asks; two
nets of tools/ff_global.py, alike but for that, do.
Writes docs/results/ff-questions.json after each answer, and docs/ff-questions.png at the end.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from ff_backprop import by_rms, scaled
from ff_global import GlobalNet
from results import kept, write
from streams import ordered

from streamlearn import data
from streamlearn.bench.report import Report, Row, report
from streamlearn.config import Config, config_hash, load
from streamlearn.data import Dataset
from streamlearn.errors import StageError, StreamlearnError
from streamlearn.evaluate import evaluate
from streamlearn.plan import CATALOGUE

ROOT: Final = Path(__file__).resolve().parent.parent
BASE: Final = ROOT / "configs" / "forward_forward_questions.toml"
PICTURE: Final = ROOT / "docs" / "ff-questions.png"
LAYERS: Final = 2
ROWS: Final = 20_000
VALIDATION_ROWS: Final = 5000
"""The last rows of the training set."""
RATES: Final = (0.02, 0.06, 0.2)
UNTRAINED: Final = "untrained"

Change = Mapping[str, str | float | bool]

LABEL_FREE: Final[Change] = {"labels": "none"}
QUESTIONS: Final[Mapping[str, Mapping[str, Change]]] = {
    "Goodness": {
        "mean square": {"goodness": "squares"},
        "minus mean square": {"goodness": "minus_squares"},
        "mean": {"goodness": "sum"},
        "minus mean": {"goodness": "minus_sum"},
    },
    "Detectors and constraints": {"half of each": {"goodness": "split"}},
    "Activation": {"relu": {}, "student's t": {"activation": "student_t"}},
    "Loss": {
        "real against made-up": {"loss": "pair"},
        "each against a threshold": {"loss": "threshold"},
    },
    "Wrong labels": {"hard": {"wrong_label": "hard"}, "random": {"wrong_label": "random"}},
    "Negatives made without labels": {
        "hybrids": {**LABEL_FREE, "negatives": "hybrid"},
        "pairs": {**LABEL_FREE, "negatives": "pairing"},
        "generated": {**LABEL_FREE, "negatives": "generated"},
        UNTRAINED: {**LABEL_FREE, "frozen": True},
    },
    "Phases apart, by rows awake": {
        f"{rows:,}": {**LABEL_FREE, "phases": "apart", "wake_rows": rows}
        for rows in (1, 10, 100, 1000)
    },
}
"""Question → answer → options of both layers."""


class Answer(NamedTuple):
    """One way to set the base configuration."""

    question: str
    name: str
    change: Change

    @property
    def title(self) -> str:
        """How the table calls it."""
        return f"{self.question}: {self.name}"

    def settings(self, rate: float | None = None) -> list[str]:
        """`--set` words for both layers."""
        change = dict(self.change) | ({} if rate is None else {"rate": rate})
        return [
            f"layer.{i}.{key}={msgspec.json.encode(value).decode()}"
            for i in range(LAYERS)
            for key, value in change.items()
        ]

    def command(self) -> str:
        """What to type to have it."""
        words = [f"--set '{setting}'" for setting in self.settings()]
        base = f"streamlearn evaluate {BASE.relative_to(ROOT)} --data mnist --limit {ROWS}"
        return " ".join([base, *words])


JUDGED: Final[Mapping[str, bool]] = {"each layer by itself": False, "summed over the net": True}
JUDGED_QUESTION: Final = "Goodness judged"
GLOBAL_RATES: Final = (0.3, 1.0, 3.0)
GLOBAL_UNITS: Final = 500

ANSWERS: Final = tuple(
    Answer(question, name, change)
    for question, changes in QUESTIONS.items()
    for name, change in changes.items()
)


class Sets(NamedTuple):
    """Rows to learn from, to choose rates by, to test on."""

    train: Dataset
    validation: Dataset
    test: Dataset

    @classmethod
    def of(cls, name: str, rows: int) -> "Sets":
        """Cut a standard set."""
        whole = data.load(name)
        train, test = whole.train, whole.test
        assert train.y is not None
        assert test is not None
        last = slice(-min(VALIDATION_ROWS, train.rows // 5), None)
        validation = replace(train, X=train.X[last], y=train.y[last])
        return cls(train.first(min(rows, train.rows - validation.rows)), validation, test)


def configured(answer: Answer, sets: Sets, rate: float, seed: int) -> Config:
    """The base configuration with an answer's keys, for rows of this shape."""
    stream = [f"stream.shape={list(sets.train.shape)}", f"seed={seed}"]
    return load(BASE, CATALOGUE, [*answer.settings(rate), *stream])


def error(answer: Answer, sets: Sets, rate: float, seed: int, *, held_out: Dataset) -> float:
    """Percent of the held-out rows wrong after one pass; 100 where learning breaks down."""
    config = configured(answer, sets, rate, seed)
    try:
        result = evaluate(config, ordered(sets.train, seed), test=held_out)
    except StageError as problem:
        print(f"{answer.title}: {problem}", file=sys.stderr)
        return 100.0
    return 100 * float(result["test"]["error"])


def global_error(sets: Sets, rate: float, seed: int, *, together: bool, held_out: Dataset) -> float:
    """Percent of the held-out rows wrong for a net of `ff_global` after one pass."""
    train, test = (by_rms(scaled(rows)) for rows in (ordered(sets.train, seed), held_out))
    widths = (train.x.shape[1], GLOBAL_UNITS, 10)
    net = GlobalNet(widths, together=together, rate=rate, seed=seed)
    net.learn(train.x, train.y)
    return 100 * float(np.mean(net.answers(test.x) != test.y))


def measured(answer: Answer, sets: Sets, seeds: int) -> Row:
    """Choose the rate of an answer, then test with each seed."""

    def run(rate: float, seed: int, held_out: Dataset) -> float:
        return error(answer, sets, rate, seed, held_out=held_out)

    untrained = answer.name == UNTRAINED
    found = _best(run, RATES[:1] if untrained else RATES, sets, seeds)
    note = ", ".join(f"{key} = {value}" for key, value in answer.change.items())
    chosen = "" if untrained else f"rate {found.rate:g}"
    return _row(answer.title, found, "; ".join(part for part in (note, chosen) if part))


def judged(name: str, sets: Sets, seeds: int) -> Row:
    """The same for the question that no configuration asks."""

    def run(rate: float, seed: int, held_out: Dataset) -> float:
        return global_error(sets, rate, seed, together=JUDGED[name], held_out=held_out)

    found = _best(run, GLOBAL_RATES, sets, seeds)
    note = f"tools/ff_global.py, read out by goodness; rate {found.rate:g}"
    return _row(f"{JUDGED_QUESTION}: {name}", found, note)


class Found(NamedTuple):
    """What a choice of rate and several seeds came to."""

    rate: float
    errors: list[float]


def _best(
    run: Callable[[float, int, Dataset], float], rates: Sequence[float], sets: Sets, seeds: int
) -> Found:
    """The rate with the least error on the validation rows, and its errors on the test rows."""
    tried = {rate: run(rate, 0, sets.validation) for rate in rates}
    rate = min(tried, key=lambda each: tried[each])
    return Found(rate, [run(rate, seed, sets.test) for seed in range(seeds)])


def _row(title: str, found: Found, note: str) -> Row:
    errors = found.errors
    return Row(
        name=title,
        ours=round(statistics.fmean(errors), 2),
        unit="% of test rows wrong",
        seeds=len(errors),
        spread=round(max(errors) - min(errors), 2),
        note=note,
    )


def asked(sets: Sets, seeds: int, known: Mapping[str, Row]) -> Iterator[list[Row]]:
    """After each answer, all rows so far; those of an earlier run are taken as they are."""
    rows: list[Row] = []
    alike: dict[str, Row] = {}
    for answer in ANSWERS:
        try:
            key = config_hash(configured(answer, sets, RATES[0], 0))
            same = known.get(answer.title) or _as(answer, alike.get(key))
            alike[key] = same or measured(answer, sets, seeds)
        except StreamlearnError as problem:
            print(f"{answer.title}: left out: {problem}", file=sys.stderr, flush=True)
            continue
        rows.append(alike[key])
        yield rows
    for name in JUDGED:
        rows.append(known.get(f"{JUDGED_QUESTION}: {name}") or judged(name, sets, seeds))
        yield rows


def _as(answer: Answer, row: Row | None) -> Row | None:
    """The row of an answer that is the same net by another name."""
    return row and msgspec.structs.replace(row, name=answer.title, note=_noted(answer, row))


def _noted(answer: Answer, row: Row) -> str:
    changes = ", ".join(f"{key} = {value}" for key, value in answer.change.items())
    return "; ".join(part for part in (changes, row.note.rpartition("; ")[2]) if part)


def draw(result: Report, path: Path = PICTURE) -> None:
    """Draw the table as bars, one group a question."""
    from matplotlib.figure import Figure  # noqa: PLC0415  an extra, needed only here

    figure = Figure(figsize=(9, 0.33 * len(result.rows) + 1.6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    group, place, ticks = "", 0.0, []
    for row in result.rows:
        question, name = row.name.split(": ", 1)
        if question != group:
            group, place = question, place + 1.0
            axes.text(0, place - 0.62, question, weight="bold", size=9, va="center")
        axes.barh(place, row.ours, height=0.7, color="#c2410c" if name != UNTRAINED else "#8795a1")
        axes.text(row.ours, place, f" {row.ours:.2f}", va="center", size=8)
        ticks.append((place, name))
        place += 1
    axes.set_yticks(*zip(*ticks, strict=True))
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(f"% of test rows wrong after {ROWS:,} rows of MNIST, mean of three seeds")
    figure.savefig(path)


def main() -> None:
    """Ask what is not answered yet; all of it takes half an hour."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="print the command of each answer")
    parser.add_argument("--again", action="store_true", help="answer known ones anew, too")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(f"{answer.title}\n  {answer.command()}" for answer in ANSWERS))
        return
    known = {} if arguments.again else kept("ff-questions")
    for rows in asked(Sets.of("mnist", ROWS), arguments.seeds, known):
        print(f"{rows[-1].name}: {rows[-1].ours} ± {rows[-1].spread} ({rows[-1].note})", flush=True)
        result = report("ff-questions", "python tools/ff_questions.py", rows)
        write(result)
    draw(result)


if __name__ == "__main__":
    main()
