"""The rule: hands everything to the machine that the option `labels` names."""

from typing import Any, Protocol

import numpy as np

from streamlearn.part import F32, UNLABELLED, Arrays, Place, Rows
from streamlearn.rules.base import Rule
from streamlearn.rules.forward_forward.blocks import Blocks
from streamlearn.rules.forward_forward.contrast import Contrast
from streamlearn.rules.forward_forward.options import ForwardForwardOptions, check
from streamlearn.rules.forward_forward.projection import Projection


class Machine(Protocol):
    """What does a layer's work; see `Part` for the promises."""

    @property
    def lanes_out(self) -> int:
        """Lanes that it writes."""

    @property
    def scores_out(self) -> bool:
        """Whether it writes evidence for classes."""

    def learn(self, rows: Rows) -> None:
        """Respond to each row, then learn from it."""

    def respond(self, rows: Rows) -> None:
        """Write what `learn` would write, change nothing."""

    def dream(self, rows: Rows) -> None:
        """Use a moment in which nothing came."""

    def arrays(self) -> Arrays:
        """The whole state."""

    def restored(self) -> None:
        """Rebuild what follows from the state."""

    def gauges(self) -> dict[str, float]:
        """Figures for the metrics page."""

    def cost(self) -> int:
        """Bytes that one row moves."""

    def receptive_fields(self) -> F32:
        """Weights [H, *shape_in] for pictures."""


MACHINES: dict[str, Any] = {
    "projection": Projection,
    "blocks": Blocks,
    "overlay": Contrast,
    "none": Contrast,
}


class ForwardForward(Rule):
    """A layer that learns by a goodness of its own.

    Parameters
    ----------
    options
        Objective, steps, negatives; see `ForwardForwardOptions`.
    place
        Widths, classes, lanes below and seed.

    Raises
    ------
    ConfigError
        Where options would be ignored, or do not fit the place.

    """

    GAUGES = (
        "goodness_positive",
        "goodness_negative",
        "margin",
        "pair_error",
        "dead_share",
        "norm_mean",
        "norm_max",
        "rate",
    )
    Options = ForwardForwardOptions

    def __init__(self, options: ForwardForwardOptions, place: Place) -> None:
        super().__init__(options, place)
        check(options)
        self._machine: Machine = MACHINES[options.labels](options, place)

    @property
    def width_out(self) -> int:
        """H: one activity a unit, divided by their root mean square."""
        return int(self.options.units)

    @property
    def lanes_out(self) -> int:
        """Lanes by `labels`: none 1, overlay 2 or K + 1, else 0."""
        return self._machine.lanes_out

    @property
    def scores_out(self) -> bool:
        """Whether the layer can tell classes apart by itself."""
        return self._machine.scores_out

    def learn(self, rows: Rows) -> None:
        """Write each row's activities, lanes and scores, then learn from it."""
        self._machine.learn(rows)

    @property
    def learns_labels(self) -> bool:
        """All but `labels = "none"` do, late ones too."""
        return bool(self.options.labels != "none")

    def respond(self, rows: Rows) -> None:
        """Write activities, lanes and scores; change nothing."""
        self._machine.respond(rows)

    @property
    def dreams(self) -> bool:
        """Layers with phases apart, which keep negatives for their sleep."""
        options = self.options
        return bool(options.phases == "apart" and options.labels in ("overlay", "none"))

    def dream(self, rows: Rows) -> None:
        """Learn from a kept negative where phases are apart."""
        self._machine.dream(rows)

    def infer(self, x: F32, out: F32) -> None:
        """Write the activities [B, H] of the rows [B, D]; change nothing."""
        self._machine.respond(Rows(x, out, np.full(len(x), UNLABELLED, np.int32), 0))

    def arrays(self) -> Arrays:
        """Every array of the machine's state."""
        return self._machine.arrays()

    def restored(self) -> None:
        """Rebuild what follows from the state."""
        self._machine.restored()

    def gauges(self) -> dict[str, float]:
        """Goodness of real and made-up rows, dead units, weight norms, size of the steps."""
        return self._machine.gauges()

    def cost(self) -> int:
        """Bytes that one row moves."""
        return self._machine.cost()

    def receptive_fields(self) -> F32:
        """Weights [H, *shape_in], a copy for pictures."""
        return self._machine.receptive_fields()
