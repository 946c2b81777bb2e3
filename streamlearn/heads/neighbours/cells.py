"""Which rows of memory are worth comparing: `index = "approximate"`, an inverted file.

C = root(M) rows of memory are anchors, and every row belongs to the cell of the anchor that is
nearest to it. A row that asks is compared with the anchors, then with the rows in the cells of the
nearest `look_share` of them (Sivic & Zisserman 2003 call that an inverted file). What is missed are
neighbours across a border that was not looked behind.

After every M / 2 labelled rows the anchors are drawn anew, evenly among the slots in use, and all
of memory is sorted in again; before the first time every row is looked at. All of this is a few
arrays and a matter of row numbers, so a restored head answers to the bit as one that was never
stopped: a graph of neighbours would depend on the rows that were ever taken out of it.

Cell C is that of rows that are not sorted in. It is always looked at, so an exact search is one
without anchors.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.heads.neighbours.slots import State
from streamlearn.kernels import inlined
from streamlearn.kernels.random import uniform
from streamlearn.part import F32, U8

I64 = NDArray[np.int64]

_ALL: Final = np.uint8(255)
_OFFSET: Final = 1
"""Which choice a random number is for; 0 is that of a slot."""


class Look(NamedTuple):
    """Room for choosing cells; holds nothing between groups."""

    far: F32
    """[C] d² of a row to the anchors."""
    near: I64
    """[P] the nearest cells, the nearest first."""
    near_far: F32
    """[P] their d²."""
    even: I64
    """[C] zeros: no anchor is older than another."""
    wanted: U8
    """[C + 1] bit r: row r of the group looks into this cell."""
    own: I64
    """[R] the cell that each row of the group belongs to."""


def cells(memory_rows: int, *, approximate: bool) -> int:
    """C; 0 where all of memory is looked at."""
    return math.isqrt(memory_rows - 1) + 1 if approximate else 0


@inlined
def squares(one: F32, other: F32) -> np.float32:
    """Sum over d of (one_d - other_d)², both [D']."""
    total = np.float32(0)
    for d in range(one.shape[0]):
        apart = one[d] - other[d]
        total += apart * apart
    return total


@inlined
def nearest(far: F32, born: I64, held: int, near: I64, near_far: F32) -> int:
    """List the nearest of `held` by far [≥ held], of equals the newest first; their number.

    near [k] and near_far [k] are written: which they are, and how far.
    """
    k, found = near.shape[0], 0
    bound = np.float32(np.inf)
    for m in range(held):
        d = far[m]
        if d >= bound and (found < k or d > bound or born[m] < born[near[k - 1]]):
            continue
        at = min(found, k - 1)
        while at > 0 and (
            near_far[at - 1] > d or (near_far[at - 1] == d and born[near[at - 1]] < born[m])
        ):
            near_far[at], near[at] = near_far[at - 1], near[at - 1]
            at -= 1
        near_far[at], near[at] = d, m
        found = min(found + 1, k)
        if found == k:
            bound = near_far[k - 1]
    return found


@inlined
def choose(state: State, look: Look, row: F32, r: int) -> None:
    """Choose the cells that a row [D'], the r-th of its group, looks into; and its own."""
    C = state.anchors.shape[0]
    look.wanted[C] = _ALL
    look.own[r] = C
    if not state.sorted_in[0]:
        return
    for c in range(C):
        look.far[c] = squares(state.anchors[c], row)
    found = nearest(look.far, look.even, C, look.near, look.near_far)
    for i in range(found):
        look.wanted[look.near[i]] |= np.uint8(1 << r)
    look.own[r] = look.near[0]


@inlined
def until_sorted(state: State) -> int:
    """Labelled rows that may come before memory is sorted in anew."""
    every: int = (state.labels.shape[0] + 1) // 2
    return every - int(state.labelled[0]) % every


@inlined
def sort_in(state: State, look: Look, held: int, seed: int) -> None:
    """Draw the anchors anew, and find the cell of each of `held` rows; cells and anchors move."""
    C, rows, anchors = state.anchors.shape[0], state.rows, state.anchors
    offset = int(uniform(seed, state.labelled[0], _OFFSET) * held)
    for c in range(C):
        one, other = anchors[c], rows[(offset + c * held // C) % held]
        for d in range(one.shape[0]):
            one[d] = other[d]
    for m in range(held):
        for c in range(C):
            look.far[c] = squares(anchors[c], rows[m])
        nearest(look.far, look.even, C, look.near[:1], look.near_far[:1])
        state.cells[m] = look.near[0]
    state.sorted_in[0] = 1
