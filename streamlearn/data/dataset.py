"""A data set in memory, checked: rows, labels, and which rows are held out.

Shape letters: N rows, then the shape of one row.
"""

import itertools
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamlearn.errors import UsageError
from streamlearn.part import I32, UNLABELLED

WIRE_DTYPES: Final = ("|u1", "|i1", "<i2", "<u2", "<i4", "<f2", "<f4", "<f8")
"""Types that rows can have on the wire; all others become float32, as the learner computes."""

MOST_CLASSES: Final = 10_000


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows in the order in which they are to be learned."""

    name: str
    """What it is called: the name of a standard set, or a path."""
    X: NDArray[Any]
    """[N, …] finite, one of the types of the wire, C-contiguous."""
    y: I32 | None
    """[N] class, -1 where it is not known; None without labels."""
    is_test: NDArray[np.bool_] | None
    """[N] True for rows held out from learning; None where nothing is said."""
    classes: int
    """K: one more than the largest label; 0 without labels."""
    series: I32 | None = None
    """[N] which recording a row belongs to, where there are several; each is a stream of its own,
    with its rows together and in order."""
    names: tuple[str, ...] = ()
    """What each recording is called; before the last "/" stands the device it comes from."""

    @property
    def rows(self) -> int:
        """N: how many rows there are."""
        return len(self.X)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.X.shape[1:]

    @property
    def train(self) -> "Dataset":
        """The rows to learn from; all of them where nothing is held out."""
        return self if self.is_test is None else self.part(~self.is_test)

    @property
    def test(self) -> "Dataset | None":
        """The rows held out from learning, or None."""
        some = self.is_test is not None and self.is_test.any()
        return self.part(self.is_test) if some else None

    def first(self, rows: int) -> "Dataset":
        """The first rows alone, as views."""
        return self.part(slice(0, rows))

    def shaped(self, shape: tuple[int, ...]) -> "Dataset":
        """The same rows in another shape of as many numbers.

        Raises
        ------
        UsageError
            When a row has another count of numbers.

        """
        if shape == self.shape:
            return self
        if np.prod(shape) != np.prod(self.shape):
            raise UsageError(
                f"{self.name}: rows of shape {list(self.shape)} do not fit stream.shape "
                f"{list(shape)}; change stream.shape, or name other data"
            )
        return replace(self, X=self.X.reshape(-1, *shape))

    def part(self, chosen: Any) -> "Dataset":
        """The rows of a slice, of a mask [N] or of numbers [n], as views where they can be."""
        if isinstance(chosen, np.ndarray) and chosen.dtype == np.bool_:
            chosen = _as_slice(chosen)
        y = None if self.y is None else self.y[chosen]
        series = None if self.series is None else self.series[chosen]
        return replace(self, X=self.X[chosen], y=y, is_test=None, series=series)

    def recordings(self) -> list["Dataset"]:
        """Each recording by itself, as views; the whole where there is only one."""
        if self.series is None:
            return [self]
        edges = [0, *(np.flatnonzero(np.diff(self.series)) + 1).tolist(), self.rows]
        return [self.part(slice(a, b)) for a, b in itertools.pairwise(edges) if a < b]

    def stream(self, row: int, default: str) -> str:
        """Name of the stream that a row is sent in."""
        if self.series is None:
            return default
        return f"{default}/{self.names[int(self.series[row])]}"


def _as_slice(mask: NDArray[np.bool_]) -> slice | NDArray[np.bool_]:
    """A slice where the chosen rows lie together, so that they are not copied."""
    chosen = np.flatnonzero(mask)
    if len(chosen) and chosen[-1] - chosen[0] + 1 == len(chosen):
        return slice(int(chosen[0]), int(chosen[-1]) + 1)
    return mask


def checked(name: str, X: Any, y: Any = None, is_test: Any = None) -> Dataset:
    """Make a data set of arrays from outside.

    Parameters
    ----------
    name
        Named in every error.
    X
        [N, …] numbers.
    y
        [N] whole numbers from -1 (not known), or None.
    is_test
        [N] 0 or 1, or None.

    Raises
    ------
    UsageError
        With what is wrong, where, and what it should be.

    """
    rows = _rows(name, np.asarray(X))
    labels = None if y is None else _labels(name, np.asarray(y), len(rows))
    held_out = None if is_test is None else _held_out(name, np.asarray(is_test), len(rows))
    classes = 0 if labels is None else int(labels.max()) + 1
    return Dataset(name, rows, labels, held_out, classes)


def _rows(name: str, X: NDArray[Any]) -> NDArray[Any]:
    if X.dtype.kind not in "buif":
        raise UsageError(f"{name}: X holds {X.dtype}; expected numbers")
    if X.ndim < 2 or X.size == 0:
        raise UsageError(f"{name}: X has shape {list(X.shape)}; expected [rows, …] with some rows")
    little = X.dtype.newbyteorder("<").str
    with np.errstate(over="ignore"):
        X = np.ascontiguousarray(X, little if little in WIRE_DTYPES else "<f4")
    bad = _first_nonfinite(X)
    if bad is not None:
        raise UsageError(
            f"{name}: row {bad} of X is not finite in float32; drop such rows or fill them in"
        )
    return X


def _first_nonfinite(X: NDArray[Any]) -> int | None:
    """Number of the first row that float32 cannot hold, looked for a block at a time."""
    if X.dtype.kind != "f":
        return None
    largest = np.finfo(np.float32).max
    for start in range(0, len(X), 4096):
        block = X[start : start + 4096].reshape(len(X[start : start + 4096]), -1)
        good = (np.abs(block) <= largest).all(axis=1)  # NaN compares as False
        if not good.all():
            return start + int(np.argmin(good))
    return None


def _labels(name: str, y: NDArray[Any], rows: int) -> I32:
    if y.shape != (rows,):
        raise UsageError(f"{name}: y has shape {list(y.shape)}; expected one label a row, [{rows}]")
    whole = y.dtype.kind in "bui" or (y.dtype.kind == "f" and bool((y == np.floor(y)).all()))
    if not whole:
        raise UsageError(
            f"{name}: y holds {y.dtype} such as {y[0]!r}; expected whole numbers from 0, "
            f"or {UNLABELLED} where the class is not known"
        )
    wrong = (y < UNLABELLED) | (y >= MOST_CLASSES)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UsageError(f"{name}: y[{row}] is {y[row]}; expected {UNLABELLED}…{MOST_CLASSES - 1}")
    return np.ascontiguousarray(y, np.int32)


def _held_out(name: str, is_test: NDArray[Any], rows: int) -> NDArray[np.bool_]:
    if is_test.shape != (rows,):
        shape = list(is_test.shape)
        raise UsageError(f"{name}: is_test has shape {shape}; expected 0 or 1 a row, [{rows}]")
    if not np.isin(is_test, (0, 1)).all():
        raise UsageError(f"{name}: is_test holds more than 0 and 1; 1 means held out")
    return is_test.astype(np.bool_)
