"""Rates that units set themselves: they fall with a unit's own moves, down to a floor."""

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels import inlined, kernel

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@inlined
def rate_of(moves: int, first: float, floor: float) -> float:
    """The rate eta = max(rate_floor, rate / (1 + moves)), 0 where nothing moves."""
    return max(first / (1.0 + moves), floor) if first > 0 else 0.0


@kernel
def _rates(moves: I64, first: float, floor: float, out: F64) -> None:
    """Write the rates out [H] of units that have moved so often [H]."""
    for h in range(out.shape[0]):
        out[h] = rate_of(moves[h], first, floor)


def fallen(moves: I64, first: float, floor: float) -> F64:
    """Rates [H] of units that have moved so often [H]."""
    out = np.empty(len(moves))
    _rates(moves, first, floor, out)
    return out
