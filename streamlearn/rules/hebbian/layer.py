"""The layer around the kernels: its options, its state, its figures."""

from typing import Annotated, Final, Literal

import numpy as np
from msgspec import Meta

from streamlearn.config import LayerOptions
from streamlearn.kernels.random import generator
from streamlearn.part import F32, Arrays, Place, Rows
from streamlearn.rules.base import Rule
from streamlearn.rules.hebbian import kernels
from streamlearn.rules.hebbian.kernels import Scratch, Settings, Units

NEVER: Final = -(1 << 62)
"""Row of the last win of a unit that was never given weights."""


class HebbianOptions(LayerOptions, frozen=True, kw_only=True):
    """Competing hidden units (Krotov & Hopfield), label-free."""

    units: Annotated[int, Meta(ge=1, le=65536, description="How many units compete.")]
    p: Annotated[
        float,
        Meta(ge=2.0, le=5.0, multiple_of=0.5, description="Norm of the weights; 2 is Oja's rule."),
    ] = 2.0
    k: Annotated[
        int, Meta(ge=2, le=1024, description="Rank that is pushed away; above units: none is.")
    ] = 20
    delta: Annotated[
        float, Meta(ge=0.0, le=1.0, description="How strongly it is, against the winner's pull.")
    ] = 0.2
    power: Annotated[
        float, Meta(ge=1.0, le=10.0, multiple_of=0.5, description="Power of the activity.")
    ] = 3.0
    threshold: Annotated[
        Literal["mean", "zero"],
        Meta(description="Current from which a unit is active: the row's mean, or zero."),
    ] = "mean"
    start: Annotated[
        Literal["data", "random"],
        Meta(description="First weights: the first rows, one a unit, or Gaussian noise."),
    ] = "data"
    rate: Annotated[
        float, Meta(ge=0.0, le=0.9, description="A new unit's first step to a row; 0: none moves.")
    ] = 0.5
    rate_floor: Annotated[
        float, Meta(ge=0.0, le=0.9, description="Where a unit's rate stops falling.")
    ] = 0.01
    conscience: Annotated[
        float, Meta(ge=0.0, le=1.0, description="Current that a unit with twice its share loses.")
    ] = 0.01
    patience: Annotated[
        float,
        Meta(
            ge=1.0,
            le=1e6,
            description="Rows a unit without a win, after which it takes a new place.",
            extra={"unit": "rows"},
        ),
    ] = 20.0


def _settings(options: HebbianOptions) -> Settings:
    rows = int(options.patience * options.units)
    return Settings(
        p=round(2 * options.p),
        power=round(2 * options.power),
        from_mean=options.threshold == "mean",
        k=options.k,
        delta=options.delta,
        rate=options.rate,
        floor=options.rate_floor,
        conscience=options.conscience,
        # Where nothing moves, only units without weights take a row.
        patience=rows if options.rate > 0 else -NEVER // 2,
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
    )


def _new_scratch(width_in: int, units: int) -> Scratch:
    """Room for one row."""
    return Scratch(
        active=np.zeros(width_in, np.uint32),
        z=np.zeros(width_in, np.float32),
        current=np.zeros(units, np.float32),
        base=np.zeros(units, np.float32),
        key=np.zeros(units, np.int32),
    )


class Hebbian(Rule):
    """A layer of competing hidden units.

    Parameters
    ----------
    options
        Units, norm, ranks, rates; see `HebbianOptions`.
    place
        Widths and seed; see `streamlearn.part.Place`.

    Notes
    -----
    One row costs a reading of its active inputs' weights; see the module for the equations.

    """

    Options = HebbianOptions
    GAUGES = ("winner_entropy", "dead_share", "norm_mean", "norm_min", "norm_max", "rate_mean")
    options: HebbianOptions

    def __init__(self, options: HebbianOptions, place: Place) -> None:
        super().__init__(options, place)
        self._settings = _settings(options)
        self._units = _new_units(options, place)
        scratch = _new_scratch(place.width_in, options.units)
        self._plain = tuple(self._units), tuple(self._settings), tuple(scratch)
        self.restored()

    @property
    def width_out(self) -> int:
        """H: one activity a unit."""
        return int(self.options.units)

    def learn(self, rows: Rows) -> None:
        """Write each row's activity, then let the units compete for it, whatever its label."""
        kernels.learn(rows.x, *self._plain, rows.out)

    def infer(self, x: F32, out: F32) -> None:
        """Write the activities [B, H] of the rows [B, D]; change nothing."""
        units, settings, _ = self._plain
        scratch = _new_scratch(self.place.width_in, self.width_out)
        kernels.infer(x, units, settings, tuple(scratch), out)

    def arrays(self) -> Arrays:
        """Every array of `Units` but the powers and gains, which follow from the others."""
        return {k: v for k, v in self._units._asdict().items() if k not in ("powered", "gain")}

    def restored(self) -> None:
        """Rebuild the powers and gains from the weights and sizes."""
        kernels.derive(self._plain[0], self._settings.p)

    def receptive_fields(self) -> F32:
        """Weights W on the p-sphere [H, *shape_in], a copy for pictures; zeros: no weights yet."""
        norm = np.maximum(self._units.size, 1e-300) ** (1.0 / self.options.p)
        fields = (self._units.weights / norm).T.astype(np.float32)
        return np.ascontiguousarray(fields.reshape(-1, *self.place.shape_in))

    def gauges(self) -> dict[str, float]:
        """Winners' entropy (1: all win alike), dead share, extremes of the p-norm, mean rate."""
        units, settings = self._units, self._settings
        norm, rate = np.empty(self.width_out), np.empty(self.width_out)
        kernels.norms(units.weights, units.size, settings.p, norm)
        kernels.rates(units.moves, self._plain[1], rate)
        asleep = units.clock[0] - units.last_win > settings.patience
        return {
            "winner_entropy": _entropy(units.load),
            "dead_share": float(asleep.mean()),
            "norm_mean": float(norm.mean()),
            "norm_min": float(norm.min()),
            "norm_max": float(norm.max()),
            "rate_mean": float(rate.mean()),
        }

    def cost(self) -> int:
        """Reads the weights once; the two units that change hardly count."""
        return 4 * self.place.width_in * self.width_out


def _entropy(load: F32) -> float:
    """Entropy of the shares of wins over its maximum; 1 where there is one unit."""
    share = load[load > 0] / load.sum(dtype=np.float64)
    if len(load) == 1 or not len(share):
        return 1.0
    return float(-(share * np.log(share)).sum() / np.log(len(load)))
