"""Files out of a tar archive that was fetched: those asked for by name, and no others."""

import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from streamlearn.errors import UsageError


def unpack(archive: Path, members: Sequence[str], folder: Path) -> None:
    """Write members of a tar into a folder under their own last names, each whole or not at all.

    Raises
    ------
    UsageError
        When the archive is damaged, lacks a member, or the folder cannot be written.

    """
    try:
        with tarfile.open(archive) as tar, tempfile.TemporaryDirectory(dir=folder) as room:
            for member in members:
                unfinished = Path(room) / "unfinished"
                _write(tar, member, unfinished)
                unfinished.replace(folder / PurePosixPath(member).name)
    except (OSError, EOFError, KeyError, tarfile.TarError, zlib.error) as error:
        reason = error.args[0] if isinstance(error, KeyError) else error
        raise UsageError(
            f"{archive}: cannot be unpacked into {folder}: {reason}; make room there, or remove "
            "the archive and try again"
        ) from None


def _write(tar: tarfile.TarFile, member: str, path: Path) -> None:
    info = tar.getmember(member)
    content = tar.extractfile(info) if info.isreg() else None
    if content is None:
        raise tarfile.TarError(f"{member} is no plain file")
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file)
