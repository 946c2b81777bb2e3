"""The stages: what stands at one cursor of the ring.

A stage gets blocks of rows in order and writes only its own columns. Where a block begins and ends
never changes a result.
"""

import itertools
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlearn.part import F32, Arrays, Part, Rows
from streamlearn.pipeline.ring import FRESH, Block, Ring

Columns = dict[str, F32]


class Stage(ABC):
    """One stage of the pipeline; every method is called by the one thread that runs it."""

    name: str

    @abstractmethod
    def work(self, block: Block) -> None:
        """Finish the rows of a block."""

    def arrays(self) -> Arrays:
        """State that a checkpoint needs, by full name."""
        return {}

    def infer(self, values: Columns) -> None:
        """Answer a question: read and write columns of `values` [B, …], change nothing else."""
        _ = values

    def tick(self, now_s: float) -> float | None:
        """Do what is due by the clock; returns when to be called next, None for never."""
        _ = now_s
        return None

    def cost(self) -> int:
        """About how many bytes one row moves."""
        return 0


def runs(kinds: NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    """Cut a block where fresh and late rows change: (begin, end, kind) in order."""
    if not kinds.any():
        return [(0, len(kinds), FRESH)]
    edges = [0, *(np.flatnonzero(np.diff(kinds)) + 1).tolist(), len(kinds)]
    return [(a, b, int(kinds[a])) for a, b in itertools.pairwise(edges)]


class PartStage(Stage):
    """A prepare step, a layer or a head at its place in the ring.

    Parameters
    ----------
    name
        Full name, for example `layer/layer1`; arrays are `NAME/ARRAY`.
    part
        What learns.
    ring
        Where the rows are.
    reads
        Columns that it reads; several are laid side by side.
    writes
        The column that it owns.

    """

    def __init__(
        self, name: str, part: Part, ring: Ring, reads: tuple[str, ...], writes: str
    ) -> None:
        self.name = name
        self.part = part
        self.frozen = bool(getattr(part.options, "frozen", False))
        self._reads, self._writes = reads, writes
        self._inputs = [ring.column(read) for read in reads]
        self._out = ring.column(writes)
        self._y = ring.column("y")
        self._kinds = ring.column("kind")
        width = part.place.width_in
        self._side_by_side = np.zeros((ring.rows if len(reads) > 1 else 0, width), np.float32)

    def work(self, block: Block) -> None:
        """Learn from fresh rows, or only respond where frozen; late rows learn what they can."""
        start, stop, first = block
        x = self._gathered(start, stop)
        for begin, end, kind in runs(self._kinds[start:stop]):
            here = slice(start + begin, start + end)
            rows = Rows(x[begin:end], self._out[here], self._y[here], first + begin)
            if self.frozen:
                self.part.infer(rows.x, rows.out)
            elif kind == FRESH:
                self.part.learn(rows)
            else:
                self.part.learn_late(rows)

    def _gathered(self, start: int, stop: int) -> F32:
        if len(self._inputs) == 1:
            return self._inputs[0][start:stop]
        out = self._side_by_side[: stop - start]
        column = 0
        for array in self._inputs:
            out[:, column : column + array.shape[1]] = array[start:stop]
            column += array.shape[1]
        return out

    def arrays(self) -> Arrays:
        """The part's arrays under the stage's name."""
        return {f"{self.name}/{name}": array for name, array in self.part.arrays().items()}

    def infer(self, values: Columns) -> None:
        """Respond to the rows of `values` without learning."""
        parts = [values[read] for read in self._reads]
        x = parts[0] if len(parts) == 1 else np.ascontiguousarray(np.hstack(parts))
        out = np.zeros((len(x), self.part.width_out), np.float32)
        self.part.infer(x, out)
        values[self._writes] = out

    def cost(self) -> int:
        """The part's own estimate."""
        return self.part.cost()

    def gauges(self) -> dict[str, float]:
        """The part's gauges; call it on the stage's thread."""
        return self.part.gauges()


def restore(stage: Stage, saved: dict[str, NDArray[Any]]) -> list[str]:
    """Copy saved arrays into a stage; returns the names that are missing or of another shape."""
    wrong = []
    for name, array in stage.arrays().items():
        found = saved.get(name)
        if found is None or found.shape != array.shape or found.dtype != array.dtype:
            wrong.append(name)
        else:
            array[...] = found
    if isinstance(stage, PartStage):
        stage.part.restored()
    return wrong
