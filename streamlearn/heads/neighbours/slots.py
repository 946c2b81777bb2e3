"""In whose place a labelled row goes when memory is full.

- `recency`: that of the oldest row, so memory holds the last M labelled rows;
- `reservoir`: that of a random one, with chance M / rows so far (Vitter 1985), so all labelled
  rows of the past are in memory with the same chance;
- `classes`: every class that has come has a right to M / (classes that have come) rows. One that
  has fewer takes the place of the largest class's oldest row, others that of their own oldest.

Choices follow from (seed, labelled rows so far) alone.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels import inlined
from streamlearn.kernels.random import uniform
from streamlearn.part import F32, I32

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

RECENCY, RESERVOIR, CLASSES = range(3)
KEEPS: Final = {"recency": RECENCY, "reservoir": RESERVOIR, "classes": CLASSES}


class State(NamedTuple):
    """What learning moves; M rows remembered, those in use first."""

    rows: F32
    """[M + R, D'] rows as they are compared: in bounds, or of length 1, then zeros; memory, and
    behind it the R rows at work."""
    labels: I32
    """[M] their classes, -1 where nothing is remembered yet."""
    born: I64
    """[M] labelled rows before each."""
    counts: I64
    """[K] rows remembered of each class."""
    labelled: I64
    """[1] labelled rows so far."""
    anchors: F32
    """[C, D'] rows that cells are named after; C = 0 with an exact search, see `cells`."""
    cells: I32
    """[M] the cell of each row; C: none yet."""
    sorted_in: I64
    """[1] whether there are anchors."""
    figures: F64
    """[2] running distance to the nearest row, and share of rows whose nearest is of their class;
    labelled rows only."""


@inlined
def _oldest(state: State, label: int) -> int:
    """The slot of a class's oldest row; -1 where it has none."""
    labels, born, found = state.labels, state.born, -1
    for m in range(labels.shape[0]):
        if labels[m] == label and (found < 0 or born[m] < born[found]):
            found = m
    return found


@inlined
def _share_of(state: State, label: int) -> int:
    """The slot that a row of this class gets under `classes`, memory being full."""
    counts = state.counts
    present, largest = 0, 0
    for k in range(counts.shape[0]):
        present += int(counts[k] > 0 or k == label)
        if counts[k] > counts[largest]:
            largest = k
    fair = state.labels.shape[0] // present
    return _oldest(state, largest if counts[label] < fair else label)


@inlined
def slot_for(state: State, keep: int, seed: int, label: int) -> int:
    """Where the next labelled row of this class goes; -1: it is not remembered."""
    M: int = state.labels.shape[0]
    seen = int(state.labelled[0])
    if seen < M:
        return seen
    if keep == RECENCY:
        return seen % M
    if keep == CLASSES:
        return _share_of(state, label)
    slot = int(uniform(seed, seen, 0) * (seen + 1))
    return slot if slot < M else -1


@inlined
def occupy(state: State, slot: int, label: int) -> None:
    """Write down whose the slot is now; labels, born and counts move."""
    before = state.labels[slot]
    if before >= 0:
        state.counts[before] -= 1
    state.counts[label] += 1
    state.labels[slot] = label
    state.born[slot] = state.labelled[0]
