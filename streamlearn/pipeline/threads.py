"""Stages on threads: who works when, how one waits, what happens when a stage fails.

Adjacent stages share a thread; a thread takes a block through its stages, then the next. A thread
with nothing to do sleeps on one condition that every moved cursor wakes; when nobody sleeps, waking
costs one comparison.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from streamlearn.errors import StageError
from streamlearn.pipeline.barrier import Barrier
from streamlearn.pipeline.ring import Ring
from streamlearn.pipeline.stage import Stage


class Pipeline:
    """The stages of one ring on their threads.

    Parameters
    ----------
    ring
        The rows.
    stages
        In the order of the data.
    threads
        How many threads share the stages; at least one a stage is used.
    block_rows
        Most rows a stage takes at once.
    on_failure
        Called once, from the failing thread, when a stage raised.

    """

    def __init__(
        self,
        ring: Ring,
        stages: Sequence[Stage],
        threads: int,
        block_rows: int,
        on_failure: Callable[[StageError], None] = lambda _: None,
    ) -> None:
        self.ring = ring
        self.stages = tuple(stages)
        self.failure: StageError | None = None
        self.busy_s = [0.0] * len(self.stages)
        self.groups = grouped([stage.cost() for stage in self.stages], threads)
        self._group_of = [g for g, group in enumerate(self.groups) for _ in group]
        for _ in self.stages:
            ring.add_cursor()
        self._ticking = [
            [self.stages[i] for i in group if type(self.stages[i]).tick is not Stage.tick]
            for group in self.groups
        ]
        self._block_rows = block_rows
        self._on_failure = on_failure
        self._changed = threading.Condition()
        self._sleepers = 0
        self._closing = self._abandoned = False
        self._barrier: Barrier | None = None
        self._errands: list[deque[tuple[Callable[[], Any], Future[Any]]]] = [
            deque() for _ in self.groups
        ]
        self._works = [False] * len(self.groups)
        self._threads = [
            threading.Thread(target=self._run, args=(g,), name=f"stages-{g}", daemon=True)
            for g in range(len(self.groups))
        ]

    def start(self) -> None:
        """Start the threads."""
        for group, thread in enumerate(self._threads):
            self._works[group] = True
            thread.start()

    def commit(self, rows: int) -> None:
        """Hand rows that ingest has written to the first stage; `wake` it when it should look.

        A stage that is awake sees them at once. Waking it for each of many rows in a row would cost
        more than the rows.
        """
        self.ring.commit(rows)

    def wake(self) -> None:
        """Let every sleeping thread look again."""
        if self._sleepers:
            with self._changed:
                self._changed.notify_all()

    def wait_room(self, timeout_s: float) -> bool:
        """Wait until the ring has room; False where the time ran out or a stage failed."""
        return self._wait(lambda: self.ring.free() > 0 or self.failure is not None, timeout_s)

    def wait_done(self, timeout_s: float | None = None) -> bool:
        """Wait until every row that was committed has left the last stage."""
        last = len(self.stages) - 1

        def done() -> bool:
            return self.ring.cursors[last] == self.ring.head or self.failure is not None

        self.wake()
        return self._wait(done, timeout_s) and self.failure is None

    def check(self) -> None:
        """Raise the failure of a stage, if there was one."""
        if self.failure is not None:
            raise self.failure

    def barrier(self) -> Barrier:
        """Ask every stage for a copy of its state at the rows committed so far.

        Call it from the thread that commits. One at a time: the one before must be whole.
        """
        self._barrier = Barrier(self.ring.head, len(self.stages))
        self.wake()
        return self._barrier

    def call(self, stage: int, errand: Callable[[], Any]) -> Future[Any]:
        """Run a function on a stage's thread, between two blocks; at once where it is our own."""
        answer: Future[Any] = Future()
        group = self._group_of[stage]
        self._errands[group].append((errand, answer))
        self.wake()
        if not self._works[group] or self._threads[group] is threading.current_thread():
            self._run_errands(group)
        return answer

    def abandon(self) -> None:
        """Let `close` end the threads after the block that each is at, whatever is left."""
        self._abandoned = True

    def close(self) -> None:
        """Finish the rows that are there and end the threads; returns when they ended."""
        self._closing = True
        self.wake()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _wait(self, ready: Callable[[], bool], timeout_s: float | None) -> bool:
        with self._changed:
            self._sleepers += 1
            met = self._changed.wait_for(ready, timeout_s)
            self._sleepers -= 1
        return met

    def _run(self, group: int) -> None:
        try:
            while self.failure is None and not self._abandoned:
                due = self._tick(group)
                if self._round(group):
                    continue
                if self._closing and self._finished(group):
                    break
                self._sleep(group, due)
        finally:
            self._works[group] = False
            self.wake()
            self._run_errands(group)

    def _round(self, group: int) -> bool:
        """Take what is there through each stage of the group once; whether anything moved."""
        self._run_errands(group)
        moved = False
        for stage in self.groups[group]:
            moved |= self._advance(stage)
        return moved

    def _advance(self, stage: int) -> bool:
        # The limit first: a barrier that is set after it lies at or beyond it, so none is missed.
        limit = self.ring.limit(stage)
        rows = self._rows_to_barrier(stage)
        block = self.ring.ready(stage, limit, min(rows, self._block_rows))
        count = block.stop - block.start
        if count <= 0:
            return False
        began = time.perf_counter()
        try:
            self.stages[stage].work(block)
        except Exception as error:  # noqa: BLE001  whatever it was, our state may be wrong
            self._fail(stage, block.first, error)
            return False
        self.busy_s[stage] += time.perf_counter() - began
        self.ring.cursors[stage] += count
        self.wake()
        return True

    def _rows_to_barrier(self, stage: int) -> int:
        """Rows up to a barrier that waits for this stage; gives the copy where it stands at it."""
        barrier = self._barrier
        if barrier is None or not barrier.waits_for(stage):
            return self._block_rows
        rows = barrier.position - self.ring.cursors[stage]
        if rows == 0:
            barrier.give(stage, self.stages[stage].arrays())
            return self._block_rows
        return rows

    def _fail(self, stage: int, row: int, error: Exception) -> None:
        name = self.stages[stage].name
        text = f"stage {name} failed at row {row}: {type(error).__name__}: {error}"
        self.failure = StageError(f"{text}; restart from the last checkpoint")
        self.failure.__cause__ = error
        self.wake()
        self._on_failure(self.failure)

    def _run_errands(self, group: int) -> None:
        while self._errands[group]:
            try:
                errand, answer = self._errands[group].popleft()
            except IndexError:
                return
            settle(errand, answer)

    def _tick(self, group: int) -> float | None:
        """Let the stages that go by the clock do what is due; when the next one is."""
        if not self._ticking[group]:
            return None
        now = time.monotonic()
        dues = [stage.tick(now) for stage in self._ticking[group]]
        return min((due for due in dues if due is not None), default=None)

    def _finished(self, group: int) -> bool:
        last = self.groups[group][-1]
        behind = self.ring.head - self.ring.cursors[last]
        return behind == 0 and not self._errands[group]

    def _sleep(self, group: int, due: float | None) -> None:
        timeout_s = None if due is None else max(0.0, due - time.monotonic())
        with self._changed:
            self._sleepers += 1
            if not self._has_work(group):
                self._changed.wait(timeout_s)
            self._sleepers -= 1

    def _has_work(self, group: int) -> bool:
        first = self.groups[group][0]
        limit = self.ring.limit(first)
        if limit > self.ring.cursors[first] or self._errands[group]:
            return True
        if self.failure is not None or self._abandoned:
            return True
        barrier = self._barrier
        stages = self.groups[group]
        if barrier is not None and any(barrier.waits_for(stage) for stage in stages):
            return barrier.position == self.ring.cursors[first]
        return self._closing and self._finished(group)


def settle(errand: Callable[[], Any], answer: "Future[Any]") -> None:
    """Run an errand and hand what it gave or raised to whoever waits for the answer."""
    try:
        answer.set_result(errand())
    except Exception as error:  # noqa: BLE001  it belongs to whoever asked
        answer.set_exception(error)


def grouped(costs: Sequence[int], threads: int) -> list[list[int]]:
    """Cut the stages into at most `threads` runs of neighbours, the dearest run as cheap as can be.

    Parameters
    ----------
    costs
        One figure a stage, in any unit.
    threads
        Most runs.

    """
    parts = max(1, min(threads, len(costs)))
    best = {0: (0, [0])}
    for end in range(1, len(costs) + 1):
        best[end] = (sum(costs[:end]), [0])
    for _ in range(parts - 1):
        best = {end: _better(best, costs, end) for end in range(len(costs) + 1)}
    starts = best[len(costs)][1]
    return [list(range(a, b)) for a, b in zip(starts, [*starts[1:], len(costs)], strict=True)]


def _better(
    best: dict[int, tuple[int, list[int]]], costs: Sequence[int], end: int
) -> tuple[int, list[int]]:
    options = [best[end]]
    for cut in range(1, end):
        dearest = max(best[cut][0], sum(costs[cut:end]))
        options.append((dearest, [*best[cut][1], cut]))
    return min(options, key=lambda option: (option[0], len(option[1])))
