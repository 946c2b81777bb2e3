"""The `black_box` rule, worked out slowly: what a row of numbers becomes under noise and rounding.

Without a function it is the identity, so only the spoiling of the answer is left to compare.
"""

from typing import Any

import numpy as np

from streamlearn.kernels.random import _mix_python as mix
from streamlearn.part import Arrays, Place, Rows


def uniform(seed: int, row: int, draw: int) -> float:
    """The counter-based generator in plain Python."""
    return (mix(mix(mix(seed) ^ row) ^ draw) >> 11) / 2.0**53


class BlackBox:
    """y = x, then noise, then rounding, a row at a time."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options, self.place = options, place

    def learn(self, rows: Rows) -> None:
        """Write each row's spoilt answer."""
        for x, out in zip(rows.x, rows.out, strict=True):
            out[:] = self._spoilt(x)

    def _spoilt(self, x: Any) -> Any:
        options = self.options
        y = x.astype(np.float64)
        size = np.sqrt((y**2).mean())
        word = self.place.seed
        for bits in x.view(np.uint32).tolist():
            word = mix(word ^ bits)
        if options.noise:
            draws = [(uniform(word >> 1, h, 0), uniform(word >> 1, h, 1)) for h in range(len(y))]
            normal = [np.sqrt(-2 * np.log(1 - u)) * np.cos(2 * np.pi * v) for u, v in draws]
            y = (y + options.noise * size * np.array(normal)).astype(np.float32).astype(np.float64)
        if options.bits and size > 0:
            most = 2 ** (options.bits - 1)
            step = options.range * size / most
            y = step * (np.clip(np.floor(y / step), -most, most - 1) + 0.5)
        return y

    def arrays(self) -> Arrays:
        """No row goes wrong here."""
        return {"faults": np.zeros(3, np.int64)}
