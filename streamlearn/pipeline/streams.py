"""Which streams are kept, each in a slot of its own; the one silent longest makes room."""

import math
from collections import OrderedDict
from typing import Any, Final, NamedTuple

BEGIN_REASONS: Final = ("new", "gap", "clock")
"""Why a stream begins: it was not kept, rows are missing or numbered anew, or its t jumped."""


class Kept(NamedTuple):
    """Where a stream is kept."""

    slot: int
    begins: str
    """A reason out of `BEGIN_REASONS` where the rows do not follow those before, else ""."""


class Streams:
    """The slots of the streams that came last.

    Parameters
    ----------
    live
        S: how many are kept.
    gap_s
        A pause between two messages after which a stream begins anew; 0: none.

    """

    def __init__(self, live: int, gap_s: float) -> None:
        self.live = live
        self._gap_s = gap_s
        self._slots: OrderedDict[int, int] = OrderedDict()
        self._t = [math.nan] * live

    def take(self, source: int, t: float, *, follows: bool) -> Kept:
        """The slot of a source whose rows come now.

        Parameters
        ----------
        source
            Its number.
        t
            Seconds since 1970 of its first row; NaN where it is not said.
        follows
            Whether their seq goes on from the rows before.

        """
        slot = self._slots.get(source)
        if slot is None:
            slot, reason = self._free(), "new"
            self._slots[source] = slot
        else:
            self._slots.move_to_end(source)
            reason = "gap" if not follows else "clock" if self._jumps(slot, t) else ""
        if reason or not math.isnan(t):
            self._t[slot] = t
        return Kept(slot, reason)

    def _jumps(self, slot: int, t: float) -> bool:
        """Whether time went back, or stood longer than a gap; NaN compares as no."""
        step = t - self._t[slot]
        return step < 0 or (self._gap_s > 0 and step > self._gap_s)

    def _free(self) -> int:
        if len(self._slots) < self.live:
            return len(self._slots)
        return self._slots.popitem(last=False)[1]

    def __len__(self) -> int:
        return len(self._slots)

    def snapshot(self) -> list[list[Any]]:
        """[source, slot, t or None] in the order of silence, as plain values."""
        times = [None if math.isnan(t) else t for t in self._t]
        return [[source, slot, times[slot]] for source, slot in self._slots.items()]

    def restore(self, saved: list[list[Any]]) -> None:
        """Take up where a snapshot ended."""
        self._slots = OrderedDict((source, slot) for source, slot, _ in saved)
        for _, slot, t in saved:
            self._t[slot] = math.nan if t is None else t
