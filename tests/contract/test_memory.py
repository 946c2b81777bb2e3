"""Where arrays lie changes no bit, and no two arrays of a call are one memory in different words.

Compiled code is told the latter (see `streamlearn.kernels.compile`), so it has to be so.
"""

import copy
import inspect
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from contract.parts import Entry, every_part, infer, learn, state, stream
from numba.core.registry import CPUDispatcher
from numpy.typing import NDArray

from streamlearn.kernels.compile import Helper
from streamlearn.part import F32, I32

Array = NDArray[Any]

GAPS = (0, 0, 16, 32, 64)
"""Bytes between two arrays; the code of one instruction reaches over 256."""
LARGER = 4
"""Times the size of other tests, so that loops over units and inputs are vectorised at all."""
TRIES = 2
"""How often a call with the same overlaps is looked at, which runs it twice."""


def packed(arrays: list[Array], seed: int) -> list[Array]:
    """Copies that lie close together in one memory, in an order and at distances by chance."""
    chance = random.Random(seed)
    memory = np.zeros(sum(a.nbytes + 2 * max(GAPS) for a in arrays) + 64, np.uint8)
    free = -memory.ctypes.data % 64
    copies = {}
    for place in chance.sample(range(len(arrays)), len(arrays)):
        array = arrays[place]
        room = memory[free : free + array.nbytes]
        copies[place] = room.view(array.dtype).reshape(array.shape) if array.size else array.copy()
        copies[place][...] = array
        free += array.nbytes + chance.choice(GAPS)
        free += -free % 16
    return [copies[place] for place in range(len(arrays))]


def owner(array: Array) -> Array:
    """The array whose memory this one is a view of; itself where it is of none."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def view(array: Array, copies: dict[int, Array]) -> Array:
    """The like of an array in the copy of its owner."""
    whole = owner(array)
    offset = array.ctypes.data - whole.ctypes.data
    return np.ndarray(array.shape, array.dtype, copies[id(whole)], offset, array.strides)


def moved(part: Any, x: F32, y: I32, seed: int) -> tuple[Any, F32, I32]:
    """The part and rows again, all their arrays packed."""
    memo: dict[int, Any] = {}
    held = [part, x, y]
    copy.deepcopy(held, memo)
    arrays = [one for one in memo[id(memo)] if isinstance(one, np.ndarray)]
    owners = list({id(whole): whole for whole in map(owner, arrays)}.values())
    copies = dict(zip(map(id, owners), packed(owners, seed), strict=True))
    part, x, y = copy.deepcopy(held, {id(array): view(array, copies) for array in arrays})
    return part, x, y


@every_part
def test_where_arrays_lie_changes_nothing(entry: Entry) -> None:
    """Parts whose arrays lie close together, now so, now so, learn to the same bits."""
    rows = stream(60, times=LARGER)
    part = entry.build(times=LARGER)
    out = learn(part, *rows)
    for seed in range(150):
        other, x, y = moved(entry.build(times=LARGER), *rows, seed)
        assert learn(other, x, y).tobytes() == out.tobytes()
        assert state(other) == state(part)


class Leaf(NamedTuple):
    """An array among the arguments of a call."""

    name: str
    array: Array


def leaves(name: str, value: Any) -> Iterator[Leaf]:
    """Every array in an argument, by its name."""
    if isinstance(value, np.ndarray) and value.size:
        yield Leaf(name, value)
    elif isinstance(value, tuple):
        names = getattr(value, "_fields", range(len(value)))
        for own, one in zip(names, value, strict=True):
            yield from leaves(f"{name}.{own}", one)


def apart(value: Any) -> Any:
    """The argument with a copy in the place of every array."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, tuple):
        inner = [apart(one) for one in value]
        return type(value)(*inner) if hasattr(value, "_fields") else tuple(inner)
    return value


def equal(one: Array, other: Array) -> NDArray[np.bool_]:
    """Where two arrays are alike, no number counting as like no number."""
    return (one == other) | ((one != one) & (other != other))  # noqa: PLR0124


class Watch:
    """Runs kernels and helpers as plain Python, and tells of those to whom an overlap matters.

    A call whose arrays overlap is made a second time with each array copied apart. It must come to
    the same, and of arrays that overlap one alone may be written.
    """

    def __init__(self) -> None:
        self.found: list[str] = []
        self._seen: Counter[tuple[str, ...]] = Counter()
        self._again = False

    def call(self, dispatcher: Any, *arguments: Any) -> Any:
        """What stands in for the call of compiled code."""
        function = dispatcher.py_func
        named = list(zip(inspect.signature(function).parameters, arguments, strict=True))
        given = [leaf for name, value in named for leaf in leaves(name, value)]
        pairs = [
            (i, j)
            for i in range(len(given))
            for j in range(i)
            if np.may_share_memory(given[i].array, given[j].array)
        ]
        key = (function.__qualname__, *(given[i].name + given[j].name for i, j in pairs))
        self._seen[key] += 1
        if not pairs or self._again or self._seen[key] > TRIES:
            return function(*arguments)
        before = [leaf.array.copy() for leaf in given]
        copies = tuple(apart(value) for value in arguments)
        self._again = True
        try:
            answer = function(*copies)
        finally:
            self._again = False
        result = function(*arguments)
        after = [
            leaf.array
            for (name, _), value in zip(named, copies, strict=True)
            for leaf in leaves(name, value)
        ]
        overlapping = {place for pair in pairs for place in pair}
        for place, (own, old, new) in enumerate(zip(given, before, after, strict=True)):
            same = equal(new, own.array) | (equal(new, old) & (place in overlapping))
            if not same.all():
                self.found.append(f"{function.__qualname__}: {own.name} is another when apart")
        for i, j in pairs:
            if not (equal(before[i], after[i]).all() or equal(before[j], after[j]).all()):
                names = f"{given[j].name} and {given[i].name}"
                self.found.append(f"{function.__qualname__}: {names} overlap, both are written")
        if answer != result:
            self.found.append(f"{function.__qualname__}: returns another number when apart")
        return result


@every_part
def test_no_two_arrays_of_a_call_are_one_memory(
    entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of arrays that overlap, a kernel or helper writes none, or looks at one only."""
    watch = Watch()

    def call(*given: Any) -> Any:
        return watch.call(*given)

    for kind in (CPUDispatcher, Helper):
        monkeypatch.setattr(kind, "__call__", call)
    part = entry.build()
    x, y = stream(30)
    with np.errstate(all="ignore"):
        learn(part, x[:9], y[:9])
        learn(part, x[9:], y[9:], 9)
        infer(part, x[:5])
    assert not watch.found
