"""One daemon a state folder."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from streamlearn.errors import StartError, StateError
from streamlearn.store import atomic

NAME: Final = "lock"

_PATIENCE_S = 1.0
"""How long to wait for it: `inspect` may hold it for a moment, a daemon before us may be ending."""
_PROBE_BYTES = 1 << 16


class Lock:
    """Holds a state folder for this process; the system frees it when the process ends.

    Parameters
    ----------
    folder
        The state folder; made where it is not there.

    Raises
    ------
    StartError
        Another daemon has it, or it cannot be made or written to.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            atomic.make_folders(folder)
            with atomic.translated(folder):
                self._descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o644)
        except StateError as error:
            raise StartError(f"store.dir: {error}") from error
        try:
            self._take()
        except BaseException:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        """Free the folder for others; again is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self) -> None:
        if not _flock(self._descriptor, fcntl.LOCK_EX, _PATIENCE_S):
            raise StartError(
                f"store.dir: {self.folder} is in use by {_who(self._descriptor)}: "
                "stop that daemon, or give this one a folder of its own"
            )
        try:
            with atomic.translated(self.folder):
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
            atomic.sweep(self.folder)
            _probe(self.folder)
        except StateError as error:
            raise StartError(f"store.dir: {error}") from error


@contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Keep daemons out of a folder while it is looked at, without a change to it.

    Raises
    ------
    StartError
        A daemon has it.
    StateError
        Its lock cannot be read.

    """
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY)
    except FileNotFoundError:
        yield  # a copy of a folder, or one that no daemon took yet
        return
    except OSError as error:
        raise StateError(f"{folder / NAME}: cannot be read: {error.strerror}") from error
    try:
        if not _flock(descriptor, fcntl.LOCK_SH, _PATIENCE_S):
            raise StartError(f"{folder} is in use by {_who(descriptor)}: stop that daemon first")
        yield
    finally:
        os.close(descriptor)


def holder(folder: Path) -> int | None:
    """Tell which process holds the folder; None where none does."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY)
    except OSError:
        return None
    try:
        free = _flock(descriptor, fcntl.LOCK_SH, 0.0)
        return None if free else _written_by(descriptor)
    finally:
        os.close(descriptor)


def _flock(descriptor: int, kind: int, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)


def _written_by(descriptor: int) -> int:
    """Read the number of the process; 0 where it has not written it yet."""
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else 0


def _who(descriptor: int) -> str:
    """Who holds it; `fsck` leaves no number, and that of a container says nothing here."""
    number = _written_by(descriptor)
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        number = 0
    except PermissionError:
        pass  # it is another user's
    return f"process {number}" if number else "another process, which may be streamlearn fsck"


def _probe(folder: Path) -> None:
    """Find out now, not at the first checkpoint, whether anything can be written."""
    path = folder / f"{atomic.TEMPORARY}probe"
    atomic.write_file(path, bytes(_PROBE_BYTES))
    with atomic.translated(path):
        path.unlink()
