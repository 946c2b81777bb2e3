"""Rows and labels as people have them, made into what the wire takes."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamlearn.errors import UsageError
from streamlearn.wire.message import DTYPES


def wire_array(x: ArrayLike) -> NDArray[Any]:
    """The rows in a type that the wire has: their own, or `<f8`, which holds what we learn from."""
    array = np.asarray(x)
    if array.dtype.str in DTYPES:
        return array
    if array.dtype.kind not in "biuf":
        raise UsageError(f"x: expected numbers, got {array.dtype}")
    near = array.dtype.newbyteorder("<").str
    return array.astype("|u1" if array.dtype.kind == "b" else near if near in DTYPES else "<f8")


def labels_of(y: ArrayLike, n: int) -> NDArray[np.int32]:
    """Labels [n] of n rows; raises `UsageError` where they are none."""
    if type(y) is int and n == 1 and -1 <= y < 1 << 31:
        return np.array([y], np.int32)
    labels = np.asarray(y)
    if labels.dtype.kind not in "iu":
        raise UsageError(f"y: expected whole numbers, got {labels.dtype}")
    if labels.size != n or labels.ndim > 1:
        raise UsageError(f"y: expected {n} labels, got shape {labels.shape}")
    if labels.size and (labels.min() < -1 or labels.max() > np.iinfo(np.int32).max):
        raise UsageError(f"y: expected -1 or a class, got {labels.min()}…{labels.max()}")
    return labels.reshape(n).astype(np.int32)
