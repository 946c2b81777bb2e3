"""One file a data set: npz (never with pickle) and csv."""

import csv
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
from numpy.typing import NDArray

from streamlearn.data.dataset import Dataset, checked
from streamlearn.data.series import SERIES_KEYS, recordings
from streamlearn.errors import UsageError

LABEL_COLUMNS: Final = ("y", "label", "class", "target")
_TEST_COLUMN: Final = "is_test"
_ROWS: Final = ("X", "frames", "audio")
"""What rows are called in an .npz; the first that is there counts."""


def load_npz(path: Path, name: str | None = None) -> Dataset:
    """Read `X` [N, …] and, where they are, `y` [N] and `is_test` [N]; `frames` is a name for X.

    Recordings end to end, of sensors (`X`) or sound (`audio` [N]), come with `offsets`; see
    `streamlearn.data.series`.

    Raises
    ------
    UsageError
        When the file is damaged, holds pickled objects, or lacks `X` and `frames`.

    """
    arrays = _npz_arrays(path)
    rows = next((key for key in _ROWS if key in arrays), None)
    if rows is None:
        held = ", ".join(arrays) or "nothing"
        raise UsageError(
            f"{path}: holds {held}; expected X [rows, …], and y [rows] for labels, or frames "
            "[frames, height, width], or audio [samples]"
        )
    X, title = np.asarray(arrays[rows]), name or str(path)
    if rows == "audio" and X.ndim == 1:
        X = X[:, None]
    if arrays.get("offsets") is not None:
        return recordings(title, X, arrays)
    return checked(title, X, arrays.get("y"), arrays.get(_TEST_COLUMN))


def _npz_arrays(path: Path) -> Mapping[str, NDArray[Any] | None]:
    """The arrays that count, and the names of the others."""
    wanted = (*_ROWS, "y", _TEST_COLUMN, *SERIES_KEYS)
    try:
        with path.open("rb") as file, zipfile.ZipFile(file), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's advice on old headers
            file.seek(0)
            held = np.load(file, allow_pickle=False)
            return {key: held[key] if key in wanted else None for key in held.files}
    except Exception as error:  # noqa: BLE001  zipfile and numpy raise a dozen kinds
        raise UsageError(f"{path}: not a readable .npz file: {error}") from None


def load_csv(path: Path) -> Dataset:
    """Read a table of numbers, one row a line.

    With a line of column names, the one called `y`, `label`, `class` or `target` holds the labels
    and `is_test` says which rows are held out; without one, all columns are inputs. Columns are
    separated by commas, semicolons or tabs.

    Raises
    ------
    UsageError
        When a field is not a number, with its row and column.

    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names, table = _read_table(file)
    except (OSError, ValueError) as error:
        reason = str(error).rstrip(".")
        raise UsageError(f"{path}: {reason}; expected numbers, one row a line") from None
    if not table.size:
        raise UsageError(f"{path}: no rows; expected numbers, one row a line")
    return _from_table(path, names, table)


def _read_table(file: TextIO) -> tuple[list[str], NDArray[np.float64]]:
    """Column names, where there are any, and all numbers."""
    first = file.readline()
    delimiter = max(",;\t", key=first.count)
    names = _names(next(csv.reader([first], delimiter=delimiter), []))
    if not names:
        file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no rows: the caller says so with the file's name
        table = np.loadtxt(file, delimiter=delimiter, ndmin=2, comments=None, quotechar='"')
    return names, table


def _names(fields: list[str]) -> list[str]:
    """Column names, or nothing where the first line is numbers already."""
    try:
        [float(field) for field in fields]
    except ValueError:
        return [field.strip().lower() for field in fields]
    return []


def _from_table(path: Path, names: list[str], table: NDArray[np.float64]) -> Dataset:
    if names and len(names) != table.shape[1]:
        raise UsageError(f"{path}: {len(names)} column names over {table.shape[1]} columns")
    labels = [i for i, name in enumerate(names) if name in LABEL_COLUMNS]
    if len(labels) > 1:
        found = ", ".join(names[i] for i in labels)
        raise UsageError(f"{path}: more than one column of labels: {found}; keep one")
    tests = [i for i, name in enumerate(names) if name == _TEST_COLUMN]
    inputs = [i for i in range(table.shape[1]) if i not in labels + tests]
    y = table[:, labels[0]] if labels else None
    is_test = table[:, tests[0]] if tests else None
    with np.errstate(over="ignore"):  # infinite then, and `checked` says where
        X = table[:, inputs].astype(np.float32)
    return checked(str(path), X, y, is_test)
