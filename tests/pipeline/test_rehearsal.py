"""Rows shown again: which, when, and with what before them."""

from typing import Any

import numpy as np

from streamlearn.pipeline.rehearsal import Rehearsal, Shape


def build(every: int = 4, rows: int = 3, reach: int = 2) -> Rehearsal:
    """Two streams of rows of one number."""
    return Rehearsal(every, Shape(rows, reach, 2, 1), np.float32, seed=5)


def see(one: Rehearsal, slot: int, values: list[float], y: list[int], *, begins: bool) -> None:
    """Fresh rows of a slot."""
    x = np.array(values, np.float32)[:, None]
    one.see(slot, x, np.array(y, np.int32), begins=begins)


def taken(one: Rehearsal) -> tuple[list[float], list[int]]:
    """What is shown, as plain numbers."""
    x, y = one.take()
    return x[:, 0].tolist(), y.tolist()


def test_a_row_is_due_every_so_many_fresh_rows() -> None:
    """However they come; a row that was not shown in time is due at once."""
    one = build()
    assert one.until() == 4
    see(one, 0, [1, 2, 3], [0, 0, 0], begins=True)
    assert one.until() == 1
    see(one, 1, [4], [1], begins=True)
    assert one.until() == 0
    one.take()
    assert one.until() == 4


def test_nothing_labelled_nothing_shown() -> None:
    """Without a label there is nothing to show; the moment passes."""
    one = build()
    see(one, 0, [1, 2, 3, 4], [-1] * 4, begins=True)
    assert taken(one) == ([], [])
    assert one.until() == 4


def test_the_rows_before_come_with_it() -> None:
    """As many of its own stream as an answer looks back on, fewer where the stream began."""
    one = build(rows=1)
    see(one, 0, [1, 2], [-1, -1], begins=True)
    see(one, 1, [9], [-1], begins=True)
    see(one, 0, [3], [2], begins=False)
    assert taken(one) == ([2, 3], [-1, 2])
    other = build(rows=1)
    see(other, 0, [1, 2], [-1, -1], begins=True)
    see(other, 0, [7], [2], begins=True)
    assert taken(other) == ([7], [2])


def test_every_labelled_row_is_kept_with_the_same_chance() -> None:
    """Of 60 rows three are kept; over many seeds early and late ones alike."""
    counts = np.zeros(60)
    for seed in range(400):
        one = Rehearsal(1, Shape(3, 1, 1, 1), np.float32, seed)
        see(one, 0, list(range(60)), [0] * 60, begins=True)
        for place in range(3):
            counts[int(one.arrays()["kept"][place, 0, 0])] += 1
    assert abs(counts[:20].sum() - 400) < 80
    assert abs(counts[40:].sum() - 400) < 80


def test_arrays_restore_it() -> None:
    """One into which the arrays are copied shows the same rows."""
    one, other = build(every=1, rows=5), build(every=1, rows=5)
    see(one, 1, list(range(40)), [k % 3 for k in range(40)], begins=True)
    for name, array in other.arrays().items():
        array[...] = one.arrays()[name]
    shown: list[Any] = [[taken(each) for _ in range(10)] for each in (one, other)]
    assert shown[0] == shown[1]
    assert len({str(x) for x, _ in shown[0]}) > 1
