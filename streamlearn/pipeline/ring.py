"""The ring: a fixed number of rows as one array a column, and one cursor a stage.

It is the Disruptor pattern: a stage owns its columns and its cursor, the count of rows that it has
finished over the learner's life, and may work on the rows between its own cursor and the cursor
before it. Nothing is copied from stage to stage and nothing is allocated for a row, so memory does
not depend on the stream.

Cursors are plain ints. One thread writes each, others read it; the interpreter makes that safe.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

FRESH: Final = 0
"""A row seen for the first time."""
LATE: Final = 1
"""A row that came before, again with the label that was missing."""
DREAM: Final = 2
"""No row at all: the stream was quiet, and rules that dream may use the moment."""
AGAIN: Final = 3
"""A row that came before, shown again: layers answer as they are now, heads keep up with them."""

ROW_COLUMNS: Final[dict[str, DTypeLike]] = {
    "kind": np.uint8,
    "y": np.int32,
    "source": np.int32,
    "seq": np.uint64,
    "t": np.float64,
    "received": np.float64,
    "sample": np.int64,
    "slot": np.int32,
    "begins": np.uint8,
    "stream": np.int32,
    "device": np.int32,
}
"""What ingest knows of a row beside its numbers `x`.

`source` is a number for (stream, producer); `t` seconds since 1970; `received` the monotonic clock;
`sample` counts fresh rows, and for a late row it is the number of the fresh one. The last four are
`streamlearn.part.Origin`.
"""


class Block(NamedTuple):
    """Consecutive rows: slots `start:stop` of every column, from row number `first` on."""

    start: int
    stop: int
    first: int


class Ring:
    """Preallocated rows and the cursors over them.

    Parameters
    ----------
    rows
        How many rows it holds.
    widths
        Column → numbers a row, all float32; `x` among them.
    position
        Row number to start from, where a checkpoint ended.

    """

    def __init__(self, rows: int, widths: dict[str, int], position: int = 0) -> None:
        self.rows = rows
        self.head = position
        self.cursors: list[int] = []
        self._columns: dict[str, NDArray[Any]] = {
            name: np.zeros(rows, dtype) for name, dtype in ROW_COLUMNS.items()
        }
        for name, width in widths.items():
            self._columns[name] = np.zeros((rows, width), np.float32)

    def column(self, name: str) -> NDArray[Any]:
        """The whole column; row number r is at index r modulo `rows`."""
        return self._columns[name]

    def add_cursor(self) -> int:
        """A cursor for one more stage, behind all others; returns its index."""
        self.cursors.append(self.head)
        return len(self.cursors) - 1

    def free(self) -> int:
        """Rows that ingest may write now."""
        return self.rows - (self.head - self.cursors[-1])

    def writable(self, most: int) -> slice:
        """Slots for the next rows, at most `most`, up to the ring's end: fill, then `commit`."""
        start = self.head % self.rows
        return slice(start, start + min(most, self.free(), self.rows - start))

    def commit(self, rows: int) -> None:
        """Hand the next rows to the first stage."""
        self.head += rows

    def limit(self, stage: int) -> int:
        """The row number up to which a stage may work now."""
        return self.head if stage == 0 else self.cursors[stage - 1]

    def ready(self, stage: int, limit: int, most: int) -> Block:
        """The rows of a stage below a limit, as one block of at most `most` rows."""
        first = self.cursors[stage]
        start = first % self.rows
        count = min(limit - first, most, self.rows - start)
        return Block(start, start + count, first)
