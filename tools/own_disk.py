"""A small disk of one's own that the system makes read-only, as it does when a disk fails."""

import subprocess
from pathlib import Path
from typing import Self

from lossy_link import MissingError


class OwnDisk:
    """An ext4 file system in a file, mounted through a loop device; needs root.

    A file system with files open for writing cannot be remounted read-only by hand; ext4 does it
    by itself at an error (`errors=remount-ro`), and `remount,abort` makes it believe in one.

    Parameters
    ----------
    folder
        Where its file and its mount point go.

    Attributes
    ----------
    root
        The mount point.

    Raises
    ------
    MissingError
        By `with`: it cannot be made or mounted here.

    """

    def __init__(self, folder: Path) -> None:
        self._file, self.root = folder / "disk.ext4", folder / "disk"

    def __enter__(self) -> Self:
        self.root.mkdir()
        with self._file.open("wb") as file:
            file.truncate(64 << 20)
        try:
            _run("mkfs.ext4", "-q", "-F", str(self._file))
            self._mount()
        except (OSError, subprocess.CalledProcessError) as error:
            raise MissingError(f"root, mkfs.ext4 and a loop device: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        _run("umount", "-l", str(self.root))

    def _mount(self) -> None:
        _run("mount", "-o", "loop,errors=remount-ro", str(self._file), str(self.root))

    def fail(self) -> None:
        """Let the system make it read-only, whoever writes."""
        _run("mount", "-o", "remount,abort", str(self.root))

    def mend(self) -> None:
        """Check it and make it writable again; nobody may use it."""
        _run("umount", str(self.root))
        _run("e2fsck", "-p", str(self._file), good=(0, 1))
        self._mount()


def _run(*command: str, good: tuple[int, ...] = (0,)) -> None:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode not in good:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
