"""Slow twin of `streamlearn.heads.neighbours`: all distances in float64, all neighbours sorted."""

import math
from typing import Any

import numpy as np

from streamlearn.kernels.random import uniform
from streamlearn.part import F32, Arrays, Place, Rows


class Neighbours:
    """A list of rows, their labels and when they came; the nearest vote."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options, self.place = options, place
        M = options.memory_rows
        self.memory = np.zeros((M, -(-place.width_in // 16) * 16))
        self.labels = np.full(M, -1)
        cells = math.ceil(math.sqrt(M)) if options.index == "approximate" else 0
        self.anchors, self.sorted_in = np.zeros((cells, self.memory.shape[1])), np.zeros(1)
        self.cells = np.full(M, cells)
        self.born, self.labelled, self.figures = np.zeros(M), np.zeros(1), np.zeros(2)

    def compared(self, row: F32) -> Any:
        """A row in bounds, or of length 1, then zeros to a multiple of 16 numbers."""
        padding = (0, self.memory.shape[1] - len(row))
        row = np.pad(np.clip(row.astype(float), -1e15, 1e15), padding)
        size = np.sqrt(np.sum(row**2))
        return row / size if self.options.metric == "cosine" and size > 0 else row

    def nearest(self, row: Any) -> tuple[Any, Any]:
        """Slots and distances of the k nearest, of equals the newest first."""
        none = len(self.anchors)
        looks = [*self.cell_order(row)[: math.ceil(self.options.look_share * none)], none]
        held = np.flatnonzero((self.labels >= 0) & np.isin(self.cells, looks))
        squares = np.sum((self.memory[held] - row) ** 2, axis=1)
        order = np.lexsort((-self.born[held], squares))[: self.options.k]
        cosine = self.options.metric == "cosine"
        return held[order], squares[order] / 2 if cosine else np.sqrt(squares[order])

    def cell_order(self, row: Any) -> Any:
        """All cells, the nearest first; only "no cell" while nothing is sorted in."""
        if not self.sorted_in[0]:
            return np.array([len(self.anchors)])
        return np.argsort(np.sum((self.anchors - row) ** 2, axis=1), kind="stable")

    def sort_in(self) -> None:
        """New anchors, evenly among the slots in use; every row to its nearest."""
        held, C = int((self.labels >= 0).sum()), len(self.anchors)
        offset = int(uniform(self.place.seed, int(self.labelled[0]), 1) * held)
        self.anchors[:] = self.memory[(offset + np.arange(C) * held // C) % held]
        self.sorted_in[0] = 1
        for m in range(held):
            self.cells[m] = self.cell_order(self.memory[m])[0]

    def scores(self, slots: Any, distances: Any) -> Any:
        """Shares of the votes [K]."""
        classes = self.place.classes
        if not len(slots):
            return np.full(classes, 1 / classes)
        votes = np.ones(len(slots))
        if self.options.weights == "distance":
            exact = distances == 0
            votes = exact * 1.0 if exact.any() else 1 / np.where(exact, 1, distances)
        if self.options.age_rows:
            votes *= np.exp(-(self.labelled[0] - self.born[slots]) / self.options.age_rows)
        return np.bincount(self.labels[slots], votes, classes) / votes.sum()

    def slot(self, label: int) -> int:
        """Where a labelled row goes."""
        M, seen = self.options.memory_rows, int(self.labelled[0])
        if seen < M or self.options.keep == "recency":
            return seen % M
        if self.options.keep == "reservoir":
            place = int(uniform(self.place.seed, seen, 0) * (seen + 1))
            return place if place < M else -1
        counts = np.bincount(self.labels, minlength=self.place.classes)
        fair = M // len({*self.labels.tolist(), label})
        loser = counts.argmax() if counts[label] < fair else label
        own = np.flatnonzero(self.labels == loser)
        return int(own[self.born[own].argmin()])

    def learn(self, rows: Rows) -> None:
        """Score, then remember, row by row."""
        for x, y, out in zip(rows.x, rows.y, rows.out, strict=True):
            row = self.compared(x)
            slots, distances = self.nearest(row)
            out[:] = self.scores(slots, distances)
            if 0 <= y < self.place.classes:
                self.remember(row, int(y), slots, distances)

    def remember(self, row: Any, y: int, slots: Any, distances: Any) -> None:
        """Move the running figures, then put the row in its slot."""
        if len(slots):
            now = np.array([distances[0], self.labels[slots[0]] == y])
            self.figures += max(1 / self.labelled[0], 1e-3) * (now - self.figures)
        slot = self.slot(y)
        if slot >= 0:
            self.memory[slot], self.labels[slot], self.born[slot] = row, y, self.labelled[0]
            self.cells[slot] = self.cell_order(row)[0]
        self.labelled += 1
        if len(self.anchors) and self.labelled[0] % ((self.options.memory_rows + 1) // 2) == 0:
            self.sort_in()

    def arrays(self) -> Arrays:
        """The state under the names of the fast version."""
        names = ("memory", "labels", "born", "labelled", "figures", "anchors", "cells", "sorted_in")
        return {name: getattr(self, name) for name in names}
