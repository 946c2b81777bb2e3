"""Rows as a contrast layer reads them, the labels in them, and what it answers; see `contrast`."""

import math
from typing import Final

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.kernels.random import uniform
from streamlearn.part import F32
from streamlearn.rules.forward_forward.contrast_state import (
    AVERAGED,
    CANDIDATES,
    CLASSES,
    COUNT,
    FIRST,
    HARD,
    I64,
    NONE,
    PAIR,
    SEED,
    STRENGTH,
    U32,
    WANTED,
    WAY,
    Case,
    Layer,
)
from streamlearn.rules.forward_forward.goodness import ACTIVATION, activate, log_odds, normalise

_FAINT: Final = np.float32(1e-7)
"""Beside inputs of mean square 1 smaller ones say nothing, and would be slow to compute with."""
_BELIEF: Final = 2.0
"""Hard wrong labels are drawn from softmax(2 z): twice as sure as the layer's own log odds."""


@inlined
def take(x: F32, z: F32, active: U32, work: I64, v: int) -> None:
    """Take the row x [D] to work as the v-th, z = x / rms(x), to be answered unless it is blank.

    Zeros where x is zero or not finite.
    """
    square, D = 0.0, x.shape[0]
    for i in range(D):
        square += np.float64(x[i]) * np.float64(x[i])
    factor = math.sqrt(D / square) if 0.0 < square < np.inf else 0.0
    for i in range(D):
        value = np.float32(x[i] * factor)
        z[i] = value if abs(value) > _FAINT else np.float32(0)
    n = 0
    for i in range(D):
        active[n] = i
        n += int(z[i] != 0)
    work[COUNT, v] = n
    work[WANTED, v] = int(n > 0)


@inlined
def write_label(label: F32, y: int, strength: float) -> None:
    """Write a label to label [E]: one of them, or where it is not known an equal part of each."""
    for k in range(label.shape[0]):
        one = np.float32(strength) if k == y else np.float32(0)
        label[k] = np.float32(strength / label.shape[0]) if y < 0 else one


@inlined
def add_labels(weights: F32, label: F32, current: F32, out: F32) -> None:
    """Write out = current + sum_k label_k W_(D + k); weights [D + E, H], current and out [H]."""
    D = weights.shape[0] - label.shape[0]
    for h in range(out.shape[0]):
        out[h] = current[h]
    for k in range(label.shape[0]):
        share, w = label[k], weights[D + k]
        if share != 0:
            for h in range(out.shape[0]):
                out[h] += share * w[h]


@inlined
def _form(choices: I64, K: int, y: int, wrong: int, t: int) -> tuple[int, int, int]:
    """What the t-th answer to a row is about: which row at work, under which label, which lane.

    The 0th is the row without a label; then one for every label that is weighed; then the lanes
    that are none of these. A row or a lane of -1: there is none.
    """
    way, first = choices[WAY], choices[FIRST]
    if t == 0:
        return 0, -1, -1
    if t <= K:
        lane = t - 1 if way == CANDIDATES else -1
        return (0, t - 1, lane) if first else (t, -1, lane)
    lane = t - K - 1
    row = 1 if way == NONE else 1 + lane
    if way == CANDIDATES:
        row, lane = (1 if first else 1 + K), K
        row = row if y < 0 else -1
    elif way == PAIR and first:
        row, y = (0, y if lane == 0 else wrong) if y >= 0 else (lane, -1)
        return row, y, lane
    return row, -1, lane


@inlined
def forms_of(way: int, K: int, lanes: int) -> int:
    """How many answers there are to a row, for so many lanes."""
    if lanes == 0:
        return 1 + K
    return 1 + K + (2 if way == PAIR else 1)


@inlined
def answer(layer: Layer, case: Case, lanes: F32, begin: int, end: int) -> int:
    """Write the answers begin … end - 1: activities, lanes [L', H], log odds.

    Returns the wrong label that is drawn once all labels are weighed, -1 before.
    """
    choices, units, K = layer.choices, layer.units, layer.score.shape[0]
    V = layer.work.shape[1] - 1
    seen, current, activity = choices[AVERAGED] * V, units[2 * V], units[2 * V + 1]
    wrong = -1
    for t in range(begin, end + 1):
        if t == K + 1 and case.y >= 0:
            wrong = _wrong_label(choices, layer.score, case.y, case.key, case.draw)
        if t == end:
            break
        v, y, lane = _form(choices, K, case.y, wrong, t)
        activity[:] = 0
        if v >= 0 and layer.work[COUNT, v] > 0:
            write_label(layer.label[0], y, layer.numbers[STRENGTH])
            add_labels(layer.average, layer.label[0], units[seen + v], current)
            activate(current, choices[ACTIVATION], activity)
        if 0 < t <= K:
            layer.score[t - 1] = np.float32(log_odds(activity, choices, layer.numbers))
        if t == 0:
            normalise(activity, units[2 * V + 6])
        elif 0 <= lane < lanes.shape[0]:
            normalise(activity, lanes[lane])
    return wrong


@inlined
def _wrong_label(choices: I64, score: F32, y: int, key: int, draw: int) -> int:
    """Draw a wrong label: from softmax(2 z) over the others, or any of them alike."""
    K = choices[CLASSES]
    luck = uniform(choices[SEED], key, draw)
    believed = choices[HARD] and score.shape[0] > 0
    highest, total = -np.inf, 0.0
    for k in range(K):
        if k != y and believed:
            highest = max(highest, _BELIEF * score[k])
    for k in range(K):
        if k != y:
            total += math.exp(_BELIEF * score[k] - highest) if believed else 1.0
    left, chosen = luck * total, int(y == 0)
    for k in range(K):
        if k != y and left >= 0:
            left -= math.exp(_BELIEF * score[k] - highest) if believed else 1.0
            chosen = k
    return chosen
