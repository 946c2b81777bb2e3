"""How a module begins: arrays of the right sizes, first weights, options for the kernels."""

import math
from typing import Final

import numpy as np

from streamlearn.kernels.random import generator
from streamlearn.part import F32, Arrays, Place
from streamlearn.rules.greedy_infomax.options import GreedyInfomaxOptions
from streamlearn.rules.greedy_infomax.state import Net, Past, Scratch, Setting, Store

_RECENT_ROWS: Final = 128
_LOSSES: Final = ("infonce", "hinge", "lpl")
"""In the order of their numbers."""
_RING: Final = (0.9, 0.999)
_MOST_PHASE: Final = 0.16
"""A turn in 40 rows."""


def steps_of(options: GreedyInfomaxOptions) -> int:
    """K: how many rows ahead are told."""
    return 1 if options.loss == "lpl" else options.steps


def channels_of(place: Place) -> int:
    """Numbers of a sample, where rows are several samples."""
    return math.prod(place.shape_in[1:])


def positions_of(options: GreedyInfomaxOptions, place: Place) -> int:
    """How many positions a row has."""
    return math.prod(place.shape_in[:-1]) if options.positions else 1


def width_of(options: GreedyInfomaxOptions, place: Place) -> int:
    """D: inputs of a row, of each position where it has several."""
    return place.width_in // positions_of(options, place)


def inputs_of(options: GreedyInfomaxOptions, place: Place) -> int:
    """F: inputs of a place."""
    return options.field * channels_of(place) or width_of(options, place)


def places_of(options: GreedyInfomaxOptions, place: Place) -> int:
    """P: places of the encoder in a row."""
    return (place.shape_in[0] - options.field) // options.stride + 1 if options.field else 1


def state_of(options: GreedyInfomaxOptions) -> int:
    """n: complex numbers of a recurrent context, 0 without one."""
    return 0 if options.context == "none" else options.context_units or options.units


def context_of(options: GreedyInfomaxOptions) -> int:
    """C: numbers of a context."""
    return state_of(options) * (2 if options.context == "lru" else 1) or options.units


def _lines_of(options: GreedyInfomaxOptions) -> int:
    """G: lines of a recurrent state."""
    return 5 if options.context == "gru" else 2


def _negatives_of(options: GreedyInfomaxOptions) -> int:
    return {"infonce": options.negatives, "hinge": 1, "lpl": 0}[options.loss]


def setting_of(options: GreedyInfomaxOptions, place: Place) -> Setting:
    """Options as the kernels want them."""
    sources = ("any", "other", "same", "device", "positions")
    return Setting(
        seed=place.seed,
        positions=positions_of(options, place),
        below=place.shape_in[1] if options.predict == "below" else 0,
        hop=options.stride * channels_of(place),
        source=sources.index(options.negatives_from),
        warm=options.warm_rows,
        rate=options.rate,
        every=options.update_every,
        loss=_LOSSES.index(options.loss),
        decorrelate=options.decorrelate,
        lru=1 if options.context == "lru" else None,
        gru=1 if options.context == "gru" else None,
        gives=("code", "context", "both").index(options.gives),
        memory=1.0 / options.memory_rows,
    )


def new_net(options: GreedyInfomaxOptions, place: Place) -> Net:
    """W ~ N(0, 1 / F), no biases; every W_k and B the identity."""
    H, K = options.units, 0 if options.loss == "lpl" else options.steps
    inputs = inputs_of(options, place)
    weights = generator(place.seed).standard_normal((inputs, H), np.float32)
    weights /= np.float32(np.sqrt(inputs))
    C, n = context_of(options), state_of(options)
    gated = options.context == "gru"
    recurrent = _new_recurrent(0 if gated else n, place.seed)
    mix = _new_gates(H, n, place.seed) if gated else _new_mix(H, n)
    predict = np.zeros((K, C, H), np.float32)
    predict[:] = np.eye(C, H) * (np.arange(C) < (n or H))[:, None]
    return Net(
        weights=weights,
        weights_moments=np.zeros((2, inputs, H), np.float32),
        bias=np.zeros(H, np.float32),
        bias_moments=np.zeros((2, H), np.float32),
        mean_weights=weights.copy() if options.average else np.zeros((0, H), np.float32),
        mean_bias=np.zeros(H * options.average, np.float32),
        predict=predict,
        predict_moments=np.zeros((2, *predict.shape), np.float32),
        recurrent=recurrent,
        recurrent_moments=np.zeros((2, *recurrent.shape), np.float32),
        mix=mix,
        mix_moments=np.zeros((2, *mix.shape), np.float32),
    )


def _new_mix(H: int, n: int) -> F32:
    """B is the identity."""
    mix = np.zeros((2, H, n), np.float32)
    mix[0] = np.eye(H, n)
    return mix


def _new_gates(H: int, n: int, seed: int) -> F32:
    """R and Z random, M the identity of codes, and a bias of 1 for Z."""
    mix = generator(seed ^ 1).standard_normal((3, H + n + 1, n), np.float32)
    mix /= np.float32(np.sqrt(H + n))
    mix[:2, -1] = [[0.0], [1.0]]
    mix[2] = np.eye(H + n + 1, n)
    return mix


def _new_recurrent(n: int, seed: int) -> F32:
    """|lambda| uniform on the ring from .9 to .999, slow phases, gamma = sqrt(1 - |lambda|²)."""
    random = generator(seed ^ 1)
    low, high = _RING
    size = np.sqrt(random.uniform(low**2, high**2, n))
    phase = _MOST_PHASE * random.uniform(0.01, 1.0, n)
    lines = np.log(-np.log(size)), np.log(phase), 0.5 * np.log(1 - size**2)
    return np.ascontiguousarray(lines, np.float32)


def past_bytes(options: GreedyInfomaxOptions, place: Place) -> int:
    """What is kept of all streams."""
    n = state_of(options)
    traces = 4 * n + 2 * n * options.units if options.context == "lru" else 0
    a_row = width_of(options, place) + _lines_of(options) * n + traces
    slots = (place.live + 1) * positions_of(options, place) if options.predict == "time" else 1
    return 4 * slots * steps_of(options) * a_row


def new_past(
    options: GreedyInfomaxOptions, place: Place, slots: int, *, traces: bool = True
) -> Past:
    """No past rows of so many streams; whether with room for traces."""
    slots = slots * positions_of(options, place) if options.predict == "time" else 1
    K, H, n = steps_of(options), options.units, state_of(options)
    traced = slots if traces and options.context == "lru" else 0
    return Past(
        x=np.zeros((slots, K, width_of(options, place)), np.float32),
        rows=np.zeros(slots, np.int64),
        context=np.zeros((slots, K, _lines_of(options), n), np.float32),
        trace=np.zeros((traced, K, 4, n), np.float32),
        trace_mix=np.zeros((traced, K, 2, H, n), np.float32),
    )


def new_store(options: GreedyInfomaxOptions, place: Place) -> Store:
    """Nothing stored."""
    H, lpl = options.units, options.loss == "lpl"
    M = 0 if lpl or options.negatives_from == "positions" else options.reservoir_rows
    return Store(
        x=np.zeros((M, width_of(options, place)), np.float32),
        stream=np.zeros(M, np.int32),
        device=np.zeros(M, np.int32),
        clock=np.zeros(4, np.int64),
        figures=np.zeros(7),
        by_step=np.zeros((3, steps_of(options))),
        usage=np.ones(H, np.float32),
        mean=np.zeros(H * lpl, np.float32),
        covariance=np.zeros((H * lpl, H * lpl), np.float32),
        recent=np.zeros((_RECENT_ROWS, H), np.float32),
    )


def new_scratch(options: GreedyInfomaxOptions, place: Place) -> Scratch:
    """Room of the right sizes."""
    H, K, N = options.units, steps_of(options), _negatives_of(options)
    R, C, n = 1 + K + N, context_of(options), state_of(options)
    return Scratch(
        x=np.zeros((R, width_of(options, place)), np.float32),
        z=np.zeros((R, places_of(options, place), H), np.float32),
        code=np.zeros((R, H), np.float32),
        factor=np.zeros(R, np.float32),
        delta=np.zeros((R, H), np.float32),
        query=np.zeros((K, H), np.float32),
        error=np.zeros((K, H), np.float32),
        score=np.zeros(1 + N, np.float32),
        told=np.zeros(K, np.int64),
        match=np.zeros(options.reservoir_rows if N else 0, np.int64),
        gradient=np.zeros(H, np.float32),
        context=np.zeros((1 + K, C), np.float32),
        slope=np.zeros((K, C), np.float32),
        scale=np.zeros(K, np.float32),
        pole=np.zeros((3, n), np.float32),
        drive=np.zeros((2, n), np.float32),
        state=np.zeros((_lines_of(options), n), np.float32),
        gates=np.zeros((K, 3, n), np.float32),
        gradient_mix=np.zeros((3, n), np.float32),
    )


def arrays_of(net: Net, past: Past, store: Store) -> Arrays:
    """Every array of the state by name."""
    arrays: Arrays = dict(net._asdict())
    arrays |= {f"past_{name}": array for name, array in past._asdict().items()}
    arrays |= {f"stored_{name}": getattr(store, name) for name in ("x", "stream", "device")}
    rest = ("clock", "figures", "by_step", "usage", "mean", "covariance", "recent")
    arrays |= {name: getattr(store, name) for name in rest}
    return {name: array for name, array in arrays.items() if array.size}
