"""Which options go together, and what a network may take."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamlearn.errors import ConfigError
from streamlearn.rules.geometric_spiking.options import GeometricSpikingOptions as Options
from streamlearn.rules.only import Table, above, among, either, idle, only

MOST_BYTES: Final = 1 << 30

_FREE: Final = ("plane", "front", "strips", "rods")
_PLASTIC: Final = among("stdp", "row", "kept")
_RECURRENT: Final = either(above("p_recurrent", 0), among("layout", "blocks"))
_RANGED: Final = among("coding", "latency", "signed", "population")
_DRAWN: Final = either(
    among("input_weights", "signed"), above("p_recurrent", 0), above("clocks", 0), _RECURRENT
)
_ONLY: Final[Table] = (
    only("blocks", "p_within", "p_between", beside=among("layout", "blocks")),
    only("p_input", "p_recurrent", beside=among("layout", *_FREE)),
    only("directions", "spacing", beside=among("layout", "strips")),
    only("rod", "depth", "deep", beside=among("layout", "rods")),
    only("deep_to", "deep_threshold", "deep_refractory_ms", beside=above("deep", 0)),
    only("recurrent_from", beside=above("deep", 0)),
    only("sigma_along", "cutoff", beside=above("sigma", 0)),
    only("sigma_along", beside=among("layout", "front", "strips")),
    only("recurrent_speed", "recurrent_weight", beside=_RECURRENT),
    only("input_spread", beside=among("input_weights", "positive")),
    only("excitatory_share", beside=_DRAWN),
    only(
        "clock_from_ms",
        "clock_to_ms",
        "clock_latency_ms",
        "clock_weight",
        beside=above("clocks", 0),
    ),
    only("tau_slow_ms", beside=above("balance", 0)),
    only("threshold_rate", beside=above("target_spikes", 0)),
    only("high", "coding_ms", beside=_RANGED),
    only("bumps", beside=among("coding", "population")),
    only("a_plus", "a_minus", "bounds", "turns", beside=_PLASTIC),
    only("tau_plus_ms", beside=above("a_plus", 0)),
    only("tau_plus_ms", beside=_PLASTIC),
    only("tau_minus_ms", beside=above("a_minus", 0)),
    only("weight_limit", beside=among("bounds", "additive", "multiplicative")),
    only("bin_ms", "smooth_ms", "every_bins", beside=among("gives", "path")),
    only("sample_ms", beside=among("gives", "weights")),
)


def check(options: Options) -> None:
    """Refuse options that contradict each other, or would be ignored.

    Raises
    ------
    ConfigError
        With a line for each.

    """
    lines = [*idle(options, _ONLY).values(), *_plasticity(options), *_times(options)]
    if options.low >= options.high and options.coding != "active":
        lines.append(
            f"high: expected above low = {options.low:g}, got {options.high:g}; values between "
            "them are told apart"
        )
    if options.coding == "signed" and options.low < 0:
        lines.append(
            f'low: expected 0 or more beside coding = "signed", which takes sizes, got '
            f"{options.low:g}; leave it out"
        )
    if options.layout == "strips" and options.units % options.directions:
        lines.append(
            f"directions: expected a divisor of units = {options.units}, got {options.directions}; "
            "every direction has as many strips"
        )
    if options.deep >= options.units:
        lines.append(f"deep: expected below units = {options.units}, got {options.deep}")
    if options.blocks > options.units:
        lines.append(
            f"blocks: expected at most units = {options.units}, got {options.blocks}; a block has "
            "a unit at least"
        )
    if lines:
        raise ConfigError(lines)


def _plasticity(options: Options) -> list[str]:
    lines = []
    if options.gives == "weights" and options.stdp == "off":
        lines.append(
            'gives: expected stdp = "row" or "kept" beside "weights", got "off", under which no '
            "weight moves; turn it on, or give spikes"
        )
    recurrent = options.p_within + options.p_between * (options.blocks > 1)
    edges = recurrent if options.layout == "blocks" else options.p_recurrent
    if options.stdp != "off" and not (options.clocks or edges):
        lines.append(
            "stdp: expected edges from units or clocks beside it, as those are plastic, got none; "
            "set clocks, p_recurrent, or p_within in blocks"
        )
    largest = max(
        options.clock_weight * (options.clocks > 0), options.recurrent_weight * (edges > 0)
    ) * max(options.excitatory_share, 1 - options.excitatory_share)
    if options.stdp != "off" and options.bounds != "none" and options.weight_limit < largest:
        lines.append(
            f"weight_limit: expected at least {largest:g}, the largest weight at the start, got "
            f"{options.weight_limit:g}; raise it, or lower recurrent_weight and clock_weight"
        )
    return lines


def _times(options: Options) -> list[str]:
    window, lines = options.window_ms, []
    if options.step_ms > window:
        lines.append(f"step_ms: expected at most window_ms = {window:g}, got {options.step_ms:g}")
    late = [f"{t:g}" for t in options.sample_ms if t > window]
    if late:
        lines.append(
            f"sample_ms: expected at most window_ms = {window:g}, got {', '.join(late)}; read "
            "earlier, or simulate longer"
        )
    if options.gives == "path" and options.bin_ms * options.every_bins > window:
        lines.append(
            f"bin_ms: expected every_bins = {options.every_bins} bins within window_ms = "
            f"{window:g}, got {options.bin_ms:g} ms each; make them shorter"
        )
    if options.gives == "path" and options.bin_ms < options.step_ms:
        lines.append(
            f"bin_ms: expected at least step_ms = {options.step_ms:g}, got {options.bin_ms:g}"
        )
    if options.coding != "active" and options.coding_ms >= window:
        lines.append(
            f"coding_ms: expected below window_ms = {window:g}, got {options.coding_ms:g}; small "
            "values would never be heard"
        )
    if options.clocks and not options.clock_from_ms <= options.clock_to_ms < window:
        lines.append(
            f"clock_to_ms: expected from clock_from_ms = {options.clock_from_ms:g} to below "
            f"window_ms = {window:g}, got {options.clock_to_ms:g}"
        )
    return lines


def check_window(options: Options, delays: NDArray[np.int64]) -> None:
    """Refuse a window in which nothing of the row ever arrives.

    Parameters
    ----------
    options
        Of the network.
    delays
        Steps [E] of the latencies from inputs.

    Raises
    ------
    ConfigError
        Where all come after the window, and none is carried on.

    """
    earliest, window = int(delays.min(initial=2**31)), round(options.window_ms / options.step_ms)
    if len(delays) and options.between == "reset" and earliest >= window:
        line = (
            f"window_ms: expected above {options.step_ms * earliest:g}, the shortest latency of "
            f"any edge from an input, got {options.window_ms:g}; nothing would arrive: simulate "
            "longer, raise speed, or lower latency_ms"
        )
        raise ConfigError([line])


def check_plastic(options: Options, plastic: int) -> None:
    """Refuse to write how weights move where there is no edge whose weight could.

    Raises
    ------
    ConfigError
        Where chance, or a short window, left none.

    """
    if options.gives == "weights" and not plastic:
        line = (
            'gives: expected plastic edges for "weights", got none within the window; raise '
            "p_recurrent or p_within, set clocks, or simulate longer"
        )
        raise ConfigError([line])


def check_room(what: str, wanted_bytes: float, way_out: str) -> None:
    """Refuse what takes more than 1 GiB.

    Raises
    ------
    ConfigError
        With the key, what it would take and the way out.

    """
    if wanted_bytes > MOST_BYTES:
        raise ConfigError([f"{what} would take {wanted_bytes / 1e9:.1f} GB; {way_out}"])
