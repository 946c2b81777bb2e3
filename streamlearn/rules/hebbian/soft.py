"""Units that all learn, by a softmax: state, settings, figures; equations in `soft_kernels`."""

from typing import Final

import numpy as np

from streamlearn.kernels.random import generator
from streamlearn.part import F32, Arrays, Place
from streamlearn.rules.hebbian import soft_kernels as kernels
from streamlearn.rules.hebbian.options import HebbianOptions
from streamlearn.rules.hebbian.soft_kernels import Scratch, Settings, Units
from streamlearn.rules.hebbian.sphere import NEVER, figures

START_LENGTH: Final = 25.0
"""Of units that begin as noise: far outside the unit sphere."""


def _settings(options: HebbianOptions) -> Settings:
    rows = int(options.patience * options.units)
    return Settings(
        power=round(2 * options.power),
        from_mean=options.threshold == "mean",
        scaled=options.scaled,
        sharpness=options.sharpness,
        anti=options.anti,
        rate=options.rate,
        floor=options.rate_floor,
        patience=rows if options.rate > 0 else -NEVER // 2,
    )


def _new_units(options: HebbianOptions, place: Place) -> Units:
    D, H = place.width_in, options.units
    random = options.start == "random"
    weights = np.zeros((D, H), np.float32)
    if random:
        generator(place.seed).standard_normal(out=weights, dtype=np.float32)
        weights *= np.float32(START_LENGTH / np.sqrt(D))
    return Units(
        weights=weights,
        scale=np.full(H, float(random)),
        square=(weights.astype(np.float64) ** 2).sum(axis=0),
        alive=np.full(H, random, np.float32),
        load=np.ones(H, np.float32),
        last_win=np.full(H, 0 if random else NEVER, np.int64),
        clock=np.zeros(1, np.int64),
        figures=np.zeros(2),
    )


def _new_scratch(width_in: int, units: int) -> Scratch:
    """Room for one row."""
    return Scratch(
        active=np.zeros(width_in, np.uint32),
        z=np.zeros(width_in, np.float32),
        current=np.zeros(units, np.float32),
        base=np.zeros(units, np.float32),
    )


class Soft:
    """Units in soft competition.

    Parameters
    ----------
    options
        Sharpness and rates.
    place
        Width and seed.

    """

    def __init__(self, options: HebbianOptions, place: Place) -> None:
        self.options, self._width_in = options, place.width_in
        self._settings = _settings(options)
        self._units = _new_units(options, place)
        scratch = _new_scratch(place.width_in, options.units)
        self._plain = tuple(self._units), tuple(self._settings), tuple(scratch)

    def learn(self, x: F32, out: F32) -> None:
        """Write the activities [B, H] of the rows [B, D], and learn each."""
        kernels.learn(x, *self._plain, out)

    def infer(self, x: F32, out: F32) -> None:
        """Write the activities, change nothing."""
        units, settings, _ = self._plain
        scratch = _new_scratch(self._width_in, self.options.units)
        kernels.infer(x, units, settings, tuple(scratch), out)

    def arrays(self) -> Arrays:
        """Every array of `Units` but who has weights, which follows from the scales."""
        return {k: v for k, v in self._units._asdict().items() if k != "alive"}

    def restored(self) -> None:
        """Find who has weights."""
        self._units.alive[:] = self._units.scale > 0

    def fields(self) -> F32:
        """Weights W [H, D], a copy; zeros: no weights yet."""
        return np.ascontiguousarray((self._units.weights * self._units.scale).T, np.float32)

    def gauges(self) -> dict[str, float]:
        """See `Hebbian.gauges`."""
        units = self._units
        rate = np.empty(self.options.units)
        kernels.rates(units.square, self._plain[1], rate)
        asleep = units.clock[0] - units.last_win > self._settings.patience
        norm = np.sqrt(units.square)
        return figures(units.load, asleep, norm, float(rate.mean()), units.figures)
