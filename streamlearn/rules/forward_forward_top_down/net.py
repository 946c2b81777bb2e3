"""The levels of the net, what connects them, and one step of all of them.

L levels of H_l units, N units in all, over an input of level 0 (D numbers) and, where there are
labels, under a level L + 1 (K numbers, all but the label's zero). With z the normalised activities:

    c_l(s) = U_l' z_{l-1} + V_l' z_{l+1} + b_l        from the step before (see `update`)
    h_l(s) = damping h_l(s - 1) + (1 - damping) relu(c_l(s))
    z_l(s) = h_l(s) / rms(h_l(s)),   g_l(s) = mean h_l(s)²

Synchronous: c from the z of step s - 1. Alternating: odd levels first from those, then the even
ones from the odd levels' z of step s. Step 0 is the row before (`carry`), else one way up without
anything from above.

All weights lie in one array of P numbers, one block a connection, each stored from x to, so that
inputs that are zero cost nothing. A lane is one run of the net over a row: under another label, of
a wrong window, or with the averaged weights.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels import inlined, kernel
from streamlearn.kernels.products import active_inputs
from streamlearn.part import F32

I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
Plain = tuple[Any, ...]
"""Plain tuples are handed to a kernel in half the time of named ones."""

NEUTRAL: Final = -1
"""In the place of a label: all labels alike."""
_FAINT = np.float32(1e-30)
"""Goodness below which a level has no activity to speak of, and no direction."""


SIZE, BEGIN, UP, DOWN, BIAS = range(5)
"""Lines of a net's table [5, L + 2], a column a level, the input being 0 and the label L + 1: its
numbers (0: no labels), where its units begin among all N, and where among all P weights those from
below, those from above and its biases begin."""

ACTIVE, NORMAL, GATED = range(3)
"""h, z, and h where c > 0, else 0: the gradient of the goodness, up to a factor."""


class Lanes(NamedTuple):
    """Room for the lanes of one row; A lanes, S steps and step 0; holds nothing between rows."""

    acts: F32
    """[3, A, S + 1, N] the activities, in three forms."""
    goodness: F32
    """[A, S + 1, L] g."""
    lowest: F32
    """[A, H_1] U_1' z_0, the same at every step."""
    current: F32
    """[N]"""
    inputs: U32
    """[max size] numbers of the inputs that are not zero."""
    value: F32
    """[max size] what they are."""


class Run(NamedTuple):
    """How steps are made."""

    damping: float
    alternating: int
    """1: odd levels first; 0: synchronous."""
    strength: float
    """Size of a label."""
    carry: int


class Spot(NamedTuple):
    """One level of one lane at one step."""

    lane: int
    label: int
    level: int
    step: int


@inlined
def _add_product(weights: F32, begin: int, x: F32, lanes: Lanes, out: F32) -> None:
    """Add W' x to out [H], W [D, H] beginning at `begin`; four inputs that are not zero a sweep."""
    index, value, H = lanes.inputs, lanes.value, out.shape[0]
    n = active_inputs(x, index, value)
    for a in range(0, n - 3, 4):
        at = begin + np.int64(index[a]) * H
        by = begin + np.int64(index[a + 1]) * H
        to = begin + np.int64(index[a + 2]) * H
        up = begin + np.int64(index[a + 3]) * H
        p, q = weights[at : at + H], weights[by : by + H]
        r, s = weights[to : to + H], weights[up : up + H]
        i, j, k, m = value[a], value[a + 1], value[a + 2], value[a + 3]
        for h in range(H):
            out[h] += (i * p[h] + j * q[h]) + (k * r[h] + m * s[h])
    for a in range(n - n % 4, n):
        at, i = begin + np.int64(index[a]) * H, value[a]
        p = weights[at : at + H]
        for h in range(H):
            out[h] += i * p[h]


@inlined
def _add_label(weights: F32, begin: int, label: int, labels: int, size: float, out: F32) -> None:
    """Add what a label, or all alike, tells the highest level [H]."""
    H = out.shape[0]
    for k in range(labels):
        part = np.float32(size / labels) if label == NEUTRAL else np.float32(size)
        if label in (NEUTRAL, k):
            row = weights[begin + k * H : begin + (k + 1) * H]
            for h in range(H):
                out[h] += part * row[h]


@inlined
def _mean_square(values: F32) -> np.float32:
    """Mean square of values [H]; apart from loops that write, so that its order never changes."""
    square = np.float32(0)
    for h in range(values.shape[0]):
        square += values[h] * values[h]
    return square / np.float32(values.shape[0])


@inlined
def _settle_level(net: I64, lanes: Lanes, spot: Spot, keep: float) -> None:
    """Make h, z, gated and goodness of a level at a step from its currents."""
    lane, level, step = spot.lane, spot.level, spot.step
    b, H = net[BEGIN, level], net[SIZE, level]
    current, h = lanes.current[b : b + H], lanes.acts[ACTIVE, lane, step, b : b + H]
    old, z = (
        lanes.acts[ACTIVE, lane, max(step - 1, 0), b : b + H],
        lanes.acts[NORMAL, lane, step, b : b + H],
    )
    gated = lanes.acts[GATED, lane, step, b : b + H]
    stay, new = np.float32(keep), np.float32(1 - keep)
    for i in range(H):
        # Where nothing stays, step 0 must not read what an earlier row left there.
        kept = stay * old[i] if keep > 0 else np.float32(0)
        now = kept + new * max(current[i], np.float32(0))
        h[i] = now
        gated[i] = now if current[i] > 0 else np.float32(0)
    square = _mean_square(h)
    lanes.goodness[lane, step, level - 1] = square
    factor = np.float32(1) / np.sqrt(square) if square > _FAINT else np.float32(0)
    for i in range(H):
        z[i] = h[i] * factor


@inlined
def _from_below(weights: F32, net: I64, lanes: Lanes, spot: Spot, source: int) -> None:
    """Begin a level's currents with its biases and the level below as it was at a step."""
    level, b, H = spot.level, net[BEGIN, spot.level], net[SIZE, spot.level]
    current = lanes.current[b : b + H]
    bias = weights[net[BIAS, level] : net[BIAS, level] + H]
    for h in range(H):
        current[h] = bias[h]
    if level == 1:
        lowest = lanes.lowest[spot.lane]
        for h in range(H):
            current[h] += lowest[h]
    else:
        below = lanes.acts[NORMAL, spot.lane, source, net[BEGIN, level - 1] : b]
        _add_product(weights, net[UP, level], below, lanes, current)


@inlined
def _from_above(
    weights: F32, net: I64, lanes: Lanes, spot: Spot, source: int, strength: float
) -> None:
    """Add to a level's currents what the level above, or the label, tells it."""
    level, b, H = spot.level, net[BEGIN, spot.level], net[SIZE, spot.level]
    current, above, count = lanes.current[b : b + H], level + 1, net[SIZE, level + 1]
    if above < net.shape[1] - 1:
        z = lanes.acts[NORMAL, spot.lane, source, net[BEGIN, above] : net[BEGIN, above] + count]
        _add_product(weights, net[DOWN, level], z, lanes, current)
    elif count > 0:
        _add_label(weights, net[DOWN, level], spot.label, count, strength, current)


@inlined
def source_of(level: int, step: int, alternating: int) -> int:
    """Step of its neighbours that a level sees at a step; the way up sees its own."""
    return step if step == 0 or (alternating and level % 2 == 0) else step - 1


@inlined
def _step(weights: F32, net: I64, lanes: Lanes, spot: Spot, run: Run) -> None:
    """One step of one level; step 0 is the way up, which nothing from above reaches."""
    source = source_of(spot.level, spot.step, run.alternating)
    _from_below(weights, net, lanes, spot, source)
    if spot.step > 0:
        _from_above(weights, net, lanes, spot, source, run.strength)
    _settle_level(net, lanes, spot, run.damping if spot.step > 0 else 0.0)


@inlined
def _steps(weights: F32, net: I64, lanes: Lanes, who: tuple[int, int, int, int], run: Run) -> None:
    """Make steps of a lane under a label; who is (lane, label, first step, last step)."""
    lane, label, first, last = who
    # Twice round where levels alternate: the odd ones, then the even ones.
    for step in range(first, last + 1):
        turns = 2 if run.alternating and step > 0 else 1
        for turn in range(turns):
            for level in range(1 + turn, net.shape[1] - 1, turns):
                _step(weights, net, lanes, Spot(lane, label, level, step), run)


@inlined
def _copy_start(lanes: Lanes, source: int, lane: int) -> None:
    """Copy step 0 of a lane, and what its lowest level gets from the input, to another lane."""
    acts, lowest = lanes.acts, lanes.lowest
    for i in range(acts.shape[3]):
        acts[ACTIVE, lane, 0, i] = acts[ACTIVE, source, 0, i]
        acts[NORMAL, lane, 0, i] = acts[NORMAL, source, 0, i]
    for i in range(lowest.shape[1]):
        lowest[lane, i] = lowest[source, i]


@kernel
def settle(
    weights: F32, x: F32, before: Plain, net: I64, lanes: Plain, run: Plain, how: Plain
) -> None:
    """Run a lane over an input x [F * D], all zeros allowed; writes the lane's room.

    before: (h [N], z [N]) of the row before, which step 0 is where `run.carry`; net is a table,
    lanes and run are `Lanes` and `Run` as plain tuples; how: (lane, label, lane
    whose step 0 it shares or -1, last step).
    """
    room, running = Lanes(*lanes), Run(*run)
    lane, label, shared, last = how
    lowest, acts = room.lowest[lane], room.acts
    if shared >= 0:
        _copy_start(room, shared, lane)
    else:
        lowest[:] = 0
        _add_product(weights, net[UP, 1], x, room, lowest)
        if running.carry:
            for i in range(acts.shape[3]):
                acts[ACTIVE, lane, 0, i] = before[0][i]
                acts[NORMAL, lane, 0, i] = before[1][i]
    begun = shared >= 0 or running.carry
    _steps(weights, net, room, (lane, label, 1 if begun else 0, last), running)
