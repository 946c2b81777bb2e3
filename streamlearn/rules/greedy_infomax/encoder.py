"""The encoder: z = mean over the places p of relu(W x_p + b), and zn = z / sqrt(mean(z²) + 1e-4).

A dense encoder has one place, the whole row; a convolution along the first axis of rows [T, C] has
one every `stride` samples, of `field` samples each. With d zn = dL/d zn,

    d z = (d zn - zn mean(d zn zn)) / sqrt(mean(z²) + 1e-4)
    d a_p = d z 1[a_p > 0] / places,   d W = sum over rows and places of x_p d a_p

R rows, D inputs, F inputs of a place, H units.
"""

import math

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.part import F32
from streamlearn.rules.greedy_infomax.adam import Pace, step
from streamlearn.rules.greedy_infomax.state import Net, Scratch

_TINY = np.float32(1e-4)
_LARGEST_RMS = 10.0
"""Rows beyond are scaled down to it, so that no row outweighs all that were there before."""


@inlined
def read(x: F32, out: F32) -> bool:
    """Write the row x [D] scaled to a root mean square of at most 10; False: all its inputs agree.

    Such a row says nothing that could be predicted.
    """
    D = x.shape[0]
    square = 0.0
    varies = D == 1 and x[0] != 0
    for i in range(D):
        square += np.float64(x[i]) * np.float64(x[i])
        varies = varies or x[i] != x[0]
    rms = math.sqrt(square / D)
    factor = _LARGEST_RMS / rms if rms > _LARGEST_RMS else 1.0
    for i in range(D):
        out[i] = np.float32(x[i] * factor)
    return bool(varies)


@inlined
def _product(weights: F32, hop: int, scratch: Scratch, begin: int, end: int) -> None:
    """Add x_p W to z [R, P, H] for rows begin:end of x [R, D]; weights [F, H].

    x_p are the F inputs from p hop on.
    """
    x, z = scratch.x, scratch.z
    F, H = weights.shape
    P = z.shape[1]
    for i in range(0, F - 3, 4):
        # Four inputs a sweep for all rows: the weights are read once.
        a, b, c, d = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        for r in range(begin, end):
            for p in range(P):
                v, o = z[r, p], p * hop + i
                q, s, t, u = x[r, o], x[r, o + 1], x[r, o + 2], x[r, o + 3]
                for h in range(H):
                    v[h] += (q * a[h] + s * b[h]) + (t * c[h] + u * d[h])
    for i in range(F - F % 4, F):
        a = weights[i]
        for r in range(begin, end):
            for p in range(P):
                v, q = z[r, p], x[r, p * hop + i]
                for h in range(H):
                    v[h] += q * a[h]


@inlined
def _normalise(z: F32, code: F32) -> np.float32:
    """Write code [H] = zn of the activities z [P, H], rectified here; returns zn / z."""
    P, H = z.shape
    share = np.float32(1.0 / P)
    for h in range(H):
        code[h] = 0
    for p in range(P):
        a = z[p]
        for h in range(H):
            a[h] = max(a[h], np.float32(0))
            code[h] += share * a[h]
    square = np.float32(0)
    for h in range(H):
        square += code[h] * code[h]
    factor = np.float32(1) / np.sqrt(square / np.float32(H) + _TINY)
    for h in range(H):
        code[h] *= factor
    return np.float32(factor)


@inlined
def encode(weights: F32, bias: F32, hop: int, scratch: Scratch, begin: int, end: int) -> None:
    """Write activities z, codes zn and factors zn / z of the rows begin:end in scratch."""
    z = scratch.z
    for r in range(begin, end):
        for p in range(z.shape[1]):
            a = z[r, p]
            for h in range(a.shape[0]):
                a[h] = bias[h]
    _product(weights, hop, scratch, begin, end)
    for r in range(begin, end):
        scratch.factor[r] = _normalise(z[r], scratch.code[r])


@inlined
def through_norm(scratch: Scratch, rows: int) -> None:
    """Turn d zn into d z in scratch.delta [R, H], rows 0:rows."""
    H = scratch.code.shape[1]
    for r in range(rows):
        code, delta = scratch.code[r], scratch.delta[r]
        along = np.float32(0)
        for h in range(H):
            along += code[h] * delta[h]
        along /= np.float32(H)
        for h in range(H):
            delta[h] = (delta[h] - along * code[h]) * scratch.factor[r]


@inlined
def _through_relu(scratch: Scratch, rows: int) -> None:
    """Turn activities z [R, P, H] into d a, from d z in scratch.delta."""
    P = scratch.z.shape[1]
    share = np.float32(1.0 / P)
    for r in range(rows):
        delta = scratch.delta[r]
        for p in range(P):
            a = scratch.z[r, p]
            for h in range(a.shape[0]):
                a[h] = share * delta[h] if a[h] > 0 else np.float32(0)


@inlined
def _gradient(hop: int, scratch: Scratch, i: int, rows: int, g: F32) -> None:
    """Write g [H] = sum over rows and places of a place's input i times d a, which is in z."""
    x, z = scratch.x, scratch.z
    P, H = z.shape[1], z.shape[2]
    n = rows * P
    for h in range(H):
        g[h] = 0
    for j in range(0, n - 3, 4):
        j1, j2, j3 = j + 1, j + 2, j + 3
        a, b, c, d = z[j // P, j % P], z[j1 // P, j1 % P], z[j2 // P, j2 % P], z[j3 // P, j3 % P]
        q, s = x[j // P, (j % P) * hop + i], x[j1 // P, (j1 % P) * hop + i]
        t, u = x[j2 // P, (j2 % P) * hop + i], x[j3 // P, (j3 % P) * hop + i]
        for h in range(H):
            g[h] += (q * a[h] + s * b[h]) + (t * c[h] + u * d[h])
    for j in range(n - n % 4, n):
        a, q = z[j // P, j % P], x[j // P, (j % P) * hop + i]
        for h in range(H):
            g[h] += q * a[h]


@inlined
def _bias_gradient(scratch: Scratch, rows: int, g: F32) -> None:
    """Write g [H] = sum over rows and places of d a."""
    for h in range(g.shape[0]):
        g[h] = 0
    for r in range(rows):
        for p in range(scratch.z.shape[1]):
            a = scratch.z[r, p]
            for h in range(g.shape[0]):
                g[h] += a[h]


@inlined
def learn(net: Net, hop: int, scratch: Scratch, rows: int, pace: Pace) -> None:
    """Move weights and biases by the gradients d z in scratch.delta of the rows 0:rows."""
    g = scratch.gradient
    _through_relu(scratch, rows)
    for i in range(net.weights.shape[0]):
        _gradient(hop, scratch, i, rows, g)
        step(net.weights[i], net.weights_moments[0, i], net.weights_moments[1, i], g, pace)
    _bias_gradient(scratch, rows, g)
    step(net.bias, net.bias_moments[0], net.bias_moments[1], g, pace)


@inlined
def _follow_slowly(mean: F32, values: F32, share: np.float32) -> None:
    """Let mean [H] go a share of the way to values [H]."""
    for h in range(mean.shape[0]):
        mean[h] += share * (values[h] - mean[h])


@inlined
def average(net: Net, share: np.float32) -> None:
    """Take weights and biases into their running means, where there are any."""
    for i in range(net.mean_weights.shape[0]):
        _follow_slowly(net.mean_weights[i], net.weights[i], share)
    _follow_slowly(net.mean_bias, net.bias, share)
