"""Kernels of the `neighbours` head: one sweep over memory for up to eight rows.

Memory is read once for a group of rows, which is most of the time there is. Then the rows take
their turns: one looks for its nearest, is scored and remembered, and the distances of those after
it to its slot become their distances to it. So a group ends where a row alone would: the same pair
has the same distance to the bit wherever it is worked out, as one loop works out all of them.
"""

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.heads.neighbours.cells import (
    Look,
    choose,
    nearest,
    sort_in,
    squares,
    until_sorted,
)
from streamlearn.heads.neighbours.slots import I64, State, occupy, slot_for
from streamlearn.kernels import inlined, kernel
from streamlearn.part import F32, I32

F64 = NDArray[np.float64]
Plain = tuple[Any, ...]
"""Plain tuples are handed to a kernel in half the time of named ones."""

GROUP: Final = 8
"""R: rows that share a sweep."""
LINE: Final = 16
"""Inputs in 64 bytes: rows begin on such bounds and are padded with zeros to fill them."""
_ALL = np.uint8(255)
_LIMIT = np.float32(1e15)
"""Largest number of a row, either sign: squares of differences do not overflow."""
_FIGURE_ROWS: Final = 1000
"""Labelled rows that running figures remember, fading."""


def padded(width: int) -> int:
    """D': numbers in which a row of D is kept."""
    return -(-width // LINE) * LINE


def aligned(rows: int, width: int) -> F32:
    """Zeros [rows, D'] that begin on a bound of 64 bytes: a sweep takes a third less time there."""
    room = np.zeros((rows + 1) * padded(width), np.float32)
    begin = -room.ctypes.data % (4 * LINE) // 4
    return room[begin : begin + rows * padded(width)].reshape(rows, padded(width))


class Setting(NamedTuple):
    """The options as the kernel takes them."""

    seed: int
    keep: int
    """One of `slots.KEEPS`."""
    k: int
    power: float
    """Of d² in 1 / distance: 1 under cosine, 1/2 under Euclid; 0: all neighbours weigh the same."""
    fade: float
    """1 / age_rows, 0 for never."""
    unit: bool
    """Whether rows are compared by direction."""


class Room(NamedTuple):
    """Room for a group; holds nothing between groups."""

    far: F32
    """[R, M + R] d² of each row of the group to each of the state's rows."""
    near: I64
    """[k] slots of the nearest, the nearest first."""
    near_far: F32
    """[k] their d²."""
    votes: F64
    """[k]"""


@inlined
def _read(x: F32, setting: Setting, out: F32) -> None:
    """Write a row [D] to out [D'] as it is compared: clipped to ±1e15; by direction x / |x|."""
    size = 0.0
    for d in range(x.shape[0]):
        out[d] = min(max(x[d], -_LIMIT), _LIMIT)
        size += np.float64(out[d]) * np.float64(out[d])
    if setting.unit and size > 0:
        scale = 1 / math.sqrt(size)
        for d in range(x.shape[0]):
            out[d] = np.float32(np.float64(out[d]) * scale)


@inlined
def _sweep(state: State, room: Room, look: Look, held: int, group: int) -> None:
    """Write far [R, M + R] for `group` rows against `held` rows of memory and each other.

    far_rm = sum over d of (rows_md - rows_(M + r)d)²; infinite where r does not look into m's cell.
    """
    rows, far, wanted, cells = state.rows, room.far, look.wanted, state.cells
    M = rows.shape[0] - GROUP
    far[:group, :held] = np.float32(np.inf)
    for m in range(held + group):
        slot = m if m < held else M + m - held
        bits = wanted[cells[m]] if m < held else _ALL
        if bits == 0:
            continue
        one = rows[slot]
        for r in range(group):
            if bits >> r & 1:
                far[r, slot] = squares(one, rows[M + r])


@inlined
def _vote(state: State, setting: Setting, room: Room, found: int, out: F32) -> None:
    """Write the scores [K]; votes are compared as logarithms, so that no old row is lost to zero.

    ln v = -power ln d² - fade age, then shares of v; with an exact match only such rows vote.
    """
    near, near_far, votes = room.near, room.near_far, room.votes
    power, labelled = setting.power, state.labelled[0]
    out[:] = np.float32(0) if found else np.float32(1) / np.float32(out.shape[0])
    exact = found > 0 and power > 0 and near_far[0] == 0
    largest = -np.inf
    for i in range(found):
        vote = -setting.fade * (labelled - state.born[near[i]])
        if exact:
            vote = vote if near_far[i] == 0 else -np.inf
        elif power > 0:
            vote -= power * math.log(near_far[i])
        votes[i] = vote
        largest = max(largest, vote)
    total = 0.0
    for i in range(found):
        votes[i] = math.exp(votes[i] - largest)
        total += votes[i]
    for i in range(found):
        out[state.labels[near[i]]] += np.float32(votes[i] / total)


@inlined
def _watch(state: State, setting: Setting, room: Room, label: int) -> None:
    """Move the running figures [2] by a labelled row that had a nearest."""
    far, figures = np.float64(room.near_far[0]), state.figures
    distance = 0.5 * far if setting.unit else math.sqrt(far)
    same = 1.0 if state.labels[room.near[0]] == label else 0.0
    rate = max(1.0 / state.labelled[0], 1.0 / _FIGURE_ROWS)
    figures[0] += rate * (distance - figures[0])
    figures[1] += rate * (same - figures[1])


@inlined
def _remember(state: State, room: Room, look: Look, slot: int, places: tuple[int, int]) -> None:
    """Put a row of a group into a slot; far of the rows after it follows.

    places is the row's number in the group, and how many the group has.
    """
    r, group = places
    rows, far = state.rows, room.far
    own = rows.shape[0] - GROUP + r
    one, other = rows[slot], rows[own]
    for d in range(one.shape[0]):
        one[d] = other[d]
    cell = look.own[r]
    state.cells[slot] = cell
    for later in range(r + 1, group):
        seen = look.wanted[cell] >> later & 1
        far[later, slot] = far[later, own] if seen else np.float32(np.inf)


@inlined
def _take_turns(state: State, setting: Setting, room: Room, look: Look, y: I32, out: F32) -> None:
    """Score the rows of a group one after the other, and remember those with a label.

    y [group] is read, out [group, K] is written, the state moves.
    """
    M, group = state.labels.shape[0], y.shape[0]
    for r in range(group):
        held, label = min(state.labelled[0], M), y[r]
        found = nearest(room.far[r], state.born, held, room.near, room.near_far)
        _vote(state, setting, room, found, out[r])
        if label < 0 or label >= out.shape[1]:
            continue
        if found:
            _watch(state, setting, room, label)
        slot = slot_for(state, setting.keep, setting.seed, label)
        if slot >= 0:
            _remember(state, room, look, slot, (r, group))
            occupy(state, slot, label)
        state.labelled[0] += 1


@kernel
def learn(x: F32, y: I32, out: F32, arrays: Plain, numbers: Plain, spare: Plain) -> None:
    """Score each row, then remember it where y is known.

    x [B, D] and y [B] are read, out [B, K] is written, every array of the state moves. `arrays` and
    `numbers` are a state and a setting as plain tuples, `spare` a room and a look.
    """
    state, setting = State(*arrays), Setting(*numbers)
    room, look = Room(*spare[0]), Look(*spare[1])
    M, C, begin = state.labels.shape[0], state.anchors.shape[0], 0
    while begin < x.shape[0]:
        due = until_sorted(state)
        group = min(GROUP, x.shape[0] - begin, due)
        before = state.labelled[0]
        look.wanted[:] = 0
        for r in range(group):
            _read(x[begin + r], setting, state.rows[M + r])
            choose(state, look, state.rows[M + r], r)
        _sweep(state, room, look, min(before, M), group)
        _take_turns(state, setting, room, look, y[begin : begin + group], out[begin:])
        if C and state.labelled[0] == before + due:
            sort_in(state, look, min(state.labelled[0], M), setting.seed)
        begin += group
