"""A curve of bounded length over a life of unknown length."""

from typing import Final

POINTS: Final = 256

Point = tuple[float, float]


class Curve:
    """Keeps every point, then every second, every fourth, …: never more than `POINTS` + 1."""

    def __init__(self) -> None:
        self._kept: list[Point] = []
        self._newest: Point | None = None
        self._every = 1
        self._count = 0

    def add(self, x: float, y: float) -> None:
        """Add a point; one at the same x as the newest says nothing new."""
        if self._newest and self._newest[0] == x:
            return
        self._newest = (x, y)
        if self._count % self._every == 0:
            self._kept.append(self._newest)
        self._count += 1
        if len(self._kept) > POINTS:
            self._kept = self._kept[::2]
            self._every *= 2

    @property
    def points(self) -> list[Point]:
        """The points that are kept, in the order of adding; the newest is always among them."""
        kept = list(self._kept)
        if self._newest and kept[-1:] != [self._newest]:
            kept.append(self._newest)
        return kept
