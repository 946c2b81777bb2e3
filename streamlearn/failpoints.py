"""Named points where a crash would hurt most, for tests that crash there.

Production never fills `armed`: no setting, file or environment variable does, only a test's own
program that starts the daemon. A point that is not armed costs one look at an empty dictionary.
"""

from collections.abc import Callable
from typing import Final

armed: Final[dict[str, Callable[[], None]]] = {}
"""Point → what happens there."""

POINTS: Final = (
    "journal.before_write",
    "journal.after_write",
    "journal.before_commit",
    "journal.after_commit",
    "router.before_ack",
    "router.after_ack",
    "checkpoint.before_copy",
    "checkpoint.after_copy",
    "checkpoint.before_fsync",
    "checkpoint.after_fsync",
    "checkpoint.before_rename",
    "checkpoint.after_rename",
    "checkpoint.after_folder_fsync",
    "journal.before_trim",
    "journal.after_trim",
)
"""Every point there is, in the order in which a row meets them."""


def reach(point: str) -> None:
    """Say that execution is at a point of `POINTS`."""
    if armed and (act := armed.get(point)) is not None:
        act()
