"""What the net learns from one row: positive against negative lane, level by level.

At each step s from `learn_from` to S each level compares the goodness of its two lanes,

    pair:       q = sigmoid(margin - scale (g+ - g-))          for both lanes
    threshold:  q+ = sigmoid(scale (threshold - g+)), q- = sigmoid(scale (g- - threshold))

which are minus the derivatives of softplus losses (Hinton 2022; Lee & Song, SymBa, arXiv 2303.08418
for the pair). Goodness rises with a weight as its unit's activity times its input, so with
e+ = q+ gated+, e- = -q- gated- and inputs as each lane's level saw them,

    D_ij = 1/S' sum over lanes and steps of z_i(s) e_j(s)      S' = number of steps learned from
    u = clip(D G, ±1),   W += rate u,   G <- min(G (1 + 1/memory_rows - u²/2), 10)

with Adagrad's gain G of each weight carried along (see `streamlearn.heads.softmax`). No level asks
another: a step needs the activities on both sides of a weight and the level's own q.

Peer normalisation adds peer (mean over units - unit) of running mean activities to e+, whether or
not the unit is active, so that dead units come back.
"""

from typing import Any, NamedTuple

import numpy as np

from streamlearn.kernels import inlined, kernel
from streamlearn.part import F32
from streamlearn.rules.forward_forward_top_down.net import (
    ACTIVE,
    BEGIN,
    BIAS,
    DOWN,
    GATED,
    I64,
    NORMAL,
    SIZE,
    UP,
    Lanes,
    source_of,
)

Plain = tuple[Any, ...]

_LARGEST_GAIN = np.float32(10)
_PEER_RATE = np.float32(0.1)
"""How fast the running means of activities follow; 0.1 in the paper's code."""


class Loss(NamedTuple):
    """How goodness is learned."""

    pair: int
    """1: pair, 0: threshold."""
    target: float
    """Margin or threshold."""
    scale: float
    first: int
    """First step learned from."""
    peer: float


class Errors(NamedTuple):
    """Room for what moves the weights: e of both lanes; holds nothing between rows."""

    e: F32
    """[2, S + 1, N]"""
    total: F32
    """[2, N] its sum over the steps."""
    sums: F32
    """[N] one row of D."""


class Bout(NamedTuple):
    """Two lanes that are held against each other."""

    lanes: Lanes
    errors: Errors
    positive: int
    negative: int
    first: int
    """First step learned from."""
    alternating: int


class Step(NamedTuple):
    """Size of a weight's step."""

    rate: np.float32
    growth: np.float32
    """1 + 1 / memory_rows."""


@inlined
def move(weight: F32, gain: F32, e: F32, step: Step) -> None:
    """Move the weights [H] of one input by their D = e [H]; gains [H] are written too."""
    rate, growth = step.rate, step.growth
    for h in range(e.shape[0]):
        u = min(max(e[h] * gain[h], np.float32(-1)), np.float32(1))
        weight[h] += rate * u
        gain[h] = min(gain[h] * (growth - np.float32(0.5) * u * u), _LARGEST_GAIN)


@inlined
def _sigmoid(x: float) -> np.float32:
    clipped = min(max(x, -30.0), 30.0)
    return np.float32(1.0 / (1.0 + np.exp(-clipped)))


@inlined
def _shares(g: float, other: float, loss: Loss) -> tuple[np.float32, np.float32]:
    """q+ and q- for goodness g of the positive and `other` of the negative lane."""
    if loss.pair:
        q = _sigmoid(loss.target - loss.scale * (g - other))
        return q, q
    q = _sigmoid(loss.scale * (loss.target - g))
    return q, _sigmoid(loss.scale * (other - loss.target))


@inlined
def _level_errors(bout: Bout, at: tuple[int, int, int], loss: Loss) -> None:
    """Write e of a level's units b…b + H at every step; at: (b, H, level)."""
    b, H, level = at
    lanes, errors = bout.lanes, bout.errors
    steps = lanes.acts.shape[2] - 1
    share = np.float32(1.0 / (steps + 1 - loss.first))
    for s in range(loss.first, steps + 1):
        g = lanes.goodness[bout.positive, s, level - 1]
        q, r = _shares(g, lanes.goodness[bout.negative, s, level - 1], loss)
        e, other = errors.e[0, s, b : b + H], errors.e[1, s, b : b + H]
        plus = lanes.acts[GATED, bout.positive, s, b : b + H]
        minus = lanes.acts[GATED, bout.negative, s, b : b + H]
        for h in range(H):
            e[h] = q * share * plus[h]
            other[h] = -r * share * minus[h]


@inlined
def _mean(values: F32) -> np.float32:
    total = np.float32(0)
    for h in range(values.shape[0]):
        total += values[h]
    return total / np.float32(values.shape[0])


@inlined
def _add_peers(bout: Bout, at: tuple[int, int, int], peers: F32, loss: Loss) -> None:
    """Add the pull to the mean activity to e+ of a level; running means peers [N] are written."""
    b, H = at[0], at[1]
    lanes, errors = bout.lanes, bout.errors
    steps = lanes.acts.shape[2] - 1
    h, mine = lanes.acts[ACTIVE, bout.positive, steps, b : b + H], peers[b : b + H]
    for i in range(H):
        mine[i] += _PEER_RATE * (h[i] - mine[i])
    if loss.peer == 0:
        return
    middle = _mean(mine)
    part = np.float32(loss.peer / (steps + 1 - loss.first))
    for s in range(loss.first, steps + 1):
        e = errors.e[0, s, b : b + H]
        for i in range(H):
            e[i] += part * (middle - mine[i])


@inlined
def _write_errors(net: I64, bout: Bout, peers: F32, loss: Loss) -> None:
    """Write e and its sum over steps for all levels; peers [N] move."""
    for level in range(1, net.shape[1] - 1):
        at = net[BEGIN, level], net[SIZE, level], level
        _level_errors(bout, at, loss)
        _add_peers(bout, at, peers, loss)
    e, total = bout.errors.e, bout.errors.total
    total[:] = 0
    for lane in range(2):
        for s in range(loss.first, e.shape[1]):
            for i in range(e.shape[2]):
                total[lane, i] += e[lane, s, i]


@inlined
def _move_input(
    weights: F32, gains: F32, net: I64, bout: Bout, inputs: tuple[F32, F32], step: Step
) -> None:
    """Move the weights between the input and the lowest level; inputs: of both lanes [F * D]."""
    x, other, errors = inputs[0], inputs[1], bout.errors
    H, begin = net[SIZE, 1], net[UP, 1]
    e, f, sums = errors.total[0, :H], errors.total[1, :H], errors.sums[:H]
    for i in range(x.shape[0]):
        p, q = x[i], other[i]
        if p != 0 or q != 0:
            for h in range(H):
                sums[h] = p * e[h] + q * f[h]
            at = begin + i * H
            move(weights[at : at + H], gains[at : at + H], sums, step)


@inlined
def _sum_errors(bout: Bout, unit: int, at: tuple[int, int, int]) -> bool:
    """Write sum over lanes and steps of z_unit(s - back) e(s) [H]; False where z is always 0."""
    b, H, back = at
    acts, e, used = bout.lanes.acts, bout.errors.e, False
    sums = bout.errors.sums[:H]
    sums[:] = 0
    for lane in range(2):
        here = bout.positive if lane == 0 else bout.negative
        for s in range(bout.first, e.shape[1]):
            x = acts[NORMAL, here, s - back, unit]
            if x != 0:
                used = True
                row = e[lane, s, b : b + H]
                for h in range(H):
                    sums[h] += x * row[h]
    return used


@inlined
def _move_between(
    weights: F32, gains: F32, net: I64, bout: Bout, at: tuple[int, int], step: Step
) -> None:
    """Move a level's weights from the level below, or above, it; at: (level, above it or not)."""
    level, above = at
    other = level + 1 if above else level - 1
    if other == 0 or other == net.shape[1] - 1:
        return
    begin = net[DOWN, level] if above else net[UP, level]
    b, H, a = net[BEGIN, level], net[SIZE, level], net[BEGIN, other]
    back = 1 - source_of(level, 1, bout.alternating)
    sums = bout.errors.sums[:H]
    for i in range(net[SIZE, other]):
        if _sum_errors(bout, a + i, (b, H, back)):
            here = begin + i * H
            move(weights[here : here + H], gains[here : here + H], sums, step)


@inlined
def _move_biases(weights: F32, gains: F32, net: I64, bout: Bout, level: int, step: Step) -> None:
    b, H, at, errors = net[BEGIN, level], net[SIZE, level], net[BIAS, level], bout.errors
    for i in range(H):
        errors.sums[i] = errors.total[0, b + i] + errors.total[1, b + i]
    move(weights[at : at + H], gains[at : at + H], errors.sums[:H], step)


@inlined
def _move_labels(
    weights: F32, gains: F32, net: I64, bout: Bout, label: tuple[int, int, float], step: Step
) -> None:
    """Move the weights from labels to the highest level; label: (right, wrong, strength)."""
    top = net.shape[1] - 2
    b, H, total, sums = net[BEGIN, top], net[SIZE, top], bout.errors.total, bout.errors.sums
    size = np.float32(label[2])
    for lane in range(2):
        at = net[DOWN, top] + (label[0] if lane == 0 else label[1]) * H
        for h in range(H):
            sums[h] = size * total[lane, b + h]
        move(weights[at : at + H], gains[at : at + H], sums[:H], step)


@kernel
def contrast(
    weights: Plain, inputs: Plain, peers: F32, net: I64, room: Plain, how: Plain, label: Plain
) -> None:
    """Learn one row from two lanes that have settled.

    weights: W and G [P], both written; inputs: (x, x) [F * D] of both lanes; peers [N], written;
    room: `Lanes` and `Errors`; how: `Loss`, `Step` and (positive lane, negative lane, alternating);
    label: (right, wrong, strength), or right = -1 without labels. Tuples are plain.
    """
    loss, step = Loss(*how[0]), Step(*how[1])
    positive, negative, alternating = how[2]
    lanes, errors = Lanes(*room[0]), Errors(*room[1])
    bout = Bout(lanes, errors, positive, negative, loss.first, alternating)
    W, G = weights
    _write_errors(net, bout, peers, loss)
    if label[0] >= 0:
        _move_labels(W, G, net, bout, label, step)
    _move_input(W, G, net, bout, inputs, step)
    for level in range(1, net.shape[1] - 1):
        _move_biases(W, G, net, bout, level, step)
        for above in range(2):
            _move_between(W, G, net, bout, (level, above), step)


@kernel
def believe(readout: F32, z: F32, p: F32) -> None:
    """Write p = softmax(R z) [K]; readout R [K, N] and z [N] are read."""
    largest = np.float32(-np.inf)
    for k in range(p.shape[0]):
        row, score = readout[k], np.float32(0)
        for i in range(row.shape[0]):
            score += row[i] * z[i]
        p[k] = score
        largest = max(largest, score)
    total = np.float32(0)
    for k in range(p.shape[0]):
        p[k] = np.exp(p[k] - largest)
        total += p[k]
    for k in range(p.shape[0]):
        p[k] /= total


@kernel
def teach(readout: F32, gains: F32, z: F32, p: F32, how: Plain) -> None:
    """One step of R [K, N] and its gains from activities z [N]; how: (label, step, room [N])."""
    label, plain, room = how
    step = Step(*plain)
    for k in range(p.shape[0]):
        error = (np.float32(1) if k == label else np.float32(0)) - p[k]
        for i in range(z.shape[0]):
            room[i] = error * z[i]
        move(readout[k], gains[k], room, step)


@kernel
def average(weights: F32, averaged: F32, part: np.float32) -> None:
    """A += part (W - A), both [P]; averaged is written."""
    for p in range(weights.shape[0]):
        averaged[p] += part * (weights[p] - averaged[p])
