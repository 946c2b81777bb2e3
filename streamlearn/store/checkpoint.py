"""Checkpoints: the whole learner at one row, in a folder that is there completely or not at all.

::

    DIR/
    ├── lock                        held by the one daemon that uses DIR
    └── checkpoint-00000042/        counted up; the highest is the newest
        ├── arrays.safetensors      every array of the state, by name
        └── manifest.json           what it is, and the checksums of both files

A change of any byte in either file is seen. Nothing here can run code when it is read.
"""

import errno
import hashlib
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from streamlearn import __version__
from streamlearn.errors import DamagedError, StateError
from streamlearn.store import atomic, recovery
from streamlearn.store.lock import Lock
from streamlearn.store.manifest import FORMAT, Manifest, seal, unseal

ARRAYS: Final = "arrays.safetensors"
MANIFEST: Final = "manifest.json"

_NAME = re.compile(r"checkpoint-(\d{8,})")

log = logging.getLogger(__name__)


class Snapshot(NamedTuple):
    """The learner at one row."""

    rows_learned: int
    """Rows learned from, over the learner's whole life."""
    position: int
    """Number of the row that it stands before: every stage has finished exactly the rows below."""
    arrays: Mapping[str, NDArray[Any]]
    """The state, by name, as copies that nobody writes to any more."""
    meta: Mapping[str, Any]
    """What else is needed to go on, as JSON values."""
    config: Mapping[str, Any]
    """The part of the configuration that decides what is learned, as JSON values."""
    digest: str
    """See `streamlearn.store.digest`."""
    config_hash: str
    """SHA-256 over `config`, in hex."""


class Written(NamedTuple):
    """What saving came to."""

    place: str
    """The checkpoint's folder."""
    size_bytes: int
    """What it takes on the disk."""
    seconds: float
    """How long it took, until it was on the disk."""

    @property
    def path(self) -> Path:
        """The same, for whoever wants to look into it."""
        return Path(self.place)


class Checkpoints:
    """The checkpoints in a state folder; `save` and `newest` are called from one thread at a time.

    Parameters
    ----------
    folder
        The state folder, `store.dir`; `lock` makes it.
    keep
        How many of the newest whole checkpoints stay.

    """

    def __init__(self, folder: str | Path, keep: int = 3) -> None:
        self.folder = Path(folder)
        self.keep = keep
        self.notes: tuple[str, ...] = ()
        """What `newest` passed over, one line each."""
        self._whole: dict[str, bool] = {}

    def lock(self) -> Lock:
        """Take the folder for this process alone, and sweep what a crash left unfinished.

        Returns
        -------
        Lock
            Held until its `close`, or the end of the process.

        Raises
        ------
        StartError
            Another daemon has it, or it cannot be written to.

        """
        return Lock(self.folder)

    def names(self) -> list[str]:
        """Name the checkpoints that are there, newest first."""
        with atomic.translated(self.folder):
            found = [m for name in _listed(self.folder) if (m := _NAME.fullmatch(name))]
        return [m.group() for m in sorted(found, key=lambda m: int(m[1]), reverse=True)]

    def save(self, snapshot: Snapshot) -> Written:
        """Write a checkpoint, then remove those that are no longer among the newest.

        Raises
        ------
        StateError
            It cannot be written; every earlier one is as it was.

        """
        begin = time.monotonic()
        name = self._next_name()
        with atomic.new_folder(self._place(name)) as unfinished:
            size_bytes = _write(unfinished, snapshot)
        self._whole[name] = True
        self._prune()
        return Written(self._place(name), size_bytes, time.monotonic() - begin)

    def _place(self, *names: str) -> str:
        # No Path: a name that comes once would stay in memory, see `atomic`.
        return os.path.join(self.folder, *names)

    def newest(self, config: Mapping[str, Any]) -> Snapshot | None:
        """Read the newest whole checkpoint; damaged ones are passed over, logged, and noted.

        Parameters
        ----------
        config
            The part of the configuration that decides what is learned.

        Returns
        -------
        Snapshot or None
            None where there is none yet.

        Raises
        ------
        ChangedError
            It was made under another configuration; the text names each key that differs.
        StateError
            All are damaged, or of a format that this version does not know.

        """
        self.notes = ()
        found = recovery.newest_whole(self.names(), self.read)
        if found is None:
            return None
        name, snapshot, self.notes = found
        for note in self.notes:
            log.warning("%s; going on from %s", note, name)
        recovery.refuse_changed(self._place(name), snapshot.config, config)
        return snapshot

    def newest_manifest(self) -> Manifest | None:
        """What the newest whole checkpoint says of itself, None where there is none.

        Raises `StateError` like `newest`.
        """
        found = recovery.newest_whole(self.names(), self.check)
        return None if found is None else found[1]

    def kept(self) -> list[Manifest]:
        """What the whole checkpoints say of themselves, newest first; the newest is read back.

        What is not whole is logged and left out, so that nobody relies on it.
        """
        names = self.names()
        for name in names[:1]:
            _forget_cached(self._place(name, ARRAYS))
            self._whole.pop(name, None)
        whole = [name for name in names if self._is_whole(name)]
        return [self._manifest(name) for name in whole]

    def _manifest(self, name: str) -> Manifest:
        path = self._place(name, MANIFEST)
        return unseal(_bytes(path), path)

    def read(self, name: str) -> Snapshot:
        """Read one checkpoint and check all of it.

        Raises
        ------
        DamagedError
            A file is missing, or not what was written.
        StateError
            It cannot be read, or its format is of a later version.

        """
        manifest = self.check(name)
        arrays = load_arrays(self._place(name, ARRAYS))
        return Snapshot(
            manifest.rows_learned,
            manifest.position,
            arrays,
            manifest.meta,
            manifest.config,
            manifest.digest,
            manifest.config_hash,
        )

    def check(self, name: str) -> Manifest:
        """Compare every byte of a checkpoint with its checksums; raises like `read`."""
        self._whole[name] = False
        manifest = self._manifest(name)
        _compare(self._place(name, ARRAYS), manifest.files.get(ARRAYS, {}))
        self._whole[name] = True
        return manifest

    def _next_name(self) -> str:
        newest = next(iter(self.names()), "checkpoint-0")
        return f"checkpoint-{int(newest.rpartition('-')[2]) + 1:08d}"

    def _prune(self) -> None:
        """Keep the newest whole ones, and whatever is newer than the last of them."""
        kept = 0
        for name in self.names():
            if kept >= self.keep:
                self._remove(name)
            elif self._is_whole(name):
                kept += 1

    def _remove(self, name: str) -> None:
        try:
            atomic.remove_folder(self._place(name))
        except StateError as error:
            # What was to be saved is saved; an old checkpoint too many is no failure.
            log.warning("%s; an old checkpoint stays", error, extra={"limit": "prune"})
        self._whole.pop(name, None)

    def _is_whole(self, name: str) -> bool:
        if name not in self._whole:
            try:
                self.check(name)
            except StateError as error:
                log.warning("%s; it does not count as a checkpoint", error)
        return self._whole[name]


def _listed(folder: Path) -> list[str]:
    """Names in a folder; none where it is not there."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return os.listdir(folder)
    return []


def _forget_cached(path: str) -> None:
    """Let the next reader get the file from the disk, not from memory, where the system can."""
    with suppress(OSError, AttributeError), open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _write(folder: str, snapshot: Snapshot) -> int:
    """Fill a checkpoint's folder; returns its size in bytes."""
    arrays = os.path.join(folder, ARRAYS)
    save_arrays(arrays, snapshot.arrays)
    manifest = Manifest(
        format=FORMAT,
        streamlearn=__version__,
        time=time.time(),
        rows_learned=int(snapshot.rows_learned),
        position=int(snapshot.position),
        digest=snapshot.digest,
        config_hash=snapshot.config_hash,
        config=dict(snapshot.config),
        meta=dict(snapshot.meta),
        files={ARRAYS: {"bytes": os.path.getsize(arrays), "sha256": _sha256(arrays)}},
    )
    sealed = seal(manifest)
    with open(os.path.join(folder, MANIFEST), "wb") as file:
        file.write(sealed)
    return os.path.getsize(arrays) + len(sealed)


def save_arrays(path: atomic.Place, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name; raises `OSError` or `StateError`."""
    # safetensors writes the memory as it lies: strides would be lost.
    dense = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    try:
        save_file(dense, path)
    except SafetensorError as error:
        # It hides the system's error in its text.
        if found := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(found[1]), str(error)) from error
        raise StateError(f"{path}: {error}") from error


def load_arrays(path: atomic.Place) -> dict[str, NDArray[Any]]:
    """Read arrays by name; raises `DamagedError`."""
    try:
        return dict(load_file(path))
    except (SafetensorError, KeyError, ValueError) as error:
        raise DamagedError(f"{path}: not what was written: {error}") from error


def _compare(path: str, expected: Mapping[str, Any]) -> None:
    with _reading(path):
        size_bytes, checksum = os.path.getsize(path), _sha256(path)
    if size_bytes != expected.get("bytes"):
        raise DamagedError(f"{path}: {size_bytes} bytes, and {expected.get('bytes')} were written")
    if checksum != expected.get("sha256"):
        raise DamagedError(f"{path}: not what was written: its checksum differs")


def _bytes(path: str) -> bytes:
    with _reading(path), open(path, "rb") as file:
        return file.read()


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Tell what is lost, where an earlier checkpoint may help, from what is only out of reach."""
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedError(f"{path}: missing") from error
    except OSError as error:
        kind = DamagedError if error.errno == errno.EIO else StateError
        raise kind(atomic.explain(path, error)) from error


def _sha256(path: str) -> str:
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
