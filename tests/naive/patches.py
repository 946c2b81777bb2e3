"""Slow twin of `streamlearn.prepare.patches`: pixel by pixel."""

from typing import Any

from streamlearn.part import F32, Arrays, Place, Rows


class Patches:
    """Patches of a frame, row by row of the grid."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options, self.shape = options, place.shape_in

    def learn(self, rows: Rows) -> None:
        """Nothing to learn."""
        self.infer(rows.x, rows.out)

    def infer(self, x: F32, out: F32) -> None:
        """Copy pixel after pixel."""
        side, hop = self.options.side, self.options.hop or self.options.side
        h, w = self.shape[:2]
        for frame, patches in zip(x, out, strict=True):
            pixels = frame.reshape(h, w, -1)
            numbers = [
                value
                for top in range(0, h - side + 1, hop)
                for left in range(0, w - side + 1, hop)
                for i in range(side)
                for j in range(side)
                for value in pixels[top + i, left + j]
            ]
            patches[:] = numbers

    def arrays(self) -> Arrays:
        """No state."""
        return {}
