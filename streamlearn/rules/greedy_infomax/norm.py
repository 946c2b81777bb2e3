"""Contexts are normalised as codes are: c = h / sqrt(mean |h|² + 1e-4), mean over n numbers.

n numbers of a recurrent unit, real or complex; K steps.
"""

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.part import F32
from streamlearn.rules.greedy_infomax.state import Scratch

_TINY = np.float32(1e-4)


@inlined
def normalise(state: F32, out: F32) -> np.float32:
    """Write out [C] = c from the first lines of a state [G, n], side by side; returns c / h."""
    n = state.shape[1]
    square = np.float32(0)
    for g in range(out.shape[0] // n):
        for i in range(n):
            square += state[g, i] * state[g, i]
    factor = np.float32(1) / np.sqrt(square / np.float32(n) + _TINY)
    for g in range(out.shape[0] // n):
        for i in range(n):
            out[g * n + i] = factor * state[g, i]
    return np.float32(factor)


@inlined
def through_norm(scratch: Scratch, k: int) -> None:
    """Turn dL/d c [C] of the context k + 1 rows ago into dL/d h, in scratch.slope."""
    c, d = scratch.context[1 + k], scratch.slope[k]
    along = np.float32(0)
    for i in range(c.shape[0]):
        along += c[i] * d[i]
    along /= np.float32(scratch.state.shape[1])
    for i in range(c.shape[0]):
        d[i] = (d[i] - along * c[i]) * scratch.scale[k]
