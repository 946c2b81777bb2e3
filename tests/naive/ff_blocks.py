"""Slow twin of `streamlearn.rules.forward_forward.blocks`: goodness block by block, in float64."""

from typing import Any

import numpy as np
from naive.ff_projection import Projection

from streamlearn.part import Arrays


class Blocks(Projection):
    """A layer whose units belong to classes; the rest is as with a softmax of its own."""

    def evidence(self, h: Any, M: Any) -> Any:  # noqa: ARG002  blocks have no read-out
        """Scaled mean square of each class's activities."""
        blocks = np.array_split(h, self.classes)
        return np.array([self.options.scale * (block**2).mean() for block in blocks])

    def signal(self, h: Any, e: Any) -> Any:
        """Gradient of the evidence, weighted with the errors."""
        blocks = np.array_split(h, self.classes)
        slopes = [2 * self.options.scale * block / len(block) for block in blocks]
        return np.concatenate([error * slope for error, slope in zip(e, slopes, strict=True)])

    def arrays(self) -> Arrays:
        """The state without a read-out, which takes steps in the twin but is never used."""
        return {name: array for name, array in super().arrays().items() if "readout" not in name}
