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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from PIL import Image
from results import RESULTS, write

from streamlearn import data
from streamlearn.bench.report import Report, Row, report
from streamlearn.data import Dataset
from streamlearn.heads.power_loss import PowerLoss
from streamlearn.part import F32, I32, UNLABELLED, Place, Rows
from streamlearn.picture import as_images, draw_fields
from streamlearn.rules.hebbian import Hebbian

DOCS: Final = RESULTS.parent
STATE: Final = Path("state-reproduce")
SHORT_LIMIT: Final = 0.1
"""A small layer must make at most this share of the errors of the commonest class."""
_BLOCK: Final = 6000


@dataclass(frozen=True)
class Experiment:
    """What the paper says of one data set; appendix B and section 4."""

    name: str
    p: float
    delta: float
    rate: float
    passes: int
    power: float
    m: float
    rates: tuple[tuple[int, float], ...]
    """Passes of the read-out, and Adam's rate in them."""
    published: dict[str, float]
    """Percent of rows that it gets wrong."""
    k: int = 7
    """Not in the paper; the published code's default is 2."""
    patience: float = 100.0
    """Ours: times so many units' rows without a win, and a unit begins anew as a row; without that
    about one in eight stays the noise that it began as."""
    units: int = 2000
    minibatch: int = 100
    head_minibatch: int = 100
    powers: tuple[float, ...] = ()
    """Activations n that are compared, figure 4."""


MNIST: Final = Experiment(
    name="mnist",
    p=4.0,
    delta=0.4,
    rate=0.04,
    passes=100,
    power=4.5,
    m=10.0,
    rates=((100, 1e-3), (50, 5e-4), (50, 1e-4), (50, 5e-5), (50, 1e-5)),
    published={"test": 1.52, "train": 0.41, "backprop": 1.5},
    powers=(1.0, 2.0, 3.0, 4.0, 4.5, 5.0, 6.0, 8.0, 10.0),
)
CIFAR10: Final = Experiment(
    name="cifar10",
    p=4.0,
    delta=0.3,
    rate=0.02,
    passes=100,
    power=10.0,
    m=6.0,
    rates=((200, 4e-3), (100, 2e-3), (100, 4e-4), (100, 4e-5)),
    head_minibatch=10,
    published={"test": 49.25, "train": 44.95, "backprop": 44.74},
)
SHORT: Final = replace(
    MNIST,
    name="optdigits",
    p=3.0,
    k=5,
    patience=20.0,
    units=100,
    passes=20,
    rates=((20, 1e-3),),
    minibatch=20,
    powers=(4.5,),
)
EXPERIMENTS: Final = {one.name: one for one in (MNIST, CIFAR10, SHORT)}


@dataclass(frozen=True)
class Digits:
    """Rows between 0 and 1, and their labels."""

    x: F32
    y: I32
    shape: tuple[int, ...]


def digits(dataset: Dataset, shape: tuple[int, ...]) -> Digits:
    """A data set as the experiment takes it."""
    assert dataset.y is not None
    x = dataset.X.reshape(len(dataset.X), -1)
    top = 255 if x.dtype == np.uint8 else max(float(x.max()), 1.0)
    return Digits(np.ascontiguousarray(x, np.float32) / np.float32(top), dataset.y, shape)


def layer(experiment: Experiment, shape: tuple[int, ...], power: float) -> Hebbian:
    """Units as published, which answer as the paper's read-out wants it."""
    options = Hebbian.Options(
        rule="hebbian",
        units=experiment.units,
        plasticity="equation",
        p=experiment.p,
        k=experiment.k,
        delta=experiment.delta,
        start="random",
        minibatch=experiment.minibatch,
        largest=True,
        rate=experiment.rate,
        anneal_rows=1,
        conscience=0.0,
        patience=experiment.patience,
        threshold="zero",
        power=power,
        product="dot",
        scaled=False,
    )
    return Hebbian(options, Place(int(np.prod(shape)), shape, 10, 0))


def learner(experiment: Experiment, shape: tuple[int, ...], rows: int) -> Hebbian:
    """The same units while they learn: nobody reads what they say, so they say what is cheap."""
    wanted = layer(experiment, shape, 1.0)
    changed = {"product": "lebesgue", "anneal_rows": rows}
    return Hebbian(msgspec.structs.replace(wanted.options, **changed), wanted.place)


def feed(part: Any, x: F32, y: I32, out: F32) -> None:
    """Learn rows in blocks."""
    for first in range(0, len(x), len(out)):
        block = slice(first, min(first + len(out), len(x)))
        here = np.ascontiguousarray(x[block])
        part.learn(Rows(here, out[: len(here)], np.ascontiguousarray(y[block]), first))


def learned(experiment: Experiment, train: Digits, say: Callable[[str], None]) -> tuple[F32, float]:
    """Weights [H, D] after all passes, and the seconds that learning took."""
    rows = len(train.x) * experiment.passes
    part = learner(experiment, train.shape, rows)
    nobody = np.full(len(train.x), UNLABELLED, np.int32)
    out = np.empty((_BLOCK, experiment.units), np.float32)
    feed(learner(experiment, train.shape, rows), train.x[:200], nobody, out)  # compile
    random, seconds = np.random.default_rng(0), 0.0
    for number in range(1, experiment.passes + 1):
        x = train.x[random.permutation(len(train.x))]
        began = time.perf_counter()
        feed(part, x, nobody, out)
        seconds += time.perf_counter() - began
        if number % 10 == 0 or number == experiment.passes:
            figures = part.gauges()
            say(
                f"pass {number}: {seconds:.0f} s, p-norms {figures['norm_min']:.3f} to "
                f"{figures['norm_max']:.3f}, entropy of winners {figures['winner_entropy']:.3f}"
            )
    return part.receptive_fields().reshape(experiment.units, -1), seconds


def features(weights: F32, experiment: Experiment, power: float, rows: Digits) -> F32:
    """What units with these weights say of each row [B, H], relu(W v / |v|)^power."""
    part = layer(experiment, rows.shape, power)
    part.arrays()["weights"][...] = weights.T
    part.arrays()["size"][...] = (np.abs(weights.astype(np.float64)) ** experiment.p).sum(axis=1)
    part.restored()
    out = np.empty((len(rows.x), experiment.units), np.float32)
    for first in range(0, len(out), _BLOCK):
        block = slice(first, min(first + _BLOCK, len(out)))
        part.infer(np.ascontiguousarray(rows.x[block]), out[block])
    return out


def head(experiment: Experiment, rate: float) -> PowerLoss:
    """The read-out, with Adam's rate for some of the passes."""
    options = PowerLoss.Options(
        kind="power_loss",
        m=experiment.m,
        smoothing=0.0,
        rate=rate,
        beta2=0.999,
        epsilon=1e-8,
        minibatch=experiment.head_minibatch,
        memory_rows=max(1000, experiment.head_minibatch),
    )
    return PowerLoss(options, Place(experiment.units, (experiment.units,), 10, 0))


def fitted(
    experiment: Experiment, seen: F32, y: I32, share: float, say: Callable[[str], None]
) -> PowerLoss:
    """A read-out after its passes over features [B, H]; a share of the passes, for a sweep."""
    random, part = np.random.default_rng(1), None
    out = np.empty((1000, 10), np.float32)
    for passes, rate in experiment.rates:
        following = head(experiment, rate)
        if part is not None:
            for name, array in following.arrays().items():
                array[...] = part.arrays()[name]
            following.restored()
        part = following
        for _ in range(max(1, round(passes * share))):
            order = random.permutation(len(seen))
            for first in range(0, len(order), len(out)):
                here = order[first : first + len(out)]
                part.learn(Rows(seen[here], out[: len(here)], y[here], first))
        say(f"read-out, rate {rate:g}: {wrong(part, seen, y):.2f} % of training rows")
    assert part is not None
    return part


def wrong(part: PowerLoss, seen: F32, y: I32) -> float:
    """Percent of rows that the read-out gets wrong."""
    out = np.empty((len(seen), 10), np.float32)
    part.infer(seen, out)
    return 100 * float((out.argmax(axis=1) != y).mean())


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


def merged(rows: list[Row], name: str, folder: Path) -> Report:
    """The report with these rows in the place of older ones of the same name."""
    path = folder / f"{name}.json"
    old = msgspec.json.decode(path.read_bytes(), type=Report).rows if path.exists() else []
    known = {row.name: row for row in old} | {row.name: row for row in rows}
    return report(name, "make reproduce-kh", known.values())


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
        print(write(merged(list(getattr(table, step)()), name, RESULTS)))


if __name__ == "__main__":
    main()
