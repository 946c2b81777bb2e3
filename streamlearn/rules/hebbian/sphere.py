"""Units that are carried back to the p-sphere after every step: state, settings, figures."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels.random import generator
from streamlearn.part import F32, Arrays, Place
from streamlearn.rules.hebbian import dynamics, sphere_kernels
from streamlearn.rules.hebbian.options import HebbianOptions
from streamlearn.rules.hebbian.sphere_kernels import F64, Scratch, Settings, Units

NEVER: Final = -(1 << 62)
"""Row of the last win of a unit that was never given weights."""


def settings_of(options: HebbianOptions) -> Settings:
    """Options as the kernels want them."""
    rows = int(options.patience * options.units)
    return Settings(
        p=2.0 * options.p,
        power=round(2 * options.power),
        from_mean=options.threshold == "mean",
        scaled=options.scaled,
        dot=options.product == "dot" and options.p != 2,
        k=options.k,
        delta=options.delta,
        rate=options.rate,
        floor=options.rate_floor,
        conscience=options.conscience,
        # Where nothing moves, only units without weights take a row.
        patience=rows if options.rate > 0 else -NEVER // 2,
        inhibition=options.inhibition,
        h_star=options.h_star,
        max_steps=options.max_steps,
        extent=10.0 ** min(4.0, 16.0 / (options.p - 1)),
    )


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
        gain=np.zeros(H, np.float32),
        moves=np.zeros(H, np.int64),
        load=np.ones(H, np.float32),
        last_win=np.full(H, 0 if random else NEVER, np.int64),
        clock=np.zeros(1, np.int64),
        figures=np.zeros(2),
    )


def new_scratch(width_in: int, units: int) -> Scratch:
    """Room for one row."""
    return Scratch(
        active=np.zeros(width_in, np.uint32),
        z=np.zeros(width_in, np.float32),
        current=np.zeros(units, np.float32),
        base=np.zeros(units, np.float32),
        plain=np.zeros(units, np.float32),
        room=np.zeros((4, units), np.float32),
        key=np.zeros(units, np.int32),
    )


class Sphere:
    """Units on the p-sphere that compete by ranks or by dynamics.

    Parameters
    ----------
    options
        Norm, competition, rates.
    place
        Width and seed.

    """

    def __init__(self, options: HebbianOptions, place: Place) -> None:
        self.options, self._width_in = options, place.width_in
        self._settings = settings_of(options)
        self._units = _new_units(options, place)
        scratch = new_scratch(place.width_in, options.units)
        self._plain = tuple(self._units), tuple(self._settings), tuple(scratch)
        self._learn = (dynamics if options.competition == "dynamics" else sphere_kernels).learn
        self.restored()

    def learn(self, x: F32, out: F32) -> None:
        """Write the activities [B, H] of the rows [B, D], and learn each."""
        self._learn(x, *self._plain, out)

    def infer(self, x: F32, out: F32) -> None:
        """Write the activities, change nothing."""
        units, settings, _ = self._plain
        scratch = new_scratch(self._width_in, self.options.units)
        sphere_kernels.infer(x, units, settings, tuple(scratch), out)

    def arrays(self) -> Arrays:
        """Every array of `Units` but the powers and gains, which follow from the others."""
        return {k: v for k, v in self._units._asdict().items() if k not in ("powered", "gain")}

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

    def gauges(self) -> dict[str, float]:
        """See `Hebbian.gauges`."""
        units, rate = self._units, np.empty(self.options.units)
        sphere_kernels.rates(units.moves, self._plain[1], rate)
        asleep = units.clock[0] - units.last_win > self._settings.patience
        return figures(units.load, asleep, self.norms(), float(rate.mean()), units.figures)


def figures(
    load: F32, asleep: NDArray[np.bool_], norm: F64, rate: float, faded: F64
) -> dict[str, float]:
    """What the metrics page shows of units, however they learn."""
    return {
        "winner_entropy": _entropy(load),
        "dead_share": float(asleep.mean()),
        "norm_mean": float(norm.mean()),
        "norm_min": float(norm.min()),
        "norm_max": float(norm.max()),
        "rate_mean": rate,
        "lyapunov": float(faded[0]),
        "cut_short_share": float(faded[1]),
    }


def _entropy(load: F32) -> float:
    """Entropy of the shares of wins over its maximum; 1 where there is one unit."""
    share = load[load > 0] / load.sum(dtype=np.float64)
    if len(load) == 1 or not len(share):
        return 1.0
    return float(-(share * np.log(share)).sum() / np.log(len(load)))
