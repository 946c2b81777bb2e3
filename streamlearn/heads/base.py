"""What a head promises beyond `Part`: scores a class, the largest wins."""

from typing import ClassVar

from streamlearn.part import Part


class Head(Part):
    """Reads activities [D] of one or more layers side by side, writes scores [K].

    Every row is scored before it is learned; a row without a label is only scored. Figures read
    scores as probabilities after clipping them to [1e-6, 1] and dividing by their sum.
    """

    READS_SCORES: ClassVar[bool] = False
    """Whether it reads the evidence of layers, not their activities."""

    @property
    def width_out(self) -> int:
        """K: one score a class."""
        return self.place.classes

    @property
    def learns_labels(self) -> bool:
        """Labels are all that a head learns from."""
        return True

    @property
    def keeps_up(self) -> bool:
        """Layers move on under a head: rows shown again bring it up to them."""
        return True
