"""Reading a database without changing a byte of its folder.

Whoever opens a database that has a log folds the log into it, and makes files beside it. So one
with a log is read as a copy elsewhere; one without is read as a file that nobody writes to.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from streamlearn.errors import StateError
from streamlearn.store.database import connect


@contextmanager
def untouched(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Where to read what a database holds: itself, or a copy that is gone at the end.

    Parameters
    ----------
    path
        Its file.
    shared
        Whether others may write to it meanwhile: then it is always copied, whole, as of one moment.

    Raises
    ------
    StateError
        It cannot be read, or there is no room for a copy.

    """
    try:
        path.open("rb").close()  # SQLite would take what may not be read for damaged
    except OSError as error:
        raise StateError(f"{path}: cannot be read: {error.strerror}") from error
    if not shared and not _has_log(path):
        yield path
        return
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="streamlearn-"))
            while not _copied(path, Path(folder)):
                pass
        except OSError as error:
            text = f"{path}: cannot be copied to be looked at: {error.strerror or error}"
            raise StateError(f"{text}; have TMPDIR name a folder with room for it") from error
        yield Path(folder) / path.name


def _has_log(path: Path) -> bool:
    return any(log.exists() for log in _logs(path))


def _logs(path: Path) -> list[Path]:
    return [path.with_name(f"{path.name}{more}") for more in ("-wal", "-journal")]


def _copied(path: Path, folder: Path) -> bool:
    """Copy it with its logs; False where somebody wrote meanwhile, so that it is not as it was."""
    before = _stamps(path)
    for old in folder.iterdir():
        old.unlink()
    with suppress(FileNotFoundError):  # a log may go
        for name in before:
            shutil.copyfile(path.with_name(name), folder / name)
    return before == _stamps(path)


def _stamps(path: Path) -> dict[str, tuple[int, int]]:
    """The files that are there, each with what tells that it was written to."""
    found = {path.name: path.stat()}
    for log in _logs(path):
        with suppress(FileNotFoundError):
            found[log.name] = log.stat()
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


def read(path: Path) -> sqlite3.Connection:
    """Open a database to be read as far as it goes, also where it is damaged.

    One with a log must be ours to change, such as a copy: see `untouched`.
    """
    return connect(path, "WAL" if _has_log(path) else "", damaged=True)
