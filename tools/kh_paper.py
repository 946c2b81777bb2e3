"""What Krotov & Hopfield (PNAS 2019, arXiv 1806.10181) say of their experiments, and the nets.

For the tools that make their figures again (`kh_reproduce`), take the time beside the authors' code
(`kh_peer`), and ask the finished net about disturbed images (`kh_backprop`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from results import update

from streamlearn.bench.report import Row, report
from streamlearn.data import Dataset
from streamlearn.heads.power_loss import PowerLoss
from streamlearn.part import F32, I32, UNLABELLED, Place, Rows
from streamlearn.rules.hebbian import Hebbian

STATE: Final = Path("state-reproduce")
"""Where units and read-out are kept from tool to tool."""
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


def keep(rows: list[Row], name: str = "kh-reproduce") -> Path:
    """Put rows into the table, in the place of older ones."""
    return update(report(name, "make reproduce-kh", rows))
