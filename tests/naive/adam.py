"""Adam as its authors wrote it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[Any]


class Adam:
    """Steps of one array of weights."""

    def __init__(self, weights: Vector) -> None:
        self.w, self.m, self.v = weights, np.zeros_like(weights), np.zeros_like(weights)

    def step(self, gradient: Vector, rate: float, t: int) -> None:
        """Take the t-th step."""
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.999 * self.v + 0.001 * gradient**2
        mean, square = self.m / (1 - 0.9**t), self.v / (1 - 0.999**t)
        self.w = self.w - rate * mean / (np.sqrt(square) + 1e-6)
