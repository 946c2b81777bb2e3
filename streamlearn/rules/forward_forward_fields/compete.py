"""Channels that compete for patches; the equations are in `fields`.

P positions, m of them with contrast, n numbers a patch, U channels, S sets of weights (1 or P).
"""

import math
from typing import Final

import numpy as np

from streamlearn.kernels import inlined
from streamlearn.kernels.random import uniform
from streamlearn.kernels.sums import sum_of_squares
from streamlearn.part import F32
from streamlearn.rules.forward_forward_fields.state import I64, Room, Setting, State, View
from streamlearn.rules.forward_forward_fields.steps import mean_of, note

WINS_POWER: Final = -0.7
"""A channel's rate falls as its wins to this power: slower than their mean, so early ones fade."""
_LOAD_ROUNDS: Final = 16
"""Times U: patches that a load remembers."""


@inlined
def _likeness(state: State, s: int, patch: F32, current: F32) -> np.float32:
    """Write the cosines [U] of a patch [n] with its channels; returns 1 / |patch|."""
    weights = state.weights
    inverse = np.float32(1 / math.sqrt(sum_of_squares(patch)))
    current[:] = 0
    for i in range(patch.shape[0]):
        w, value = weights[s, i], patch[i] * inverse
        for u in range(current.shape[0]):
            current[u] += value * w[u]
    return inverse


@inlined
def _winner(wins: I64, load: F32, current: F32, conscience: np.float32) -> int:
    """First channel that never won, else the one of the largest cosine - conscience (load - 1)."""
    best, winner = np.float32(-np.inf), 0
    for u in range(current.shape[0]):
        if wins[u] == 0:
            return u
        score = current[u] - conscience * (load[u] - np.float32(1))
        if score > best:
            best, winner = score, u
    return winner


@inlined
def _move(weights: F32, u: int, patch: F32, inverse: np.float32, rate: np.float32) -> None:
    """W_u <- W_u + rate (patch / |patch| - W_u), then back to length 1; weights [n, U]."""
    square = np.float32(0)
    for i in range(patch.shape[0]):
        moved = weights[i, u] + rate * (patch[i] * inverse - weights[i, u])
        square += moved * moved
    # Twice the same sum, since a loop that writes may not add up; see `sums`.
    factor = np.float32(1 / math.sqrt(square)) if square > np.float32(1e-12) else np.float32(1)
    for i in range(patch.shape[0]):
        moved = weights[i, u] + rate * (patch[i] * inverse - weights[i, u])
        weights[i, u] = moved * factor


@inlined
def _compete_for(state: State, setting: Setting, s: int, patch: F32, current: F32) -> None:
    """Move the winner of a patch [n] towards it; its wins and all loads are written."""
    wins, load = state.wins[s], state.load[s]
    inverse = _likeness(state, s, patch, current)
    u = _winner(wins, load, current, setting.conscience)
    note(state, float(current[u]), mean_of(current))
    gain = np.float32(1.0 / _LOAD_ROUNDS)
    fade = np.float32(1) - gain / np.float32(load.shape[0])
    for i in range(load.shape[0]):
        load[i] *= fade
    load[u] += gain
    wins[u] += 1
    rate = max(float(wins[u]) ** WINS_POWER, setting.floor)
    _move(state.weights[s], u, patch, inverse, np.float32(rate))


@inlined
def _place_of(where: I64, m: int, position: int) -> int:
    """Which of the m patches is that of a position; -1: a blank one."""
    low, high = 0, m
    while low < high:
        middle = (low + high) // 2
        if where[middle] < position:
            low = middle + 1
        else:
            high = middle
    return low if low < m and where[low] == position else -1


@inlined
def compete(state: State, setting: Setting, view: View, m: int, room: Room, row: int) -> None:
    """Let channels compete for patches drawn from all positions; blank ones are left out."""
    S = state.bias.shape[0]
    for draw in range(setting.patches):
        position = int(uniform(setting.seed, row, draw) * view.where.shape[0])
        j = _place_of(view.where, m, position)
        if j >= 0:
            s = position if S > 1 else 0
            _compete_for(state, setting, s, view.patches[j], room.current)
