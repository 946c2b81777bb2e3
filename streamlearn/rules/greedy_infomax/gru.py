"""Context from a gated recurrent unit, learned from one step back.

K. Cho et al., arXiv 1406.1078. With the code zn of a row and h of the row before,

    r = sigmoid(R [zn, h, 1]),   z = sigmoid(Z [zn, h, 1]),   m = tanh(M [zn, r h, 1])
    h' = (1 - z) m + z h,   c = h' / sqrt(mean(h'²) + 1e-4)

The gradient stops at h: it knows what a row adds to the context and what it lets go, not what
rows before it might have done otherwise. With d h' the gradient of the new state

    d m = d h' (1 - z) (1 - m²)        of M [zn, r h, 1]
    d z = d h' (h - m) z (1 - z)       of Z [zn, h, 1]
    d r = (M_h^T d m) h r (1 - r)      of R [zn, h, 1]

Löwe et al. cut it there too (their option --remove_BPTT). M begins as the identity of codes, Z with
a bias that keeps about three quarters of h.

H units, n numbers, K steps. R, Z and M are stored together, [3, H + n + 1, n].
"""

import math

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.part import F32
from streamlearn.rules.greedy_infomax.adam import Pace, step
from streamlearn.rules.greedy_infomax.contrast import dot
from streamlearn.rules.greedy_infomax.norm import through_norm
from streamlearn.rules.greedy_infomax.state import Net, Past, Scratch

NEW, OLD, RESET, UPDATE, CANDIDATE = range(5)
"""Lines of a state: h', h, r, z, m."""
_R, _Z, _M = range(3)
"""Places of the weights."""


@inlined
def _add(weights: F32, value: np.float32, out: F32) -> None:
    """Add value times the weights [n] of one input to out [n]."""
    if value != 0:
        for i in range(out.shape[0]):
            out[i] += value * weights[i]


@inlined
def _sigmoid(values: F32) -> None:
    for i in range(values.shape[0]):
        a = min(max(values[i], np.float32(-30)), np.float32(30))
        values[i] = np.float32(1.0 / (1.0 + math.exp(-a)))


@inlined
def _gate(weights: F32, code: F32, state: F32, line: int, reset: bool) -> None:  # noqa: FBT001  numba takes no keywords
    """Write a line of the state: weights [H + n + 1, n] times [zn, h or r h, 1]."""
    H, out, old = code.shape[0], state[line], state[OLD]
    for i in range(out.shape[0]):
        out[i] = weights[weights.shape[0] - 1, i]
    for j in range(H):
        _add(weights[j], code[j], out)
    for j in range(out.shape[0]):
        _add(weights[H + j], old[j] * state[RESET, j] if reset else old[j], out)


@inlined
def advance(net: Net, past: Past, slot: int, scratch: Scratch) -> None:
    """Write the state [5, n] after the row in scratch, from the one before in its slot."""
    state, code, mix = scratch.state, scratch.code[0], net.mix
    rows = past.rows[slot]
    before = past.context[slot, (rows - 1) % past.context.shape[1]]
    for i in range(state.shape[1]):
        state[OLD, i] = before[NEW, i] if rows > 0 else np.float32(0)
    _gate(mix[_R], code, state, RESET, False)
    _sigmoid(state[RESET])
    _gate(mix[_Z], code, state, UPDATE, False)
    _sigmoid(state[UPDATE])
    _gate(mix[_M], code, state, CANDIDATE, True)
    for i in range(state.shape[1]):
        m, z = np.float32(math.tanh(state[CANDIDATE, i])), state[UPDATE, i]
        state[CANDIDATE, i] = m
        state[NEW, i] = (np.float32(1) - z) * m + z * state[OLD, i]


@inlined
def remember(past: Past, slot: int, scratch: Scratch) -> None:
    """Keep the state of the row in scratch."""
    at = past.rows[slot] % past.context.shape[1]
    for g in range(scratch.state.shape[0]):
        for i in range(scratch.state.shape[1]):
            past.context[slot, at, g, i] = scratch.state[g, i]


@inlined
def _through_gates(net: Net, state: F32, scratch: Scratch, k: int) -> None:
    """Write d r, d z, d m of the row k + 1 before to scratch.gates[k] [3, n]."""
    n, slope, gates = state.shape[1], scratch.slope[k], scratch.gates[k]
    one, H = np.float32(1), scratch.code.shape[1]
    for i in range(n):
        z, m = state[UPDATE, i], state[CANDIDATE, i]
        gates[_M, i] = slope[i] * (one - z) * (one - m * m)
        gates[_Z, i] = slope[i] * (state[OLD, i] - m) * z * (one - z)
    for i in range(n):
        r = state[RESET, i]
        gates[_R, i] = dot(net.mix[_M, H + i], gates[_M]) * state[OLD, i] * r * (one - r)


@inlined
def _to_codes(net: Net, scratch: Scratch, k: int) -> None:
    """Add what the gates ask of the code of the row k + 1 before to its d zn."""
    for j in range(scratch.code.shape[1]):
        for g in range(3):
            scratch.delta[1 + k, j] += dot(net.mix[g, j], scratch.gates[k, g])


@inlined
def _input(state: F32, scratch: Scratch, k: int, j: int, g: int) -> np.float32:
    """The j-th input of gate g for the row k + 1 before."""
    i = j - scratch.code.shape[1]
    if i < 0:
        return np.float32(scratch.code[1 + k, j])
    if i == state.shape[1]:
        return np.float32(1)
    return np.float32(state[OLD, i] * state[RESET, i] if g == _M else state[OLD, i])


@inlined
def _gradient(past: Past, slot: int, scratch: Scratch, g: int, j: int) -> None:
    """Write the gradient of the weights of input j of gate g to scratch.gradient_mix[g]."""
    out, K = scratch.gradient_mix[g], past.context.shape[1]
    for i in range(out.shape[0]):
        out[i] = 0
    for k in range(scratch.told.shape[0]):
        if scratch.told[k]:
            state = past.context[slot, (past.rows[slot] - 1 - k) % K]
            _add(scratch.gates[k, g], _input(state, scratch, k, j, g), out)


@inlined
def learn(net: Net, past: Past, slot: int, scratch: Scratch, pace: Pace) -> None:
    """Move all weights of the unit by d c in scratch.slope [K, n]; d zn of past rows grow."""
    K = past.context.shape[1]
    for k in range(scratch.told.shape[0]):
        if scratch.told[k]:
            through_norm(scratch, k)
            state = past.context[slot, (past.rows[slot] - 1 - k) % K]
            _through_gates(net, state, scratch, k)
            _to_codes(net, scratch, k)
    moments = net.mix_moments
    for g in range(3):
        for j in range(net.mix.shape[1]):
            _gradient(past, slot, scratch, g, j)
            step(net.mix[g, j], moments[0, g, j], moments[1, g, j], scratch.gradient_mix[g], pace)
