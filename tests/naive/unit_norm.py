"""Slow twin of `streamlearn.prepare.unit_norm`: the equation, row by row."""

import math
from typing import Any

from streamlearn.part import F32, Arrays, Place, Rows


class UnitNorm:
    """out = length x / norm of x; a row of zeros stays."""

    def __init__(self, options: Any, place: Place) -> None:  # noqa: ARG002  as the fast version
        self.options = options

    def learn(self, rows: Rows) -> None:
        """Nothing to learn."""
        self.infer(rows.x, rows.out)

    def infer(self, x: F32, out: F32) -> None:
        """Bring rows x [B, D] to one length in out [B, D]."""
        for b, row in enumerate(x.tolist()):
            norm = math.sqrt(math.fsum(value * value for value in row))
            for d, value in enumerate(row):
                out[b, d] = self.options.length * value / norm if norm else 0.0

    def arrays(self) -> Arrays:
        """No state."""
        return {}
