"""How weights move: plain steps, steps of each weight's own size, and steps that wait.

D inputs, H units, n active inputs, N delayed steps.

A decorrelated step reaches the weights of every input, not of the active ones alone, and moving all
weights for each row would cost more than all the rest. So such steps a v' wait, and rows meanwhile
are answered with W z + sum_j a_j (v_j' z), which is the same. When N have come they are written in
one sweep, at the speed of the arithmetic and no longer of the memory.
"""

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.kernels.schedules import AVERAGE_EVERY, approach, share_of
from streamlearn.part import F32
from streamlearn.rules.forward_forward.local_state import (
    AVERAGED,
    DELAYED,
    LABELLED,
    Scratch,
    State,
)

DELAY = 32
"""N; a multiple of the eight steps that are written at once."""
_TILE = 256
LARGEST_GAIN = 30.0


@inlined
def add_delayed(state: State, scratch: Scratch) -> None:
    """Add what the delayed steps make of the row to h [H] = W z."""
    z, h = scratch.z, scratch.h
    for j in range(state.counts[DELAYED]):
        inputs, signals = state.delayed_inputs[j], state.delayed_signals[j]
        overlap = np.float32(0)
        for d in range(z.shape[0]):
            overlap += inputs[d] * z[d]
        for i in range(h.shape[0]):
            h[i] += overlap * signals[i]


@inlined
def rectify(h: F32) -> None:
    """Bring h [H] to relu(h)."""
    for i in range(h.shape[0]):
        h[i] = max(h[i], np.float32(0))


@inlined
def step_plainly(weights: F32, scratch: Scratch, n: int, rate: np.float32) -> None:
    """W += rate z a' at the active inputs."""
    active, value, signal = scratch.active, scratch.value, scratch.signal
    for a in range(n):
        row, step = weights[active[a]], rate * value[a]
        for i in range(signal.shape[0]):
            row[i] += step * signal[i]


@inlined
def step_by_gain(
    row: F32, gain: F32, signal: F32, value: np.float32, rate: np.float32, growth: np.float32
) -> None:
    """Take u = clip(value a G, ±1); W += rate u, G <- min(G (growth - u² / 2), largest)."""
    largest = np.float32(LARGEST_GAIN)
    for i in range(signal.shape[0]):
        u = min(max(value * signal[i] * gain[i], np.float32(-1)), np.float32(1))
        row[i] += rate * u
        gain[i] = min(gain[i] * (growth - np.float32(0.5) * u * u), largest)


@inlined
def step_later(state: State, scratch: Scratch, rate: np.float32) -> None:
    """Put the step rate a v' beside the others."""
    j = state.counts[DELAYED]
    inputs, signals = state.delayed_inputs[j], state.delayed_signals[j]
    v, a = scratch.v, scratch.signal
    for d in range(v.shape[0]):
        inputs[d] = v[d]
    for i in range(a.shape[0]):
        signals[i] = rate * a[i]
    state.counts[DELAYED] = j + 1


@inlined
def write_delayed(state: State) -> None:
    """W += sum_j v_j a_j' over the delayed steps, of which then there are none."""
    count = state.counts[DELAYED]
    if count == 0:
        return
    for j in range(count, state.delayed_inputs.shape[0]):
        state.delayed_inputs[j, :] = 0
    H = state.weights.shape[1]
    for start in range(0, H, _TILE):
        stop = min(start + _TILE, H)
        for j in range(0, count, 8):
            _write_eight(state, j, start, stop)
    state.counts[DELAYED] = 0


@inlined
def _write_eight(state: State, j: int, start: int, stop: int) -> None:
    """Write steps j … j + 7 to the units from start to stop."""
    v, a = state.delayed_inputs, state.delayed_signals
    a0, a1 = a[j, start:stop], a[j + 1, start:stop]
    a2, a3 = a[j + 2, start:stop], a[j + 3, start:stop]
    a4, a5 = a[j + 4, start:stop], a[j + 5, start:stop]
    a6, a7 = a[j + 6, start:stop], a[j + 7, start:stop]
    for d in range(state.weights.shape[0]):
        row = state.weights[d, start:stop]
        v0, v1, v2, v3 = v[j, d], v[j + 1, d], v[j + 2, d], v[j + 3, d]
        v4, v5, v6, v7 = v[j + 4, d], v[j + 5, d], v[j + 6, d], v[j + 7, d]
        for i in range(row.shape[0]):
            row[i] += ((v0 * a0[i] + v1 * a1[i]) + (v2 * a2[i] + v3 * a3[i])) + (
                (v4 * a4[i] + v5 * a5[i]) + (v6 * a6[i] + v7 * a7[i])
            )


@inlined
def averaging_is_due(state: State) -> bool:
    """Often at first, at last every 100 labelled rows."""
    seen = state.counts[LABELLED]
    return bool(seen - state.counts[AVERAGED] >= min(max(seen // 20, 1), AVERAGE_EVERY))


@inlined
def average(state: State, recovery: float) -> None:
    """Bring the averages nearer to the weights; recovery is 1 / memory_rows."""
    seen = state.counts[LABELLED]
    gap = seen - state.counts[AVERAGED]
    state.counts[AVERAGED] = seen
    share = share_of(seen, gap, gap * recovery)
    approach(state.weights, state.mean_weights, share)
    approach(state.readout, state.mean_readout, share)
