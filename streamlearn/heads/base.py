"""What a head promises beyond `Part`: scores a class, the largest wins."""

from streamlearn.part import Part, Rows


class Head(Part):
    """Reads activities [D] of one or more layers side by side, writes scores [K].

    Every row is scored before it is learned; a row without a label is only scored. Figures read
    scores as probabilities after clipping them to [1e-6, 1] and dividing by their sum.
    """

    @property
    def width_out(self) -> int:
        """K: one score a class."""
        return self.place.classes

    def learn_late(self, rows: Rows) -> None:
        """A late label is learned from like one that came in time."""
        self.learn(rows)
