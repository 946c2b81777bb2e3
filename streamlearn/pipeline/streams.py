"""Which streams are kept, each in a slot of its own; the one silent longest makes room."""

import math
import zlib
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
        self._cut: set[int] = set()
        """Sources of which rows are known to be lost since their last one."""

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
        follows = follows and source not in self._cut
        self._cut.discard(source)
        if slot is None:
            slot, reason = self._free(), "new"
            self._slots[source] = slot
        else:
            self._slots.move_to_end(source)
            reason = "gap" if not follows else "clock" if self._jumps(slot, t) else ""
        if reason or not math.isnan(t):
            self._t[slot] = t
        return Kept(slot, reason)

    def cut(self, source: int) -> None:
        """Let a source begin anew with its next row: what came after its last one is lost."""
        if source in self._slots:
            self._cut.add(source)

    def _jumps(self, slot: int, t: float) -> bool:
        """Whether time went back, or stood longer than a gap; NaN compares as no."""
        step = t - self._t[slot]
        return step < 0 or (self._gap_s > 0 and step > self._gap_s)

    def _free(self) -> int:
        if len(self._slots) < self.live:
            return len(self._slots)
        source, slot = self._slots.popitem(last=False)
        self._cut.discard(source)
        return slot

    def __len__(self) -> int:
        return len(self._slots)

    def snapshot(self) -> list[list[Any]]:
        """[source, slot, t or None, whether cut] in the order of silence, as plain values."""
        times = [None if math.isnan(t) else t for t in self._t]
        return [[i, slot, times[slot], i in self._cut] for i, slot in self._slots.items()]

    def restore(self, saved: list[list[Any]]) -> None:
        """Take up where a snapshot ended."""
        self._slots = OrderedDict((source, slot) for source, slot, *_ in saved)
        for source, slot, t, *cut in saved:  # older checkpoints say nothing of cuts
            self._t[slot] = math.nan if t is None else t
            self._cut |= {source} if any(cut) else set()


def marks(stream: str, producer: str) -> tuple[int, int]:
    """Numbers for a stream and for its device, the same in every run."""
    device = stream.rpartition("/")[0]
    return _number(f"{stream} {producer}"), _number(device)


def _number(name: str) -> int:
    return zlib.crc32(name.encode()) & 0x7FFFFFFF
