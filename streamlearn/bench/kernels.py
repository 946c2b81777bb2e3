"""Time an example takes in the hebbian layer, beside what memory allows and what PyTorch takes.

The limit is the bytes of weights that one example must read once, over the bandwidth of a plain
sum over an array of the same size, so that both stand in the same level of cache. All cases of a
repeat run within a second or two of each other, because a machine's speed drifts.
"""

import math
import statistics
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.bench.learners import rows as rows_for
from streamlearn.bench.report import Row, Say, median_row
from streamlearn.bench.torch_hebbian import TorchHebbian
from streamlearn.kernels import kernel
from streamlearn.part import F32, UNLABELLED, Place, Rows
from streamlearn.rules.hebbian import Hebbian

REPEATS: Final = 9
READS: Final = 20
EXAMPLES: Final = 256
BLOCK: Final = 64
Shape = tuple[int, int]
SHAPES: Final[tuple[Shape, ...]] = ((784, 2000), (2000, 2000))
MNIST_SHAPE: Final[Shape] = SHAPES[0]


@kernel
def _read_sum(values: F32) -> np.float32:
    """Sum of all values [n]: reads each once."""
    total = np.float32(0)
    for i in range(values.shape[0]):
        total += values[i]
    return total


class Case(NamedTuple):
    """A layer with rows to learn, and every repeat's time an example."""

    learn: Callable[[], float]
    """Learn some rows; seconds an example."""
    times: list[float]

    def sample(self) -> None:
        """Take one more measurement."""
        self.times.append(self.learn())

    @property
    def median_us(self) -> float:
        """Median time an example, in microseconds."""
        return statistics.median(self.times) * 1e6


def _layer(shape: Shape) -> Hebbian:
    inputs, units = shape
    return Hebbian(Hebbian.Options(rule="hebbian", units=units), Place(inputs, (inputs,), 10, 1))


def _ours(x: F32, units: int) -> Case:
    """The layer as the daemon runs it: blocks of rows, here of `x` [n, D] round and round."""
    layer = _layer((x.shape[1], units))
    out = np.zeros((BLOCK, units), np.float32)
    labels = np.full(BLOCK, UNLABELLED, np.int32)
    blocks = [x[i : i + BLOCK] for i in range(0, len(x) - BLOCK + 1, BLOCK)]

    def learn() -> float:
        began = time.perf_counter()
        for block in blocks:
            layer.learn(Rows(block, out, labels, 0))
        return (time.perf_counter() - began) / (BLOCK * len(blocks))

    while layer.arrays()["clock"][0] <= units:  # the first rows only found the units
        learn()
    return Case(learn, [])


def reading(bytes_once: int) -> Case:
    """Reading an array of that size once: the best of several, which is what memory can do."""
    values = np.ones(bytes_once // 4, np.float32)

    def read() -> float:
        best = math.inf
        for _ in range(READS):
            began = time.perf_counter()
            _read_sum(values)
            best = min(best, time.perf_counter() - began)
        return best

    read()
    return Case(read, [])


def dense_rows(inputs: int) -> F32:
    """Rows [EXAMPLES, D] without a zero."""
    random = np.random.default_rng(1)
    return random.random((EXAMPLES, inputs), np.float32) + np.float32(0.01)


def _digits() -> tuple[str, F32]:
    """Rows of MNIST, or of what takes its place, and their name."""
    dataset = rows_for("mnist").first(EXAMPLES)
    pixels = dataset.X.reshape(EXAMPLES, -1) / np.float32(255)
    return dataset.name, np.ascontiguousarray(pixels, np.float32)


def _torch(x: F32, units: int) -> Case | None:
    """Eager PyTorch, one example at a time, one thread; None where it is not installed."""
    peer = TorchHebbian.made(x[:units] if len(x) >= units else np.resize(x, (units, x.shape[1])))
    return None if peer is None else Case(lambda: peer.learn(x), [])


def _sparse_bytes(x: NDArray[np.float32], units: int) -> float:
    """Bytes of the active inputs' weights, a row in the mean."""
    return float(np.count_nonzero(x)) / len(x) * units * 4


def measure(say: Say) -> list[Row]:
    """Rows of `bench kernels`."""
    say("compiling and filling the layers")
    name, digits = _digits()
    dense = {shape: _ours(dense_rows(shape[0]), shape[1]) for shape in SHAPES}
    limit = {shape: reading(4 * math.prod(shape)) for shape in SHAPES}
    sparse = _ours(digits, MNIST_SHAPE[1])
    torch = _torch(digits, MNIST_SHAPE[1])
    for repeat in range(REPEATS):
        say(f"repeat {repeat + 1} of {REPEATS}")
        for case in (*limit.values(), *dense.values(), sparse, *([torch] if torch else [])):
            case.sample()
    rows = [_dense_row(shape, dense[shape], limit[shape]) for shape in SHAPES]
    share = _sparse_bytes(digits, MNIST_SHAPE[1]) / (4 * math.prod(MNIST_SHAPE))
    return [
        *rows,
        *_sparse_rows(name, sparse, dense[MNIST_SHAPE], limit[MNIST_SHAPE], share),
        _torch_row(name, sparse, torch),
    ]


def _dense_row(shape: Shape, ours: Case, limit: Case) -> Row:
    size = 4 * math.prod(shape)
    bandwidth = size / limit.median_us / 1e3
    note = f"limit: {size / 1e6:.1f} MB read once, at {bandwidth:.1f} GB/s in this run"
    name = f"hebbian {shape[0]}→{shape[1]}, dense"
    return _row(name, ours, note, limit=limit.median_us)


def _sparse_rows(name: str, ours: Case, dense: Case, limit: Case, share: float) -> list[Row]:
    title = f"hebbian {MNIST_SHAPE[0]}→{MNIST_SHAPE[1]}, {name}"
    return [
        _row(title, ours, "peer: the same layer on dense rows", peer=dense.median_us),
        _row(
            title,
            ours,
            f"limit: {share:.0%} of the weights read once",
            limit=share * limit.median_us,
        ),
    ]


def _torch_row(name: str, ours: Case, torch: Case | None) -> Row:
    title = f"hebbian {MNIST_SHAPE[0]}→{MNIST_SHAPE[1]}, {name}"
    if torch is None:
        return _row(title, ours, "eager PyTorch: not installed, not measured")
    return _row(
        title,
        ours,
        f"peer: eager {TorchHebbian.version()}, batch 1, one thread",
        peer=torch.median_us,
    )


def _row(name: str, case: Case, note: str, **against: float) -> Row:
    times = [seconds * 1e6 for seconds in case.times]
    return median_row(name, times, "µs an example", note=note, **against)
