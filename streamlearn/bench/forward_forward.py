"""Forward-Forward layers beside what memory allows, two threads beside one, both beside backprop.

The limit of a chain of layers is the bytes of all its weights read once, at the bandwidth of plain
sums over arrays of the same sizes. PyTorch runs backprop through a net of the same shape, one
example at a time, on one thread. What is compared runs in turn within seconds, because a machine's
speed drifts.
"""

import math
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from streamlearn.bench.kernels import BLOCK, Case, dense_rows, reading
from streamlearn.bench.learners import rows as rows_for
from streamlearn.bench.report import Row, Say, median_row
from streamlearn.bench.torch_forward_forward import MISSING, TorchBackprop
from streamlearn.config import parse
from streamlearn.data.dataset import Dataset
from streamlearn.evaluate import evaluate
from streamlearn.part import F32, Beside, Part, Place, Rows
from streamlearn.plan import CATALOGUE
from streamlearn.rules.forward_forward import ForwardForward

REPEATS: Final = 9
PAIRS: Final = 5
"""Repeats of what takes seconds."""
CLASSES: Final = 10
CHAIN: Final = (784, 2000, 2000)
DEEP: Final = (2000,) * 4
PROMISED_LIMIT_RATIO: Final = 1.4
PROMISED_THREADS: Final = 1.7
Options = Mapping[str, Any]

CONTRASTS: Final[Mapping[str, Options]] = {
    "made-up rows": {"labels": "none", "average": False},
    "wrong labels": {"labels": "overlay", "average": False},
}
"""What a real row is told from, and how; each weight moves once a row."""
BEST: Final[Sequence[Options]] = (
    {"units": 1000, "decorrelate": True, "rate": 0.06, "read_rate": 0.006},
    {
        "units": 1000,
        "decorrelate": True,
        "rate": 0.06,
        "read_rate": 0.006,
        "reads": ["layer1", "input"],
    },
)
FAST: Final[Sequence[Options]] = BEST[:1]
PROMISED_SPEEDS: Final = {"best": (BEST, 2.0), "fast": (FAST, 10.0)}
"""Layers of configs/forward_forward_mnist.toml and its fast sister, and how many times faster than
backprop they are to be."""
BACKPROP_RATE: Final = 0.01


class Chain:
    """Layers one above the other, as the daemon's stages run them.

    Parameters
    ----------
    widths
        Inputs, then units of each layer.
    options
        Of every layer.
    x
        [n, D] rows that are learned round and round.

    """

    def __init__(self, widths: Sequence[int], options: Options, x: F32) -> None:
        self._x = x
        self._y = np.arange(BLOCK, dtype=np.int32) % CLASSES
        self._parts: list[tuple[Part, F32, Beside]] = []
        lanes = np.zeros((BLOCK, 0, 0), np.float32)
        for width, units in pairwise(widths):
            place = Place(width, (width,), CLASSES, len(self._parts) + 1, lanes.shape[1])
            made = ForwardForward.Options(rule="forward_forward", units=units, **options)
            part = ForwardForward(made, place)
            out = np.zeros((BLOCK, units), np.float32)
            own = np.zeros((BLOCK, part.lanes_out, units), np.float32)
            scores = np.zeros((BLOCK, CLASSES if part.scores_out else 0), np.float32)
            self._parts.append((part, out, Beside(lanes, own, scores)))
            lanes = own

    def learn(self) -> float:
        """Learn all rows once, block by block; seconds an example."""
        began = time.perf_counter()
        blocks = range(0, len(self._x) - BLOCK + 1, BLOCK)
        for begin in blocks:
            x = self._x[begin : begin + BLOCK]
            for part, out, beside in self._parts:
                part.learn(Rows(x, out, self._y, begin, beside))
                x = out
        return (time.perf_counter() - began) / (BLOCK * len(blocks))

    def weights(self) -> list[F32]:
        """Copies of the layers' weights."""
        return [part.arrays()["weights"].copy() for part, _, _ in self._parts]


def config(layers: Sequence[Options], head: Options, threads: int) -> Any:
    """Layers of the rule under a head, for MNIST."""
    rule = {"rule": "forward_forward"}
    raw = {
        "stream": {"shape": [28, 28], "dtype": "|u1", "classes": CLASSES},
        "layer": [{**rule, **layer} for layer in layers],
        "head": [dict(head)],
        "pipeline": {"threads": threads},
    }
    return parse(raw, CATALOGUE)


def _playing(layers: Sequence[Options], head: Options, threads: int, x: Dataset) -> Case:
    """The whole pipeline over some rows of MNIST, figures included."""
    made = config(layers, head, threads)
    return Case(lambda: 1 / float(evaluate(made, x)["samples_per_s"]), [])


def _torch(units: Sequence[int], x: Dataset) -> Case | None:
    peer = TorchBackprop.made((math.prod(x.shape), *units, CLASSES), BACKPROP_RATE)
    if peer is None:
        return None
    pixels = np.ascontiguousarray(x.X.reshape(x.rows, -1) / np.float32(255), np.float32)
    assert x.y is not None
    y = x.y
    return Case(lambda: peer.learn(pixels, y).seconds, [])


def measure(say: Say) -> list[Row]:
    """Rows of `bench ff`."""
    mnist = rows_for("mnist")
    return [*_chains(say), _threads(say, mnist.first(512)), *_speeds(say, mnist.first(1000))]


def _sampled(say: Say, what: str, repeats: int, cases: Sequence[Case]) -> None:
    for repeat in range(repeats):
        say(f"{what}, repeat {repeat + 1} of {repeats}")
        for case in cases:
            case.sample()


def _chains(say: Say) -> list[Row]:
    say("compiling the layers")
    x = dense_rows(CHAIN[0])
    chains = {name: Case(Chain(CHAIN, how, x).learn, []) for name, how in CONTRASTS.items()}
    shapes = list(pairwise(CHAIN))
    limits = [reading(4 * math.prod(shape)) for shape in shapes]
    for case in chains.values():
        case.learn()
    _sampled(say, "dense", REPEATS, [*chains.values(), *limits])
    limit = sum(case.median_us for case in limits)
    size = sum(4 * math.prod(shape) for shape in shapes)
    note = f"limit: {size / 1e6:.1f} MB read once, at {size / limit / 1e3:.1f} GB/s in this run; "
    note += f"promised: at most {PROMISED_LIMIT_RATIO} times"
    return [
        median_row(
            f"{'→'.join(map(str, CHAIN))}, dense, against {name}",
            [1e6 * seconds for seconds in case.times],
            "µs an example",
            limit=limit,
            note=note,
        )
        for name, case in chains.items()
    ]


def _threads(say: Say, x: Dataset) -> Row:
    layers = [{"units": units, "labels": "overlay"} for units in DEEP]
    head = {"kind": "softmax", "reads": ["layer4"]}
    one, two = (_playing(layers, head, threads, x) for threads in (1, 2))
    _sampled(say, "4 layers, one thread and two", PAIRS, [one, two])
    gains = [a / b for a, b in zip(one.times, two.times, strict=True)]
    note = f"promised: at least; {one.median_us:.0f} and {two.median_us:.0f} µs an example"
    name = "784→4 of 2000, two threads against one"
    return median_row(name, gains, "times as fast", limit=PROMISED_THREADS, note=note)


def _speeds(say: Say, x: Dataset) -> list[Row]:
    return [
        row
        for name, (layers, promised) in PROMISED_SPEEDS.items()
        for row in _speed(say, f"local projection, {name}", layers, promised, x)
    ]


def _speed(
    say: Say, name: str, layers: Sequence[Options], promised: float, x: Dataset
) -> list[Row]:
    ours = _playing(layers, {"kind": "goodness"}, 1, x)
    units = [int(layer["units"]) for layer in layers]
    peer = _torch(units, x)
    _sampled(say, name, PAIRS, [ours, *([peer] if peer else [])])
    times = [1e6 * seconds for seconds in ours.times]
    title = f"{name}, {'-'.join(map(str, units))} units"
    if peer is None:
        return [median_row(title, times, "µs an example", note=f"{MISSING}; not measured")]
    note = f"peer: backprop, eager {TorchBackprop.version()}, same shape, one example at a time"
    gains = [b / a for a, b in zip(ours.times, peer.times, strict=True)]
    return [
        median_row(title, times, "µs an example", peer=peer.median_us, note=note),
        median_row(title, gains, "times as fast as PyTorch", limit=promised, note="promised"),
    ]
