"""Sets of recordings: series of samples that were taken each by itself.

One long array holds them end to end, and `offsets` [S + 1] says where each begins: recording i is
rows offsets[i] … offsets[i + 1] - 1. Labels may be one a recording. Each is a stream of its own,
called DEVICE/i, the device out of `subject` or `speaker` where they are there.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamlearn.data.dataset import Dataset, checked
from streamlearn.errors import UsageError

SERIES_KEYS: Final = ("offsets", "subject", "speaker")


def recordings(name: str, X: NDArray[Any], arrays: Mapping[str, Any]) -> Dataset:
    """Make a data set of recordings that lie end to end.

    Parameters
    ----------
    name
        Named in every error.
    X
        [N, …] all samples.
    arrays
        `offsets` [S + 1], and where they are `y` [S] or [N], `is_test` [S] or [N], `subject` [S],
        `speaker` (one name).

    Raises
    ------
    UsageError
        Where the offsets do not cut X, or what else `checked` refuses.

    """
    lengths = _lengths(name, np.asarray(arrays["offsets"]), np.size(X, 0) if np.ndim(X) else 0)
    series = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    each = [arrays.get(key) for key in ("y", "is_test")]
    y, is_test = (
        value[series] if value is not None and np.shape(value)[:1] == lengths.shape else value
        for value in each
    )
    names = _names(name, arrays, len(lengths))
    return replace(checked(name, X, y, is_test), series=series, names=names)


def _lengths(name: str, offsets: NDArray[Any], rows: int) -> NDArray[np.int64]:
    """Rows [S] of each recording."""
    lengths = np.zeros(0, np.int64)
    if offsets.ndim == 1 and offsets.size > 1 and offsets.dtype.kind in "iu":
        edges = offsets.astype(np.int64)  # differences of unsigned numbers would never be negative
        if edges[0] == 0 and edges[-1] == rows and (edges >= 0).all() and (edges <= rows).all():
            lengths = np.diff(edges)
    if not lengths.size or (lengths < 1).any():
        raise UsageError(
            f"{name}: offsets {offsets.shape} of {offsets.dtype} do not cut {rows} rows into "
            f"recordings; expected rising whole numbers from 0 to {rows}"
        )
    return lengths


def _names(name: str, arrays: Mapping[str, Any], count: int) -> tuple[str, ...]:
    devices = arrays.get("subject")
    if devices is None:
        devices = arrays.get("speaker")
    if devices is None:
        return tuple(str(i) for i in range(count))
    if np.shape(devices) not in ((), (1,), (count,)):
        found = list(np.shape(devices))
        raise UsageError(f"{name}: subject has shape {found}; expected one a recording, [{count}]")
    return tuple(f"{device}/{i}" for i, device in enumerate(np.broadcast_to(devices, count)))


def interleaved(dataset: Dataset, together: int, rows: int, *, mixed: bool = False) -> Dataset:
    """The rows as a live daemon would get them: recordings in turn, `rows` of each at a time.

    Parameters
    ----------
    dataset
        Recordings end to end; one without recordings stays as it is.
    together
        How many are live at once; one that ends makes room for the next.
    rows
        Rows of a turn.
    mixed
        Begin with a recording of every device, go on with the second of each, and so on: a file a
        person is not played person by person. Else as they lie.

    """
    if dataset.series is None:
        return dataset
    firsts, counts = np.unique(dataset.series, return_index=True, return_counts=True)[1:]
    lying = sorted(zip(firsts.tolist(), counts.tolist(), strict=True))
    waiting = iter(_mixed(dataset, lying) if mixed else lying)
    live = list(itertools.islice(waiting, together))
    order = []
    while live:
        for first, count in live:
            order.append(np.arange(first, first + min(rows, count)))
        live = [(first + rows, count - rows) for first, count in live if count > rows]
        live += itertools.islice(waiting, together - len(live))
    return dataset.part(np.concatenate(order))


def _mixed(dataset: Dataset, recordings: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The recordings (first row, rows), all first ones of a device before all second ones."""
    seen: Counter[str] = Counter()
    turns = []
    for first, count in recordings:
        device = dataset.stream(first, "").rpartition("/")[0]
        turns.append((seen[device], first, count))
        seen[device] += 1
    return [(first, count) for _, first, count in sorted(turns)]


def messages(dataset: Dataset, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut rows begin:end where another recording goes on; as (begin, end)."""
    if dataset.series is None:
        yield begin, end
        return
    cuts = np.flatnonzero(np.diff(dataset.series[begin:end])) + begin + 1
    yield from itertools.pairwise([begin, *cuts.tolist(), end])
