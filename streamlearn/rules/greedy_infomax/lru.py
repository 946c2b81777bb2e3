"""Context from a linear recurrent unit, learned by a gradient that is carried forward.

A. Orvieto et al., Resurrecting recurrent neural networks for long sequences, arXiv 2303.06349, for
the unit; N. Zucchet et al., Online learning of long-range dependencies, NeurIPS 2023, for learning
it along a stream. n numbers h, complex, each with a memory of its own:

    lambda = exp(-exp(nu) + i exp(theta)),   gamma = exp(log gamma)
    u_t = B zn_t,   h_t = lambda h_{t-1} + gamma u_t,   c = (Re h, Im h) / sqrt(mean |h|² + 1e-4)

As no h mixes with another, dh/d(lambda, gamma, B) is as cheap to carry along as h itself:

    E^lambda_t = lambda E^lambda_{t-1} + h_{t-1}        E^gamma_t = lambda E^gamma_{t-1} + u_t
    E^B_t      = lambda E^B_{t-1} + gamma zn_t

and with d h = dL/d Re h + i dL/d Im h every gradient is that of the whole past, exact but for the
weights' own movement meanwhile:

    d lambda = conj(d h) E^lambda,   d nu    = Re(d lambda (-exp(nu) lambda))
                                     d theta = Re(d lambda i exp(theta) lambda)
    d log gamma = gamma Re(conj(d h) E^gamma),   d B = conj(conj(d h) E^B)

The code that a context is made of learns through its own row's share, gamma u_t, alone. Traces of
the last K rows are kept, as a row is held against the contexts of each of them.

H units, n numbers, K steps. B is stored [2, H, n], real and imaginary part.
"""

import math
from typing import Final

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.part import F32
from streamlearn.rules.greedy_infomax.adam import Pace, step
from streamlearn.rules.greedy_infomax.norm import through_norm
from streamlearn.rules.greedy_infomax.state import Net, Past, Scratch

NU, THETA, GAMMA = range(3)
"""Lines of `Net.recurrent`."""
LEAST_NU: Final = -9.2
"""The longest memory is about 10,000 rows."""
_MOST_NU: Final = 3.0
_MOST_THETA: Final = 1.1
"""Half a turn a row."""
_GAMMAS: Final = (-10.0, 3.0)


@inlined
def prepare(net: Net, scratch: Scratch) -> None:
    """Write lambda and gamma to scratch.pole [3, n]: real, imaginary, gamma."""
    pole = scratch.pole
    for i in range(pole.shape[1]):
        size = math.exp(-math.exp(net.recurrent[NU, i]))
        phase = math.exp(net.recurrent[THETA, i])
        pole[0, i] = size * math.cos(phase)
        pole[1, i] = size * math.sin(phase)
        pole[2, i] = math.exp(net.recurrent[GAMMA, i])


@inlined
def _drive(mix: F32, code: F32, out: F32) -> None:
    """Write out [2, n] = B zn."""
    n = out.shape[1]
    a, b = out[0], out[1]
    for i in range(n):
        a[i] = 0
        b[i] = 0
    for j in range(code.shape[0]):
        z = code[j]
        if z != 0:
            real, imaginary = mix[0, j], mix[1, j]
            for i in range(n):
                a[i] += z * real[i]
                b[i] += z * imaginary[i]


@inlined
def advance(net: Net, past: Past, slot: int, scratch: Scratch) -> None:
    """Write the state h [2, n] after the row in scratch, from the one before in its slot."""
    pole, state, drive = scratch.pole, scratch.state, scratch.drive
    prepare(net, scratch)
    _drive(net.mix, scratch.code[0], drive)
    rows, K = past.rows[slot], past.context.shape[1]
    before = past.context[slot, (rows - 1) % K]
    old = np.float32(1) if rows > 0 else np.float32(0)
    for i in range(pole.shape[1]):
        a, b = old * before[0, i], old * before[1, i]
        state[0, i] = pole[0, i] * a - pole[1, i] * b + pole[2, i] * drive[0, i]
        state[1, i] = pole[0, i] * b + pole[1, i] * a + pole[2, i] * drive[1, i]


@inlined
def _carry(trace: F32, before: F32, pole: F32, real: F32, imaginary: F32) -> None:
    """Write a trace [2, n] = lambda before + (real, imaginary)."""
    a, b, c, d, p, q = trace[0], trace[1], before[0], before[1], pole[0], pole[1]
    for i in range(a.shape[0]):
        r, s = c[i], d[i]
        a[i] = p[i] * r - q[i] * s + real[i]
        b[i] = p[i] * s + q[i] * r + imaginary[i]


@inlined
def _carry_mix(past: Past, slot: int, scratch: Scratch) -> None:
    """Carry E^B on by the row in scratch; it is kept [2, H, n]."""
    rows, K = past.rows[slot], past.context.shape[1]
    now, before = past.trace_mix[slot, rows % K], past.trace_mix[slot, (rows - 1) % K]
    pole, code = scratch.pole, scratch.code[0]
    p, q, gamma = pole[0], pole[1], pole[2]
    old = np.float32(1) if rows > 0 else np.float32(0)
    for j in range(code.shape[0]):
        a, b, c, d, z = now[0, j], now[1, j], before[0, j], before[1, j], code[j]
        for i in range(a.shape[0]):
            r, s = old * c[i], old * d[i]
            a[i] = p[i] * r - q[i] * s + gamma[i] * z
            b[i] = p[i] * s + q[i] * r


@inlined
def remember(past: Past, slot: int, scratch: Scratch) -> None:
    """Keep the state h of the row in scratch and carry the traces on to it."""
    rows, K = past.rows[slot], past.context.shape[1]
    at, last = rows % K, (rows - 1) % K
    if past.trace.shape[0] > 0:
        if rows == 0:
            for g in range(4):
                for i in range(scratch.state.shape[1]):
                    past.trace[slot, last, g, i] = 0
                    past.context[slot, last, g % 2, i] = 0
        now, before, h = past.trace[slot, at], past.trace[slot, last], past.context[slot, last]
        _carry(now[:2], before[:2], scratch.pole, h[0], h[1])
        _carry(now[2:], before[2:], scratch.pole, scratch.drive[0], scratch.drive[1])
        _carry_mix(past, slot, scratch)
    for i in range(scratch.state.shape[1]):
        past.context[slot, at, 0, i] = scratch.state[0, i]
        past.context[slot, at, 1, i] = scratch.state[1, i]


@inlined
def _to_codes(net: Net, scratch: Scratch, k: int) -> None:
    """Add Re(conj(d h) gamma B) to d zn of the row k + 1 before."""
    n, slope, gamma, delta = scratch.pole.shape[1], scratch.slope[k], scratch.pole[2], scratch.delta
    real, imaginary = scratch.gradient_mix[0], scratch.gradient_mix[1]
    for i in range(n):
        real[i] = gamma[i] * slope[i]
        imaginary[i] = gamma[i] * slope[n + i]
    for j in range(delta.shape[1]):
        a, b = net.mix[0, j], net.mix[1, j]
        total = np.float32(0)
        for i in range(n):
            total += real[i] * a[i] + imaginary[i] * b[i]
        delta[1 + k, j] += total


@inlined
def _poles_gradient(net: Net, past: Past, slot: int, scratch: Scratch) -> None:
    """Write the gradient of nu, theta, log gamma [3, n] to scratch.gradient_mix."""
    n, g = scratch.pole.shape[1], scratch.gradient_mix
    rows, K = past.rows[slot], past.context.shape[1]
    for i in range(n):
        a = b = c = np.float32(0)
        for k in range(scratch.told.shape[0]):
            if scratch.told[k]:
                e = past.trace[slot, (rows - 1 - k) % K]
                p, q = scratch.slope[k, i], scratch.slope[k, n + i]
                a += p * e[0, i] + q * e[1, i]
                b += p * e[1, i] - q * e[0, i]
                c += p * e[2, i] + q * e[3, i]
        # a + i b = conj(d h) E^lambda, times lambda:
        real = a * scratch.pole[0, i] - b * scratch.pole[1, i]
        imaginary = a * scratch.pole[1, i] + b * scratch.pole[0, i]
        g[NU, i] = -np.float32(math.exp(net.recurrent[NU, i])) * real
        g[THETA, i] = -np.float32(math.exp(net.recurrent[THETA, i])) * imaginary
        g[GAMMA, i] = c * scratch.pole[2, i]


@inlined
def _learn_poles(net: Net, past: Past, slot: int, scratch: Scratch, pace: Pace) -> None:
    """Move nu, theta and log gamma, at half the pace, and keep them in their ranges."""
    _poles_gradient(net, past, slot, scratch)
    values, moments = net.recurrent, net.recurrent_moments
    half = Pace(np.float32(0.5) * pace.rate, pace.root)
    for g in range(3):
        step(values[g], moments[0, g], moments[1, g], scratch.gradient_mix[g], half)
    for i in range(values.shape[1]):
        values[NU, i] = min(max(values[NU, i], np.float32(LEAST_NU)), np.float32(_MOST_NU))
        values[THETA, i] = min(values[THETA, i], np.float32(_MOST_THETA))
        low, high = np.float32(_GAMMAS[0]), np.float32(_GAMMAS[1])
        values[GAMMA, i] = min(max(values[GAMMA, i], low), high)


@inlined
def _mix_gradient(past: Past, slot: int, scratch: Scratch, j: int) -> None:
    """Write the gradient of B's column j, real and imaginary [2, n], to scratch.gradient_mix."""
    n, K = scratch.pole.shape[1], past.context.shape[1]
    real, imaginary = scratch.gradient_mix[0], scratch.gradient_mix[1]
    for i in range(n):
        real[i] = 0
        imaginary[i] = 0
    for k in range(scratch.told.shape[0]):
        if scratch.told[k]:
            trace = past.trace_mix[slot, (past.rows[slot] - 1 - k) % K]
            e, f = trace[0, j], trace[1, j]
            p, q = scratch.slope[k, :n], scratch.slope[k, n:]
            for i in range(n):
                real[i] += p[i] * e[i] + q[i] * f[i]
                imaginary[i] += q[i] * e[i] - p[i] * f[i]


@inlined
def learn(net: Net, past: Past, slot: int, scratch: Scratch, pace: Pace) -> None:
    """Move all weights of the unit by d c in scratch.slope [K, 2 n]; d zn of past rows grow."""
    for k in range(scratch.told.shape[0]):
        if scratch.told[k]:
            through_norm(scratch, k)
            _to_codes(net, scratch, k)
    _learn_poles(net, past, slot, scratch, pace)
    g, moments = scratch.gradient_mix, net.mix_moments
    for j in range(net.mix.shape[1]):
        _mix_gradient(past, slot, scratch, j)
        for part in range(2):
            step(net.mix[part, j], moments[0, part, j], moments[1, part, j], g[part], pace)
