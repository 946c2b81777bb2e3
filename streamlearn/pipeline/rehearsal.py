"""Labelled rows that are kept to be shown again, so that heads keep up with layers that learn.

A head learned from codes of an hour ago; since then the layers have moved on, and those codes mean
nothing any more. Every so many fresh rows one labelled row of the past goes through the layers
again, as they are now, and the head learns its new code. With it go the rows before it in its
stream, as many as an answer looks back on.

What is kept is a reservoir (Vitter 1985): every labelled row so far is in it with the same chance.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from streamlearn.kernels.random import uniform
from streamlearn.part import I32, UNLABELLED, Arrays

_KEEP, _SHOW = 0, 1
"""Which choice a random number is for."""


class Shape(NamedTuple):
    """How much is kept."""

    rows: int
    """M: labelled rows."""
    reach: int
    """T: rows of a stream that an answer looks back on, the newest among them."""
    live: int
    """S: streams."""
    width: int
    """D: numbers a row."""


class Rehearsal:
    """The last rows of every stream, and labelled rows of the past with the rows before them.

    Parameters
    ----------
    every
        Fresh rows between two that are shown again.
    shape
        How much is kept.
    dtype
        Type in which rows are kept.
    seed
        Keys the choices.

    """

    def __init__(self, every: int, shape: Shape, dtype: DTypeLike, seed: int) -> None:
        self.reach = shape.reach
        self._every, self._seed = every, seed
        self._last = np.zeros((shape.live, shape.reach, shape.width), dtype)
        self._count = np.zeros(shape.live, np.int64)
        self._kept = np.zeros((shape.rows, shape.reach, shape.width), dtype)
        self._length = np.zeros(shape.rows, np.int64)
        self._y = np.full(shape.rows, UNLABELLED, np.int32)
        self._clock = np.zeros(3, np.int64)
        """Fresh rows, labelled rows, rows shown again."""

    def see(self, slot: int, x: NDArray[Any], y: I32 | None, *, begins: bool) -> None:
        """Take in fresh rows [n, D] of the stream in a slot, with their labels [n]."""
        if begins:
            self._count[slot] = 0
        for b, row in enumerate(x):
            self._last[slot, self._count[slot] % self.reach] = row
            self._count[slot] += 1
            if y is not None and y[b] >= 0:
                self._keep(slot, int(y[b]))
        self._clock[0] += len(x)

    def _keep(self, slot: int, y: int) -> None:
        """Keep the newest row of a slot, with those before it, where its turn comes."""
        seen, rows = int(self._clock[1]), len(self._y)
        self._clock[1] += 1
        place = seen if seen < rows else int(uniform(self._seed, seen, _KEEP) * (seen + 1))
        if place < rows:
            count = int(self._count[slot])
            length = min(count, self.reach)
            self._kept[place, :length] = self._last[
                slot, np.arange(count - length, count) % self.reach
            ]
            self._length[place], self._y[place] = length, y

    def until(self) -> int:
        """Fresh rows that may come before a row is due; 0: one is due now."""
        fresh, shown = int(self._clock[0]), int(self._clock[2])
        return (shown + 1) * self._every - fresh

    def take(self) -> tuple[NDArray[Any], I32]:
        """The row that is due, after those before it, [n, D] and labels [n]; none yet: n = 0."""
        shown, kept = int(self._clock[2]), min(int(self._clock[1]), len(self._y))
        self._clock[2] += 1
        place = int(uniform(self._seed, shown, _SHOW) * kept)
        length = int(self._length[place]) if kept else 0
        y = np.full(length, UNLABELLED, np.int32)
        y[-1:] = self._y[place]
        return self._kept[place, :length], y

    def arrays(self) -> Arrays:
        """What a checkpoint needs."""
        return {
            "last": self._last,
            "count": self._count,
            "kept": self._kept,
            "length": self._length,
            "y": self._y,
            "clock": self._clock,
        }
