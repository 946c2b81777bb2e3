"""Windows: cut from a stream the same wherever its messages end, each stream by itself."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.errors import ConfigError
from streamlearn.part import I32
from streamlearn.prepare.window import Window

LIVE = 3


def window(rows: int, hop: int, label: Any = "last") -> Window:
    """A cutter of three streams of two numbers."""
    options = Window.Options(step="window", rows=rows, hop=hop, label=label)
    return Window(options, LIVE, 2, np.float32)


def samples(n: int) -> Any:
    """[n, 2] numbers, all different."""
    return np.arange(2 * n, dtype=np.float32).reshape(n, 2)


def naive(x: Any, y: I32, rows: int, hop: int) -> tuple[list[Any], list[int], list[int]]:
    """Every window as a loop of its own: rows, label of the last, index of the last."""
    starts = range(0, len(x) - rows + 1, hop)
    windows = [x[a : a + rows].ravel() for a in starts]
    return windows, [int(y[a + rows - 1]) for a in starts], [a + rows - 1 for a in starts]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 6),
    hop=st.integers(1, 8),
    cuts=st.lists(st.integers(0, 40), max_size=7),
)
def test_windows_are_the_same_wherever_messages_end(rows: int, hop: int, cuts: list[int]) -> None:
    """Any cut of a stream gives the windows of the whole, and says once that it begins."""
    x, y = samples(40), np.arange(40, dtype=np.int32)
    cutter = window(rows, hop)
    found, labels, last, began = [], [], [], []
    for a, b in pairwise([0, *sorted(cuts), 40]):
        cut = cutter.cut(1, x[a:b], y[a:b], begins=False)
        found += list(cut.x)
        labels += cut.y.tolist()
        last += (cut.last + a).tolist()
        began += [cut.begins] * (len(cut.last) > 0)
    wanted = naive(x, y, rows, hop)
    np.testing.assert_array_equal(np.array(found), np.array(wanted[0]))
    assert (labels, last) == wanted[1:]
    assert began == [True] + [False] * (len(began) - 1)


def test_streams_do_not_mix() -> None:
    """Samples of two slots in turn give what each would give alone."""
    x, cutter = samples(20), window(4, 3)
    both = {0: [], 2: []}  # type: dict[int, list[Any]]
    for i in range(20):
        for slot, sign in ((0, 1), (2, -1)):
            both[slot] += list(cutter.cut(slot, sign * x[i : i + 1], None, begins=False).x)
    alone, _, _ = naive(x, np.zeros(20, np.int32), 4, 3)
    np.testing.assert_array_equal(both[0], alone)
    np.testing.assert_array_equal(both[2], -np.array(alone))


def test_a_stream_that_begins_anew_shares_no_sample_with_what_was() -> None:
    """After a gap the first window has only samples from behind it, and says that it begins."""
    x, cutter = samples(9), window(4, 2)
    cutter.cut(0, x[:5], None, begins=True)
    cut = cutter.cut(0, x[6:8], None, begins=True)
    assert len(cut.last) == 0
    cut = cutter.cut(0, np.concatenate([x[8:], x[:2]]), None, begins=False)
    np.testing.assert_array_equal(cut.x, [np.concatenate([x[6:], x[:1]]).ravel()])
    assert cut.begins


def test_the_label_is_the_last_or_the_commonest() -> None:
    """`majority` takes the commonest known label, the smallest of equals; -1 where none is."""
    y = np.array([1, 1, 2, 2, -1, -1, -1, -1], np.int32)
    x = samples(8)
    assert window(4, 2).cut(0, x, y, begins=True).y.tolist() == [2, -1, -1]
    assert window(4, 2, "majority").cut(0, x, y, begins=True).y.tolist() == [1, 2, -1]


def test_arrays_restore_it() -> None:
    """A window into which the arrays are copied goes on like the one they came from."""
    x, one, other = samples(30), window(5, 2), window(5, 2)
    one.cut(2, x[:13], None, begins=True)
    for name, array in other.arrays().items():
        array[...] = one.arrays()[name]
    for cutter in (one, other):
        cut = cutter.cut(2, x[13:], None, begins=False)
        np.testing.assert_array_equal(cut.x[0], x[10:15].ravel())
        assert cut.last.tolist() == [1, 3, 5, 7, 9, 11, 13, 15]


def test_too_much_to_keep_is_refused() -> None:
    """Windows of all streams together take at most 1 GiB; the error says what to make smaller."""
    options = Window.Options(step="window", rows=60_000, hop=1)
    with pytest.raises(ConfigError, match=r"prepare\[0\]\.rows: .* GB; make the window"):
        Window(options, 4096, 6, np.float32)
