"""What a module keeps between rows, and room for one row at work.

D inputs, F inputs of a place, P places, H units, K steps, N negatives, M rows of the reservoir,
S streams kept at once, R = 1 + K + N rows that are encoded for one.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels.random import generator
from streamlearn.part import F32, I32, Arrays, Place
from streamlearn.rules.greedy_infomax.options import GreedyInfomaxOptions

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Plain = tuple[Any, ...]
"""Plain tuples are handed to a kernel in half the time of named ones."""

ROWS, STORED, STEPS, SCORED = range(4)
"""Places of the clock: rows seen, rows that vary, steps learned, rows scored."""
INFONCE, HINGE, LPL = range(3)
LOSS, ACCURACY, FALLBACK, SURPRISE, MEAN, SQUARE = range(6)
"""Places of the figures; the last two are of the loss before it is standardised."""
_RECENT_ROWS: Final = 128
_LOSSES: Final = ("infonce", "hinge", "lpl")
"""In the order of their numbers."""


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
    predict: F32
    """[K, H, H] W_k, contexts x codes."""
    predict_moments: F32
    """[2, K, H, H]"""


class Past(NamedTuple):
    """The last rows of every stream that is kept; place S is for rows shown aside."""

    x: F32
    """[S + 1, K, D] row n of a stream is at n mod K."""
    rows: I64
    """[S + 1] rows since the stream began."""


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
    """[6] fading means, see `LOSS`."""
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
    hop: int
    """Inputs from one place to the next."""
    source: int
    """Where negatives come from, see `sampling`."""
    warm: int
    """Rows that vary before anything is learned."""
    rate: float
    loss: int
    """See `INFONCE`."""
    decorrelate: float
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


def steps_of(options: GreedyInfomaxOptions) -> int:
    """K: how many rows ahead are told."""
    return 1 if options.loss == "lpl" else options.steps


def _negatives_of(options: GreedyInfomaxOptions) -> int:
    return {"infonce": options.negatives, "hinge": 1, "lpl": 0}[options.loss]


class Module(NamedTuple):
    """All of it."""

    net: Net
    past: Past
    store: Store
    setting: Setting
    scratch: Scratch


def setting_of(options: GreedyInfomaxOptions, place: Place, hop: int) -> Setting:
    """Options as the kernels want them."""
    sources = ("any", "other", "same", "device")
    return Setting(
        seed=place.seed,
        hop=hop,
        source=sources.index(options.negatives_from),
        warm=options.warm_rows,
        rate=options.rate,
        loss=_LOSSES.index(options.loss),
        decorrelate=options.decorrelate,
        memory=1.0 / options.memory_rows,
    )


def new_net(options: GreedyInfomaxOptions, place: Place, inputs: int) -> Net:
    """W ~ N(0, 1 / F), no biases, every W_k the identity."""
    H, K = options.units, 0 if options.loss == "lpl" else options.steps
    weights = generator(place.seed).standard_normal((inputs, H), np.float32)
    weights /= np.float32(np.sqrt(inputs))
    predict = np.tile(np.eye(H, dtype=np.float32), (K, 1, 1))
    return Net(
        weights=weights,
        weights_moments=np.zeros((2, inputs, H), np.float32),
        bias=np.zeros(H, np.float32),
        bias_moments=np.zeros((2, H), np.float32),
        predict=predict,
        predict_moments=np.zeros((2, K, H, H), np.float32),
    )


def new_past(options: GreedyInfomaxOptions, place: Place, slots: int) -> Past:
    """No past rows."""
    return Past(
        x=np.zeros((slots, steps_of(options), place.width_in), np.float32),
        rows=np.zeros(slots, np.int64),
    )


def new_store(options: GreedyInfomaxOptions, place: Place) -> Store:
    """Nothing stored."""
    H, lpl = options.units, options.loss == "lpl"
    M = 0 if lpl else options.reservoir_rows
    return Store(
        x=np.zeros((M, place.width_in), np.float32),
        stream=np.zeros(M, np.int32),
        device=np.zeros(M, np.int32),
        clock=np.zeros(4, np.int64),
        figures=np.zeros(6),
        by_step=np.zeros((3, steps_of(options))),
        usage=np.ones(H, np.float32),
        mean=np.zeros(H * lpl, np.float32),
        covariance=np.zeros((H * lpl, H * lpl), np.float32),
        recent=np.zeros((_RECENT_ROWS, H), np.float32),
    )


def new_scratch(options: GreedyInfomaxOptions, place: Place, places: int) -> Scratch:
    """Room of the right sizes."""
    H, K, N = options.units, steps_of(options), _negatives_of(options)
    R = 1 + K + N
    return Scratch(
        x=np.zeros((R, place.width_in), np.float32),
        z=np.zeros((R, places, H), np.float32),
        code=np.zeros((R, H), np.float32),
        factor=np.zeros(R, np.float32),
        delta=np.zeros((R, H), np.float32),
        query=np.zeros((K, H), np.float32),
        error=np.zeros((K, H), np.float32),
        score=np.zeros(1 + N, np.float32),
        told=np.zeros(K, np.int64),
        match=np.zeros(options.reservoir_rows if N else 0, np.int64),
        gradient=np.zeros(H, np.float32),
    )


def arrays_of(net: Net, past: Past, store: Store) -> Arrays:
    """Every array of the state by name."""
    arrays: Arrays = dict(net._asdict())
    arrays |= {f"past_{name}": array for name, array in past._asdict().items()}
    arrays |= {f"stored_{name}": getattr(store, name) for name in ("x", "stream", "device")}
    rest = ("clock", "figures", "by_step", "usage", "mean", "covariance", "recent")
    arrays |= {name: getattr(store, name) for name in rest}
    return {name: array for name, array in arrays.items() if array.size}
