"""The stages: what stands at one cursor of the ring.

A stage gets blocks of rows in order and writes only its own columns. Where a block begins and ends
never changes a result.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.part import F32, I32, UNLABELLED, Arrays, Beside, Origin, Part, Rows, alone
from streamlearn.pipeline.ring import AGAIN, DREAM, FRESH, Block, Ring

Columns = dict[str, F32]

_FOR_EVER: Final = 1 << 62


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


class Wires(NamedTuple):
    """Which columns a part reads and writes."""

    reads: tuple[str, ...]
    """What it reads; several are laid side by side."""
    lanes: tuple[str, ...]
    """For each of them the column of its lanes, "" where it has none."""
    writes: str
    """The column that it owns; its lanes, scores and surprise go to WRITES/lanes and so on."""

    def owned(self, part: Part) -> dict[str, int]:
        """Every column that the part owns, with its width."""
        widths = {self.writes: part.width_out}
        if part.lanes_out:
            widths[f"{self.writes}/lanes"] = part.lanes_out * part.width_out
        if part.scores_out:
            widths[f"{self.writes}/scores"] = part.place.classes
        if part.surprise_out:
            widths[f"{self.writes}/surprise"] = 1
        return widths


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
    wires
        What it reads and writes.

    """

    def __init__(self, name: str, part: Part, ring: Ring, wires: Wires) -> None:
        self.name = name
        self.part = part
        self.frozen = bool(getattr(part.options, "frozen", False))
        self._wires = wires
        self._owned = wires.owned(part)
        names = {*wires.reads, *filter(None, wires.lanes), *self._owned}
        self._ring = {column: ring.column(column) for column in names}
        self._inputs = [ring.column(read) for read in wires.reads]
        self._out = ring.column(wires.writes)
        self._y = ring.column("y")
        self._kinds = ring.column("kind")
        several = ring.rows if len(wires.reads) > 1 else 0
        self._room = np.zeros((several, part.place.width_in), np.float32)
        self._lane_room = np.zeros((several, part.place.lanes_in, part.place.width_in), np.float32)
        self._plain = part.place.lanes_in == 0 and len(self._owned) == 1
        self._turn, self._rests = _turn(part.options), False
        self._origin = [ring.column(name) for name in Origin._fields] if part.follows else None

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that the part reads side by side."""
        return tuple(self._wires.reads)

    def work(self, block: Block) -> None:
        """Learn from fresh rows, or only respond where frozen; late rows learn what they can."""
        start, stop, first = block
        here = slice(start, stop)
        if self._plain:
            x = _side_by_side([array[here] for array in self._inputs], self._room[: stop - start])
            rows = Rows(x, self._out[here], self._y[here], first)
        else:
            columns = {name: array[here] for name, array in self._ring.items()}
            rows = self._rows(columns, self._y[here], first)
        if self._origin is not None:
            rows = rows._replace(origin=Origin(*(column[here] for column in self._origin)))
        for begin, end, kind in runs(self._kinds[here]):
            part = _between(rows, begin, end)
            if kind == DREAM:
                self._dream(part)
            elif kind == AGAIN:
                self._again(part)
            else:
                self._learn(part, kind)

    def _learn(self, rows: Rows, kind: int) -> None:
        """Learn from those of the rows whose turn it is; go along with the others."""
        n, (first, last) = len(rows.y), self._turn
        a, b = (min(max(edge - rows.first, 0), n) for edge in (first, last))
        for begin, end, learns in ((0, a, False), (a, b, True), (b, n, False)):
            part = _between(rows, begin, end) if begin < end else None
            if part is None:
                continue
            if self.frozen or not learns:
                self.part.follow(part)
            elif kind == FRESH:
                self.part.learn(part)
            else:
                self.part.learn_late(part)
        if b < n and not self._rests:
            self._rests = True
            self.part.rest()

    def _dream(self, rows: Rows) -> None:
        if rows.beside is not None:
            rows.beside.surprise[...] = 0
        if self.frozen:
            rows.out[...] = 0
        else:
            self.part.dream(rows)

    def _again(self, rows: Rows) -> None:
        """Heads keep up with layers that moved on; steps and layers only answer."""
        if self.part.keeps_up:
            self._learn(rows, FRESH)
        else:
            self.part.follow(rows)

    def _rows(self, columns: Columns, y: I32, first: int) -> Rows:
        n = len(y)
        wires, place = self._wires, self.part.place
        x = _side_by_side([columns[read] for read in wires.reads], self._room[:n])
        out = columns[wires.writes]
        if self._plain:
            return Rows(x, out, y, first)
        none = np.zeros((n, 0), np.float32)
        lanes = columns.get(f"{wires.writes}/lanes", none)
        beside = Beside(
            lanes_in=self._lanes(columns, n) if place.lanes_in else none.reshape(n, 0, 0),
            lanes=lanes.reshape(n, self.part.lanes_out, self.part.width_out),
            scores=columns.get(f"{wires.writes}/scores", none),
            surprise=columns.get(f"{wires.writes}/surprise", none),
        )
        return Rows(x, out, y, first, beside)

    def _lanes(self, columns: Columns, n: int) -> F32:
        """Lay lanes side by side; what has none gives its plain row in every lane."""
        count = self.part.place.lanes_in
        each = [
            columns[lane].reshape(n, count, -1) if lane else columns[read][:, None, :]
            for read, lane in zip(self._wires.reads, self._wires.lanes, strict=True)
        ]
        return _side_by_side(each, self._lane_room[:n])

    def arrays(self) -> Arrays:
        """The part's arrays under the stage's name."""
        return {f"{self.name}/{name}": array for name, array in self.part.arrays().items()}

    def infer(self, values: Columns) -> None:
        """Respond to the rows of `values` without learning."""
        n = len(values[self._wires.reads[0]])
        if len(self._wires.reads) > 1 and n > len(self._room):
            self._room = np.zeros((n, *self._room.shape[1:]), np.float32)
            self._lane_room = np.zeros((n, *self._lane_room.shape[1:]), np.float32)
        for name, width in self._owned.items():
            values[name] = np.zeros((n, width), np.float32)
        rows = self._rows(values, np.full(n, UNLABELLED, np.int32), 0)
        self.part.respond(rows._replace(origin=alone(n) if self.part.follows else None))

    def cost(self) -> int:
        """The part's own estimate."""
        return self.part.cost()

    def gauges(self) -> dict[str, float]:
        """The part's gauges; call it on the stage's thread."""
        return self.part.gauges()


def _turn(options: Any) -> tuple[int, int]:
    """Numbers of the rows from which on, and before which, a part learns."""
    first = getattr(options, "learns_from", 0)
    return first, first + (getattr(options, "learns_rows", 0) or _FOR_EVER)


def _side_by_side(arrays: list[F32], room: F32) -> F32:
    """Lay arrays [n, …, D_i] side by side in the room [n, …, D]; one array stays where it is."""
    if len(arrays) == 1:
        return arrays[0]
    column = 0
    for array in arrays:
        width = array.shape[-1]
        room[..., column : column + width] = array
        column += width
    return room


def _between(rows: Rows, begin: int, end: int) -> Rows:
    """Rows begin:end of a block."""
    if (begin, end) == (0, len(rows.y)):
        return rows
    beside = rows.beside and Beside(*(array[begin:end] for array in rows.beside))
    origin = rows.origin and rows.origin.between(begin, end)
    here = slice(begin, end)
    return Rows(rows.x[here], rows.out[here], rows.y[here], rows.first + begin, beside, origin)


def restore(stage: Stage, saved: Mapping[str, NDArray[Any]]) -> list[str]:
    """Copy saved arrays into a stage; returns the names that are missing or of another shape."""
    wrong = fill(stage.arrays(), saved)
    if isinstance(stage, PartStage):
        stage.part.restored()
    return wrong


def fill(arrays: Arrays, saved: Mapping[str, NDArray[Any]]) -> list[str]:
    """Copy saved arrays into others; returns the names that are missing or of another shape."""
    wrong = []
    for name, array in arrays.items():
        found = saved.get(name)
        if found is None or found.shape != array.shape or found.dtype != array.dtype:
            wrong.append(name)
        else:
            array[...] = found
    return wrong
