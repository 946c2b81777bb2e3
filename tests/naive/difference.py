"""Slow twin of `streamlearn.prepare.difference`: the last row of every stream in a dict."""

from typing import Any

import numpy as np

from streamlearn.part import Arrays, Place, Rows


class Difference:
    """x_t - x_(t-1)."""

    def __init__(self, options: Any, place: Place) -> None:  # noqa: ARG002  as the fast version
        self.last = np.zeros((place.live + 1, place.width_in), np.float32)
        self.known: set[int] = set()

    def learn(self, rows: Rows) -> None:
        """Subtract, row by row."""
        largest = np.finfo(np.float32).max
        for b, x in enumerate(rows.x):
            slot = int(rows.origin.slot[b]) if rows.origin else 0
            there = slot in self.known and not (rows.origin and rows.origin.begins[b])
            change = x.astype(np.float64) - self.last[slot] if there else np.zeros(len(x))
            rows.out[b] = np.clip(change, -largest, largest)
            self.last[slot] = x
            self.known.add(slot)

    def arrays(self) -> Arrays:
        """The last rows."""
        return {"last": self.last}
