"""Schedules for streams, whose end nobody knows: steps that fall, averages that follow.

A step falls as f(t) = max((1 + t / decay_rows)^-1/2, rate_floor), t rows so far.

The average A of weights W is the polynomial-decay one (Shamir & Zhang 2013, eta = 4). After t rows,
gap of them since the last time,

    A += c (W - A),     c = max((eta + 1) gap / (t + eta gap), least)

which is about the last quarter of the rows. With least = gap / memory_rows it is the last
memory_rows of a long stream.
"""

import math

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels.compile import inlined

F32 = NDArray[np.float32]

AVERAGE_EVERY = 100
"""Rows from one move of an average to the next."""
_ETA = 4.0


@inlined
def fall_of(rows: int, decay_rows: float, floor: float) -> float:
    """f(t)."""
    return max(1.0 / math.sqrt(1.0 + rows / decay_rows), floor)


@inlined
def share_of(rows: int, gap: int, least: float) -> np.float32:
    """Give c, at most 1."""
    return np.float32(min(max((_ETA + 1.0) * gap / (rows + _ETA * gap), least), 1.0))


@inlined
def approach(weights: F32, average: F32, share: np.float32) -> None:
    """A += c (W - A), both [N, D]; the average is written."""
    for n in range(weights.shape[0]):
        w, a = weights[n], average[n]
        for d in range(w.shape[0]):
            a[d] += share * (w[d] - a[d])
