"""A histogram that takes a block of durations at once."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels import kernel

F64 = NDArray[np.float64]


@kernel
def _count(values: F64, bounds: F64, counts: F64, total: F64) -> None:
    """Sort `values` [B] into buckets: counts [bounds + 1] and total [1] are written."""
    for i in range(values.shape[0]):
        bucket = 0
        while bucket < bounds.shape[0] and values[i] > bounds[bucket]:
            bucket += 1
        counts[bucket] += 1.0
        total[0] += values[i]


class Histogram:
    """Counts of values by bucket; one thread observes, any may read.

    Parameters
    ----------
    bounds
        Upper bounds of the buckets, ascending; one more bucket takes what is larger.

    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self._bounds = np.array(bounds, np.float64)
        self._counts = np.zeros(len(bounds) + 1, np.float64)
        self._total = np.zeros(1, np.float64)

    def warm(self) -> None:
        """Compile now, not under the first row."""
        self.observe(np.zeros(0, np.float64))

    @property
    def total(self) -> float:
        """Sum of all values."""
        return float(self._total[0])

    def observe(self, values: F64) -> None:
        """Add the values [B]."""
        _count(np.ascontiguousarray(values, np.float64), self._bounds, self._counts, self._total)

    def with_counts(self, cumulative: Sequence[float]) -> Self:
        """Take over counts as `cumulative` gives them, for example from a metrics page."""
        self._counts[:] = np.diff(cumulative, prepend=0.0)
        return self

    def cumulative(self) -> list[float]:
        """How many values are at most each bound, and at last how many there are."""
        return [float(count) for count in self._counts.cumsum()]

    def quantile(self, q: float) -> float:
        """Estimate a quantile, as if each bucket's values were spread evenly; NaN before any."""
        below = [0.0, *self.cumulative()]
        if not below[-1]:
            return float("nan")
        rank = q * below[-1]
        bucket = bisect_left(below, rank, lo=1) - 1
        if bucket == len(self.bounds):
            return self.bounds[-1]
        low = self.bounds[bucket - 1] if bucket else 0.0
        inside = (rank - below[bucket]) / (below[bucket + 1] - below[bucket])
        return low + (self.bounds[bucket] - low) * inside
