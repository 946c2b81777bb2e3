"""Ranks among units without sorting them: passes over integer keys, many at a time.

A key is a score's bits as an integer of the same order; unlike floats, integers of unknown value
are compared many at a time. H units; keys of units that do not take part are `LAST`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels import inlined

I32 = NDArray[np.int32]

LAST: Final = np.int32(-(1 << 31))
"""Key of a unit without weights: below all others."""


@inlined
def key_of(score: np.float32) -> np.int32:
    """Integer that stands to other keys as the score to other scores."""
    bits = np.float32(score).view(np.int32)
    return np.int32(bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF)))


@inlined
def highest_of(key: I32) -> np.int32:
    """Largest of the keys [H]."""
    highest = LAST
    for h in range(key.shape[0]):
        highest = max(highest, key[h])
    return highest


@inlined
def _count_above(key: I32, bound: np.int32) -> int:
    """How many keys [H] are larger; counted in floats, which are half as wide as integers here."""
    count = np.float32(0)
    for h in range(key.shape[0]):
        count += np.float32(1) if key[h] > bound else np.float32(0)
    return int(count)


@inlined
def _lowest_above(key: I32, bound: np.int32, highest: np.int32) -> np.int32:
    """Smallest of the keys [H] that are larger than the bound; the highest where none is."""
    lowest = highest
    for h in range(key.shape[0]):
        lowest = min(lowest, key[h] if key[h] > bound else highest)
    return lowest


@inlined
def _kth(key: I32, k: int, highest: np.int32) -> np.int32:
    """Find the k-th largest of the keys [H]: bisected, so that no order is made of them."""
    low, high = np.int64(_lowest_above(key, LAST, highest)) - 1, np.int64(highest)
    # Always: more than k, or k, are above low; fewer than k above high.
    above = -1
    while above != k and high - low > 1:
        middle = (low + high) >> 1
        above = _count_above(key, np.int32(middle))
        if above >= k:
            low = middle
        else:
            high = middle
    return _lowest_above(key, np.int32(low), highest)


@inlined
def _next(key: I32, value: np.int32, after: np.int32) -> np.int32:
    """First place beyond `after` where the key stands; H where there is none."""
    first = none = np.int32(key.shape[0])
    for h in range(key.shape[0]):
        here = np.int32(h) if key[h] == value else none
        first = min(first, here if here > after else none)
    return first


@inlined
def place_of(key: I32, value: np.int32, turn: int) -> int:
    """Where the key stands, the `turn`-th time, 1 for the first, that it does."""
    place = np.int32(-1)
    for _ in range(turn):
        place = _next(key, value, place)
    return int(place)


@inlined
def unit_of_rank(key: I32, k: int, highest: np.int32) -> int:
    """Unit of rank k, the earlier of two alike first; -1: fewer than k have weights."""
    if _count_above(key, LAST) < k:
        return -1
    value = _kth(key, k, highest)
    return place_of(key, value, k - _count_above(key, value))
