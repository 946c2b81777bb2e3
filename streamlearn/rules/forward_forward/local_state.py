"""What a layer that learns from labels without negatives holds: weights, averages, delayed steps.

B rows, D inputs, H units, K classes, N delayed steps, R kept rows. The bias is the weight of one
more input that is always 1.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.part import F32, I32

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
Plain = tuple[Any, ...]
"""Plain tuples are handed to a kernel in half the time of named ones."""

LABELLED, AVERAGED, DELAYED = 0, 1, 2
"""Places in `State.counts`."""
GOOD, BAD, WRONG = 0, 1, 2
"""Places in `State.figures`."""


class State(NamedTuple):
    """What learning moves."""

    weights: F32
    """W [D + 1, H], the bias last; the delayed steps are not in them yet."""
    readout: F32
    """M [K, H]; [0, H] where class blocks need none."""
    mean_weights: F32
    """Average of W [D + 1, H], with which rows are answered."""
    mean_readout: F32
    """Average of M, as M."""
    gains: F32
    """G [D + 1, H] one over the root of the squared gradients; [0, H] where steps are plain."""
    readout_gains: F32
    """The same for M."""
    delayed_signals: F32
    """[N, H] what the last steps send to the units, rates included."""
    delayed_inputs: F32
    """[N, D + 1] the directions of these steps."""
    kept: F32
    """[R, D + 1] the last labelled rows as the layer reads them, at labelled modulo R."""
    kept_y: I32
    """[R] their labels."""
    usage: F32
    """[H] fading share of the rows for which a unit was active."""
    counts: I64
    """[3] labelled rows; those at the last averaging; delayed steps."""
    figures: F64
    """[3] fading means: evidence for the label; for the best other class; share of rows where that
    is no less."""


class Setting(NamedTuple):
    """The options as the kernels take them."""

    blocks: bool
    scale: np.float32
    """Factor from goodness to evidence (blocks)."""
    adagrad: bool
    average: bool
    decorrelate: bool
    damping: np.float32
    rate: float
    read_rate: float
    decay_rows: float
    rate_floor: float
    recovery: float
    """1 / memory_rows, 0 for never."""
    smoothing: np.float32
    revisits: int
    unlabelled: float
    confidence: np.float32


class Scratch(NamedTuple):
    """Room for one row at work; holds nothing from row to row."""

    active: U32
    """[D + 1] numbers of the inputs that are not zero; the first n count."""
    value: F32
    """[D + 1] what they are."""
    z: F32
    """[D + 1] the row of mean square 1, then 1."""
    v: F32
    """[D + 1] the direction of the step."""
    along: F32
    """[r] the row along the basis of the moments."""
    h: F32
    """[H] activities."""
    signal: F32
    """[H] a, what errors ask of the units."""
    g: F32
    """[K] log probabilities."""
    e: F32
    """[K] target less probability."""


def new_scratch(width_in: int, units: int, classes: int, rank: int) -> Scratch:
    """Room for one row."""
    return Scratch(
        active=np.zeros(width_in + 1, np.uint32),
        value=np.zeros(width_in + 1, np.float32),
        z=np.zeros(width_in + 1, np.float32),
        v=np.zeros(width_in + 1, np.float32),
        along=np.zeros(rank, np.float32),
        h=np.zeros(units, np.float32),
        signal=np.zeros(units, np.float32),
        g=np.zeros(classes, np.float32),
        e=np.zeros(classes, np.float32),
    )
