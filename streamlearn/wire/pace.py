"""How fast one client may go: a bucket of rows that fills at its rate and holds a second's worth.

Where nothing may be dropped, rows are taken in any case and the bucket goes into debt; until that
is paid off its client has no credit.
"""

from typing import Final

BURST_S: Final = 1.0
"""Rows of so many seconds may come at once."""
AGAIN_S: Final = 0.1
"""Who had no credit gets some when rows of so many seconds may come."""


class Pace:
    """One client's bucket; it begins full.

    Parameters
    ----------
    rate_hz
        Rows a second.
    now_s
        By the monotonic clock.
    row_bytes
        What a row takes on the wire, as long as none came.

    """

    __slots__ = ("_left", "_now_s", "_row_bytes")

    def __init__(self, rate_hz: float, now_s: float, row_bytes: float) -> None:
        self._left, self._now_s, self._row_bytes = rate_hz * BURST_S, now_s, row_bytes

    def left(self, rate_hz: float, now_s: float) -> float:
        """Rows that may come now; below 0 where too many came. The rate may have changed."""
        grown = self._left + (now_s - self._now_s) * rate_hz
        self._left, self._now_s = min(rate_hz * BURST_S, grown), now_s
        return self._left

    def spend(self, rows: int, size_bytes: int = 0) -> None:
        """Take rows off what is left, and learn from them what a row takes."""
        self._left -= rows
        if size_bytes:
            self._row_bytes = size_bytes / rows

    def credit_bytes(self, sharing: int) -> int:
        """What may be on its way of each of so many senders that share the bucket."""
        if self._left <= 0.0:
            return 0
        return max(1, int(self._left * self._row_bytes / sharing))

    def due_s(self, rate_hz: float) -> float:
        """When there is something to give again, by the monotonic clock."""
        return self._now_s + max(0.0, AGAIN_S - self._left / rate_hz)
