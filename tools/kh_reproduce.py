"""The figures of Krotov & Hopfield (PNAS 2019, arXiv 1806.10181) again, into docs/results.

    make reproduce-kh                            all of it on MNIST, about an hour on two cores
    make reproduce-kh ARGS='readout powers'      some steps; units are kept in --state
    make reproduce-kh ARGS="--data cifar10"      the other set of the paper
    make reproduce-kh ARGS=--short               a small layer on the bundled digits: for CI

Units learn without labels for a set number of passes on the paper's annealed schedule
(`competition = "ranking"`, `plasticity = "equation"`); then a `power_loss` head reads what they say
about unit vectors, relu(W v)^n. Lines that are not measured now stay as they were measured last.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from kh_paper import (
    EXPERIMENTS,
    SHORT,
    STATE,
    Experiment,
    digits,
    features,
    fitted,
    keep,
    learned,
    wrong,
)
from PIL import Image
from results import RESULTS

from streamlearn import data
from streamlearn.bench.report import Row
from streamlearn.part import F32
from streamlearn.picture import as_images, draw_fields

DOCS: Final = RESULTS.parent
SHORT_LIMIT: Final = 0.1
"""A small layer must make at most this share of the errors of the commonest class."""


class Table:
    """Steps of an experiment; each gives rows for the table.

    Parameters
    ----------
    experiment
        What the paper says.
    state
        Folder in which weights are kept from step to step.
    folder
        Where pictures go.

    """

    def __init__(self, experiment: Experiment, state: Path, folder: Path) -> None:
        self.experiment, self._folder = experiment, folder
        whole = data.load(experiment.name)
        assert whole.test is not None
        self.train = digits(whole.train, whole.shape)
        self.test = digits(whole.test, whole.shape)
        self._kept = state / f"kh-{experiment.name}.npz"

    def say(self, line: str) -> None:
        """One line of progress."""
        print(f"{self.experiment.name}: {line}", file=sys.stderr, flush=True)

    def weights(self) -> F32:
        """Weights [H, D] that an earlier step has learned.

        Raises
        ------
        SystemExit
            Where there was none.

        """
        if not self._kept.exists():
            sys.exit(f"{self._kept}: not there; run the step `units` first")
        kept: F32 = np.load(self._kept)["weights"]
        return kept

    def units(self) -> Iterator[Row]:
        """Learn without labels, and look at the detectors."""
        experiment = self.experiment
        weights, seconds = learned(experiment, self.train, self.say)
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(self._kept, weights=weights)
        note = f"{experiment.passes} passes of {len(self.train.x):,} rows, minibatches of "
        note += f"{experiment.minibatch}"
        yield Row(name="units, learning", ours=round(seconds, 1), unit="s", note=note)
        yield from self._looks(weights)
        fields = as_images(weights.reshape(-1, *self.train.shape))
        if fields is not None:
            title = f"{experiment.name}: weights after {experiment.passes} passes"
            path = self._folder / f"kh-{experiment.name}-fields.png"
            draw_fields(fields[:88], title, path)
            with Image.open(path) as picture:
                picture.quantize(64).save(path, optimize=True)

    def _looks(self, weights: F32) -> Iterator[Row]:
        mnist = self.experiment.name == "mnist"
        for name, value, published in (
            ("largest positive weight", weights.max(), 0.585),
            ("largest negative weight", weights.min(), -0.48),
        ):
            shown = published if mnist else None
            yield Row(name=name, ours=round(float(value), 3), unit="weight", published=shown)
        image = np.abs(weights).reshape(-1, *self.train.shape)
        side = self.train.shape[0]
        edge, inner = max(1, side // 14), slice(side // 4, -(side // 4))
        inside = np.zeros(self.train.shape[:2], bool)
        inside[edge:-edge, edge:-edge] = True
        border = float(image[:, ~inside].mean() / image[:, inner, inner].mean())
        note = f"outer {edge} pixels against the middle half, mean |weight|"
        yield Row(name="border against centre", ours=round(border, 4), unit="of it", note=note)
        norms = (np.abs(weights.astype(np.float64)) ** self.experiment.p).sum(axis=1)
        near = float((np.abs(norms ** (1 / self.experiment.p) - 1) < 0.05).mean())
        yield Row(
            name="units on the p-sphere", ours=round(near, 4), unit="of units", note="within 5 %"
        )

    def readout(self) -> Iterator[Row]:
        """Fit the read-out as published."""
        experiment, weights = self.experiment, self.weights()
        seen = features(weights, experiment, experiment.power, self.train)
        began = time.perf_counter()
        part = fitted(experiment, seen, self.train.y, 1.0, self.say)
        seconds = time.perf_counter() - began
        passes = sum(passes for passes, _ in experiment.rates)
        note = f"n = {experiment.power:g}, m = {experiment.m:g}, {passes} passes of the read-out"
        found = {
            "test": wrong(part, self._seen(weights, experiment.power), self.test.y),
            "train": wrong(part, seen, self.train.y),
        }
        for name, value in found.items():
            yield Row(
                name=f"competing units, {name} error",
                ours=round(value, 3),
                unit="%",
                published=experiment.published.get(name),
                note=note,
            )
        yield Row(name="read-out, learning", ours=round(seconds, 1), unit="s", note=note)
        np.savez(self._kept.with_name(f"kh-{experiment.name}-readout.npz"), **part.arrays())

    def _seen(self, weights: F32, power: float) -> F32:
        return features(weights, self.experiment, power, self.test)

    def powers(self) -> Iterator[Row]:
        """Compare activations, figure 4."""
        experiment, weights, errors = self.experiment, self.weights(), {}
        share = 0.2 if len(experiment.powers) > 1 else 1.0
        for power in experiment.powers:
            seen = features(weights, experiment, power, self.train)
            part = fitted(experiment, seen, self.train.y, share, lambda _: None)
            errors[power] = wrong(part, self._seen(weights, power), self.test.y)
            self.say(f"n = {power:g}: {errors[power]:.2f} % of test rows")
            note = "a fifth of the passes of the read-out; published: best near n = 4.5"
            yield Row(
                name=f"activation n = {power:g}", ours=round(errors[power], 3), unit="%", note=note
            )
        if len(errors) > 1:
            draw_powers(errors, self._folder / f"kh-{experiment.name}-powers.png")


def draw_powers(errors: dict[float, float], path: Path) -> None:
    """Test error as a function of the activation's power."""
    import matplotlib as mpl  # noqa: PLC0415  a picture is drawn at the end of a long run

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    axes.plot(list(errors), list(errors.values()), "o-", color="#3b6ea5")
    axes.axvline(4.5, color="#98a1ab", linestyle=":", label="optimum of the paper")
    axes.set(xlabel="power n of the activation", ylabel="test error, %")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


STEPS: Final = ("units", "readout", "powers")


def short() -> None:
    """Play all steps on the bundled digits.

    Raises
    ------
    SystemExit
        Where it does not learn.

    """
    with tempfile.TemporaryDirectory() as folder:
        table = Table(SHORT, Path(folder), Path(folder))
        rows = {row.name: row.ours for step in STEPS for row in getattr(table, step)()}
    error = rows["competing units, test error"]
    trivial = 100 * (1 - np.bincount(table.test.y).max() / len(table.test.y))
    print(f"{error:.1f} % of test rows; the commonest class: {trivial:.1f} %")
    if error > SHORT_LIMIT * trivial:
        sys.exit("kh_reproduce: it does not learn")


def main() -> None:
    """Play the steps that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", nargs="*", choices=[*STEPS, []], help="none: all")
    parser.add_argument("--data", choices=["mnist", "cifar10"], default="mnist")
    parser.add_argument("--short", action="store_true", help="a small layer on bundled digits")
    parser.add_argument("--state", type=Path, default=STATE, help="folder for weights")
    arguments = parser.parse_args()
    if arguments.short:
        short()
        return
    table = Table(EXPERIMENTS[arguments.data], arguments.state, DOCS)
    name = "kh-reproduce" if arguments.data == "mnist" else f"kh-reproduce-{arguments.data}"
    for step in arguments.step or STEPS:
        print(keep(list(getattr(table, step)()), name))


if __name__ == "__main__":
    main()
