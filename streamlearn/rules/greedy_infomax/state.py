"""What a module keeps between rows, and room for one row at work.

D inputs, F inputs of a place, P places, H units, K steps, N negatives, M rows of the reservoir,
S streams kept at once, R = 1 + K + N rows that are encoded for one,
C numbers of a context, n of a recurrent one.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.part import F32, I32

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Plain = tuple[Any, ...]
"""Plain tuples are handed to a kernel in half the time of named ones."""

ROWS, STORED, STEPS, SCORED = range(4)
"""Places of the clock: rows seen, rows that vary, steps learned, rows scored."""
INFONCE, HINGE, LPL = range(3)
CODE, CONTEXT, BOTH = range(3)
LOSS, ACCURACY, FALLBACK, SURPRISE, MEAN, SQUARE, BLANK = range(7)
"""Places of the figures; MEAN and SQUARE are of the loss before it is standardised."""


class Net(NamedTuple):
    """What learning moves; moments are Adam's m and v."""

    weights: F32
    """[F, H] W"""
    weights_moments: F32
    """[2, F, H]"""
    bias: F32
    """[H]"""
    bias_moments: F32
    """[2, H]"""
    mean_weights: F32
    """[F, H] running mean of W; empty where answers come from W itself."""
    mean_bias: F32
    """[H]"""
    predict: F32
    """[K, C, H] W_k, contexts x codes."""
    predict_moments: F32
    """[2, K, C, H]"""
    recurrent: F32
    """[3, n] see `lru`; empty without it."""
    recurrent_moments: F32
    """[2, 3, n]"""
    mix: F32
    """[2, H, n] B of `lru`, or [3, H + n + 1, n] of `gru`."""
    mix_moments: F32
    """[2, …] of these."""


class Past(NamedTuple):
    """The last rows of every stream that is kept; place S is for rows shown aside."""

    x: F32
    """[S + 1, K, D] row n of a stream is at n mod K."""
    rows: I64
    """[S + 1] rows since the stream began."""
    context: F32
    """[S + 1, K, G, n] the state after each of these rows: h, real and imaginary; or see `gru`."""
    trace: F32
    """[S + 1, K, 4, n] E^lambda and E^gamma of `lru`; empty where nothing will be learned."""
    trace_mix: F32
    """[S + 1, K, 2, H, n] E^B"""


class Store(NamedTuple):
    """Past rows of all streams, from which negatives are drawn, and figures."""

    x: F32
    """[M, D] as they came in."""
    stream: I32
    """[M]"""
    device: I32
    """[M]"""
    clock: I64
    """[4] see `ROWS`."""
    figures: F64
    """[7] fading means, see `LOSS`."""
    by_step: F64
    """[3, K] fading means of loss and accuracy of each step ahead, and rows that they are of."""
    usage: F32
    """[H] fading share of rows in which a unit is active."""
    mean: F32
    """[H] running mean of z (lpl); empty otherwise."""
    covariance: F32
    """[H, H] running covariance of z (lpl); empty otherwise."""
    recent: F32
    """[128, H] the newest codes; row n is at n mod 128."""


class Setting(NamedTuple):
    """Options as the kernels want them."""

    seed: int
    positions: int
    """Of a row; 1 where the row is one."""
    below: int
    """Positions from one to the one that it foretells; 0: it foretells its own next row."""
    hop: int
    """Inputs from one place to the next."""
    source: int
    """Where negatives come from, see `sampling`."""
    warm: int
    """Rows that vary before anything is learned."""
    rate: float
    every: int
    """Rows to one that is learned."""
    loss: int
    """See `INFONCE`."""
    decorrelate: float
    lru: int | None
    """None without it: what is not there is not compiled, as that would take a minute more."""
    gru: int | None
    gives: int
    """See `CODE`."""
    memory: float
    """1 / memory_rows"""


class Scratch(NamedTuple):
    """Room for one row at work; holds nothing from row to row."""

    x: F32
    """[R, D] the row, the K before it, the negatives."""
    z: F32
    """[R, P, H] their activities, later the gradients of these."""
    code: F32
    """[R, H] zn"""
    factor: F32
    """[R] zn / z"""
    delta: F32
    """[R, H] dL/d zn, later dL/d z."""
    query: F32
    """[K, H] q_k = W_k^T c / H."""
    error: F32
    """[K, H] e_k = sum over candidates of dL/d score times code."""
    score: F32
    """[1 + N]"""
    told: I64
    """[K] 1 where the row can be told from the row k + 1 before it."""
    match: I64
    """[M] rows of the reservoir that negatives are drawn from."""
    gradient: F32
    """[H] of one row of weights."""
    context: F32
    """[1 + K, C] contexts of the row and of those before."""
    slope: F32
    """[K, C] dL/d c, later dL/d h."""
    scale: F32
    """[K] c / h"""
    pole: F32
    """[3, n] lambda, real and imaginary, and gamma."""
    drive: F32
    """[2, n] u"""
    state: F32
    """[G, n] after the row."""
    gates: F32
    """[K, 3, n] gradients of what comes in at the gates of `gru`."""
    gradient_mix: F32
    """[3, n] of one line of recurrent weights."""


class Who(NamedTuple):
    """Which position of which row."""

    row: int
    """Number that keys its random choices."""
    slot: int
    stream: int
    device: int
    at: int
    """Its place among the positions."""


class Module(NamedTuple):
    """All of it."""

    net: Net
    past: Past
    store: Store
    setting: Setting
    scratch: Scratch
