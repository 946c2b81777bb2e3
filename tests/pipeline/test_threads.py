"""The ring and its threads: order, blocks, barriers, errands, failure, waiting."""

import itertools
import os
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline.parts import Collector, Faulty, RunningSum

from streamlearn.errors import StageError
from streamlearn.pipeline.ring import Ring
from streamlearn.pipeline.threads import Pipeline, grouped

SECONDS = 20.0


def build(ring_rows: int, threads: int, block_rows: int, depth: int = 3, position: int = 0):
    """A chain of running sums with a collector behind."""
    names = ["x", *(f"sum{i}" for i in range(depth))]
    ring = Ring(ring_rows, dict.fromkeys(names, 1), position)
    sums = [RunningSum(ring, a, b) for a, b in itertools.pairwise(names)]
    collector = Collector(ring, names[-1])
    return Pipeline(ring, [*sums, collector], threads, block_rows), sums, collector


def feed(pipeline: Pipeline, values: np.ndarray, most: int = 7) -> None:
    """Write the values in pieces as the ring has room."""
    x, start = pipeline.ring.column("x"), 0
    while start < len(values):
        assert pipeline.wait_room(SECONDS)
        pipeline.check()
        here = pipeline.ring.writable(min(most, len(values) - start))
        count = here.stop - here.start
        x[here, 0] = values[start : start + count]
        pipeline.commit(count)
        pipeline.wake()
        start += count


def expected(values: np.ndarray, depth: int = 3) -> list[float]:
    """The chain by hand, in float32 columns as the ring has them."""
    for _ in range(depth):
        total, out = 0.0, []
        for value in values:
            total = 0.5 * total + float(value)
            out.append(np.float32(total))
        values = np.array(out, np.float32)
    return values.tolist()


@given(
    ring_rows=st.integers(2, 40),
    threads=st.integers(1, 4),
    block_rows=st.integers(1, 40),
    rows=st.integers(0, 150),
    most=st.integers(1, 30),
    position=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_every_row_passes_every_stage_in_order(
    ring_rows, threads, block_rows, rows, most, position
):
    """Law 1: any ring, block and number of threads gives the same outputs, each row once."""
    values = np.random.default_rng(rows).normal(size=rows).astype(np.float32)
    pipeline, _, collector = build(ring_rows, threads, block_rows, position=position)
    pipeline.start()
    try:
        feed(pipeline, values, most)
        assert pipeline.wait_done(SECONDS)
    finally:
        pipeline.close()
    assert collector.rows == expected(values)


def test_blocks_grow_when_a_stage_is_behind_and_never_pass_the_limit():
    """Blocks without batches: what has arrived is one block, at most block_rows of it."""
    pipeline, sums, _ = build(64, 1, 16)
    pipeline.ring.column("x")[:40, 0] = 1.0
    pipeline.commit(40)
    pipeline.start()
    assert pipeline.wait_done(SECONDS)
    pipeline.close()
    assert sums[0].block_rows == [16, 16, 8]


def test_stages_are_shared_out_to_the_threads_asked_for():
    """Three threads for four stages: each thread runs neighbours, all threads work."""
    pipeline, sums, _ = build(16, 3, 4)
    pipeline.start()
    feed(pipeline, np.ones(50, np.float32))
    assert pipeline.wait_done(SECONDS)
    pipeline.close()
    assert [len(stage.threads) for stage in sums] == [1, 1, 1]
    assert len({name for stage in sums for name in stage.threads}) == 3


@given(costs=st.lists(st.integers(0, 9), min_size=1, max_size=7), threads=st.integers(1, 5))
def test_groups_are_the_best_cut(costs, threads):
    """No other cut into that many runs of neighbours has a cheaper dearest run."""
    groups = grouped(costs, threads)
    assert [stage for group in groups for stage in group] == list(range(len(costs)))
    assert all(groups)
    assert len(groups) <= threads
    dearest = max(sum(costs[i] for i in group) for group in groups)
    assert dearest == min(_dearest_cuts(costs, min(threads, len(costs))))


def _dearest_cuts(costs: list[int], parts: int):
    if parts == 1:
        yield sum(costs)
        return
    yield sum(costs)
    for cut in range(1, len(costs)):
        for rest in _dearest_cuts(costs[cut:], parts - 1):
            yield max(sum(costs[:cut]), rest)


def test_a_barrier_copies_every_stage_at_the_same_row_while_rows_go_on():
    """A checkpoint is a row number: each copy is the state after exactly the rows before it."""
    values = np.random.default_rng(1).normal(size=400).astype(np.float32)
    pipeline, _, _ = build(32, 3, 5)
    pipeline.start()
    feed(pipeline, values[:123])
    barrier = pipeline.barrier()
    feed(pipeline, values[123:])
    assert barrier.wait(SECONDS)
    pipeline.close()
    assert barrier.position == 123
    column = values[:123]
    for depth in range(3):
        column = np.array(expected(column, 1), np.float32)
        assert np.float32(barrier.arrays()[f"sum{depth}/total"][0]) == column[-1]


def test_a_barrier_that_is_set_while_a_stage_looks_is_not_passed():
    """A barrier set, and rows committed behind it, between a stage's two looks: none goes past."""
    pipeline, sums, _ = build(64, 1, 16)
    x, ring = pipeline.ring.column("x"), pipeline.ring
    x[:20, 0] = 1.0
    pipeline.commit(6)
    barriers, limit = [], ring.limit

    def set_meanwhile(stage: int) -> int:
        before = limit(stage)
        if not barriers:
            barriers.append(pipeline.barrier())
            pipeline.commit(14)
        return before

    ring.limit = set_meanwhile
    pipeline.start()
    assert pipeline.wait_done(SECONDS)
    pipeline.close()
    assert barriers[0].position == 6
    assert barriers[0].arrays()["sum0/total"][0] == expected(np.ones(6, np.float32), 1)[-1]
    assert sum(sums[0].block_rows) == 20


def test_a_barrier_on_an_idle_pipeline_is_whole_at_once():
    """A checkpoint is possible when nothing comes in."""
    pipeline, _, _ = build(8, 2, 4)
    pipeline.start()
    feed(pipeline, np.ones(5, np.float32))
    assert pipeline.wait_done(SECONDS)
    assert pipeline.barrier().wait(SECONDS)
    pipeline.close()


def test_an_errand_runs_on_the_stage_s_own_thread_between_blocks():
    """Control reaches a stage without a lock: its own thread does it, and an error comes back."""
    pipeline, _, _ = build(8, 2, 4)
    pipeline.start()
    name = pipeline.call(0, lambda: threading.current_thread().name).result(SECONDS)
    assert name == "stages-0"
    with pytest.raises(ZeroDivisionError):
        pipeline.call(3, lambda: 1 / 0).result(SECONDS)
    pipeline.close()
    assert pipeline.call(0, lambda: 7).result(SECONDS) == 7


def test_a_failing_stage_stops_the_whole_with_its_reason():
    """Our state may be wrong: no stage goes on, whoever waits is told which row and why."""
    seen: list[StageError] = []
    ring = Ring(16, {"x": 1, "sum0": 1})
    first = RunningSum(ring, "x", "sum0")
    pipeline = Pipeline(ring, [first, Faulty(20)], 2, 4, seen.append)
    pipeline.start()
    with pytest.raises(StageError, match=r"stage faulty failed at row 20.*made to fail"):
        feed(pipeline, np.ones(1000, np.float32), 1)
    pipeline.close()
    assert seen == [pipeline.failure]
    assert not pipeline.wait_done(SECONDS)
    assert ring.cursors[1] == 20


def test_waiting_burns_no_time():
    """Sleeping stages cost next to nothing: far under a tenth of one core."""
    pipeline, _, _ = build(8, 3, 4)
    pipeline.start()
    feed(pipeline, np.ones(5, np.float32))
    assert pipeline.wait_done(SECONDS)
    began = os.times()
    assert not threading.Event().wait(0.5)
    ended = os.times()
    pipeline.close()
    used = ended.user + ended.system - began.user - began.system
    assert used < 0.1


def test_the_ring_never_holds_more_than_its_rows():
    """Law 4: with no stage running there is room for the ring's rows and no more."""
    pipeline, _, _ = build(10, 1, 4)
    x = pipeline.ring.column("x")
    for _ in range(5):
        here = pipeline.ring.writable(3)
        x[here, 0] = 1.0
        pipeline.commit(here.stop - here.start)
    assert pipeline.ring.free() == 0
    began = time.monotonic()
    assert not pipeline.wait_room(0.05)
    assert time.monotonic() - began < SECONDS
    pipeline.start()
    assert pipeline.wait_room(SECONDS)
    pipeline.close()
