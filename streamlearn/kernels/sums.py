"""Sums over a row, apart from the loops that write.

Those are vectorised or not by where the arrays lie, which may change no order of summation.
"""

import math

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels.compile import inlined

F32 = NDArray[np.float32]


@inlined
def sum_of_squares(values: F32) -> np.float32:
    """Sum of the squares of values [H]."""
    total = np.float32(0)
    for h in range(values.shape[0]):
        total += values[h] * values[h]
    return total


@inlined
def log_softmax(g: F32) -> None:
    """Bring g [K] to g - ln(sum e^g)."""
    largest = np.float32(-np.inf)
    for k in range(g.shape[0]):
        largest = max(largest, g[k])
    total = 0.0
    for k in range(g.shape[0]):
        total += math.exp(g[k] - largest)
    shift = largest + np.float32(math.log(total))
    for k in range(g.shape[0]):
        g[k] -= shift
