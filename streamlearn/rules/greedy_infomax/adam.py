"""Adam (Kingma & Ba, arXiv 1412.6980), one step a row, for every weight by itself.

    m <- .9 m + .1 g,   v <- .999 v + .001 g²
    w <- w - rate (m / (1 - .9^t)) / (sqrt(v / (1 - .999^t)) + 1e-6)

with the gradient g of the t-th step. A step is never longer than about three times the rate,
whatever the gradient.
"""

import math
from typing import NamedTuple

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.part import F32

BETA1 = np.float32(0.9)
BETA2 = np.float32(0.999)
EPSILON = np.float32(1e-6)
_NOTHING = np.float32(1e-14)
"""Gradients below count as none, and what is left of them in m and v is swept away: numbers too
small to be normal are a hundred times slower."""
_NO_SQUARE = np.float32(1e-28)


class Pace(NamedTuple):
    """What a step is multiplied with."""

    rate: np.float32
    """rate / (1 - .9^t)"""
    root: np.float32
    """1 / sqrt(1 - .999^t)"""


@inlined
def pace_of(rate: float, t: int) -> Pace:
    """The pace of the t-th step, t from 1."""
    return Pace(
        np.float32(rate / (1.0 - math.pow(0.9, t))),
        np.float32(1.0 / math.sqrt(1.0 - math.pow(0.999, t))),
    )


@inlined
def step(w: F32, m: F32, v: F32, g: F32, pace: Pace) -> None:
    """Move weights w [H] and their moments m, v [H] by the gradient g [H]."""
    rate, root = pace.rate, pace.root
    one = np.float32(1)
    for h in range(w.shape[0]):
        d = g[h] if abs(g[h]) > _NOTHING else np.float32(0)
        mean = BETA1 * m[h] + (one - BETA1) * d
        square = BETA2 * v[h] + (one - BETA2) * (d * d)
        m[h] = mean if abs(mean) > _NOTHING else np.float32(0)
        v[h] = square if square > _NO_SQUARE else np.float32(0)
        # `/` would look for zeros, which keeps the loop from being vectorised.
        w[h] -= np.divide(rate * mean, np.sqrt(square) * root + EPSILON)
