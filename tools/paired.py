"""Paired comparisons: how sure a mean difference is, by Student's t."""

import math
import statistics
from collections.abc import Sequence

import numpy as np


def tested(gains: Sequence[float]) -> tuple[float, float, float]:
    """Mean of paired differences, its t, and how often chance does as much, either way.

    With a single difference, or where all are the same, t is 0 and the chance 1.
    """
    mean = statistics.mean(gains)
    deviation = statistics.stdev(gains) if len(gains) > 1 else 0.0
    if deviation < 1e-12:
        return mean, 0.0, 1.0
    t = mean / (deviation / len(gains) ** 0.5)
    return mean, t, chance(t, len(gains) - 1)


def chance(t: float, freedom: int) -> float:
    """How often a t of so many degrees of freedom is as far from 0, either way."""
    at = np.linspace(0.0, math.atan(abs(t) / freedom**0.5), 10_001)
    density = np.cos(at) ** (freedom - 1)  # of Student's t, by its angle
    whole = math.gamma(freedom / 2) / math.gamma((freedom + 1) / 2) * math.pi**0.5
    return max(0.0, 1.0 - 2.0 * float(np.trapezoid(density, at)) / whole)
