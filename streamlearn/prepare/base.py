"""What a prepare step promises beyond `Part`: rows stay rows, finite numbers stay finite."""

from streamlearn.part import Part


class Step(Part):
    """Makes each row ready for the layers; rows, their order and their labels stay as they are.

    Whatever finite float32 comes in, finite float32 goes out.
    """

    @property
    def width_out(self) -> int:
        """As many numbers as come in, unless the step says otherwise."""
        return self.place.width_in

    @property
    def shape_out(self) -> tuple[int, ...]:
        """The shape of the row that comes in, unless the step says otherwise."""
        return self.place.shape_in

    def cost(self) -> int:
        """Reads and writes each number once."""
        return 4 * (self.place.width_in + self.width_out)
