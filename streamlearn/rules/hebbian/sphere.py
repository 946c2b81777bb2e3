"""Units that are carried back to the p-sphere after every step."""

import numpy as np

from streamlearn.part import F32
from streamlearn.rules.hebbian import dynamics, sphere_kernels
from streamlearn.rules.hebbian.machine import (
    F64,
    Kernels,
    Machine,
    first_weights,
    settings_for,
    units_for,
)
from streamlearn.rules.hebbian.rates import fallen
from streamlearn.rules.hebbian.sphere_kernels import Scratch, Settings, Units


class Sphere(Machine):
    """Units on the p-sphere that compete by ranks."""

    KERNELS = Kernels(sphere_kernels.learn, sphere_kernels.infer)
    DERIVED = ("powered", "gain")

    def _new_settings(self) -> Settings:
        options = self.options
        return settings_for(Settings, options, extent=10.0 ** min(4.0, 16.0 / (options.p - 1)))

    def _new_units(self) -> Units:
        options = self.options
        weights = first_weights(options, self.place)
        return units_for(Units, options, weights, gain=np.zeros(options.units, np.float32))

    def _new_scratch(self) -> Scratch:
        """Room for one row."""
        D, H = self.place.width_in, self.options.units
        return Scratch(
            active=np.zeros(D, np.uint32),
            z=np.zeros(D, np.float32),
            current=np.zeros(H, np.float32),
            base=np.zeros(H, np.float32),
            plain=np.zeros(H, np.float32),
            room=np.zeros((4, H), np.float32),
            key=np.zeros(H, np.int32),
        )

    def restored(self) -> None:
        """Rebuild the powers and gains from the weights and sizes."""
        sphere_kernels.derive(self._plain[0], self._settings.p)

    def fields(self) -> F32:
        """Weights W on the p-sphere [H, D], a copy; zeros: no weights yet."""
        norm = np.maximum(self._units.size, 1e-300) ** (1.0 / self.options.p)
        return np.ascontiguousarray((self._units.weights / norm).T, np.float32)

    def norms(self) -> F64:
        """The p-norms [H] as they really are."""
        units, norm = self._units, np.empty(self.options.units)
        sphere_kernels.norms(units.weights, units.size, self._settings.p, norm)
        return norm

    def rates(self) -> F64:
        """Rates [H] that have fallen with the units' own moves."""
        return fallen(self._units.moves, self.options.rate, self.options.rate_floor)


class Dynamics(Sphere):
    """Units on the p-sphere that inhibit each other."""

    KERNELS = Kernels(dynamics.learn, sphere_kernels.infer)
