"""Units that follow eq. 2 as it is written: state, settings, figures."""

from typing import Final

import numpy as np

from streamlearn.kernels.random import generator
from streamlearn.part import F32, Arrays, Place
from streamlearn.rules.hebbian import equation_kernels as kernels
from streamlearn.rules.hebbian.equation_state import (
    ALONE,
    DYNAMICS,
    F64,
    RANKING,
    TOGETHER,
    Scratch,
    Settings,
    Units,
)
from streamlearn.rules.hebbian.options import HebbianOptions
from streamlearn.rules.hebbian.sphere import NEVER, figures

_KINDS: Final = {"ranking": RANKING, "dynamics": DYNAMICS, "none": ALONE}


def _settings(options: HebbianOptions) -> Settings:
    return Settings(
        p=2.0 * options.p,
        power=round(2 * options.power),
        from_mean=options.threshold == "mean",
        scaled=options.scaled,
        dot=options.product == "dot" and options.p != 2,
        competition=_KINDS[options.competition],
        k=options.k,
        delta=options.delta,
        inhibition=options.inhibition,
        h_star=options.h_star,
        max_steps=options.max_steps,
        # A unit that learns for itself is never compared, so it is never late either.
        conscience=options.conscience if options.competition != "none" else 0.0,
        rate=options.rate,
        floor=options.rate_floor,
        anneal_rows=options.anneal_rows,
        largest=options.largest,
        radius=options.radius,
        minibatch=options.minibatch,
        patience=_patience(options),
    )


def _patience(options: HebbianOptions) -> int:
    """Rows without a win; units that cannot lose, or never move, only take their first row."""
    moving = options.rate > 0 and options.competition != "none"
    return int(options.patience * options.units) if moving else -NEVER // 2


def _new_units(options: HebbianOptions, place: Place) -> Units:
    D, H = place.width_in, options.units
    random = options.start == "random"
    weights = np.zeros((D, H), np.float32)
    if random:
        generator(place.seed).standard_normal(out=weights, dtype=np.float32)
    return Units(
        weights=weights,
        powered=weights if options.p == 2 else np.zeros_like(weights),
        size=(np.abs(weights, dtype=np.float64) ** options.p).sum(axis=0),
        alive=np.zeros(H, np.float32),
        gathered=np.zeros((H, D), np.float32),
        decay=np.zeros(H),
        drawn=np.zeros(H),
        pending=np.zeros(1, np.int64),
        moves=np.zeros(H, np.int64),
        load=np.ones(H, np.float32),
        last_win=np.full(H, 0 if random else NEVER, np.int64),
        clock=np.zeros(1, np.int64),
        figures=np.zeros(2),
    )


def _new_scratch(width_in: int, units: int) -> Scratch:
    """Room for as many rows as are answered together."""
    return Scratch(
        active=np.zeros((TOGETHER, width_in), np.uint32),
        z=np.zeros((TOGETHER, width_in), np.float32),
        counts=np.zeros(TOGETHER, np.int64),
        current=np.zeros((TOGETHER, units), np.float32),
        plain=np.zeros((TOGETHER, units), np.float32),
        base=np.zeros(units, np.float32),
        g=np.zeros(units, np.float32),
        room=np.zeros((4, units), np.float32),
        key=np.zeros(units, np.int32),
        moved=np.zeros(units, np.int64),
        size=np.zeros(units),
        change=np.zeros(units),
    )


class Equation:
    """Units that follow eq. 2, one step a minibatch.

    Parameters
    ----------
    options
        Norm, radius, competition, schedule.
    place
        Width and seed.

    """

    def __init__(self, options: HebbianOptions, place: Place) -> None:
        self.options, self._width_in = options, place.width_in
        self._settings = _settings(options)
        self._units = _new_units(options, place)
        scratch = _new_scratch(place.width_in, options.units)
        self._plain = tuple(self._units), tuple(self._settings), tuple(scratch)
        self.restored()

    def learn(self, x: F32, out: F32) -> None:
        """Write the activities [B, H] of the rows [B, D], and learn each."""
        kernels.learn(x, *self._plain, out)

    def infer(self, x: F32, out: F32) -> None:
        """Write the activities, change nothing."""
        units, settings, _ = self._plain
        scratch = _new_scratch(self._width_in, self.options.units)
        kernels.infer(x, units, settings, tuple(scratch), out)

    def arrays(self) -> Arrays:
        """Every array of `Units` but what follows from the others."""
        return {k: v for k, v in self._units._asdict().items() if k not in ("powered", "alive")}

    def restored(self) -> None:
        """Rebuild the powers, and who has weights."""
        kernels.derive(self._plain[0], self._settings.p)

    def fields(self) -> F32:
        """Weights W [H, D], a copy; zeros: no weights yet."""
        return np.array(self._units.weights.T, order="C")

    def norms(self) -> F64:
        """The p-norms [H] of W; R where learning has come to rest."""
        return np.asarray(self._units.size ** (1.0 / self.options.p))

    def gauges(self) -> dict[str, float]:
        """See `Hebbian.gauges`."""
        units, options = self._units, self.options
        rate = np.empty(options.units)
        kernels.rates(units.moves, self._plain[1], rate)
        if options.anneal_rows:
            left = max(0.0, 1.0 - float(units.clock[0]) / options.anneal_rows)
            rate[:] = options.rate * left
        asleep = units.clock[0] - units.last_win > self._settings.patience
        return figures(units.load, asleep, self.norms(), float(rate.mean()), units.figures)
