"""The only way a file or a folder is replaced: whole, on the disk, or not at all.

Both functions follow one order: write beside the place under a temporary name, fsync what was
written, rename, fsync the folder that holds the name. A power cut leaves the old or the new, never
a part of either. What a crash leaves behind bears the temporary name, and `sweep` takes it away.

Names that come once and never again stay plain strings here: pathlib interns every part of a path,
and Python 3.12 before 3.12.7 keeps what was interned for ever (CPython issue 113993).
"""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias

from streamlearn.errors import StateError
from streamlearn.failpoints import reach

Place: TypeAlias = str | Path
"""Of a file or a folder; a string where its name is a new one each time."""

TEMPORARY: Final = ".tmp-"
"""How the name of everything unfinished begins."""

_WAY_OUT: Final = {
    errno.ENOSPC: "free some space on this disk, or put it on another",
    errno.EDQUOT: "raise the quota, or free some space",
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f, LimitFSIZE=)",
    errno.EROFS: "mount it writable, or choose a folder on a disk that is",
    errno.EACCES: "give this user the right to write there, or choose another folder",
    errno.EPERM: "give this user the right to write there, or choose another folder",
    errno.EIO: "the disk itself fails: save what you can and replace it",
}


def explain(path: Place, error: OSError) -> str:
    """Say where the system refused, with its own words and the way out."""
    way_out = _WAY_OUT.get(error.errno or 0, "look at the folder and its disk")
    return f"{path}: {error.strerror or error}: {way_out}"


@contextmanager
def translated(path: Place) -> Iterator[None]:
    """Turn the system's errors about `path` into a `StateError` with the way out."""
    try:
        yield
    except OSError as error:
        raise StateError(explain(path, error)) from error


def write_file(path: Path, data: bytes) -> None:
    """Replace the file by one that holds `data`.

    Raises
    ------
    StateError
        The disk is full, the folder not writable or the like; the old file is as it was.

    """
    temporary = _beside(path)
    with translated(path):
        try:
            _write(temporary, data)
            os.replace(temporary, path)
            sync(path.parent)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise


@contextmanager
def new_folder(path: Place) -> Iterator[str]:
    """Make a folder that appears, filled, when the block ends, or not at all.

    Parameters
    ----------
    path
        Where it shall stand; nothing may stand there yet.

    Yields
    ------
    str
        The unfinished folder; put the files here.

    Raises
    ------
    StateError
        The disk is full, the folder not writable or the like; nothing has changed.

    """
    temporary = _beside(path)
    with translated(path):
        try:
            os.mkdir(temporary)
            yield temporary
            reach("checkpoint.before_fsync")
            for file in os.listdir(temporary):
                sync(os.path.join(temporary, file))
            sync(temporary)
            reach("checkpoint.after_fsync")
            reach("checkpoint.before_rename")
            os.rename(temporary, path)
            reach("checkpoint.after_rename")
            sync(os.path.dirname(path))
            reach("checkpoint.after_folder_fsync")
        except BaseException:
            # What cannot be removed now bears the temporary name: the next sweep finds it.
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def make_folders(path: Path) -> None:
    """Make a folder where it is not there, and those above it; their names are on the disk.

    Raises
    ------
    StateError
        It cannot be made.

    """
    with translated(path):
        path = path.absolute()
        missing = [one for one in (path, *path.parents) if not one.exists()]
        for one in reversed(missing or [path]):
            _sync_name(one.parent)
            one.mkdir(exist_ok=True)
        _sync_name(path)


def _sync_name(path: Path) -> None:
    """See to it that a folder's name is on the disk: who made it may have been killed before."""
    with suppress(PermissionError):  # above a folder that was made for us
        sync(path.parent)


def remove_folder(path: Place) -> None:
    """Take a folder away so that no half of it is ever seen under its name.

    Raises
    ------
    StateError
        The folder cannot be removed.

    """
    temporary = _beside(path)
    with translated(path):
        os.rename(path, temporary)
        sync(os.path.dirname(path))
        shutil.rmtree(temporary)


def sweep(folder: Path) -> list[str]:
    """Remove what crashes left unfinished; only for the one process that may write here.

    Returns
    -------
    list of str
        The names that were removed.

    """
    with translated(folder):
        leftovers = [path for path in folder.iterdir() if path.name.startswith(TEMPORARY)]
        for path in leftovers:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    return [path.name for path in leftovers]


def _beside(path: Place) -> str:
    # Random, as a process in a container has the same number each time it is started.
    folder, name = os.path.split(path)
    return os.path.join(folder, f"{TEMPORARY}{name}-{secrets.token_hex(4)}")


def _write(path: str, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Place) -> None:
    """Wait until the file, or a folder's list of names, is on the disk; raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot sync a folder and say so; every other refusal is a failure.
        if not (os.path.isdir(path) and error.errno in (errno.EINVAL, errno.ENOTSUP)):
            raise
    finally:
        os.close(descriptor)
