"""The networks that `geometric_reproduce` measures: every constant of ours.

Options of the rule `geometric_spiking`; what is not named is its default (configs/reference.toml).
The free network is the one of configs/geometric_mnist.toml. All constants were chosen on MNIST's
training images 0-19,999; the article (George et al., arXiv 2103.08878) gives none of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from geometric_nearest import Reading

Options = dict[str, Any]

PUBLISHED: Final = 96.49
"""200 nodes at 300 ms, percent."""
PUBLISHED_SIZES: Final[Mapping[int, float]] = {5: 71.66, 200: PUBLISHED, 300: 96.48}
PUBLISHED_MS: Final = 300.0
TIMES_MS: Final = (100.0, 200.0, 300.0, 400.0, 500.0, 600.0)

FINAL: Final = {"40,000-49,999": 40_000, "50,000-59,999": 50_000}
"""Training images that were kept out of every choice of constants, and where they begin."""
FIRST: Final = tuple(FINAL)[:1]

PLAIN: Final = Reading("plain")
UNIT: Final = Reading("unit length", unit=True)
ROOT_UNIT: Final = Reading("power .5 and unit length", power=0.5, unit=True)
POWER_UNIT: Final = Reading("power .65 and unit length", power=0.65, unit=True)
SCALED: Final = Reading("each number over its deviation", scaled=True)

WEIGHTS: Final = {"stdp": "row", "gives": "weights"}


def strips(directions: int, each: int, clocks: int, **more: Any) -> Options:
    """A free network: strips in even directions, clocks; what it writes is left to others."""
    return {
        "layout": "strips",
        "units": directions * each,
        "directions": directions,
        "sigma": 2.13,
        "sigma_along": 12.0,
        "cutoff": 0.02,
        "input_spread": 0.0,
        "speed": 0.1,
        "latency_ms": 150.0,
        "jitter_ms": 0.0,
        "high": 255.0,
        "coding_ms": 25.6,
        "tau_fast_ms": 10.3,
        "tau_slow_ms": 15.7,
        "threshold": 0.58,
        **_clocks(clocks, 79.0, 239.0),
        **more,
    }


def _clocks(count: int, begin_ms: float, end_ms: float) -> Options:
    """Clocks whose signals arrive everywhere a step after these times."""
    if count == 0:
        return {}
    times = {"clock_from_ms": begin_ms, "clock_to_ms": end_ms, "clock_latency_ms": 1.0}
    return {"clocks": count, "clock_weight": 0.01, **times}


def _small(directions: int) -> Options:
    """Few strips, read all along the window as few weights say little."""
    more = {"sigma": 4.0, "input_weight": 0.8, "tau_plus_ms": 200.0, **WEIGHTS}
    times = {"sample_ms": tuple(float(t) for t in range(100, 301, 10))}
    return strips(directions, 1, 2, clock_to_ms=159.0, **more, **times)


def free(directions: int = 22, each: int = 8, clocks: int = 24, **more: Any) -> Options:
    """A free network whose weights are read."""
    geometry = {"spacing": 2.5} | more
    return strips(directions, each, clocks, tau_plus_ms=55.0, **WEIGHTS, **geometry)


FREE_PATH: Final = strips(22, 8, 0, spacing=2.5, gives="path", every_bins=2)
FREE_COUNTS: Final = strips(22, 8, 0, spacing=2.5)
RECIPE: Final[Options] = {
    "layout": "front",
    "units": 180,
    "high": 255.0,
    "threshold": 0.6,
    "clocks": 20,
    **WEIGHTS,
}
"""Directions and places at random, local input weights, late clocks: most are the defaults."""


def rods(units: int = 200, deep: int = 20, window_ms: float = 300.0, **more: Any) -> Options:
    """The article's all-to-all inputs, slow: rods under the plane, deep ones as clocks."""
    return {
        "layout": "rods",
        "units": units,
        "deep": deep,
        "deep_refractory_ms": window_ms,
        "window_ms": window_ms,
        "sigma": 0.0,
        "input_spread": 0.0,
        "coding": "active",
        "low": 100.0,
        "speed": 0.05,
        "latency_ms": 0.0,
        "p_recurrent": 1.0,
        "recurrent_from": "deep",
        "recurrent_speed": 0.3,
        "recurrent_weight": 0.0,
        "tau_fast_ms": 8.0,
        "tau_slow_ms": 40.0,
        "threshold": 0.7,
        "reset": "subtract",
        "a_plus": 1e-6,
        "tau_plus_ms": 70.0,
        **WEIGHTS,
        **more,
    }


TWO_SIDED: Final[Options] = {
    "recurrent_from": "all",
    "a_minus": 1e-6,
    "tau_minus_ms": 70.0,
    "sample_ms": (100.0, 200.0, 300.0),
}


def plane(units: int, **more: Any) -> Options:
    """As the article has it: all to all, inputs and recurrence 70/30, and all drive."""
    return {
        "layout": "plane",
        "units": units,
        "sigma": 0.0,
        "input_weights": "signed",
        "coding": "active",
        "speed": 0.04,
        "latency_ms": 0.0,
        "p_recurrent": 1.0,
        "recurrent_speed": 0.1,
        "recurrent_weight": 0.03,
        "tau_fast_ms": 8.0,
        "balance": 0.0,
        "threshold": 0.7,
        "reset": "subtract",
        "refractory_ms": 10.0,
        "a_plus": 1e-5,
        "a_minus": 1e-5,
        "tau_plus_ms": 70.0,
        "tau_minus_ms": 70.0,
        **WEIGHTS,
        **more,
    }


SBM: Final[Options] = {
    "layout": "blocks",
    "units": 200,
    "p_between": 0.5,
    "p_within": 0.1,
    "sigma": 0.0,
    "input_weights": "signed",
    "coding": "active",
    "speed": 0.04,
    "latency_ms": 0.0,
    "recurrent_speed": 0.1,
    "recurrent_weight": 0.3,
    "tau_fast_ms": 8.0,
    "balance": 0.0,
    "threshold": 0.7,
    "reset": "subtract",
    "refractory_ms": 300.0,
    "gives": "path",
    "bin_ms": 60.0,
    "smooth_ms": 0.0,
}
"""Two blocks, inputs and units; a unit fires once a window."""

LEARNS: Final[Options] = SBM | {
    "p_between": 0.1,
    "p_within": 0.3,
    "speed": 0.1,
    "recurrent_weight": 12.0,
    "tau_fast_ms": 5.0,
    "threshold": 1.0,
    "reset": "zero",
    "refractory_ms": 10.0,
    "bin_ms": 20.0,
}
LEARNS_STDP: Final[Options] = {
    "stdp": "kept",
    "a_plus": 0.012,
    "a_minus": 0.02,
    "tau_plus_ms": 20.0,
    "bounds": "additive",
    "weight_limit": 12.0,
}
FREE_LEARNS: Final = strips(22, 8, 24, spacing=2.5, gives="path", every_bins=2)
FREE_STDP: Final[Options] = {
    "stdp": "kept",
    "a_plus": 1e-5,
    "a_minus": 2e-5,
    "tau_plus_ms": 55.0,
    "bounds": "additive",
}


class Look(NamedTuple):
    """One figure: which of the times side by side, how read, what the article has."""

    piece: int
    reading: Reading
    published: float | None


class Variant(NamedTuple):
    """Rows of part C: a network, and how its numbers are read."""

    title: str
    options: Options
    readings: Sequence[Reading]
    published: float | None = None
    sets: Sequence[str] = tuple(FINAL)
    note: str = ""
    times_ms: Sequence[float] = ()
    """Times whose weights stand side by side, each looked at for itself; none: all together."""

    def looks(self) -> dict[str, Look]:
        """What is looked at, by its name in the table."""
        if not self.times_ms:
            return {f"{self.title}, {r.title}": Look(0, r, self.published) for r in self.readings}
        return {
            f"{self.title}, at {t:g} ms, {r.title}": Look(
                piece, r, self.published if t == PUBLISHED_MS else None
            )
            for piece, t in enumerate(self.times_ms)
            for r in self.readings
        }


def _main() -> dict[str, Variant]:
    paths = "without clocks and plasticity"
    missing = "the recipe's integrator with an offset is no option of the rule"
    all_to_all = "the article's own: 70/30, all to all, all weights drive"
    sketch = {"power": 0.5, "compress_to": 4096, "unit_norm": True}
    return {
        "free": Variant("free network, 200 nodes, weights", free(), (ROOT_UNIT, PLAIN), PUBLISHED),
        "pixels": Variant("raw pixels", {}, (PLAIN, UNIT)),
        "path": Variant("free network, untrained paths", FREE_PATH, (ROOT_UNIT,), note=paths),
        "counts": Variant("free network, counts", FREE_COUNTS, (PLAIN, ROOT_UNIT), note=paths),
        "rods": Variant("rods, 200 nodes, weights", rods(), (PLAIN, POWER_UNIT), PUBLISHED),
        "recipe": Variant(
            "recipe (front), weights", RECIPE, (PLAIN, POWER_UNIT), PUBLISHED, note=missing
        ),
        "plane": Variant(
            "plane, 200 nodes, weights",
            plane(200, **sketch),
            (Reading("power .5, folded to 4,096, unit length"),),
            PUBLISHED,
            FIRST,
            all_to_all,
        ),
    }


def _sizes() -> dict[str, Variant]:
    small, wide = {"spacing": 5.0, "sigma": 3.5, "input_weight": 0.8}, {"spacing": 2.1}
    hundred = {"spacing": 4.2, "sigma": 2.8, "input_weight": 0.85}
    made: dict[int, Options] = {
        5: _small(3),
        10: _small(8),
        25: free(7, 3, 4, **small),
        50: free(14, 3, 8, **small),
        100: free(20, 4, 20, **hundred),
        300: free(28, 10, 20, **wide),
        400: free(38, 10, 20, **wide),
    }
    found = {
        f"size{n}": Variant(
            f"free network, {n} nodes", options, (ROOT_UNIT,), PUBLISHED_SIZES.get(n), FIRST
        )
        for n, options in made.items()
    }
    for n, deep in ((5, 2), (10, 3), (25, 6), (50, 10), (100, 14)):
        title, options = f"rods, {n} nodes", rods(n, deep)
        published = PUBLISHED_SIZES.get(n)
        found[f"rods{n}"] = Variant(title, options, (PLAIN, POWER_UNIT), published, FIRST)
    for n, deep in ((5, 2), (10, 3)):
        title = f"rods, {n} nodes, all to all, weights go both ways"
        options = rods(n, deep, **TWO_SIDED)
        found[f"both{n}"] = Variant(title, options, (SCALED,), PUBLISHED_SIZES.get(n), FIRST)
        options = plane(n, sample_ms=TWO_SIDED["sample_ms"])
        title = f"plane, {n} nodes"
        found[f"plane{n}"] = Variant(title, options, (SCALED,), PUBLISHED_SIZES.get(n), FIRST)
    return found


def _times() -> dict[str, Variant]:
    options = free(window_ms=max(TIMES_MS), sample_ms=TIMES_MS)
    title = "free network, 200 nodes"
    return {
        "times": Variant(title, options, (ROOT_UNIT,), PUBLISHED, FIRST, times_ms=TIMES_MS),
    }


MAIN: Final[Mapping[str, Variant]] = _main()
SIZES: Final[Mapping[str, Variant]] = _sizes()
TIMES: Final[Mapping[str, Variant]] = _times()


def short_network(clocks: int = 6) -> Variant:
    """A small one for digits of 8 x 8 grey pixels of 0 … 16; without clocks its paths go out."""
    small: Options = {
        "spacing": 1.4,
        "sigma": 0.7,
        "sigma_along": 3.4,
        "speed": 0.03,
        "high": 16.0,
        "input_weight": 4.0,
    }
    gives: Options = {"tau_plus_ms": 55.0, **WEIGHTS} if clocks else {"gives": "path"}
    return Variant("small", strips(8, 4, clocks, **small, **gives), (ROOT_UNIT,))
