"""Steps through the inverse of the inputs' second moments, a few directions of them at a time.

Inputs are correlated: neighbouring pixels say the same, and a step that one row asks for spills
over to all rows that are like it. Natural gradients (Amari 1998; Desjardins et al., Natural
neural networks, 2015) divide the step by what inputs have in common,

    v = P z |z|² / (z' P z),    P = (C + lambda I)^-1,    C = E[z z'],

scaled so that a step along v changes a unit's response to its own row by as much as a plain one.
With lambda at several mean variances, smaller directions hardly count, so the r largest do:

    P z  =  (z - U' diag(s / (s + lambda)) U z) / lambda,    C ~ U' diag(s) U,    U [r, D].

U and s follow the stream by orthogonal iteration with memory (history PCA: Yang, Hsieh & Wang
2018): a sketch Y += (U z) z' is collected, and now and then orthonormalised: rows of U are those of
Y, s are their lengths over the count of rows. A row costs 3 r D products; nothing is inverted, and
no D x D numbers are kept. Labels are not looked at, so rows without one are as good.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels import inlined
from streamlearn.kernels.random import generator
from streamlearn.part import F32

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

RANK: Final = 32
"""Directions; fewer where there are fewer inputs."""
_FIRST_ROWS = 50
_GAP_ROWS = 1000
_ALL_ROWS, _EVERY = 2000, 4
"""So many rows are all collected, then one in four: its like has been seen."""
_KEPT = 0.8
"""Share of the sketch that outlives a refresh: what was collected along a poor basis goes."""
_SEEN, _REFRESHED = 0, 1


class Moments(NamedTuple):
    """What is known of C = E[z z'] over D inputs."""

    basis: F32
    """U [r, D] orthonormal rows, the largest direction first."""
    sketch: F32
    """Y [r, D] sum of (U z) z' over the rows collected, with what was known before."""
    spread: F32
    """s [r] mean squares along the basis; 0: not known yet."""
    moment_rows: I64
    """[2] rows seen; rows seen at the last refresh."""
    moment_weight: F64
    """[1] rows that the sketch is the sum of."""


def new_moments(width_in: int, rank: int, seed: int) -> Moments:
    """Nothing known: a random basis of no spread, along which steps are plain."""
    noise = generator(seed).standard_normal((width_in, rank), dtype=np.float32)
    basis = np.linalg.qr(noise)[0] if rank else noise
    return Moments(
        basis=np.ascontiguousarray(basis.T, np.float32),
        sketch=np.zeros((rank, width_in), np.float32),
        spread=np.zeros(rank, np.float32),
        moment_rows=np.zeros(2, np.int64),
        moment_weight=np.zeros(1, np.float64),
    )


@inlined
def _dot(one: F32, other: F32) -> np.float32:
    """Sum of one_d other_d over the length of the first."""
    total = np.float32(0)
    for d in range(one.shape[0]):
        total += one[d] * other[d]
    return total


@inlined
def _add(factor: np.float32, one: F32, out: F32) -> None:
    """Add factor one_d to out_d, over the length of the first."""
    for d in range(one.shape[0]):
        out[d] += factor * one[d]


@inlined
def whiten(moments: Moments, damping: np.float32, z: F32, along: F32, v: F32) -> None:
    """Write v [D + 1] = (P z |z|² / (z' P z), 1) for the row (z, 1), and along [r] = U z."""
    basis, spread = moments.basis, moments.spread
    for r in range(basis.shape[0]):
        along[r] = _dot(basis[r], z)
    D = basis.shape[1]
    for d in range(D):
        v[d] = z[d]
    for r in range(basis.shape[0]):
        _add(-along[r] * spread[r] / (spread[r] + damping), basis[r], v)
    square, product = _dot(z[:D], z), _dot(z[:D], v)
    # P is positive, so only rounding can bring the product near zero.
    scale = square / max(product, np.float32(1e-3) * square) if square > 0 else np.float32(1)
    for d in range(D):
        v[d] *= scale
    v[D] = np.float32(1)


@inlined
def collect(moments: Moments, z: F32, along: F32) -> None:
    """Count a row z [≥ D], whose U z is given; sketch and counts move."""
    rows = moments.moment_rows
    rows[_SEEN] += 1
    if rows[_SEEN] <= _ALL_ROWS or rows[_SEEN] % _EVERY == 0:
        moments.moment_weight[0] += 1.0
        for r in range(moments.sketch.shape[0]):
            sketch = moments.sketch[r]
            for d in range(sketch.shape[0]):
                sketch[d] += along[r] * z[d]


@inlined
def refresh_is_due(moments: Moments) -> bool:
    """At 50 rows, then when there are half more, at last every 1000."""
    rows = moments.moment_rows
    gap = min(max(rows[_REFRESHED] // 2, _FIRST_ROWS), _GAP_ROWS)
    return bool(rows[_SEEN] - rows[_REFRESHED] >= gap)


@inlined
def refresh(moments: Moments) -> None:
    """U, s from the sketch; then Y = s U times the rows that are remembered. All moments move."""
    moments.moment_rows[_REFRESHED] = moments.moment_rows[_SEEN]
    sketch, basis, spread = moments.sketch, moments.basis, moments.spread
    weight = moments.moment_weight[0]
    kept = _KEPT * weight
    for r in range(sketch.shape[0]):
        length = _next_direction(sketch, basis, r)
        spread[r] = np.float32(length / weight)
        for d in range(sketch.shape[1]):
            sketch[r, d] = np.float32(spread[r] * kept) * basis[r, d]
    moments.moment_weight[0] = kept


@inlined
def _next_direction(sketch: F32, basis: F32, r: int) -> np.float32:
    """Make basis[r] the part of sketch[r] that is orthogonal to basis[:r]; returns its length.

    Twice, as once leaves rounding errors of float32 that grow with r (Giraud & Langou 2005). Where
    nothing is left, the old direction is tried again instead, and the length is 0.
    """
    one = sketch[r]
    before = np.sqrt(_dot(one, one))
    _orthogonalise(one, basis, r)
    _orthogonalise(one, basis, r)
    length = np.float32(np.sqrt(_dot(one, one)))
    if not length > np.float32(1e-5) * before:
        _renew(basis, r)
        return np.float32(0)
    for d in range(one.shape[0]):
        basis[r, d] = one[d] / length
    return length


@inlined
def _orthogonalise(one: F32, basis: F32, r: int) -> None:
    for q in range(r):
        _add(-_dot(basis[q], one), basis[q], one)


@inlined
def _renew(basis: F32, r: int) -> None:
    """Bring basis[r] back to what is orthogonal to basis[:r], at length 1."""
    one = basis[r]
    _orthogonalise(one, basis, r)
    length = np.float32(np.sqrt(_dot(one, one)))
    scale = np.float32(1) / length if length > np.float32(1e-3) else np.float32(0)
    for d in range(one.shape[0]):
        one[d] *= scale
