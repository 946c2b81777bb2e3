"""What a prepare step promises beyond `Part`: as many numbers out as in, of the same shape."""

from streamlearn.part import Part


class Step(Part):
    """Makes each row ready for the layers; rows, their order and their labels stay as they are.

    Whatever finite float32 comes in, finite float32 goes out.
    """

    @property
    def width_out(self) -> int:
        """D: as many numbers as come in."""
        return self.place.width_in

    @property
    def shape_out(self) -> tuple[int, ...]:
        """The shape of the row that comes in."""
        return self.place.shape_in

    def cost(self) -> int:
        """Reads and writes each number once."""
        return 8 * self.place.width_in
