"""What a contrast layer learns from a positive and a negative row at work; see `contrast`."""

from typing import Final

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.kernels.schedules import fall_of
from streamlearn.part import F32
from streamlearn.rules.forward_forward.contrast_rows import add_labels, write_label
from streamlearn.rules.forward_forward.contrast_state import (
    APART,
    AWAKE,
    COUNT,
    DECAY_ROWS,
    F64,
    GOOD,
    I64,
    LARGEST,
    LEARNED,
    PEER,
    RATE,
    RATE_FLOOR,
    SEEN,
    STALE,
    STORED,
    STRENGTH,
    U32,
    WRONG,
    Case,
    Layer,
)
from streamlearn.rules.forward_forward.goodness import (
    ACTIVATION,
    activate,
    log_odds,
    pull_of,
    slope,
)
from streamlearn.rules.forward_forward.sweep import move

_FADING: Final = 1e-3
"""Share of one row in the running means: 0.1 a hundred rows, as with batches of a hundred."""


@inlined
def _rate(D: int, label: F32, learned: int, numbers: F64, share: float) -> float:
    """What a slope is multiplied with: for sgd rate f(t) / |z|², so that v moves by rate f(t)."""
    size = float(D)
    if numbers[LARGEST] > 0:
        return share
    for k in range(label.shape[0]):
        size += np.float64(label[k]) ** 2
    fall = fall_of(learned, numbers[DECAY_ROWS], numbers[RATE_FLOOR])
    rate: float = share * numbers[RATE] * fall / size
    return rate


@inlined
def _odds(layer: Layer, v: int, side: int) -> float:
    """Log odds of the v-th row under its label; its current and activity stay in `units`."""
    units, choices = layer.units, layer.choices
    at = 2 * (layer.work.shape[1] - 1) + 2 * side
    add_labels(layer.weights, layer.label[side], units[v], units[at])
    activate(units[at], choices[ACTIVATION], units[at + 1])
    return log_odds(units[at + 1], choices, layer.numbers)


@inlined
def _follow_peers(means: F32, activity: F32, strength: float, step: F32) -> None:
    """Add strength (mean of the means - own mean) to step [H], then move the means by activity."""
    total = np.float32(0)
    for h in range(means.shape[0]):
        total += means[h]
    mean, factor = total / np.float32(means.shape[0]), np.float32(strength)
    if factor != 0:
        for h in range(means.shape[0]):
            step[h] += factor * (mean - means[h])
    for h in range(means.shape[0]):
        means[h] += np.float32(_FADING) * (activity[h] - means[h])


@inlined
def _note(figures: F64, positive: float, negative: float) -> None:
    """Move the fading means of z+, z-, [z- >= z+] and 1."""
    wrong = 1.0 if negative >= positive else 0.0
    figures[GOOD] += _FADING * (positive - figures[GOOD])
    figures[GOOD + 1] += _FADING * (negative - figures[GOOD + 1])
    figures[WRONG] += _FADING * (wrong - figures[WRONG])
    figures[SEEN] += _FADING * (1.0 - figures[SEEN])


@inlined
def _store(ring: F32, counts: I64, z: F32, label: F32) -> None:
    """Put the row z [D] and its label [E] in the place of the oldest stored one."""
    stored, D = ring[counts[STORED] % ring.shape[0]], z.shape[0]
    for i in range(D):
        stored[i] = z[i]
    for k in range(label.shape[0]):
        stored[D + k] = label[k]
    counts[STORED] += 1
    counts[AWAKE] += 1


@inlined
def _teach_labels(weights: F32, gains: F32, label: F32, step: F32, numbers: F64) -> None:
    """Take the steps [2, H] for label inputs at once: they are few, and the next row needs them."""
    D = weights.shape[0] - label.shape[1]
    for k in range(label.shape[1]):
        p, m = label[0, k], label[1, k]
        if p != 0 or m != 0:
            w = weights[D + k]
            g = gains[D + k] if numbers[LARGEST] > 0 else w
            move(w, g, p, m, step, numbers)


@inlined
def _leave_pending(
    rows: F32, index: U32, work: I64, roles: tuple[int, int, int], step: F32
) -> None:
    """Leave the steps [2, H] for row inputs to the next pass; -1: there is no such row."""
    V, positive, negative = work.shape[1] - 1, roles[0], roles[1]
    plus, minus = rows[V + 1], rows[V + 2]
    shared = positive == negative
    if shared:
        c, d = step[0], step[1]
        for h in range(c.shape[0]):
            c[h] += d[h]
    z, other = rows[max(positive, 0)], rows[max(negative, 0)]
    one = np.float32(positive >= 0)
    two = np.float32(negative >= 0 and not shared)
    n = 0
    for i in range(z.shape[0]):
        p, m = one * z[i], two * other[i]
        index[n] = i
        plus[n] = p
        minus[n] = m
        n += int(p != 0 or m != 0)
    work[COUNT, V] = n


@inlined
def learn_pair(layer: Layer, case: Case, roles: tuple[int, int, int]) -> None:
    """Learn from rows at work: roles are the positive, the negative and the wrong label.

    Awake and apart, the positive is learned beside the usual negative, which is put by; asleep the
    negative beside the usual positive.
    """
    choices, numbers, figures, units = layer.choices, layer.numbers, layer.figures, layer.units
    at = 2 * (layer.work.shape[1] - 1)
    step = units[at + 4 : at + 6]
    asleep, apart = case.kind == STALE, choices[APART] > 0
    if not asleep:
        write_label(layer.label[1], roles[2], numbers[STRENGTH])
    write_label(layer.label[0], case.y, numbers[STRENGTH] if not asleep else 0.0)
    known = max(figures[SEEN], 1e-300)
    good, bad, pulled = figures[GOOD] / known, figures[GOOD + 1] / known, 0.0
    usual = bad
    rate = _rate(layer.rows.shape[1], layer.label[1], layer.counts[LEARNED], numbers, case.share)
    for side in range(2):
        v = roles[side]
        if v >= 0:
            odds = _odds(layer, v, side)
            good, bad = (odds, bad) if side == 0 else (good, odds)
    for side in range(2):
        sign = 1 - 2 * side
        other = usual if apart and side == 0 else bad
        pull = pull_of(good, other, side, choices, numbers)
        if (asleep and side == 0) or (apart and not asleep and side == 1):
            pull = 0.0
        pulled += pull
        current, activity = units[at + 2 * side], units[at + 2 * side + 1]
        slope(current, activity, sign * rate * pull, choices, step[side])
    if not asleep:
        _follow_peers(layer.means, units[at + 1], rate * numbers[PEER], step[0])
        if case.draw == 0:
            _note(figures, good, bad)
        if apart:
            _store(layer.stored, layer.counts, layer.rows[roles[1]], layer.label[1])
    if pulled > 0 or (numbers[PEER] > 0 and not asleep):
        _teach_labels(layer.weights, layer.gains, layer.label, step, numbers)
        _leave_pending(layer.rows, layer.active[at // 2], layer.work, roles, step)
