"""The stage of running figures: every head's scores against the labels, test-then-train."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from streamlearn.part import F32, I32, Arrays
from streamlearn.pipeline.ring import FRESH, LATE, Block, Ring
from streamlearn.pipeline.stage import Stage
from streamlearn.prequential import Figures


class FigureStage(Stage):
    """Figures of each head; keeps the scores of the last rows for labels that come late.

    Parameters
    ----------
    ring
        Where rows and scores are.
    heads
        The heads' names.
    classes
        K.
    recent_rows
        Length of the fading window.
    keep_rows
        How many rows a late label can reach.

    """

    name = "figures"

    def __init__(
        self, ring: Ring, heads: Sequence[str], classes: int, recent_rows: int, keep_rows: int
    ) -> None:
        self.of_head = {head: Figures(classes, recent_rows) for head in heads}
        self._scores = {head: ring.column(f"head/{head}") for head in heads}
        self._kept: dict[str, F32] = {
            head: np.zeros((keep_rows, classes), np.float32) for head in heads
        }
        self.learned = 0
        """Fresh rows that have come this far, over the learner's life."""
        self._keep_rows = keep_rows
        self._y, self._kinds = ring.column("y"), ring.column("kind")
        self._sample = ring.column("sample")

    def work(self, block: Block) -> None:
        """Score the block's labels against what was said before they were known."""
        here = slice(block.start, block.stop)
        late = int(np.count_nonzero(self._kinds[here]))
        for head, figures in self.of_head.items():
            scores = self._scores[head]
            if late:
                self._work_late(head, block)
            else:
                figures.update(self._y[here], scores[here])
                self._keep(head, here)
        self.learned += block.stop - block.start - late

    def _keep(self, head: str, here: slice) -> None:
        """Keep the scores of fresh rows at sample number modulo `keep_rows`."""
        if not self._keep_rows:
            return
        here = slice(max(here.start, here.stop - self._keep_rows), here.stop)
        begin = int(self._sample[here.start]) % self._keep_rows
        fits = min(here.stop - here.start, self._keep_rows - begin)
        cut = here.start + fits
        kept, scores = self._kept[head], self._scores[head]
        kept[begin : begin + fits] = scores[here.start : cut]
        kept[: here.stop - cut] = scores[cut : here.stop]

    def _work_late(self, head: str, block: Block) -> None:
        for slot in range(block.start, block.stop):
            here = slice(slot, slot + 1)
            if self._kinds[slot] == LATE:
                row = int(self._sample[slot]) % self._keep_rows
                self.of_head[head].update(self._y[here], self._kept[head][row : row + 1])
            elif self._kinds[slot] == FRESH:
                self.of_head[head].update(self._y[here], self._scores[head][here])
                self._keep(head, here)

    def arrays(self) -> Arrays:
        """Every head's figures and kept scores."""
        arrays: Arrays = {}
        for head, figures in self.of_head.items():
            arrays |= {f"figures/{head}/{name}": a for name, a in figures.arrays().items()}
            arrays[f"figures/{head}/kept_scores"] = self._kept[head]
        return arrays

    def warm(self) -> None:
        """Compile the kernels with rows that are then forgotten."""
        for figures in self.of_head.values():
            saved = {name: array.copy() for name, array in figures.arrays().items()}
            y: I32 = np.zeros(1, np.int32)
            figures.update(y, np.ones((1, figures.classes), np.float32))
            for name, array in figures.arrays().items():
                array[...] = saved[name]

    def reports(self) -> dict[str, dict[str, Any]]:
        """Head → its figures; call it on the stage's thread or while nothing works."""
        return {head: figures.report() for head, figures in self.of_head.items()}
