"""What layers that learn from labels without negatives compute, row by row.

B rows, D inputs, H units, K classes, n active inputs; the equations are in `projection` and
`blocks`. One row is learned before the next is looked at.
"""

import math

import numpy as np

from streamlearn.kernels import inlined, kernel
from streamlearn.kernels.products import active_inputs, active_product
from streamlearn.kernels.schedules import fall_of
from streamlearn.kernels.sums import log_softmax, sum_of_squares
from streamlearn.part import F32, I32
from streamlearn.rules.forward_forward.blocks_kernels import block_errors, block_goodness
from streamlearn.rules.forward_forward.decorrelate import (
    Moments,
    collect,
    refresh,
    refresh_is_due,
    whiten,
)
from streamlearn.rules.forward_forward.local_state import (
    BAD,
    DELAYED,
    GOOD,
    LABELLED,
    WRONG,
    Plain,
    Scratch,
    Setting,
    State,
)
from streamlearn.rules.forward_forward.local_steps import (
    add_delayed,
    average,
    averaging_is_due,
    rectify,
    step_by_gain,
    step_later,
    step_plainly,
    write_delayed,
)
from streamlearn.rules.forward_forward.projection_kernels import (
    learn_readout,
    read_errors,
    read_out,
)

_BOUND = 64.0
"""By how many times its error a step may move a row's own evidence, through W or through M."""
_SMALLEST_ERROR = np.float32(1e-7)
"""Errors below the precision of a probability count as none: products of such numbers are too small
to be normal, and a hundred times slower."""
_FIGURE_ROWS = 1000


@inlined
def read_row(x: F32, scratch: Scratch) -> int:
    """Write z = x / rms(x) with its active inputs; returns n, 1 for a row without a direction."""
    D = x.shape[0]
    square = 0.0
    for d in range(D):
        square += np.float64(x[d]) * np.float64(x[d])
    # NaN compares false.
    factor = math.sqrt(D / square) if 0.0 < square < np.inf else 0.0
    for d in range(D):
        scratch.z[d] = np.float32(x[d] * factor) if factor > 0.0 else np.float32(0)
    scratch.z[D] = np.float32(1)
    return active_inputs(scratch.z, scratch.active, scratch.value)


@inlined
def _believe(readout: F32, setting: Setting, h: F32, g: F32) -> None:
    """Write log beliefs g [K] from activities h [H]."""
    if setting.blocks:
        block_goodness(h, setting.scale, g)
    else:
        read_out(readout, h, g)
    log_softmax(g)


@inlined
def _respond(state: State, setting: Setting, scratch: Scratch, n: int, answer: bool) -> None:  # noqa: FBT001  numba takes no keywords
    """Write activities h and log beliefs g: as the layer answers, or by its weights as they are."""
    averaged = answer and setting.average
    weights = state.mean_weights if averaged else state.weights
    active_product(weights, scratch.active[:n], scratch.value[:n], scratch.h)
    if not averaged:
        add_delayed(state, scratch)
    rectify(scratch.h)
    readout = state.mean_readout if averaged else state.readout
    _believe(readout, setting, scratch.h, scratch.g)


@inlined
def _write(h: F32, out: F32) -> None:
    """Write out [H] = h / rms(h), all zero where no unit is active."""
    square = sum_of_squares(h)
    factor = np.sqrt(np.float32(h.shape[0]) / square) if square > 0 else np.float32(0)
    for i in range(h.shape[0]):
        out[i] = factor * h[i]


@inlined
def _copy(values: F32, out: F32) -> None:
    for i in range(values.shape[0]):
        out[i] = values[i]


@inlined
def _errors(g: F32, y: int, smoothing: np.float32, e: F32) -> None:
    """Write e [K] = q - p for log beliefs g: q_y = 1 - s, all others s / (K - 1)."""
    hit = np.float32(1) - smoothing
    miss = smoothing / np.float32(max(g.shape[0] - 1, 1))
    for k in range(g.shape[0]):
        error = (hit if k == y else miss) - np.float32(math.exp(g[k]))
        e[k] = error if abs(error) > _SMALLEST_ERROR else np.float32(0)


@inlined
def _bounded(rate: float, change: float) -> np.float32:
    """`rate`, but so that rate times change is at most the bound."""
    return np.float32(min(rate, _BOUND / change) if change > 0.0 else rate)


@inlined
def _descend(state: State, setting: Setting, scratch: Scratch, y: int, size: float) -> None:
    """One step towards class y from the row in scratch; weights and read-out move."""
    h, e, signal = scratch.h, scratch.e, scratch.signal
    n = active_inputs(scratch.z, scratch.active, scratch.value)
    _respond(state, setting, scratch, n, False)
    _errors(scratch.g, y, setting.smoothing, e)
    if setting.blocks:
        block_errors(h, e, setting.scale, signal)
    else:
        read_errors(state.readout, h, e, signal)
    if setting.adagrad:
        _step_by_gains(state, setting, scratch, n, size)
        return
    fall = size * fall_of(state.counts[LABELLED], setting.decay_rows, setting.rate_floor)
    wide = np.float64(scratch.z.shape[0])
    errors = np.float64(sum_of_squares(e))
    own = wide * sum_of_squares(signal) / errors if errors > 0.0 else 0.0
    rate = _bounded(setting.rate * fall, own)
    if not setting.blocks:
        own = np.float64(sum_of_squares(h))
        learn_readout(state.readout, h, e, _bounded(setting.read_rate * fall, own))
    if setting.decorrelate:
        step_later(state, scratch, rate)
    else:
        step_plainly(state.weights, scratch, n, rate)


@inlined
def _step_by_gains(state: State, setting: Setting, scratch: Scratch, n: int, size: float) -> None:
    """Let every weight and gain that the row reaches move."""
    growth = np.float32(1.0 + setting.recovery)
    rate, read_rate = np.float32(setting.rate * size), np.float32(setting.read_rate * size)
    active, value, signal, e = scratch.active, scratch.value, scratch.signal, scratch.e
    for a in range(n):
        i = active[a]
        step_by_gain(state.weights[i], state.gains[i], signal, value[a], rate, growth)
    for k in range(state.readout.shape[0]):
        gain = state.readout_gains[k]
        step_by_gain(state.readout[k], gain, scratch.h, e[k], read_rate, growth)


@inlined
def _take_out(state: State, setting: Setting, scratch: Scratch, j: int) -> int:
    """Put the kept row of age j N / R into scratch, N rows, R revisits; its class, -1 for none."""
    rows, seen = state.kept_y.shape[0], state.counts[LABELLED]
    age = rows * j // setting.revisits
    if age > seen:
        return -1
    slot = (seen - age) % rows
    _copy(state.kept[slot], scratch.z)
    return int(state.kept_y[slot])


@inlined
def _keep(state: State, scratch: Scratch, y: int) -> None:
    """Put the row in scratch in the place of the oldest one."""
    slot = state.counts[LABELLED] % state.kept_y.shape[0]
    _copy(scratch.z, state.kept[slot])
    state.kept_y[slot] = y


@inlined
def _note(state: State, g: F32, y: int) -> None:
    """Move the figures by a row of class y, given log beliefs g [K]."""
    best = -np.inf
    for k in range(g.shape[0]):
        best = max(best, np.float64(g[k])) if k != y else best
    best = best if best > -np.inf else np.float64(g[y])
    share = max(1.0 / (state.counts[LABELLED] + 1), 1.0 / _FIGURE_ROWS)
    figures, good = state.figures, np.float64(g[y])
    figures[GOOD] += share * (good - figures[GOOD])
    figures[BAD] += share * (best - figures[BAD])
    figures[WRONG] += share * ((1.0 if best >= good else 0.0) - figures[WRONG])


@inlined
def _note_usage(h: F32, usage: F32) -> None:
    share = np.float32(1.0 / _FIGURE_ROWS)
    for i in range(h.shape[0]):
        usage[i] += share * ((np.float32(1) if h[i] > 0 else np.float32(0)) - usage[i])


@inlined
def _sure_of(g: F32, confidence: np.float32) -> int:
    """The class whose log belief in g [K] is at least the confidence, -1 for none."""
    best = 0
    for k in range(g.shape[0]):
        best = k if g[k] > g[best] else best
    return best if g[best] >= confidence else -1


@inlined
def _learn_row(state: State, moments: Moments, setting: Setting, scratch: Scratch, y: int) -> None:
    """Learn the row in scratch, whose log beliefs are there too, and the kept rows that are due."""
    labelled = 0 <= y < scratch.g.shape[0]
    size, steps = 1.0, 1 + setting.revisits
    if labelled:
        _note(state, scratch.g, y)
    else:
        y = _sure_of(scratch.g, setting.confidence) if setting.unlabelled > 0.0 else -1
        size, steps = setting.unlabelled, 1
    for j in range(steps):
        # One place for the row itself and for kept ones: compiling takes half as long.
        y = _take_out(state, setting, scratch, j) if j > 0 else y
        if setting.decorrelate:
            whiten(moments, setting.damping, scratch.z, scratch.along, scratch.v)
            if j == 0:
                collect(moments, scratch.z, scratch.along)
        if y >= 0:
            _descend(state, setting, scratch, y, size)
        if labelled and j == 0:
            if setting.revisits > 0:
                _keep(state, scratch, y)
            state.counts[LABELLED] += 1


@inlined
def _due(state: State, moments: Moments, setting: Setting) -> bool:
    """Whether something waits that `settle` does."""
    waiting = setting.decorrelate and (
        state.counts[DELAYED] + setting.revisits >= state.delayed_inputs.shape[0]
        or refresh_is_due(moments)
    )
    return waiting or (setting.average and averaging_is_due(state))


@kernel
def learn(x: F32, y: I32, out: F32, scores: F32, arrays: Plain, numbers: Plain, room: Plain) -> int:
    """Answer each row x [B, D], then learn from it: out [B, H] and scores [B or 0, K] are written.

    `arrays` are a `State` and a `Moments`, `numbers` a `Setting`, `room` a `Scratch`, all as plain
    tuples; every array moves. Labels y [B] that name no class count as none. Stops where `settle`
    is due, and returns how many rows are done.
    """
    state, moments = State(*arrays[0]), Moments(*arrays[1])
    setting, scratch = Setting(*numbers), Scratch(*room)
    for b in range(x.shape[0]):
        n = read_row(x[b], scratch)
        _respond(state, setting, scratch, n, True)
        _write(scratch.h, out[b])
        if n == 1:
            out[b, :] = 0  # a row without a direction says nothing to the layer above
        _note_usage(scratch.h, state.usage)
        if b < scores.shape[0]:
            _copy(scratch.g, scores[b])
        if n > 1:
            _learn_row(state, moments, setting, scratch, y[b])
            if _due(state, moments, setting):
                return b + 1
    return int(x.shape[0])


@kernel
def settle(arrays: Plain, numbers: Plain) -> None:
    """Do what is due now and then: write delayed steps, move averages, refresh the moments."""
    state, moments, setting = State(*arrays[0]), Moments(*arrays[1]), Setting(*numbers)
    if not _due(state, moments, setting):
        return
    write_delayed(state)
    if setting.decorrelate and refresh_is_due(moments):
        refresh(moments)
    if setting.average and averaging_is_due(state):
        average(state, setting.recovery)


@kernel
def respond(x: F32, out: F32, scores: F32, arrays: Plain, numbers: Plain, room: Plain) -> None:
    """Write out [B, H] and scores [B or 0, K] of the rows x [B, D]; only scratch moves besides."""
    state, setting, scratch = State(*arrays[0]), Setting(*numbers), Scratch(*room)
    for b in range(x.shape[0]):
        n = read_row(x[b], scratch)
        _respond(state, setting, scratch, n, True)
        _write(scratch.h, out[b])
        if n == 1:
            out[b, :] = 0  # a row without a direction says nothing to the layer above
        if b < scores.shape[0]:
            _copy(scratch.g, scores[b])
