"""Snapshots and small disks for the tests of the store."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from streamlearn.store.checkpoint import Checkpoints, Snapshot
from streamlearn.store.dead import DeadLetters, Letter
from streamlearn.store.digest import digest
from streamlearn.store.journal import MESSAGE, Journal, Record

CONFIG: dict[str, Any] = {"seed": 0, "layer": [{"rule": "hebbian", "units": 8, "p": 2.0}]}


def snapshot(rows: int = 10, config: dict[str, Any] | None = None) -> Snapshot:
    """Make the state of a small learner after `rows` rows; different for each count."""
    random = np.random.default_rng(rows)
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "layer/layer1/w": random.normal(size=(8, 6)).astype(np.float32),
        "layer/layer1/wins": random.integers(0, 99, 8).astype(np.int64),
        "head/softmax/mean": random.normal(size=3),
        "history/y": np.full(4, -1, np.int32),
        "history/kept": np.zeros((0, 6), np.uint8),
        "figures/count": np.array([rows], np.uint64),
    }
    meta = {"next_seq": [rows, 2**63], "sources": [["cam0", ""]], "last": None}
    name = digest(arrays, rows)
    return Snapshot(rows, rows + 2, arrays, meta, config or CONFIG, name, "c0ffee")


def records(first: int, count: int) -> list[Record]:
    """Records of two rows."""
    payload = bytes(range(250)) * 8
    numbers = range(first, first + count)
    return [Record(i, MESSAGE, 2, b"cam0", b"h%d" % i, payload) for i in numbers]


def state_folder(folder: Path) -> Path:
    """Two checkpoints, the newest at record 10, a journal of records 6 to 40, two dead letters."""
    store = Checkpoints(folder)
    with store.lock():
        for position in (5, 10):
            one = snapshot(position)
            meta = {**one.meta, "journal": {"id": position, "part": 0, "places": []}}
            store.save(one._replace(meta=meta))
    journal = Journal(folder, 1 << 30)
    journal.append(records(1, 40))
    journal.trim(5)
    journal.close()
    dead = DeadLetters(folder)
    dead.add([Letter(0, 0.0, "shape", "", "p", i, 1, b"cam0", b"h", b"x") for i in range(2)])
    dead.close()
    return folder


@contextmanager
def files_at_most(size_bytes: int) -> Iterator[None]:
    """Let the system refuse to write longer files, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def not_root() -> Iterator[None]:
    """Give up the root user's right to write anywhere."""
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(os.getuid())


def names(folder: Path) -> list[str]:
    """What is in a folder, by name."""
    return sorted(path.name for path in folder.iterdir())


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    """A folder and all that is in it: each file's bytes, and when something changed there."""
    paths = [folder, *folder.rglob("*")]
    data = {str(path): path.read_bytes() if path.is_file() else b"" for path in paths}
    return {str(path): (data[str(path)], path.stat().st_mtime_ns) for path in paths}
