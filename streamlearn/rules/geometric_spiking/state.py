"""What a network is made of, what it keeps, and room for one row at work.

B rows, D inputs, N input nodes, C clocks, H units, E edges, P plastic edges of these (the last),
T steps of a window, L steps that a signal may be under way beyond it, S streams kept at once,
M spikes of a window at most, W numbers of an encoding.

Edges are kept by their source: inputs, then clocks, then units; those of a source by latency.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.part import F32, I32

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
Plain = tuple[Any, ...]
"""Plain tuples are handed to a kernel in half the time of named ones."""

FAST, SLOW, PLUS, MINUS = range(4)
"""Lines of the table of decays."""
ACTIVE, LATENCY, SIGNED, POPULATION = range(4)
ZERO, SUBTRACT, NONE = range(3)
COUNTS, FIRST_SPIKES, PATH, WEIGHTS = range(4)
ROWS, SILENT, RUNAWAY = range(3)
"""Places of the counts."""
SPIKES, SILENT_SHARE, RUNAWAY_SHARE = range(3)
"""Places of the figures: spikes a unit, shares of rows; fading means."""


class Net(NamedTuple):
    """The network. Learning moves the plastic weights, homeostasis the thresholds."""

    weights: F32
    """[E]"""
    thresholds: F32
    """[H] theta"""
    refractory: I32
    """[H] R in steps"""
    cells: U32
    """[E] latency times H, plus the target: how far on in the calendar a signal arrives; unsigned,
    so that no compiled code looks for places counted from the end."""
    first: I32
    """[N + C + H + 1] first edge of each source."""
    targets: I32
    """[P] of plastic edges, in the order of signals, by source and latency."""
    delays: I32
    """[P] steps"""
    places: I32
    """[P] where each of these stands in the order of spikes, by target."""
    into: I32
    """[P] the other way round: from the order of spikes to that of signals."""
    into_first: I32
    """[H + 1] first plastic edge of each target, in the order of spikes."""
    birth: F32
    """[P] weights at the start, in the order of spikes."""
    bounds: F32
    """[2, 2] lowest and highest weight of edges that began above and below zero."""
    clock_steps: I32
    """[C] when each clock fires, ascending."""
    sample_steps: I32
    """[n] when weights are read, ascending."""
    decays: F32
    """[4, T + 1] exp(-dt / tau), see `FAST`."""
    buckets: I32
    """[W] where a number is folded to, plus one, below zero where it is taken off; or empty."""


class Past(NamedTuple):
    """What a window leaves to the next one of its stream; times are steps from its end.

    Where nothing is carried on there is one place, cleared before every row.
    """

    fast: F32
    """[S, H] f"""
    slow: F32
    """[S, H] s"""
    free: I32
    """[S, H] step from which on a unit takes signals again."""
    pending: F32
    """[S, L, H] signals under way; [S, 0, H] where none are carried on."""
    until: I32
    """[S] steps of these."""
    after: F32
    """[S, H] trace of a unit's own spikes."""
    after_step: I32
    """[S, H] step of which it is."""
    before: F32
    """[S, P] trace of signals that arrived along an edge, in the order of spikes: x at step t is
    before exp(-(t - before_from) / tau_plus), so that time alone changes none."""
    before_from: I32
    """[S]"""
    waves: I32
    """[S, 3, 2M + C] spikes under way along plastic edges: source, step, the next edge to reach."""
    under_way: I32
    """[S] how many."""


class Store(NamedTuple):
    """Figures."""

    counts: I64
    """[3] rows, silent ones, cut ones."""
    figures: F64
    """[3] see `SPIKES`."""
    usage: F32
    """[H] fading share of rows in which a unit fires."""


class Setting(NamedTuple):
    """Options as the kernels want them."""

    stdp: int | None
    """None: off. What is not there is not compiled."""
    soft: float
    """1 / weight_limit with multiplicative bounds, else 0."""
    a_plus: float
    a_minus: float
    inputs: int
    """N"""
    steps: int
    """T"""
    balance: float
    reset: int
    carry: int
    coding: int
    coding_steps: float
    low: float
    scale: float
    """1 / (high - low)"""
    bumps: int
    target: float
    """Spikes of a unit and row; 0: thresholds stand."""
    threshold_rate: float
    least_threshold: float
    gives: int
    bin_steps: float
    smooth: float
    every_bins: int
    power: float
    unit_norm: int


class Scratch(NamedTuple):
    """Room for one row at work; holds nothing from row to row."""

    calendar: F32
    """[(T + L) H] sums of what arrives; zero between rows."""
    fired: I32
    """[H]"""
    spike_step: I32
    """[M]"""
    spike_unit: I32
    """[M]"""
    spikes: I64
    """[1] how many."""
    work: F32
    """[P] plastic weights as they move, in the order of spikes."""
    begun: F32
    """[P] these as the window began."""
    code: F32
    """[W] the encoding before it is folded."""
    fires: I32
    """[H] spikes of each unit."""


def one_slot(past: Past) -> Past:
    """A copy of the first slot."""
    copies: Any = [array[:1].copy() for array in past]
    return Past(*copies)


class Now(NamedTuple):
    """The past of the row's own stream."""

    fast: F32
    slow: F32
    free: I32
    after: F32
    after_step: I32
    before: F32
    before_from: I32
    waves: I32


class Module(NamedTuple):
    """All of it."""

    net: Net
    past: Past
    store: Store
    setting: Setting
    scratch: Scratch
