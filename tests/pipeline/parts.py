"""Stages simple enough to predict by hand."""

import threading

import numpy as np

from streamlearn.part import Arrays
from streamlearn.pipeline.ring import Block, Ring
from streamlearn.pipeline.stage import Stage


class RunningSum(Stage):
    """Writes to its column the sum of all it has read so far, which depends on the order."""

    def __init__(self, ring: Ring, reads: str, writes: str) -> None:
        self.name = writes
        self.total = np.zeros(1, np.float64)
        self.threads: set[str] = set()
        self.block_rows: list[int] = []
        self._in, self._out = ring.column(reads), ring.column(writes)

    def work(self, block: Block) -> None:
        """out_t = 0.5 * total + x_t; total = out_t."""
        self.threads.add(threading.current_thread().name)
        self.block_rows.append(block.stop - block.start)
        for slot in range(block.start, block.stop):
            self.total[0] = 0.5 * self.total[0] + self._in[slot, 0]
            self._out[slot, 0] = self.total[0]

    def arrays(self) -> Arrays:
        """The total."""
        return {f"{self.name}/total": self.total}

    def cost(self) -> int:
        """All the same."""
        return 1


class Collector(Stage):
    """Keeps a copy of one column of every row."""

    def __init__(self, ring: Ring, reads: str) -> None:
        self.name = "collector"
        self.rows: list[float] = []
        self._in = ring.column(reads)

    def work(self, block: Block) -> None:
        """Copy."""
        self.rows += self._in[block.start : block.stop, 0].tolist()


class Faulty(Stage):
    """Raises at one row."""

    name = "faulty"

    def __init__(self, row: int) -> None:
        self._row = row

    def work(self, block: Block) -> None:
        """Fail where it has come to the row."""
        if block.first <= self._row < block.first + block.stop - block.start:
            raise ZeroDivisionError("made to fail")
