"""Competing hidden units learning MNIST as a stream, into docs/results/kh-stream.json.

Every row is predicted before it is learned, in an order of the seed's own; the test rows are only
looked at in the end. Three groups of lines: who competes, and how; how often the images pass,
beside the paper's schedule for as many passes; layers upon layers, and units that see patches.
Each line is a shipped configuration with a few settings changed, so anyone can run it:
`streamlearn evaluate configs/mnist.toml --data mnist --set ...`, one pass at a time. Lines with
more than one pass draw a new order for each.
Times are of the processor, not of the clock, so that other work on the machine does not count.
Lines that are not measured now stay as they were measured last.
"""

import argparse
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from results import RESULTS, update
from streams import ordered

from streamlearn import data
from streamlearn.bench.report import Row, report
from streamlearn.config import Config, learner_part, load
from streamlearn.data import Dataset
from streamlearn.evaluate import evaluate
from streamlearn.kernels import kernel
from streamlearn.learner import Learner
from streamlearn.part import F32, Part, Rows
from streamlearn.plan import CATALOGUE, Plan
from streamlearn.rules.hebbian import dynamics
from streamlearn.store.checkpoint import Checkpoints

NAME: Final = "kh-stream"
CONFIG: Final = Path(__file__).resolve().parent.parent / "configs" / "mnist.toml"
ONE_THREAD: Final = "pipeline.threads=1"
WARM_ROWS: Final = 4000
"""Rows before layers are timed, so that every unit has taken a place."""
TIMED_ROWS: Final = 2000
REPEATS: Final = 5
INHIBITIONS: Final = (0.5, 0.9, 1.2)
HELD_OUT_ROWS: Final = 2000
STEPS: Final = 1000


class Line(NamedTuple):
    """One line of the table."""

    says: str
    """What it is, in words."""
    settings: tuple[str, ...] = ()
    """Overrides of configs/mnist.toml, as `--set` takes them."""
    passes: int = 1
    seeds: int = 3
    """How many, unless told otherwise."""


def on_layer(**options: Any) -> tuple[str, ...]:
    """Overrides of the one layer that is shipped."""
    encoded = {key: msgspec.json.encode(value).decode() for key, value in options.items()}
    return tuple(f"layer.0.{key}={value}" for key, value in encoded.items())


def layers(*tables: str, reads: str = "") -> tuple[str, ...]:
    """Overrides that put other layers in its place; a head reads all of them unless told."""
    whole = ", ".join(f'{{rule="hebbian", {table}}}' for table in tables)
    return (f"layer=[{whole}]", *([f'head.0.reads=["{reads}"]'] if reads else []))


def annealed(passes: int, p: float = 3.0) -> Line:
    """The paper's schedule, which knows from the start when it will end."""
    published = {"p": p, "k": 7, "delta": 0.4, "rate": 0.04, "minibatch": 100, "largest": True}
    ours = {"start": "random", "conscience": 0.0, "patience": 1e6}
    settings = on_layer(plasticity="equation", **published, **ours, anneal_rows=passes * 60_000)
    says = f"the paper's annealed schedule, p = {p:g}, {counted(passes)}"
    return Line(says, settings, passes, 3 if passes == 1 else 1)


def stream(passes: int) -> Line:
    """What is shipped, for longer."""
    return Line(f"the stream's own rates, {counted(passes)}", (), passes, 1)


def still(passes: int) -> Line:
    """What of it is the head's doing: it passes as often over units that stay as they are."""
    says = f"units that are rows and never move, {counted(passes)}"
    return Line(says, on_layer(rate=0.0), passes, 1)


def counted(passes: int) -> str:
    """One pass, two passes."""
    return f"{passes} pass{'es' if passes > 1 else ''}"


DENSE: Final = "units=2000"
SMALL: Final = "units=1000"
FIELD: Final = "units=64, field=5, pool=4"
UPPER: Final = "units=64, field=3"

COMPETITION: Final[dict[str, Line]] = {
    "ranking": Line("ranking"),
    "dynamics": Line("dynamics", on_layer(competition="dynamics")),
    "soft-random": Line("soft", on_layer(competition="soft", start="random", rate=0.05)),
    "soft-data": Line("soft, from rows", on_layer(competition="soft", rate=0.05)),
    "equation": Line("ranking, eq. 2 as written", on_layer(plasticity="equation")),
    "still-data": Line("units that are rows and never move", on_layer(rate=0.0)),
    "still-random": Line("random units that never move", on_layer(rate=0.0, start="random")),
}
PASSES: Final[dict[str, Line]] = {
    **{f"annealed-{passes}": annealed(passes) for passes in (1, 2, 5, 10)},
    **{f"passes-{passes}": stream(passes) for passes in (2, 5, 10)},
    **{f"still-{passes}": still(passes) for passes in (5, 10)},
}
DEPTH: Final[dict[str, Line]] = {
    "two-upper": Line(
        "two layers, 2000 and 1000, read from the second",
        layers(DENSE, SMALL, reads="layer2"),
        seeds=1,
    ),
    "two-both": Line("two layers, 2000 and 1000, both read", layers(DENSE, SMALL), seeds=1),
    "patches": Line("patches of 5 x 5, 64 units", layers(FIELD), seeds=1),
    "patches-still": Line(
        "patches of 5 x 5, 64 random units that never move",
        layers(f'{FIELD}, rate=0.0, start="random"'),
        seeds=1,
    ),
    "patches-two": Line(
        "patches of 5 x 5, then of 3 x 3, read from the second",
        layers(FIELD, UPPER, reads="layer2"),
        seeds=1,
    ),
    "patches-both": Line(
        "patches of 5 x 5, then of 3 x 3, both read",
        layers(FIELD, UPPER),
        seeds=1,
    ),
    "patches-dense": Line(
        "patches of 5 x 5, then 2000 units on the whole, read from those",
        layers(FIELD, DENSE, reads="layer2"),
        seeds=1,
    ),
}
LINES: Final[dict[str, Line]] = COMPETITION | PASSES | DEPTH
WINNERS: Final = "winners"
NAMES: Final = (*COMPETITION, WINNERS, *PASSES, *DEPTH)


def winner_name(inhibition: float) -> str:
    """How the row of an inhibition is called."""
    return f"the unit of the highest current wins, inhibition {inhibition:g}"


ORDER: Final = (
    *(line.says for line in COMPETITION.values()),
    *(winner_name(inhibition) for inhibition in INHIBITIONS),
    *(line.says for line in (PASSES | DEPTH).values()),
)


def configured(line: Line, seed: int) -> Config:
    """The shipped configuration with a line's settings."""
    return load(CONFIG, CATALOGUE, [*line.settings, ONE_THREAD, f"seed={seed}"])


class Watch:
    """Processor time along a stream, without what comes before its first rows."""

    def __init__(self) -> None:
        self._points: list[tuple[int, float]] = []

    def __call__(self, done: int, total: int, figures: dict[str, Any]) -> None:
        """Note how far it is; `evaluate` calls this."""
        del total, figures
        self._points.append((done, time.process_time()))

    def micros(self) -> float:
        """Microseconds a row, from the first note to the last."""
        (first, began), (last, ended) = self._points[0], self._points[-1]
        return 1e6 * (ended - began) / max(last - first, 1)


def learned(part: Part, x: F32) -> F32:
    """What a part makes of rows, which it learns."""
    out = np.empty((len(x), part.width_out), np.float32)
    part.learn(Rows(x, out, np.full(len(x), -1, np.int32), 0))
    return out


def layer_micros(config: Config, rows: F32) -> float:
    """Processor time a row that the layers alone take: warm, the least of several times."""
    chain = [part for part, wires in Plan(config).parts if not wires.writes.startswith("head/")]
    steps = [part for part in chain if part.options in config.prepare]
    taken = []
    for start in (0, *range(WARM_ROWS, WARM_ROWS + REPEATS * TIMED_ROWS, TIMED_ROWS)):
        x = rows[start : start + (TIMED_ROWS if start else WARM_ROWS)]
        for step in steps:
            x = learned(step, x)
        began = time.process_time()
        for part in chain[len(steps) :]:
            x = learned(part, x)
        taken.append((time.process_time() - began) / max(len(x), 1))
    return 1e6 * min(taken[1:])


def runs(line: Line, whole: Dataset, seeds: int, limit: int | None) -> Iterator[dict[str, Any]]:
    """What `evaluate` reports for every seed, with the processor time of a row."""
    for seed in range(1, seeds + 1):
        watch = Watch()
        train = ordered(whole.train, seed, line.passes)
        config = configured(line, seed)
        one = evaluate(config, train, test=whole.test, limit=limit, on_progress=watch)
        error = 100 * one["test"]["error"]
        print(f"{line.says}, seed {seed}: {error:.2f} %", file=sys.stderr, flush=True)
        yield one | {"micros": watch.micros()}


def row(line: Line, reports: Sequence[dict[str, Any]], layer: float) -> Row:
    """Mean test error in percent; the running error and the time of an example in the note."""
    errors = [100 * one["test"]["error"] for one in reports]
    running = statistics.fmean(100 * one["prequential"]["error"] for one in reports)
    micros = statistics.median(one["micros"] for one in reports)
    words = [f"{running:.2f} % while learning", f"{micros:,.0f} µs a row, {layer:,.0f} the layers"]
    if len(errors) == 1:
        words.append("one seed")
    if line.settings:
        words.append(" ".join(f"--set {shlex.quote(setting)}" for setting in line.settings))
    return Row(
        name=line.says,
        ours=round(statistics.fmean(errors), 3),
        unit="% of test rows wrong",
        seeds=len(errors),
        spread=round(max(errors) - min(errors), 3),
        note="; ".join(words),
    )


def measured(name: str, whole: Dataset, seeds: int | None, limit: int | None) -> Row:
    """The row of one line."""
    line = LINES[name]
    reports = list(runs(line, whole, seeds or line.seeds, limit))
    images = whole.train.X[: WARM_ROWS + REPEATS * TIMED_ROWS]
    flat = np.ascontiguousarray(images.reshape(len(images), -1), np.float32)
    return row(line, reports, layer_micros(configured(line, 1), flat))


@kernel
def _settle(drive: F32, inhibition: float, max_steps: int, room: F32) -> int:
    return dynamics.settle(drive, np.float32(inhibition), max_steps, room)


class Settled(NamedTuple):
    """Where rows came to rest."""

    same: float
    """Share of rows in which the most active unit is that of the highest current."""
    active: float
    """Units above zero, mean over rows."""
    drawn: float
    """Units above 0.2, mean over rows."""
    steps: float
    cut_short: float


def settled(currents: F32, inhibition: float, level: float = 0.2) -> Settled:
    """Integrate eq. 4 for every row of currents [N, H]."""
    rows = []
    for drive in currents:
        room = np.zeros((4, len(drive)), np.float32)
        steps = _settle(drive, inhibition, STEPS, room)
        h = room[0]
        same = h.argmax() == drive.argmax()
        rows.append((same, np.sum(h > 0), np.sum(h > level), min(steps, STEPS), steps > STEPS))
    return Settled(*np.mean(np.array(rows, np.float64), axis=0).tolist())


def weights_after(line: Line, whole: Dataset, limit: int | None) -> F32:
    """Weights [H, D] after a pass."""
    config = configured(line, 1)
    with tempfile.TemporaryDirectory() as folder:
        evaluate(config, ordered(whole.train, 1), limit=limit, save=Path(folder))
        snapshot = Checkpoints(folder).newest(learner_part(config))
    assert snapshot is not None
    learner = Learner(config)
    learner.assemble()
    learner.restore(snapshot)
    stage = learner.layer("layer1")
    learner.pipeline.close()
    assert stage is not None
    fields: F32 = stage.part.receptive_fields()  # type: ignore[attr-defined]
    return fields.reshape(len(fields), -1)


def winners(whole: Dataset, limit: int | None) -> Iterator[Row]:
    """How far the steady state agrees with the ranking, on the ranking's own units."""
    fields = weights_after(LINES["ranking"], whole, limit)
    held_out = whole.test
    assert held_out is not None
    x = held_out.X[:HELD_OUT_ROWS].reshape(-1, fields.shape[1]).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    currents = np.ascontiguousarray(x @ fields.T)
    for inhibition in INHIBITIONS:
        rest = settled(currents, inhibition)
        note = (
            f"{rest.active:.1f} units active, {rest.drawn:.1f} above 0.2, {rest.steps:.1f} steps, "
            f"{100 * rest.cut_short:.2f} % cut short at {STEPS:,}; {len(x):,} test rows, units of "
            "the line ranking, seed 1"
        )
        name = winner_name(inhibition)
        yield Row(name=name, ours=round(100 * rest.same, 3), unit="% of rows", note=note)


def main() -> None:
    """Measure the lines that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help=f"some of {', '.join(NAMES)}; none: all")
    parser.add_argument("--seeds", type=int, help="how many (default: as each line says)")
    parser.add_argument("--limit", type=int, help="rows of a stream, for a quick look")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON")
    arguments = parser.parse_args()
    wrong = [name for name in arguments.name if name not in NAMES]
    if wrong:
        parser.error(f"{', '.join(wrong)}: expected some of {', '.join(NAMES)}")
    whole = data.load("mnist")
    for name in arguments.name or NAMES:
        rows = (
            list(winners(whole, arguments.limit))
            if name == WINNERS
            else [measured(name, whole, arguments.seeds, arguments.limit)]
        )
        made = report(NAME, "python tools/kh_stream.py", rows)
        print(update(made, arguments.out, ORDER), flush=True)


if __name__ == "__main__":
    main()
