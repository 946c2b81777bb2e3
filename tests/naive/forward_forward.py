"""`forward_forward`, worked out slowly: each machine that `labels` names has a file of its own."""

from typing import Any

from naive.ff_blocks import Blocks
from naive.ff_contrast import Contrast
from naive.ff_projection import Projection

from streamlearn.part import Arrays, Place, Rows

MACHINES: dict[str, Any] = {
    "projection": Projection,
    "blocks": Blocks,
    "overlay": Contrast,
    "none": Contrast,
}


class ForwardForward:
    """Hands everything to its machine."""

    def __init__(self, options: Any, place: Place) -> None:
        self.machine = MACHINES[options.labels](options, place)

    def learn(self, rows: Rows) -> None:
        """Respond to each row, then learn from it."""
        self.machine.learn(rows)

    def arrays(self) -> Arrays:
        """What the machine compares."""
        arrays: Arrays = self.machine.arrays()
        return arrays
