"""Slow twin of `streamlearn.prepare.standardize`: one input of one row at a time."""

import math
from typing import Any

import numpy as np

from streamlearn.part import F32, Arrays, Place, Rows


class Standardize:
    """Each row by the mean and variance of the rows before it, which fade by `memory_rows`."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options = options
        self.mean = np.zeros(place.width_in)
        self.variance = np.zeros(place.width_in)
        self.rows = np.zeros(1, np.int64)

    def learn(self, rows: Rows) -> None:
        """Transform a row, then move mean and variance towards it."""
        for b in range(len(rows.x)):
            self.infer(rows.x[b : b + 1], rows.out[b : b + 1])
            self.rows[0] += 1
            rate = 1 / int(self.rows[0])
            if self.options.memory_rows:
                rate = max(rate, 1 / self.options.memory_rows)
            for d, value in enumerate(rows.x[b].tolist()):
                deviation = value - self.mean[d]
                self.mean[d] += rate * deviation
                self.variance[d] = (1 - rate) * (self.variance[d] + rate * deviation**2)

    def infer(self, x: F32, out: F32) -> None:
        """Transform rows x [B, D] into out [B, D]."""
        clip = self.options.clip
        for b, row in enumerate(x.tolist()):
            for d, value in enumerate(row):
                spread = math.sqrt(self.variance[d])
                varies = spread > 2.0**-24 * abs(self.mean[d])
                z = (value - self.mean[d]) / spread if varies else 0.0
                out[b, d] = min(max(z, -clip), clip)

    def arrays(self) -> Arrays:
        """The state under the names of the fast version."""
        return {"mean": self.mean, "variance": self.variance, "rows": self.rows}
