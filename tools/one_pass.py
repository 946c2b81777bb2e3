"""Test errors after one pass over a standard set, into docs/results/one-pass-NAME.json.

The shipped configuration with both heads, beside two layers of as many units that do not learn:
random ones, and ones that are rows of the stream as they came. What the learning is worth is the
difference. "finished" rows show what new heads reach on the layer as it was at the end: what it
costs a head to learn while its features still move.
Seed 0 takes the rows in their given order, every other seed in an order of its own.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
from results import write
from streams import ordered

from streamlearn import data
from streamlearn.bench.report import Report, Row, report
from streamlearn.config import Config, learner_part, load, parse
from streamlearn.data import Dataset
from streamlearn.demo import config_of
from streamlearn.evaluate import evaluate, fitted, held_out_errors, play
from streamlearn.learner import Learner
from streamlearn.pipeline.stage import restore
from streamlearn.plan import CATALOGUE
from streamlearn.store.checkpoint import Checkpoints

HEADS: Final[dict[str, dict[str, Any]]] = {
    "softmax": {"kind": "softmax"},
    "softmax_revisits_1": {"kind": "softmax", "revisits": 1},
    "least_squares": {"kind": "least_squares"},
}
"""Options of each head; the first is laid over what is shipped."""
LAYERS: Final[dict[str, dict[str, Any]]] = {
    "hebbian": {},
    "units that are rows of the stream": {"start": "data", "rate": 0.0},
    "random units": {"start": "random", "rate": 0.0},
}
PROMISED_PERCENT: Final = {"optdigits": 6.0, "mnist": 2.7}


def without_none(value: Any) -> Any:
    """A tree without what TOML has no word for."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    return [without_none(item) for item in value] if isinstance(value, list | tuple) else value


def configured(name: str, layer: dict[str, Any], seed: int) -> Config:
    """The shipped configuration with this layer and both heads."""
    raw = without_none(msgspec.to_builtins(load(config_of(name), CATALOGUE)))
    raw["seed"] = seed
    raw["layer"] = [each | layer for each in raw["layer"]]
    shipped = {head["kind"]: head for head in raw["head"]}
    raw["head"] = [
        {**shipped.get(options["kind"], {}), **options, "name": head}
        for head, options in HEADS.items()
    ]
    raw["pipeline"] = {"threads": 2}
    return parse(raw, CATALOGUE)


def measured(name: str, layer: str, seeds: int) -> Iterator[Row]:
    """A row for each head: mean and spread over the seeds."""
    whole = data.load(name)
    runs, afterwards = [], []
    for seed in range(seeds):
        print(f"{name}: {layer}, seed {seed} of {seeds}", file=sys.stderr, flush=True)
        config, train = configured(name, LAYERS[layer], seed), ordered(whole.train, seed)
        with tempfile.TemporaryDirectory() as folder:
            runs.append(evaluate(config, train, test=whole.test, save=Path(folder)))
            if layer == "hebbian":
                afterwards.append(on_finished(config, train, whole.test, Path(folder)))
    for head in HEADS:
        yield row(name, layer, head, [run["heads"][head]["test"] for run in runs], runs)
    for head in HEADS if afterwards else ():
        yield row(name, "finished hebbian", head, [each[head] for each in afterwards])


def on_finished(
    config: Config, train: Dataset, test: Dataset | None, folder: Path
) -> dict[str, dict[str, Any]]:
    """What new heads reach in one pass over a layer that is finished and stands still."""
    snapshot = Checkpoints(folder).newest(learner_part(config))
    assert snapshot is not None
    assert test is not None
    layers = tuple(msgspec.structs.replace(layer, frozen=True) for layer in config.layer)
    learner = Learner(msgspec.structs.replace(config, layer=layers))
    learner.assemble()
    for stage in learner.parts:
        if not stage.name.startswith("head/"):
            restore(stage, dict(snapshot.arrays))
    learner.pipeline.start()
    play(learner, replace(train, X=fitted(train, config)), train.rows, None)
    errors = held_out_errors(learner, test)
    learner.pipeline.close()
    return errors


def row(
    name: str,
    layer: str,
    head: str,
    tests: Sequence[dict[str, Any]],
    runs: Sequence[dict[str, Any]] = (),
) -> Row:
    """Test errors in percent; the given order's figure and the running error in the note."""
    errors = [100 * test["error"] for test in tests]
    running = [100 * run["heads"][head]["error"] for run in runs]
    note = f"{errors[0]:.2f} in the given order"
    note += f"; {statistics.fmean(running):.2f} while learning" if running else ""
    return Row(
        name=f"{layer}, {head}",
        ours=round(statistics.fmean(errors), 3),
        unit="% of test rows wrong",
        limit=PROMISED_PERCENT[name] if layer == "hebbian" else None,
        seeds=len(errors),
        spread=round(max(errors) - min(errors), 3),
        note=note,
    )


def one_pass(name: str, seeds: int) -> Report:
    """All layers and heads on one set."""
    rows = [row for layer in LAYERS for row in measured(name, layer, seeds)]
    return report(f"one-pass-{name}", f"make one-pass ARGS={name}", rows)


def main() -> None:
    """Measure the sets that are named; MNIST with both heads takes most of an hour."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*PROMISED_PERCENT, []], help="none: all")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for name in arguments.name or PROMISED_PERCENT:
        print(write(one_pass(name, arguments.seeds)))


if __name__ == "__main__":
    main()
