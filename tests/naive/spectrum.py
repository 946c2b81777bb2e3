"""Slow twin of `streamlearn.prepare.spectrum`: Fourier sums written out, frame by frame."""

from typing import Any

import numpy as np

from streamlearn.part import F32, Arrays, Place, Rows
from streamlearn.prepare.spectrum import bank_of


class Spectrum:
    """log(floor + M |F (h s)|²)."""

    def __init__(self, options: Any, place: Place) -> None:  # noqa: ARG002  as the fast version
        self.options, self.bank = options, bank_of(options)

    def learn(self, rows: Rows) -> None:
        """Nothing to learn."""
        self.infer(rows.x, rows.out)

    def infer(self, x: F32, out: F32) -> None:
        """Sum sines and cosines for every frequency."""
        n, hop = self.options.frame, self.options.hop
        i = np.arange(n)
        hann = np.sin(np.pi * i / n) ** 2
        waves = np.exp(-2j * np.pi * np.outer(np.arange(n // 2 + 1), i) / n)
        for samples, bands in zip(x.astype(np.float64), out, strict=True):
            found = []
            for start in range(0, len(samples) - n + 1, hop):
                power = np.abs(waves @ (hann * samples[start : start + n])) ** 2
                found += np.log(self.options.floor + self.bank @ power).tolist()
            bands[:] = found

    def arrays(self) -> Arrays:
        """No state."""
        return {}
