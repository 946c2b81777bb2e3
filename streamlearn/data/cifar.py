"""CIFAR-10 in its binary version: six files of records, each a label and a picture.

A record is one byte of label, 0…9, then 3072 bytes: a red, a green and a blue plane of 32 rows by
32 pixels (Krizhevsky, "Learning multiple layers of features from tiny images", 2009). As published
a file has 10,000 records; any whole number of them is read, so that a part of a file will do.

Shape letters: N records.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamlearn.data.dataset import Dataset, checked
from streamlearn.errors import UsageError

TRAIN: Final = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST: Final = ("test_batch.bin",)

_PLANES: Final = (3, 32, 32)
_RECORD_BYTES: Final = 1 + 3 * 32 * 32
_CLASSES: Final = 10

U8 = NDArray[np.uint8]


def load_cifar(folder: Path, name: str | None = None) -> Dataset:
    """Read a folder of CIFAR-10's files: training rows first, then those held out.

    Rows are [32, 32, 3]: height, width, and red, green and blue.

    Raises
    ------
    UsageError
        When a file is missing or damaged.

    """
    batches = [_records(folder / file) for file in (*TRAIN, *TEST)]
    y = np.concatenate([batch[:, 0] for batch in batches])
    X = np.empty((len(y), *_PLANES[1:], _PLANES[0]), np.uint8)
    np.concatenate([_pictures(batch) for batch in batches], out=X)
    is_test = np.arange(len(y)) >= len(y) - len(batches[-1])
    return checked(name or str(folder), X, y, is_test)


def _records(path: Path) -> U8:
    """The records [N, 3073] of one file, their labels checked."""
    try:
        raw: NDArray[Any] = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; get the file again") from None
    if not len(raw) or len(raw) % _RECORD_BYTES:
        raise UsageError(
            f"{path}: {len(raw)} bytes; expected whole records of {_RECORD_BYTES}, a label and a "
            "picture, 10,000 of them as published; get the file again"
        )
    records = raw.reshape(-1, _RECORD_BYTES)
    wrong = records[:, 0] >= _CLASSES
    if wrong.any():
        record = int(np.argmax(wrong))
        raise UsageError(
            f"{path}: record {record} has label {records[record, 0]}; expected 0…{_CLASSES - 1}; "
            "get the file again, in CIFAR-10's binary version"
        )
    return records


def _pictures(records: U8) -> U8:
    """Pictures [N, 32, 32, 3] of records [N, 3073], the planes side by side in each pixel."""
    return records[:, 1:].reshape(-1, *_PLANES).transpose(0, 2, 3, 1)
