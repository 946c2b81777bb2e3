"""Adam (Kingma & Ba 2015, algorithm 1) for one row of weights at a time.

    M <- beta1 M + (1 - beta1) g,   V <- beta2 V + (1 - beta2) g²
    W -= rate (M / (1 - beta1^t)) / (sqrt(V / (1 - beta2^t)) + epsilon)

Momentum moves every weight even where its input is silent, so a step goes over W, M, V and g whole.
"""

from typing import NamedTuple

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.part import F32

_SMALLEST_MEAN = np.float32(1e-15)
_SMALLEST_SQUARE = np.float32(1e-30)
"""Moments of silent inputs fade by a factor a step, and would become too small to be normal, which
makes a step ten times slower."""


class Step(NamedTuple):
    """The numbers of one step, bias correction worked in."""

    rate: np.float32
    """rate r / (1 - beta1^t), r = sqrt(1 - beta2^t)"""
    epsilon: np.float32
    """r epsilon"""
    keep1: np.float32
    """beta1"""
    take1: np.float32
    """1 - beta1, rounded by itself"""
    keep2: np.float32
    take2: np.float32
    share: np.float32
    """One over the rows whose gradients are summed."""


@inlined
def adam_step(rate: float, epsilon: float, beta1: float, beta2: float, t: int, rows: int) -> Step:
    """The t-th step, from t = 1, with a gradient summed over this many rows."""
    root = np.sqrt(1.0 - beta2**t)
    return Step(
        np.float32(rate * root / (1.0 - beta1**t)),
        np.float32(epsilon * root),
        np.float32(beta1),
        np.float32(1.0 - beta1),
        np.float32(beta2),
        np.float32(1.0 - beta2),
        np.float32(1.0 / rows),
    )


@inlined
def descend(step: Step, w: F32, mean: F32, square: F32, gradient: F32) -> None:
    """Take the step; w, mean M and square V [D] move, the summed gradient [D] is set to 0."""
    keep1, take1, keep2, take2 = step.keep1, step.take1, step.keep2, step.take2
    for d in range(w.shape[0]):
        g = step.share * gradient[d]
        first = keep1 * mean[d] + take1 * g
        second = keep2 * square[d] + take2 * g * g
        mean[d] = first if abs(first) > _SMALLEST_MEAN else np.float32(0)
        square[d] = second if second > _SMALLEST_SQUARE else np.float32(0)
        gradient[d] = 0
    for d in range(w.shape[0]):
        w[d] -= step.rate * mean[d] / (np.sqrt(square[d]) + step.epsilon)
