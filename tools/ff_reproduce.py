"""The table of the Forward-Forward paper (Hinton 2022), pass by pass, into docs/results.

    make reproduce-ff                            all rows: many hours; goes on where it stopped
    make reproduce-ff ARGS='top_down --seed 1'   one row, another seed
    make reproduce-ff ARGS=--short               small nets on the bundled digits: seconds, for CI

After each pass the held-out error is printed, the learner is kept in --state and
docs/results/ff-reproduce.json is written anew. Rows of a pass come in an order of its own.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from results import update
from streams import ordered

from streamlearn import data
from streamlearn.bench.report import Row, report
from streamlearn.config import Config, learner_part, parse
from streamlearn.data import Dataset
from streamlearn.evaluate import fitted, held_out_errors, play
from streamlearn.learner import Learner
from streamlearn.pipeline.stage import restore
from streamlearn.plan import CATALOGUE
from streamlearn.rules import RULES
from streamlearn.store.checkpoint import Checkpoints

STATE: Final = Path("state-reproduce")
SHORT_PASSES: Final = 2
SHORT_LIMIT: Final = 0.5
"""A small net must make at most this share of the errors of the best trivial rule."""
_TIMEOUT_S: Final = 600.0


class Experiment(NamedTuple):
    """One row of the table."""

    title: str
    published: float
    """Percent of the test rows."""
    passes: int
    """Published, too."""
    layer: Mapping[str, Any]
    """Options of a layer, all alike."""
    layers: int = 1
    first: Mapping[str, Any] = {}
    """What the first layer has besides."""
    head: str = "softmax"
    """What answers; a softmax reads all layers but the first, as published."""
    short: Mapping[str, Any] = {"units": 100}
    """Options of a layer of the short version, instead."""
    labels_tried: bool = False
    """Whether the finished net is also asked under every label, for the sum of its goodness; its
    softmax on the row without a label is quicker and not quite as good."""


UNSUPERVISED: Final[Mapping[str, Any]] = {
    "rule": "forward_forward",
    "units": 2000,
    "labels": "none",
    "loss": "threshold",
    "threshold": 0.5,
    "scale": 16.0,
    "rate": 0.2,
    "average": False,
}
EXPERIMENTS: Final[Mapping[str, Experiment]] = {
    "supervised": Experiment(
        title="supervised, label in the input, 4 x 2000",
        published=1.36,
        passes=60,
        layer={
            "rule": "forward_forward",
            "units": 2000,
            "labels": "overlay",
            "label_strength": 14.0,
            "step": "adagrad",
            "rate": 0.56,
            "margin": 2.0,
            "peer": 0.01,
            "memory_rows": 300_000,
        },
        layers=4,
        labels_tried=True,
    ),
    "unsupervised": Experiment(
        title="unsupervised, paired negatives, 1 x 2000",
        published=1.37,
        passes=100,
        layer={**UNSUPERVISED, "negatives": "pairing"},
        first={"start": "local"},
    ),
    "hybrid": Experiment(
        title="unsupervised, hybrid negatives, 4 x 2000, softmax on the last 3",
        published=1.37,
        passes=100,
        layer={**UNSUPERVISED, "negatives": "hybrid"},
        layers=4,
        first={"start": "local"},
    ),
    "fields": Experiment(
        title="unsupervised, local receptive fields, hybrid negatives",
        published=1.16,
        passes=60,
        layer={"rule": "forward_forward_fields", "units": 128, "negatives": "hybrid"},
        short={"units": 8, "field": 3, "stride": 1, "pool": 2, "pool_stride": 2},
    ),
    "top_down": Experiment(
        title="top-down, 2 x 500, label on top",
        published=1.31,
        passes=60,
        layer={
            "rule": "forward_forward_top_down",
            "units": [500, 500],
            "labels": "overlay",
            "steps": 8,
            "update": "synchronous",
            "carry": False,
            "frames": 1,
            "candidates": "asked",
            "rate": 0.02,
            "average": True,
            "memory_rows": 0,
        },
        head="goodness",
        short={"units": [60, 60]},
    ),
}


class Pass(NamedTuple):
    """What one pass came to."""

    error: float
    """Share of the held-out rows."""
    running: float
    """Share of the pass's rows, each predicted before it was learned, over all passes so far."""
    seconds: float
    """Learning and testing."""


def configured(experiment: Experiment, shape: tuple[int, ...], seed: int, *, short: bool) -> Config:
    """The experiment as a configuration."""
    layer = {**experiment.layer, **(experiment.short if short else {})}
    layers = min(experiment.layers, 2) if short else experiment.layers
    head: dict[str, Any] = {"kind": experiment.head}
    if layers > 1 and experiment.head == "softmax":
        head["reads"] = [f"layer{i + 1}" for i in range(1, layers)]
    if experiment.head == "softmax" and not short:
        head["memory_rows"] = 60_000
    raw = {
        "seed": seed,
        "stream": {"shape": list(shape), "dtype": "|u1", "classes": 10},
        "layer": [{**layer, **experiment.first}, *[layer] * (layers - 1)],
        "head": [head],
        "pipeline": {"threads": 1 if short else 2},
    }
    return parse(raw, CATALOGUE)


class Playing:
    """A learner that goes on where its folder says, one pass at a time.

    Parameters
    ----------
    config
        The experiment.
    folder
        Holds checkpoints and the passes so far.

    """

    def __init__(self, config: Config, folder: Path) -> None:
        self._config, self._folder = config, folder
        self._store = Checkpoints(folder, keep=1)
        self._learner = Learner(config)
        self._learner.assemble()
        self._learner.warm()

    def passes(self, whole: Dataset, passes: int) -> Generator[list[Pass], None, None]:
        """Play what is left of the passes; after each, all so far."""
        learner, train = self._learner, whole.train
        with self._store.lock():
            done = self._resumed(train.rows)
            if len(done) >= passes:
                yield done
            learner.pipeline.start()
            try:
                while len(done) < passes:
                    done.append(self._played(train, whole.test, len(done)))
                    self._keep(done)
                    yield done
            finally:
                learner.pipeline.close()

    def _played(self, train: Dataset, test: Dataset | None, number: int) -> Pass:
        assert train.y is not None
        assert test is not None
        began = time.perf_counter()
        shuffled = ordered(train, (self._config.seed, number))
        play(self._learner, replace(shuffled, X=fitted(shuffled, self._config)), train.rows, None)
        self._learner.pipeline.check()
        name = self._learner.head() or ""
        error = held_out_errors(self._learner, test)[name]["error"]
        running = self._learner.reports()[name]["error"]
        return Pass(error, running, time.perf_counter() - began)

    def _resumed(self, rows: int) -> list[Pass]:
        snapshot = self._store.newest(learner_part(self._config))
        if snapshot is None:
            return []
        self._learner.restore(snapshot)
        kept = json.loads((self._folder / "passes.json").read_text(encoding="utf-8"))
        return [Pass(*one) for one in kept][: snapshot.rows_learned // rows]

    def _keep(self, done: list[Pass]) -> None:
        """Write the passes first: a stop before the checkpoint only plays the last one again."""
        (self._folder / "passes.json").write_text(json.dumps(done), encoding="utf-8")
        pending = self._learner.begin_snapshot()
        self._store.save(self._learner.finish_snapshot(pending, _TIMEOUT_S))


def row(experiment: Experiment, done: list[Pass], seed: int, error: float | None = None) -> Row:
    """The last pass beside the published figure; `error`: of the net under every label."""
    hours = sum(one.seconds for one in done) / 3600
    best = min(done, key=lambda one: one.error)
    note = f"{len(done)} of {experiment.passes} passes, {hours:.1f} h on 2 cores; "
    note += f"best {100 * best.error:.2f} after {done.index(best) + 1}, "
    note += f"first {100 * done[0].error:.2f}; seed {seed}"
    return Row(
        name=experiment.title + ("" if error is None else ", every label tried"),
        ours=round(100 * (done[-1].error if error is None else error), 3),
        unit="% of test rows wrong",
        published=experiment.published,
        note=note,
    )


def reader(experiment: Experiment) -> Experiment:
    """The same layers, which now weigh every label."""
    return experiment._replace(head="goodness", layer={**experiment.layer, "candidates": True})


def tried(trained: Config, asking: Config, folder: Path, test: Dataset) -> float:
    """Share of wrong answers of the finished net under every label.

    Parameters
    ----------
    trained
        What the newest checkpoint in `folder` was made with.
    asking
        The same layers with candidates, and a goodness head.
    folder
        Holds the checkpoint.
    test
        Held-out rows.

    """
    snapshot = Checkpoints(folder).newest(learner_part(trained))
    assert snapshot is not None
    learner = Learner(asking)
    learner.assemble()
    for stage in learner.parts:
        missing = restore(stage, dict(snapshot.arrays))
        assert not [name for name in missing if name.endswith(("weights", "average"))], missing
    learner.pipeline.start()
    try:
        return float(held_out_errors(learner, test)["goodness"]["error"])
    finally:
        learner.pipeline.close()


def reproduce(name: str, state: Path, seed: int, passes: int | None) -> None:
    """Play an experiment to its end, writing the table after each pass."""
    experiment = EXPERIMENTS[name]
    whole = data.load("mnist")
    config = configured(experiment, whole.shape, seed, short=False)
    folder = state / f"{name}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    for done in Playing(config, folder).passes(whole, passes or experiment.passes):
        last = done[-1]
        print(
            f"{name}: pass {len(done)} of {experiment.passes}: {100 * last.error:.2f} % of test, "
            f"{100 * last.running:.2f} % running, {last.seconds:.0f} s",
            flush=True,
        )
        _write(row(experiment, done, seed))
    if experiment.labels_tried and whole.test is not None:
        asking = configured(reader(experiment), whole.shape, seed, short=False)
        error = tried(config, asking, folder, whole.test)
        print(f"{name}: {100 * error:.2f} % of test under every label", flush=True)
        _write(row(experiment, done, seed, error))


def _write(new: Row) -> None:
    """Put a row into the table, in the place of an older one."""
    update(report("ff-reproduce", "make reproduce-ff", [new]))


def short(name: str) -> float:
    """Play a small version of an experiment twice, stopped in between; its error.

    Raises
    ------
    SystemExit
        Where it does not learn: its error is not clearly under that of the trivial rules.

    """
    whole = data.load("optdigits")
    config = configured(EXPERIMENTS[name], whole.shape, 0, short=True)
    assert whole.test is not None
    assert whole.test.y is not None
    counts = np.bincount(whole.test.y)
    trivial = 1 - counts.max() / counts.sum()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(SHORT_PASSES):
            with contextlib.closing(Playing(config, Path(folder)).passes(whole, 9)) as passes:
                done = next(passes)
        if EXPERIMENTS[name].labels_tried:
            asking = configured(reader(EXPERIMENTS[name]), whole.shape, 0, short=True)
            done.append(Pass(tried(config, asking, Path(folder), whole.test), 0, 0))
    errors = " → ".join(f"{100 * one.error:.1f} %" for one in done)
    print(f"{name}: {errors}; the commonest class: {100 * trivial:.1f} %")
    if len(done) < SHORT_PASSES or max(done[1:]).error > SHORT_LIMIT * trivial:
        sys.exit(f"ff_reproduce: {name} does not learn: {errors} after {len(done)} passes")
    return done[-1].error


def main() -> None:
    """Play what is named, all of it by default."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="*", choices=[*EXPERIMENTS, []], help="none: all")
    parser.add_argument("--short", action="store_true", help="small nets, bundled digits")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--passes", type=int, help="stop after so many")
    parser.add_argument("--state", type=Path, default=STATE, help="folder for checkpoints")
    arguments = parser.parse_args()
    for name in arguments.name or EXPERIMENTS:
        if EXPERIMENTS[name].layer["rule"] not in RULES:
            print(f"{name}: needs the rule {EXPERIMENTS[name].layer['rule']}, not there; left out")
        elif arguments.short:
            short(name)
        else:
            reproduce(name, arguments.state, arguments.seed, arguments.passes)


if __name__ == "__main__":
    main()
