"""Snapshots and small disks for the tests of the store."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from streamlearn.store.checkpoint import Snapshot
from streamlearn.store.digest import digest

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


@contextmanager
def files_at_most(size_bytes: int) -> Iterator[None]:
    """Let the system refuse to write longer files, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder: Path) -> list[str]:
    """What is in a folder, by name."""
    return sorted(path.name for path in folder.iterdir())
