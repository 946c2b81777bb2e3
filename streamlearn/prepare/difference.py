"""`difference`: each row minus the row before it in its stream; the first of a stream gives zeros.

What stands still (gravity, a fixed camera's view, an offset) is gone; what moves stays.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlearn.config import StepOptions
from streamlearn.kernels import kernel
from streamlearn.part import F32, I32, U8, Arrays, Place, Rows, alone
from streamlearn.prepare.base import Step

_LARGEST = np.float32(np.finfo(np.float32).max)


@kernel
def _difference(x: F32, out: F32, slot: I32, begins: U8, last: F32, known: U8) -> None:
    """Subtract from each row the one before: out = x_t - x_(t-1), held inside float32.

    x [B, D], slot [B] and begins [B] are read, out [B, D] is written; last [S, D] and known [S],
    whether there is a last row, move.
    """
    for b in range(x.shape[0]):
        s = slot[b]
        there = known[s] and not begins[b]
        before = last[s]
        for d in range(x.shape[1]):
            change = np.float64(x[b, d]) - np.float64(before[d]) if there else np.float64(0)
            out[b, d] = np.float32(np.minimum(np.maximum(change, -_LARGEST), _LARGEST))
            before[d] = x[b, d]
        known[s] = 1


class Difference(Step):
    """Change since the row before, each stream by itself.

    Parameters
    ----------
    options
        Nothing to choose.
    place
        Widths, and how many streams are kept.

    """

    class Options(StepOptions, frozen=True, kw_only=True):
        """`[[prepare]]` with `step = "difference"`: each row minus the one before it."""

    def __init__(self, options: Any, place: Place) -> None:
        super().__init__(options, place)
        self._last, self._known = self._room()

    def _room(self) -> tuple[F32, NDArray[np.uint8]]:
        slots = self.place.live + 1
        return np.zeros((slots, self.place.width_in), np.float32), np.zeros(slots, np.uint8)

    @property
    def follows(self) -> bool:
        """It looks back one row."""
        return True

    @property
    def reach(self) -> int:
        """A row and the one before it."""
        return 2

    def learn(self, rows: Rows) -> None:
        """Go along with the streams; there is nothing to learn."""
        self._run(rows, self._last, self._known)

    def follow(self, rows: Rows) -> None:
        """The same as `learn`."""
        self.learn(rows)

    def respond(self, rows: Rows) -> None:
        """Answer streams of their own, or each row as what would come next in slot 0."""
        if rows.origin is not None:
            self._run(rows, *self._room())
            return
        for b in range(len(rows.x)):
            one = Rows(rows.x[b : b + 1], rows.out[b : b + 1], rows.y[b : b + 1], rows.first)
            self._run(one, self._last[:1].copy(), self._known[:1].copy())

    def infer(self, x: F32, out: F32) -> None:
        """Answer each row [B, D] as what would come next in slot 0."""
        self.respond(Rows(x, out, np.full(len(x), -1, np.int32), 0))

    def _run(self, rows: Rows, last: F32, known: NDArray[np.uint8]) -> None:
        origin = rows.origin or alone(len(rows.x), begin=False)
        _difference(rows.x, rows.out, origin.slot, origin.begins, last, known)

    def arrays(self) -> Arrays:
        """`last` [S + 1, D] row of each slot, `known` [S + 1] whether there is one."""
        return {"last": self._last, "known": self._known}
