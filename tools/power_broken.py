"""Starts the program with a defect, or a variant: `power_broken.py NAME run FILE`.

Each defect is one that a power cut punishes and nothing else shows. `tools/power.py` must find them
all, or it is blind.
"""

import os
import sqlite3
import stat
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final


class _Lax(sqlite3.Connection):
    """A database that does not wait for the disk."""

    def execute(self, sql: str, *more: Any) -> sqlite3.Cursor:
        """Run a statement, and none that asks to wait."""
        return super().execute("PRAGMA synchronous = OFF" if "synchronous" in sql else sql, *more)


def _lax_journal() -> None:
    sqlite3.connect = partial(sqlite3.connect, factory=_Lax)  # type: ignore[assignment]


def _unsynced(folders: bool) -> None:  # noqa: FBT001  it says which of two
    sync = os.fsync

    def some(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) != folders:
            sync(descriptor)

    os.fsync = some  # type: ignore[assignment]


DEFECTS: Final[dict[str, Callable[[], None]]] = {
    "lax_journal": _lax_journal,
    "unsynced_files": partial(_unsynced, folders=False),
    "unsynced_folders": partial(_unsynced, folders=True),
}
"""SQLite with synchronous = OFF; no fsync of files before rename; none of folders after it."""


def _short_log() -> None:
    from streamlearn.store import journal  # noqa: PLC0415  a defect may have to come first

    journal._WAL_BYTES = 1 << 17  # type: ignore[misc]  # noqa: SLF001


VARIANTS: Final[dict[str, Callable[[], None]]] = {"short_log": _short_log}
"""No defect: a log that is copied into the table every 128 KB, so that short runs do it, too."""


if __name__ == "__main__":
    (DEFECTS | VARIANTS)[sys.argv[1]]()
    from streamlearn.cli import main

    main(sys.argv[2:])
