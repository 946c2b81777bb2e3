"""What units share, whatever they compute: how they begin, answer, are kept and looked at."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels.random import generator
from streamlearn.part import F32, Arrays, Place
from streamlearn.rules.hebbian.options import HebbianOptions

F64 = NDArray[np.float64]
Struct = TypeVar("Struct", bound=tuple[Any, ...])

NEVER: Final = -(1 << 62)
"""Row of the last win of a unit that was never given weights."""


class Kernels(NamedTuple):
    """What works on a kind's units: (x, units, settings, scratch, out), the middle three plain."""

    learn: Callable[..., None]
    infer: Callable[..., None]


class Machine(ABC):
    """Units with weights of one kind; see the rooms `sphere`, `equation`, `soft`.

    A kind says what its settings, its state and its room are, and which kernels work on them.

    Parameters
    ----------
    options
        Norm, competition, rates.
    place
        Width and seed.

    """

    KERNELS: ClassVar[Kernels]
    DERIVED: ClassVar[tuple[str, ...]]
    """Arrays of the units that follow from the others."""

    def __init__(self, options: HebbianOptions, place: Place) -> None:
        self.options, self.place = options, place
        self._settings: Any = self._new_settings()
        self._units: Any = self._new_units()
        self._plain = tuple(self._units), tuple(self._settings), tuple(self._new_scratch())
        self.restored()

    @abstractmethod
    def _new_settings(self) -> tuple[Any, ...]:
        """Make the kind's `Settings`."""

    @abstractmethod
    def _new_units(self) -> tuple[Any, ...]:
        """Make the kind's `Units`."""

    @abstractmethod
    def _new_scratch(self) -> tuple[Any, ...]:
        """Make a `Scratch` of the kind."""

    @abstractmethod
    def restored(self) -> None:
        """Rebuild what follows from the state."""

    @abstractmethod
    def fields(self) -> F32:
        """Weights W [H, D], a copy; zeros: no weights yet."""

    @abstractmethod
    def norms(self) -> F64:
        """The p-norms [H] of W."""

    @abstractmethod
    def rates(self) -> F64:
        """Rates [H] of the units' next steps."""

    def learn(self, x: F32, out: F32) -> None:
        """Write the activities [B, H] of the rows [B, D], and learn each."""
        self.KERNELS.learn(x, *self._plain, out)

    def infer(self, x: F32, out: F32) -> None:
        """Write the activities, change nothing."""
        units, settings, _ = self._plain
        self.KERNELS.infer(x, units, settings, tuple(self._new_scratch()), out)

    def arrays(self) -> Arrays:
        """Every array of the units but those that follow from the others."""
        return {k: v for k, v in self._units._asdict().items() if k not in self.DERIVED}

    def gauges(self) -> dict[str, float]:
        """See `Hebbian.gauges`."""
        units, norm = self._units, self.norms()
        asleep = units.clock[0] - units.last_win > self._settings.patience
        return {
            "winner_entropy": _entropy(units.load),
            "dead_share": float(asleep.mean()),
            "norm_mean": float(norm.mean()),
            "norm_min": float(norm.min()),
            "norm_max": float(norm.max()),
            "rate_mean": float(self.rates().mean()),
            "lyapunov": float(units.figures[0]),
            "cut_short_share": float(units.figures[1]),
        }


def settings_for(kind: Callable[..., Struct], options: HebbianOptions, **own: Any) -> Struct:
    """Make a kind's `Settings`: what it names of the options, as kernels want them, and its own."""
    known = msgspec.structs.asdict(options) | {
        "p": 2.0 * options.p,
        "power": round(2 * options.power),
        "from_mean": options.threshold == "mean",
        "dot": options.product == "dot" and options.p != 2,
        "floor": options.rate_floor,
        "patience": _patience(options),
    }
    return _chosen(kind, known | own)


def units_for(
    kind: Callable[..., Struct], options: HebbianOptions, weights: F32, **own: Any
) -> Struct:
    """Make a kind's `Units`, who begin with weights [D, H] or with none: what it names of these."""
    H, random = options.units, options.start == "random"
    known = {
        "weights": weights,
        "powered": np.zeros_like(weights[:0] if options.p == 2 else weights),
        "size": (np.abs(weights, dtype=np.float64) ** options.p).sum(axis=0),
        "moves": np.zeros(H, np.int64),
        "load": np.ones(H, np.float32),
        "last_win": np.full(H, 0 if random else NEVER, np.int64),
        "clock": np.zeros(1, np.int64),
        "figures": np.zeros(2),
    }
    return _chosen(kind, known | own)


def _chosen(kind: Callable[..., Struct], known: dict[str, Any]) -> Struct:
    return kind(**{name: known[name] for name in vars(kind)["_fields"]})


def first_weights(options: HebbianOptions, place: Place) -> F32:
    """Gaussian noise [D, H], or zeros where units wait for a row."""
    weights = np.zeros((place.width_in, options.units), np.float32)
    if options.start == "random":
        generator(place.seed).standard_normal(out=weights, dtype=np.float32)
    return weights


def _patience(options: HebbianOptions) -> int:
    """Rows without a win; units that cannot lose, or never move, only take their first row."""
    moving = options.rate > 0 and options.competition != "none"
    return int(options.patience * options.units) if moving else -NEVER // 2


def _entropy(load: F32) -> float:
    """Entropy of the shares of wins over its maximum; 1 where there is one unit."""
    share = load[load > 0] / load.sum(dtype=np.float64)
    if len(load) == 1 or not len(share):
        return 1.0
    return float(-(share * np.log(share)).sum() / np.log(len(load)))
