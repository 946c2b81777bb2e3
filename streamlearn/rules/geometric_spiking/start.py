"""How a network begins: edges in the order in which signals take them, options for the kernels."""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels.random import generator
from streamlearn.part import F32, I32, Place
from streamlearn.rules.geometric_spiking.check import check_plastic, check_room, check_window
from streamlearn.rules.geometric_spiking.geometry import (
    Edges,
    chosen,
    edges,
    nodes_a_number,
    pairs_of,
    places,
)
from streamlearn.rules.geometric_spiking.options import GeometricSpikingOptions as Options
from streamlearn.rules.geometric_spiking.state import Net, Past, Scratch, Setting, Store

_BUILDING_BYTES: Final = 100
"""A pair of nodes takes about so much while the network is made."""
_NO_BOUND: Final = 3e38
_MOST_STEPS: Final = 1 << 30
"""Latencies and refractory times are no longer, so that a time after them is a number."""
_STEP_BYTES: Final = 100
"""A step takes about so much while decays are worked out."""
_LEAST_THRESHOLD: Final = 1e-3
"""Share of its start under which no threshold falls."""
_CODINGS: Final = ("active", "latency", "signed", "population")
_RESETS: Final = ("zero", "subtract", "none")
_GIVES: Final = ("counts", "first_spikes", "path", "weights")
"""In the order of their numbers."""


class Facts(NamedTuple):
    """What was found while the network was made."""

    beyond: int
    """L: steps that signals may be under way beyond a window."""
    ratios: tuple[float, float, float]
    """Refraction ratio of edges: 10 %, half and 90 % of them are below."""
    raised_share: float
    """Share of edges whose latency was below one step, and was made one."""
    late_share: float
    """Share of edges left out, as what they carry comes after the window."""


def steps_of(options: Options, time_ms: float) -> int:
    """A time in whole steps."""
    return round(time_ms / options.step_ms)


def window_of(options: Options) -> int:
    """T: steps of a window."""
    return steps_of(options, options.window_ms)


def clock_steps_of(options: Options) -> I32:
    """[C] when clocks fire: evenly from the first to the last, all within the window."""
    times = np.linspace(options.clock_from_ms, options.clock_to_ms, options.clocks)
    steps = np.rint(times / options.step_ms)
    return np.minimum(steps, window_of(options) - 1).astype(np.int32)


def refractory_of(options: Options) -> I32:
    """[H] R in steps; at least one, as a unit fires once a step."""
    steps = np.full(options.units, steps_of(options, options.refractory_ms), np.int64)
    steps[options.units - options.deep :] = steps_of(options, options.deep_refractory_ms)
    return np.clip(steps, 1, _MOST_STEPS).astype(np.int32)


def _thresholds(options: Options) -> F32:
    theta = np.full(options.units, options.threshold, np.float32)
    theta[options.units - options.deep :] = options.deep_threshold
    return theta


def new_net(options: Options, place: Place) -> tuple[Net, Facts]:
    """The network that the seed draws, and what was found while it was made."""
    wanted = _BUILDING_BYTES * pairs_of(options, place)
    check_room("units: the network", wanted, "make units or clocks fewer")
    way_out = "make step_ms larger or the window shorter"
    check_room("window_ms: its steps", _STEP_BYTES * window_of(options), way_out)
    drawn = edges(options, place, places(options, place))
    late = np.minimum(drawn.latency_ms / options.step_ms, _MOST_STEPS)
    steps = np.rint(late).astype(np.int64)
    raised = steps < 1
    delays = np.maximum(steps, 1)
    in_time = delays < window_of(options) if options.between == "reset" else delays > 0
    check_window(options, delays[drawn.source < place.width_in * nodes_a_number(options)])
    ratio = refractory_of(options)[drawn.target] / delays
    facts = Facts(
        beyond=int(delays[in_time].max(initial=0)) + math.ceil(coding_steps_of(options)),
        ratios=_quantiles(ratio),
        raised_share=float(raised.mean()) if len(delays) else 0.0,
        late_share=1 - float(in_time.mean()) if len(delays) else 0.0,
    )
    kept = chosen(drawn, in_time)
    net = _ordered(options, place, kept, delays[in_time])
    check_plastic(options, len(net.into))
    return net, facts


def _quantiles(values: NDArray[np.floating]) -> tuple[float, float, float]:
    if not len(values):
        return 0.0, 0.0, 0.0
    low, half, high = np.quantile(values, (0.1, 0.5, 0.9)).tolist()
    return low, half, high


def _ordered(options: Options, place: Place, drawn: Edges, delays: NDArray[np.int64]) -> Net:
    H, N = options.units, place.width_in * nodes_a_number(options)
    order = np.lexsort((drawn.target, delays, drawn.source))
    source, target, delays = drawn.source[order], drawn.target[order], delays[order]
    weights = drawn.weight[order].astype(np.float32)
    first = np.searchsorted(source, np.arange(N + options.clocks + H + 1)).astype(np.int32)
    plastic = slice(int(first[N]), None) if options.stdp != "off" else slice(0, 0)
    into = np.argsort(target[plastic], kind="stable").astype(np.int32)
    return Net(
        weights=weights,
        thresholds=_thresholds(options),
        refractory=refractory_of(options),
        cells=(delays * H + target).astype(np.uint32),
        first=first,
        targets=target[plastic].astype(np.int32),
        delays=delays[plastic].astype(np.int32),
        places=np.argsort(into).astype(np.int32),
        into=into,
        into_first=np.searchsorted(target[plastic][into], np.arange(H + 1)).astype(np.int32),
        birth=weights[plastic][into],
        bounds=_bounds(options),
        clock_steps=clock_steps_of(options),
        sample_steps=sample_steps_of(options),
        decays=_decays(options),
        buckets=_buckets(options, place, len(into)),
    )


def _bounds(options: Options) -> F32:
    limit = _NO_BOUND if options.bounds == "none" else options.weight_limit
    turn = limit if options.turns else 0.0
    return np.array([[-turn, limit], [-limit, turn]], np.float32)


def sample_steps_of(options: Options) -> I32:
    """[n] when weights are read; none where they are not given."""
    if options.gives != "weights":
        return np.zeros(0, np.int32)
    times = sorted(options.sample_ms) or [options.window_ms]
    return np.array([steps_of(options, time) for time in times], np.int32)


def _decays(options: Options) -> F32:
    """[4, T + 1]; 0 where it is so small that products with it would slow the machine down."""
    taus = options.tau_fast_ms, options.tau_slow_ms, options.tau_plus_ms, options.tau_minus_ms
    age = np.arange(window_of(options) + 1) * options.step_ms
    table = np.exp(-age / np.array(taus)[:, None])
    table[table < 1e-30] = 0.0
    return np.asarray(table, np.float32)


def _buckets(options: Options, place: Place, plastic: int) -> I32:
    """Signed random places: a sketch that keeps distances (count sketch, Charikar et al. 2002)."""
    count = code_width(options, plastic) if options.compress_to else 0
    check_room("compress_to: its table", 16 * count, "read fewer weights, or fewer often")
    random = generator(place.seed ^ 4)
    bucket = random.integers(1, max(2, options.compress_to + 1), count)
    return np.asarray(bucket * random.choice((-1, 1), count), np.int32)


def bins_of(options: Options) -> int:
    """How many bins a window has; the last one may be shorter."""
    return math.ceil(window_of(options) * options.step_ms / options.bin_ms - 1e-9)


def code_width(options: Options, plastic: int) -> int:
    """W: numbers of an encoding before it is folded, among them bins that are not given."""
    if options.gives == "weights":
        return len(sample_steps_of(options)) * plastic
    return options.units * (bins_of(options) if options.gives == "path" else 1)


def width_of(options: Options, plastic: int) -> int:
    """Numbers a row that are written."""
    if options.compress_to:
        return options.compress_to
    if options.gives == "path":
        return options.units * (bins_of(options) // options.every_bins)
    return code_width(options, plastic)


def coding_steps_of(options: Options) -> float:
    """Steps from the largest value to the smallest."""
    return 0.0 if options.coding == "active" else options.coding_ms / options.step_ms


def _area_ratio(options: Options) -> float:
    """R: makes s as large in area as f, step by step."""
    fast, slow = (
        -math.expm1(-options.step_ms / tau) for tau in (options.tau_fast_ms, options.tau_slow_ms)
    )
    return slow / fast


def setting_of(options: Options, place: Place) -> Setting:
    """Options as the kernels want them."""
    return Setting(
        stdp=None if options.stdp == "off" else int(options.stdp == "kept"),
        soft=1 / options.weight_limit if options.bounds == "multiplicative" else 0.0,
        a_plus=options.a_plus,
        a_minus=options.a_minus,
        inputs=place.width_in * nodes_a_number(options),
        steps=window_of(options),
        balance=options.balance * _area_ratio(options),
        reset=_RESETS.index(options.reset),
        carry=int(options.between == "carry"),
        coding=_CODINGS.index(options.coding),
        coding_steps=coding_steps_of(options),
        low=options.low,
        scale=1 / max(options.high - options.low, 1e-30),
        bumps=options.bumps,
        target=options.target_spikes,
        threshold_rate=options.threshold_rate,
        least_threshold=_LEAST_THRESHOLD * options.threshold,
        gives=_GIVES.index(options.gives),
        bin_steps=options.bin_ms / options.step_ms,
        smooth=math.exp(-options.bin_ms / options.smooth_ms) if options.smooth_ms else 0.0,
        every_bins=options.every_bins,
        power=options.power,
        unit_norm=int(options.unit_norm),
    )


def new_past(options: Options, net: Net, beyond: int, slots: int) -> Past:
    """Nothing has happened yet in so many streams."""
    H, P, carried = options.units, len(net.into), options.between == "carry"
    waves = 2 * options.max_spikes + options.clocks if options.stdp != "off" else 0
    wanted = 4.0 * slots * (3 * H + 2 * H + beyond * H * carried + P + 3 * waves)
    check_room(
        "between: what is kept of streams",
        wanted,
        "make stream.live, max_spikes, units or latencies smaller",
    )
    ints, floats = np.int32, np.float32
    return Past(
        fast=np.zeros((slots, H), floats),
        slow=np.zeros((slots, H), floats),
        free=np.zeros((slots, H), ints),
        pending=np.zeros((slots, beyond * carried, H), floats),
        until=np.zeros(slots, ints),
        after=np.zeros((slots, H), floats),
        after_step=np.zeros((slots, H), ints),
        before=np.zeros((slots, P), floats),
        before_from=np.zeros(slots, ints),
        waves=np.zeros((slots, 3, waves), ints),
        under_way=np.zeros(slots, ints),
    )


def new_store(options: Options) -> Store:
    """No row seen."""
    return Store(np.zeros(3, np.int64), np.zeros(3), np.ones(options.units, np.float32))


def new_scratch(options: Options, net: Net, beyond: int) -> Scratch:
    """Room of the right sizes."""
    H, P = options.units, len(net.into)
    cells, W = (window_of(options) + beyond) * H, code_width(options, P)
    check_room(
        "window_ms: the calendar of arrivals and the encoding",
        4.0 * (cells + W + 2 * options.max_spikes),
        "make the window, units, max_spikes or latencies smaller",
    )
    return Scratch(
        calendar=np.zeros(cells, np.float32),
        fired=np.zeros(H, np.int32),
        spike_step=np.zeros(options.max_spikes, np.int32),
        spike_unit=np.zeros(options.max_spikes, np.int32),
        spikes=np.zeros(1, np.int64),
        work=np.zeros(P, np.float32),
        begun=np.zeros(P, np.float32),
        code=np.zeros(W, np.float32),
        fires=np.zeros(H, np.int32),
    )
