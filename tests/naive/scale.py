"""Slow twin of `streamlearn.prepare.scale`: the equation, number by number."""

from typing import Any

import numpy as np

from streamlearn.part import F32, Arrays, Place, Rows


class Scale:
    """out = (x - subtract) / divide_by, held inside float32."""

    def __init__(self, options: Any, place: Place) -> None:  # noqa: ARG002  as the fast version
        self.options = options

    def learn(self, rows: Rows) -> None:
        """Nothing to learn."""
        self.infer(rows.x, rows.out)

    def infer(self, x: F32, out: F32) -> None:
        """Scale rows x [B, D] into out [B, D]."""
        largest = float(np.finfo(np.float32).max)
        for b, row in enumerate(x.tolist()):
            for d, value in enumerate(row):
                scaled = (value - self.options.subtract) / self.options.divide_by
                out[b, d] = min(max(scaled, -largest), largest)

    def arrays(self) -> Arrays:
        """No state."""
        return {}
