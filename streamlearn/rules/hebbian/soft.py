"""Units that all learn, by a softmax: state, settings, figures; equations in `soft_kernels`."""

from typing import Final

import numpy as np

from streamlearn.part import F32
from streamlearn.rules.hebbian import soft_kernels
from streamlearn.rules.hebbian.machine import (
    F64,
    Kernels,
    Machine,
    first_weights,
    settings_for,
    units_for,
)
from streamlearn.rules.hebbian.soft_kernels import Scratch, Settings, Units

START_LENGTH: Final = 25.0
"""Of units that begin as noise: far outside the unit sphere."""


class Soft(Machine):
    """Units in soft competition."""

    KERNELS = Kernels(soft_kernels.learn, soft_kernels.infer)
    DERIVED = ("alive",)

    def _new_settings(self) -> Settings:
        return settings_for(Settings, self.options)

    def _new_units(self) -> Units:
        D, H, random = self.place.width_in, self.options.units, self.options.start == "random"
        weights = first_weights(self.options, self.place)
        weights *= np.float32(START_LENGTH / np.sqrt(D))
        return units_for(
            Units,
            self.options,
            weights,
            scale=np.full(H, float(random)),
            square=(weights.astype(np.float64) ** 2).sum(axis=0),
            alive=np.zeros(H, np.float32),
        )

    def _new_scratch(self) -> Scratch:
        """Room for one row."""
        D, H = self.place.width_in, self.options.units
        return Scratch(
            active=np.zeros(D, np.uint32),
            z=np.zeros(D, np.float32),
            current=np.zeros(H, np.float32),
            base=np.zeros(H, np.float32),
        )

    def restored(self) -> None:
        """Find who has weights."""
        self._units.alive[:] = self._units.scale > 0

    def fields(self) -> F32:
        """Weights W [H, D], a copy; zeros: no weights yet."""
        return np.ascontiguousarray((self._units.weights * self._units.scale).T, np.float32)

    def norms(self) -> F64:
        """Lengths [H] of W."""
        return np.asarray(np.sqrt(self._units.square))

    def rates(self) -> F64:
        """Rates [H], the larger the further a length is from 1."""
        rate = np.empty(self.options.units)
        soft_kernels.rates(self._units.square, self._plain[1], rate)
        return rate
