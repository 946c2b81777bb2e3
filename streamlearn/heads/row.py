"""One row as both heads read it: scaled to a common size, held in bounds, with a 1 for the bias.

The scale is one number, the running geometric mean of the labelled rows' mean squares, so that the
heads' constants mean the same for pixels in 0…255 and for rows of length 1. Rows are not scaled
each by its own size: that throws away how sure a layer is, and cost 0.3 to 0.5 points of test error
on MNIST. The geometric mean hardly moves for one row that is a million times too large.
"""

import math

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels import inlined
from streamlearn.part import F32

F64 = NDArray[np.float64]

_LIMIT = np.float32(1e6)
"""Largest scaled input, either sign: with it no sum over a row overflows."""
_LARGEST_SQUARE = np.float32(16)
"""Mean square of the largest row: a wild one may not undo what thousands have taught."""
_SMALLEST = np.float32(1e-7)
"""What is smaller counts as 0: beside inputs of size 1 it says nothing, and the products of such
numbers would be too small to be normal, which makes a step ten times slower."""
_SCALE_ROWS = 10_000
"""Rows that the scale remembers; it fades beyond."""


@inlined
def scale_of(size: F64) -> float:
    """What rows are multiplied with: exp(-m / 2), m = size[0] the mean of ln(mean square)."""
    return math.exp(-0.5 * size[0])


@inlined
def read_row(x: F32, scale: float, out: F32) -> None:
    """Scale x [D] into out [≥ D + 1]: out_d = clip(scale x_d, ±1e6), out_D = 1; a NaN becomes 0.

    A row of more than four times the usual size, mean square 16, is brought back to that.
    """
    factor = np.float32(scale)
    square = np.float32(0)
    for d in range(x.shape[0]):
        value = min(max(factor * x[d], -_LIMIT), _LIMIT)
        # Compared so that a NaN, of which nothing is true, becomes 0 too.
        out[d] = value if abs(factor * x[d]) > _SMALLEST else np.float32(0)
        square += out[d] * out[d]
    if square > _LARGEST_SQUARE * np.float32(x.shape[0]):
        shrink = np.sqrt(_LARGEST_SQUARE * np.float32(x.shape[0]) / square)
        for d in range(x.shape[0]):
            out[d] *= shrink
    out[x.shape[0]] = np.float32(1)


@inlined
def learn_size(x: F32, labelled: int, size: F64) -> None:
    """Move size [1] by a row [D]: m += a (ln(mean of x²) - m), a = max(1 / labelled, 1e-4)."""
    square = 0.0
    for d in range(x.shape[0]):
        square += np.float64(x[d]) * np.float64(x[d])
    # A row of zeros has no size; NaN compares false.
    if square > 0.0:
        rate = max(1.0 / labelled, 1.0 / _SCALE_ROWS)
        size[0] += rate * (math.log(square / x.shape[0]) - size[0])
