"""What every goal of a layer of local receptive fields shares: falling steps, figures, descent."""

import math
from typing import Final

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.kernels.sums import sum_of_squares
from streamlearn.part import F32
from streamlearn.rules.forward_forward_fields.state import State, View

FADE: Final = 1e-3
"""Fading of the figures, a row."""


@inlined
def note(state: State, good: float, bad: float) -> None:
    """Let the two figures follow, as plain means first."""
    share = max(FADE, 1.0 / (1.0 + state.clock[0]))
    state.figures[0] += share * (good - state.figures[0])
    state.figures[1] += share * (bad - state.figures[1])


@inlined
def mean_of(values: F32) -> float:
    """Mean of the values."""
    total = np.float32(0)
    for i in range(values.shape[0]):
        total += values[i]
    return float(total) / float(values.shape[0])


@inlined
def descend(state: State, view: View, m: int, rate: float) -> None:
    """W += rate sum z delta^T / root m', b alike: over the m patches, m' of which a set sees."""
    weights, bias, S = state.weights, state.bias, state.bias.shape[0]
    where, patches, delta = view.where, view.patches, view.delta
    share = np.float32(rate if S > 1 else rate / math.sqrt(max(m, 1)))
    for j in range(m):
        s = where[j] if S > 1 else 0
        z, d, b = patches[j], delta[j], bias[s]
        if not sum_of_squares(d) > 0:
            continue
        for u in range(b.shape[0]):
            b[u] += share * d[u]
        for i in range(z.shape[0]):
            w, step = weights[s, i], share * z[i]
            for u in range(w.shape[0]):
                w[u] += step * d[u]
