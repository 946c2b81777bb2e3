"""Class blocks and the local read-out over an image; the equations are in `fields`.

P positions, m of them with contrast, U channels a position, R regions, K classes.
"""

import math
from typing import Final

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.kernels.schedules import fall_of
from streamlearn.kernels.sums import log_softmax, sum_of_squares
from streamlearn.part import F32
from streamlearn.rules.forward_forward_fields.kernels import regions_of
from streamlearn.rules.forward_forward_fields.state import (
    BLOCKS,
    PROJECTION,
    Geometry,
    Machine,
    Room,
    Setting,
    View,
)
from streamlearn.rules.forward_forward_fields.steps import descend, note

_SMALLEST_ERROR: Final = np.float32(1e-7)
"""Errors below the precision of a probability count as none: products of such numbers are too small
to be normal, and a hundred times slower."""
_ROOT_FROM: Final = np.float32(0.1)
"""Answers below this have the slope of the root there, as at 0 it has none."""


@inlined
def _block_evidence(setting: Setting, geometry: Geometry, view: View, m: int, g: F32) -> None:
    """Write g_k [K] = scale times the mean square over the positions and the k-th block."""
    block = view.activity.shape[1] // g.shape[0]
    share = setting.scale / (geometry.down * geometry.across * block)
    g[:] = 0
    for j in range(m):
        activity = view.activity[j]
        for k in range(g.shape[0]):
            g[k] += sum_of_squares(activity[k * block : k * block + block])
    for k in range(g.shape[0]):
        g[k] *= np.float32(share)


@inlined
def _read_out(readout: F32, out: F32, g: F32) -> None:
    """Write g [K] = M out, for the layer's answer out [R U]."""
    for k in range(g.shape[0]):
        w = readout[k]
        total = np.float32(0)
        for i in range(out.shape[0]):
            total += w[i] * out[i]
        g[k] = total


@inlined
def believe(machine: Machine, m: int, out: F32) -> None:
    """Write log beliefs g [K] from what was seen and answered, where labels take part."""
    g, setting = machine.room.evidence, machine.setting
    if setting.goal == BLOCKS:
        _block_evidence(setting, machine.geometry, machine.seen, m, g)
        log_softmax(g)
    elif setting.goal == PROJECTION:
        _read_out(machine.state.readout, out, g)
        log_softmax(g)


@inlined
def _errors(g: F32, y: int, smoothing: np.float32, e: F32) -> float:
    """Write e [K] = q - p, q_y = 1 - s and others s / (K - 1); returns the best other's g."""
    hit = np.float32(1) - smoothing
    miss = smoothing / np.float32(max(g.shape[0] - 1, 1))
    other = np.float32(-87)
    for k in range(g.shape[0]):
        error = (hit if k == y else miss) - np.float32(math.exp(g[k]))
        e[k] = error if abs(error) > _SMALLEST_ERROR else np.float32(0)
        other = max(other, g[k]) if k != y else other
    return float(other)


@inlined
def _ask_blocks(view: View, m: int, e: F32) -> None:
    """Write delta = e_k a for the channels of the k-th block [m, U]."""
    block = view.activity.shape[1] // e.shape[0]
    for j in range(m):
        activity, delta = view.activity[j], view.delta[j]
        for k in range(e.shape[0]):
            for u in range(k * block, k * block + block):
                delta[u] = e[k] * activity[u]


@inlined
def _slopes(readout: F32, e: F32, room: Room, root: bool) -> None:  # noqa: FBT001  numba takes no keywords
    """Write by how much each sum of activities should rise: slope [R U] = M^T e dh.

    dh = 1, or 1 / (2 h) where h is a root.
    """
    slope, pooled = room.slope, room.pooled
    slope[:] = 0
    for k in range(e.shape[0]):
        w, error = readout[k], e[k]
        for i in range(slope.shape[0]):
            slope[i] += error * w[i]
    if root:
        for i in range(slope.shape[0]):
            slope[i] *= np.float32(0.5) / max(pooled[i], _ROOT_FROM)


@inlined
def _ask_regions(geometry: Geometry, view: View, m: int, slope: F32) -> None:
    """Write delta = [a > 0] (sum of the slopes of the regions that cover a position) [m, U]."""
    U = view.activity.shape[1]
    for j in range(m):
        activity, delta = view.activity[j], view.delta[j]
        top, bottom, left, right = regions_of(geometry, view.where[j])
        delta[:] = 0
        for line in range(top, bottom):
            for column in range(left, right):
                r = line * geometry.regions_across + column
                part = slope[r * U : r * U + U]
                for u in range(U):
                    delta[u] += part[u]
        for u in range(U):
            delta[u] = delta[u] if activity[u] > 0 else np.float32(0)


@inlined
def _learn_readout(readout: F32, e: F32, out: F32, rate: float) -> None:
    """M += rate e out^T / (R U): a row's own evidence moves by rate e; readout [K, R U] moves."""
    share = np.float32(rate / out.shape[0])
    for k in range(e.shape[0]):
        w, step = readout[k], share * e[k]
        for i in range(out.shape[0]):
            w[i] += step * out[i]


@inlined
def follow_label(machine: Machine, m: int, y: int, out: F32) -> None:
    """Learn from the row seen, whose label is y and whose log beliefs are written."""
    state, setting, room = machine.state, machine.setting, machine.room
    view, e = machine.seen, room.errors
    other = _errors(room.evidence, y, setting.smoothing, e)
    note(state, float(room.evidence[y]), other)
    fall = fall_of(state.clock[0], setting.decay_rows, setting.floor)
    if setting.goal == BLOCKS:
        _ask_blocks(view, m, e)
    else:
        _slopes(state.readout, e, room, setting.root)
        _ask_regions(machine.geometry, view, m, room.slope)
        _learn_readout(state.readout, e, out, setting.read_rate * fall)
    descend(state, view, m, setting.rate * fall)
