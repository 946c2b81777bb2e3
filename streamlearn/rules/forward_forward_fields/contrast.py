"""Real rows against made-up ones, region by region; the equations are in `fields`.

P positions, m of them with contrast, U channels a position, R regions.
"""

import math
from typing import Final

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.kernels.schedules import fall_of
from streamlearn.kernels.sums import sum_of_squares
from streamlearn.part import F32
from streamlearn.rules.forward_forward.negatives import make_negative
from streamlearn.rules.forward_forward_fields.kernels import normalise_row, regions_of, see
from streamlearn.rules.forward_forward_fields.state import Geometry, Machine, Room, Setting, View
from streamlearn.rules.forward_forward_fields.steps import descend, mean_of, note

_NEGLIGIBLE: Final = 1e-7
"""Pulls below it count as none: products of such numbers are too small to be normal."""


@inlined
def _sigmoid(z: float) -> float:
    """1 / (1 + e^-z), 0 where it is negligible."""
    p = 1.0 / (1.0 + math.exp(-min(max(z, -80.0), 80.0)))
    return p if p > _NEGLIGIBLE else 0.0


@inlined
def _goodness(geometry: Geometry, view: View, m: int, room: Room, regions: F32) -> None:
    """Write each region's goodness [R]: the mean square over its positions and channels."""
    U = view.activity.shape[1]
    for j in range(m):
        room.goodness[j] = sum_of_squares(view.activity[j])
    regions[:] = 0
    for j in range(m):
        top, bottom, left, right = regions_of(geometry, view.where[j])
        for line in range(top, bottom):
            for column in range(left, right):
                regions[line * geometry.regions_across + column] += room.goodness[j]
    share = np.float32(1.0 / (geometry.pool * geometry.pool * U))
    for r in range(regions.shape[0]):
        regions[r] *= share


@inlined
def _pulls(setting: Setting, real: F32, made: F32) -> None:
    """Turn goodnesses [R] of real and made-up regions into pulls on their activities."""
    scale = setting.scale
    for r in range(real.shape[0]):
        up, down = scale * float(real[r]), scale * float(made[r])
        if setting.pair:
            p = _sigmoid(setting.margin - (up - down))
            real[r], made[r] = np.float32(p), np.float32(-p)
        else:
            theta = scale * setting.threshold
            real[r] = np.float32(_sigmoid(theta - up))
            made[r] = np.float32(-_sigmoid(down - theta))


@inlined
def _pull(geometry: Geometry, view: View, m: int, regions: F32) -> None:
    """Write delta = (sum of the pulls of the regions that cover a position) a [m, U]."""
    for j in range(m):
        top, bottom, left, right = regions_of(geometry, view.where[j])
        pull = np.float32(0)
        for line in range(top, bottom):
            for column in range(left, right):
                pull += regions[line * geometry.regions_across + column]
        activity, delta = view.activity[j], view.delta[j]
        for u in range(delta.shape[0]):
            delta[u] = pull * activity[u]


@inlined
def contrast(machine: Machine, m: int, row: int) -> bool:
    """Learn from the row seen against a made-up one; False, and nothing is learned, without."""
    state, setting, geometry, room = machine.state, machine.setting, machine.geometry, machine.room
    view, made = machine.seen, machine.made
    if not make_negative(machine.negatives, view.z, room.pooled, row, made.z):
        return False
    normalise_row(made.z, made.z)
    n = see(state, setting, geometry, made)
    real, unreal = room.regions[0], room.regions[1]
    _goodness(geometry, view, m, room, real)
    _goodness(geometry, made, n, room, unreal)
    note(state, mean_of(real), mean_of(unreal))
    _pulls(setting, real, unreal)
    _pull(geometry, view, m, real)
    _pull(geometry, made, n, unreal)
    rate = setting.rate * fall_of(state.clock[0], setting.decay_rows, setting.floor)
    descend(state, view, m, rate)
    descend(state, made, n, rate)
    return True
