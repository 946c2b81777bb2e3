"""What every part of the learner promises: a prepare step, a layer's rule, a head.

A part is a pure machine: rows in, rows out, state in a few named arrays. It reads no clock, file or
global generator, so the same rows in the same order give the same state to the bit, wherever the
blocks are cut and whichever thread runs it.

Shape letters, used throughout: B rows of a block, D inputs, H units (outputs), K classes.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]
Arrays = dict[str, NDArray[Any]]

UNLABELLED = -1


class Place(NamedTuple):
    """Where a part stands in the learner; all that it is built from beside its own options."""

    width_in: int
    """D: numbers a row."""
    shape_in: tuple[int, ...]
    """What the D numbers are, for example (28, 28); its product is D."""
    classes: int
    """K: classes of the stream."""
    seed: int
    """Keys every random choice together with the row number; differs from part to part."""
    lanes_in: int = 0
    """L: other forms in which the layers below give every row; see `Beside`."""
    live: int = 1
    """S: streams of which something is kept at once; see `Origin`."""


class Origin(NamedTuple):
    """Which stream each row belongs to, for parts that look back along a stream."""

    slot: I32
    """[B] the stream's place among those kept, 0 … S - 1; S: a row shown again, aside."""
    begins: U8
    """[B] 1 where the row does not follow the one before it in this slot: a stream begins, goes on
    after a gap, or takes over the place of one that was silent."""
    stream: I32
    """[B] a number for the stream's name and producer: other numbers are other streams."""
    device: I32
    """[B] a number for the name up to its last "/": what streams of one device share."""

    def between(self, begin: int, end: int) -> "Origin":
        """Of rows begin:end alone."""
        here = slice(begin, end)
        return Origin(self.slot[here], self.begins[here], self.stream[here], self.device[here])


class Beside(NamedTuple):
    """What goes from layer to layer beside the rows themselves, for rules that learn by contrast.

    A lane is the same row in another form: under a right or a wrong label, or mixed with another
    row. The rule that makes lanes says what each is; the rule above it that takes them knows.
    """

    lanes_in: F32
    """[B, L, D] the rows in the lanes of the layers below; read only by agreement."""
    lanes: F32
    """[B, lanes_out, H] where the part writes its outputs in its own lanes."""
    scores: F32
    """[B, K] where it writes its evidence for each class, as logarithms up to a constant, so that
    layers can be summed; [B, 0] where `scores_out` is false."""
    surprise: F32 = np.zeros((0, 0), np.float32)
    """[B, 1] where it writes how surprising a row is, in deviations from what is usual, 0 where it
    cannot tell; without a column where `surprise_out` is false."""


class Rows(NamedTuple):
    """Consecutive rows as views into the ring, float32, C-contiguous, writable."""

    x: F32
    """[B, D] what comes in; read only by agreement."""
    out: F32
    """[B, H] where the part writes its outputs."""
    y: I32
    """[B] class, or -1 where it is not known."""
    first: int
    """Number of the first row, counted over the whole life of the learner."""
    beside: Beside | None = None
    """Lanes and scores; None where nobody gives or wants any."""
    origin: Origin | None = None
    """Only for parts that say `follows`; None: all rows are one stream, in slot 0."""


def alone(rows: int, *, begin: bool = True) -> Origin:
    """The origin of rows that are one stream in slot 0; whether it begins with them."""
    begins = ((np.arange(rows) == 0) & begin).astype(np.uint8)
    return Origin(np.zeros(rows, np.int32), begins, *np.zeros((2, rows), np.int32))


class Part(ABC):
    """One step of the learner.

    Parameters
    ----------
    options
        The part's section of the configuration, an instance of its `Options`.
    place
        Widths, classes and seed; see `Place`.

    """

    Options: ClassVar[type[Any]]
    GAUGES: ClassVar[tuple[str, ...]] = ()
    """Names of the figures that `gauges` gives."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options = options
        self.place = place

    @property
    @abstractmethod
    def width_out(self) -> int:
        """H: numbers a row that the part writes."""

    @property
    def shape_out(self) -> tuple[int, ...]:
        """What the H numbers are; a flat row unless the part knows better."""
        return (self.width_out,)

    @property
    def lanes_out(self) -> int:
        """How many lanes the part writes beside its outputs."""
        return 0

    @property
    def scores_out(self) -> bool:
        """Whether the part writes evidence for each class beside its outputs."""
        return False

    @property
    def surprise_out(self) -> bool:
        """Whether the part writes how surprising each row is beside its outputs."""
        return False

    @property
    def learns_labels(self) -> bool:
        """Whether a label teaches the part anything."""
        return False

    @abstractmethod
    def learn(self, rows: Rows) -> None:
        """For each row in order: write its output from the state as it is, then learn from it."""

    def learn_late(self, rows: Rows) -> None:
        """Rows learned without a label come again with it, for parts that learn from labels."""
        if self.learns_labels:
            self.learn(rows)
        else:
            self.follow(rows)

    @property
    def follows(self) -> bool:
        """Whether what it writes depends on the rows before in the same stream; see `Origin`."""
        return False

    @property
    def reach(self) -> int:
        """How many rows of a stream, the newest among them, an answer looks back on."""
        return 1

    @property
    def keeps_up(self) -> bool:
        """Whether it learns from rows that are shown again, as what it reads has moved on."""
        return False

    def rest(self) -> None:  # noqa: B027  most parts keep little for learning alone
        """Called when it has learned its last row (`learns_rows`): let go of what that needed."""

    def follow(self, rows: Rows) -> None:
        """Write all that `learn` would write and go along with the streams, but learn nothing."""
        self.respond(rows)

    def respond(self, rows: Rows) -> None:
        """Write all that `learn` would write, and change nothing.

        With an `origin` the rows are streams of their own that begin here; without one, each is
        answered as what would come next in slot 0.
        """
        self.infer(rows.x, rows.out)

    @property
    def dreams(self) -> bool:
        """Whether the part learns anything while nothing comes."""
        return False

    def dream(self, rows: Rows) -> None:
        """Rows of zeros that stand for a moment in which nothing came; most parts rest, too."""
        rows.out[...] = 0

    @abstractmethod
    def infer(self, x: F32, out: F32) -> None:
        """Write the outputs [B, H] of the rows [B, D]; change nothing."""

    @abstractmethod
    def arrays(self) -> Arrays:
        """Every array of the state, by name, as writable views; scalars as shape (1,)."""

    def restored(self) -> None:  # noqa: B027  most parts derive nothing
        """Called after the arrays were overwritten; rebuild what is derived from them."""

    def gauges(self) -> dict[str, float]:
        """A few figures for the metrics page, cheap, under the names in `GAUGES`."""
        return {}

    def cost(self) -> int:
        """About how many bytes one row moves; decides which stages share a thread."""
        return 8 * self.place.width_in * self.width_out
