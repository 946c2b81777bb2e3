"""Slow twin of `streamlearn.rules.pool`: a list of rows for every stream."""

from typing import Any

import numpy as np

from streamlearn.part import Arrays, Place, Rows


class Pool:
    """Statistics of the last rows of each stream."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options, self.place = options, place
        self.rows: dict[int, list[Any]] = {}
        self.counts = np.zeros(place.live + 1, np.int64)

    def learn(self, rows: Rows) -> None:
        """Put each row behind those of its stream, then pool the last of them."""
        for b, x in enumerate(rows.x.astype(np.float64)):
            slot = int(rows.origin.slot[b]) if rows.origin else 0
            if rows.origin and rows.origin.begins[b]:
                self.rows[slot], self.counts[slot] = [], 0
            kept = [*self.rows.get(slot, []), x][-self.options.rows :]
            self.rows[slot] = kept
            self.counts[slot] += 1
            pooled = [np.mean(kept, axis=0)]
            if self.options.gives == "mean_deviation":
                pooled.append(np.std(kept, axis=0))
            rows.out[b] = np.concatenate(pooled)

    def arrays(self) -> Arrays:
        """How far every stream is."""
        return {"count": self.counts}
