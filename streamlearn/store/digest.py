"""One number for a whole learner: equal digests mean equal learners."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def digest(named_arrays: Mapping[str, NDArray[Any]], rows_learned: int) -> str:
    """Hash a learner's state.

    Parameters
    ----------
    named_arrays
        Every state array by name; order, strides and byte order in memory do not matter.
    rows_learned
        Rows learned from so far.

    Returns
    -------
    str
        SHA-256 in hex over, for each array in order of name, one line of JSON
        `[name, dtype, shape]` and its bytes, little-endian in C order; and at last the count.

    """
    total = hashlib.sha256()
    for name in sorted(named_arrays):
        array = named_arrays[name]
        dense = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
        total.update(json.dumps([name, dense.dtype.str, list(dense.shape)]).encode() + b"\n")
        total.update(dense.reshape(-1).view(np.uint8).data)
    total.update(json.dumps(int(rows_learned)).encode())
    return total.hexdigest()
