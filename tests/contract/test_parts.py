"""What every rule, head and prepare step promises, tried on all of them; nobody is excused."""

import gc
import tracemalloc
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from contract.parts import (
    CLASSES,
    WIDTH,
    Entry,
    every_part,
    infer,
    learn,
    state,
    stream,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.heads.base import Head
from streamlearn.part import F32, UNLABELLED, Part, Rows, alone
from streamlearn.prepare.base import Step
from streamlearn.rules.base import Rule
from streamlearn.schema import resolve

BASES = {"rule": Rule, "kind": Head, "step": Step}


@every_part
def test_is_what_its_registry_says(entry: Entry) -> None:
    """The import string leads to a part of the right kind, whose output has the width it names."""
    part = entry.build()
    assert issubclass(resolve(entry.target), BASES[entry.kind])
    assert int(np.prod(part.shape_out)) == part.width_out
    assert part.cost() > 0


@every_part
def test_same_seed_same_weights(entry: Entry) -> None:
    """Two parts of the same options, place and rows are equal to the bit."""
    one, other = entry.build(), entry.build()
    assert state(one) == state(other)
    x, y = stream(120)
    assert learn(one, x, y).tobytes() == learn(other, x.copy(), y.copy()).tobytes()
    assert state(one) == state(other)


@every_part
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 230), max_size=8))
def test_where_blocks_end_changes_nothing(entry: Entry, cuts: list[int]) -> None:
    """Any cut of a stream into blocks, empty ones too, gives the same bits as one block."""
    x, y = stream(230)
    whole, cut = entry.build(), entry.build()
    together = learn(whole, x, y)
    pieces = [learn(cut, x[a:b], y[a:b], a) for a, b in pairwise([0, *sorted(cuts), 230])]
    assert np.concatenate(pieces).tobytes() == together.tobytes()
    assert state(cut) == state(whole)


@every_part
def test_row_by_row_is_the_same(entry: Entry) -> None:
    """Blocks of one row, as a slow stream makes them, give the same bits as one block."""
    x, y = stream(150)
    whole, single = entry.build(), entry.build()
    together = learn(whole, x, y)
    pieces = [learn(single, x[b : b + 1], y[b : b + 1], b) for b in range(150)]
    assert np.concatenate(pieces).tobytes() == together.tobytes()
    assert state(single) == state(whole)


@every_part
def test_arrays_restore_the_part(entry: Entry) -> None:
    """A fresh part into which the arrays are copied goes on like the one they came from."""
    x, y = stream(260)
    first, second = entry.build(), entry.build()
    learn(first, x[:137], y[:137])
    learn(second, *stream(41, seed=2))
    for name, array in second.arrays().items():
        array[...] = first.arrays()[name]
    second.restored()
    assert state(second) == state(first)
    onward = [learn(part, x[137:], y[137:], 137) for part in (first, second)]
    assert onward[0].tobytes() == onward[1].tobytes()
    assert state(second) == state(first)


@every_part
def test_infer_says_what_learn_will_write_and_changes_nothing(entry: Entry) -> None:
    """A row's answer is that of the state as it is; asking for it leaves no trace."""
    x, y = stream(130)
    part = entry.build()
    learn(part, x[:100], y[:100])
    for b in range(100, 130):
        before = state(part)
        answer = infer(part, x[b : b + 1])
        assert state(part) == before
        written = learn(part, x[b : b + 1], y[b : b + 1], b)
        np.testing.assert_allclose(answer, written, rtol=1e-5, atol=1e-6)


@every_part
def test_unlabelled_rows_are_welcome(entry: Entry) -> None:
    """A stream without one label is learned or scored, finite; a head stays as it was."""
    x, y = stream(80)
    part = entry.build()
    learn(part, x, y)
    before = state(part)
    assert np.isfinite(learn(part, x, np.full_like(y, UNLABELLED), 80)).all()
    assert entry.kind != "kind" or state(part) == before


@every_part
def test_late_labels_teach_what_learns_from_labels(entry: Entry) -> None:
    """A row that comes again with its label teaches heads and such rules; others only answer.

    What looks back along streams answers it aside, beyond their slots, and they go on as if nothing
    had come.
    """
    x, y = stream(60)
    part, fresh = entry.build(), entry.build()
    for one in (part, fresh):
        learn(one, x, y)
    known = np.ascontiguousarray(np.maximum(y, 0))
    out = np.full((60, part.width_out), np.nan, np.float32)
    aside = alone(60)._replace(slot=np.full(60, part.place.live, np.int32))
    part.learn_late(Rows(x, out, known, 60, origin=aside if part.follows else None))
    assert np.isfinite(out).all()
    if part.learns_labels:
        learn(fresh, x, known, 60)
    assert part.learns_labels or entry.kind != "kind"
    assert part.follows or state(part) == state(fresh)
    assert learn(part, x, y, 120).tobytes() == learn(fresh, x, y, 120).tobytes()


def extreme_rows() -> F32:
    """Rows that a sensor gone wrong may send: zeros, constants, far too large, far too small."""
    x, _ = stream(6, seed=3)
    one = np.ones_like(x)
    sparse = one * (np.arange(WIDTH) == 4)
    rows = [0 * x, 7 * one, 1e6 * x, -1e6 * x, 1e-41 * one, 1e-30 * x, 1e12 * sparse, -x]
    return np.ascontiguousarray(np.concatenate(rows), np.float32)


@every_part
@pytest.mark.parametrize("first", [True, False], ids=["at-the-start", "in-mid-stream"])
def test_finite_after_extreme_rows(entry: Entry, *, first: bool) -> None:
    """Extreme rows leave neither a NaN nor an infinity, in answers, state or gauges."""
    x, y = stream(200)
    wild = extreme_rows()
    wild_y = np.ascontiguousarray(np.arange(len(wild)) % (CLASSES + 1) - 1, np.int32)
    part = entry.build()
    blocks = [(wild, wild_y), (x, y)] if first else [(x, y), (wild, wild_y), (x, y)]
    for rows, labels in blocks * 3:
        assert np.isfinite(infer(part, rows)).all()
        assert np.isfinite(learn(part, rows, labels)).all()
    for name, array in part.arrays().items():
        assert np.isfinite(array).all(), name
    assert np.isfinite(list(part.gauges().values())).all()


@every_part
def test_memory_does_not_grow(entry: Entry) -> None:
    """Learning and asking, a thousand rows long, hold no more memory than at the start."""
    x, y = stream(64)
    part = entry.build()

    def work() -> None:
        for _ in range(16):
            learn(part, x, y)
            infer(part, x)

    tracemalloc.start()
    try:
        held = [_held_after(work) for _ in range(5)]
    finally:
        tracemalloc.stop()
    # A leak grows every time; what is kept once, by the interpreter or the compiler, does not.
    grown = min(later - earlier for earlier, later in pairwise(held))
    assert grown < 1000, f"{grown} bytes more after 1,024 rows"


def _held_after(work: Callable[[], None]) -> int:
    work()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@every_part
def test_arrays_are_views_that_can_be_written(entry: Entry) -> None:
    """State is C-contiguous, writable, of fixed names, types and shapes, always in one place."""
    part = entry.build()
    before = part.arrays()
    learn(part, *stream(250))
    after = part.arrays()
    assert before.keys() == after.keys()
    for name, array in after.items():
        assert array.flags.c_contiguous, name
        assert array.flags.writeable, name
        assert array.ndim > 0, f"{name}: scalars have shape (1,)"
        assert array.dtype == before[name].dtype, name
        assert array.shape == before[name].shape, name
        assert array.size == 0 or np.shares_memory(array, before[name]), name


@every_part
def test_rows_come_out_as_they_went_in(entry: Entry) -> None:
    """Inputs and labels belong to the ring: learning and asking leave them as they are."""
    x, y = stream(100)
    kept_x, kept_y = x.copy(), y.copy()
    part: Part = entry.build()
    learn(part, x, y)
    infer(part, x)
    part.learn_late(Rows(x, infer(part, x), y, 100))
    assert x.tobytes() == kept_x.tobytes()
    assert y.tobytes() == kept_y.tobytes()


@every_part
def test_every_number_of_the_output_is_written(entry: Entry) -> None:
    """Whatever was in the output before, NaN here, is replaced, for zero rows too."""
    x = np.concatenate([stream(30)[0], np.zeros((2, WIDTH), np.float32)])
    part = entry.build()
    assert np.isfinite(infer(part, x)).all()
    assert np.isfinite(learn(part, x, np.zeros(len(x), np.int32))).all()
    assert np.isfinite(infer(part, x)).all()


@every_part
def test_gauges_have_their_names_from_the_start(entry: Entry) -> None:
    """The metrics page shows the same finite figures at first as later."""
    part = entry.build()
    fresh = part.gauges()
    learn(part, *stream(250))
    later = part.gauges()
    assert fresh.keys() == later.keys()
    for name, value in (fresh | later).items():
        assert name.isidentifier()
        assert name.islower()
        assert isinstance(value, float)
    assert np.isfinite([*fresh.values(), *later.values()]).all()


@every_part
def test_every_step_is_that_of_the_slow_twin(entry: Entry) -> None:
    """After each row, output and state are those of the equations, worked out slowly."""
    fast, slow = entry.build(), entry.build(twin=True)
    x, y = stream(230)
    for b in range(len(x)):
        one, label_of_it = x[b : b + 1], y[b : b + 1]
        ours = learn(fast, one, label_of_it, b)
        theirs = learn(slow, one, label_of_it, b, fast.width_out)
        np.testing.assert_allclose(ours, theirs, 2e-3, 2e-4, err_msg=f"row {b}")
        _same_state(fast, slow, b)


def _same_state(fast: Part, slow: Part, row: int) -> None:
    ours, theirs = fast.arrays(), slow.arrays()
    assert theirs.keys() <= ours.keys()
    assert bool(theirs) == bool(ours), "a twin of a part that learns shows what it learned"
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, 2e-3, 2e-4, err_msg=f"{name}, row {row}")
