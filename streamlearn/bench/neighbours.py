"""Time a row takes in the `neighbours` head, beside one reading of its memory.

Rows come one by one, so that each reads all of memory, and in blocks, of which eight rows share a
reading. Both are held against a plain sum over an array of memory's size in the same run. Time is
the processor's, so that other work on the machine counts less.
"""

import time
from typing import Final

import numpy as np

from streamlearn.bench.kernels import Case, reading
from streamlearn.bench.report import Row, Say, median_row
from streamlearn.heads.neighbours import Neighbours
from streamlearn.part import Place, Rows

REPEATS: Final = 9
CLASSES: Final = 10
SIZES: Final = ((5000, 784), (10_000, 784), (9000, 3600))
"""Rows in memory and inputs."""
BLOCK: Final = 64
ALONE: Final = 8
"""Rows that are timed one by one."""


def full(memory_rows: int, width: int) -> Neighbours:
    """A head whose memory is full of random rows."""
    options = Neighbours.Options(kind="neighbours", memory_rows=memory_rows)
    head = Neighbours(options, Place(width, (width,), CLASSES, 1))
    state, rng = head.arrays(), np.random.default_rng(1)
    for begin in range(0, memory_rows, 1000):
        part = state["memory"][begin : begin + 1000]
        part[:, :width] = rng.standard_normal((len(part), width), np.float32) / np.sqrt(width)
    state["labels"][:] = np.arange(memory_rows) % CLASSES
    state["counts"][:] = np.bincount(state["labels"], minlength=CLASSES)
    state["born"][:] = np.arange(memory_rows)
    state["labelled"][0] = memory_rows
    return head


def learning(memory_rows: int, width: int, block: int, rows: int) -> Case:
    """Learning some rows in blocks of so many; seconds of processor time a row."""
    head, out = full(memory_rows, width), np.zeros((block, CLASSES), np.float32)
    x = np.random.default_rng(2).standard_normal((rows, width), np.float32)
    y = (np.arange(rows) % CLASSES).astype(np.int32)

    def learn() -> float:
        began = time.thread_time()
        for begin in range(0, rows, block):
            these = slice(begin, begin + block)
            head.learn(Rows(x[these], out, y[these], begin))
        return (time.thread_time() - began) / rows

    learn()
    return Case(learn, [])


def measure(say: Say) -> list[Row]:
    """Rows of `bench neighbours`."""
    return [row for size in SIZES for row in _measured(say, *size)]


def _measured(say: Say, memory_rows: int, width: int) -> list[Row]:
    size = 4 * memory_rows * width
    cases = {
        "one by one": learning(memory_rows, width, 1, ALONE),
        f"in blocks of {BLOCK}": learning(memory_rows, width, BLOCK, BLOCK),
    }
    limit = reading(size)
    for repeat in range(REPEATS):
        say(f"{memory_rows} x {width}, repeat {repeat + 1} of {REPEATS}")
        for case in (limit, *cases.values()):
            case.sample()
    bandwidth = size / limit.median_us / 1e3
    note = f"limit: {size / 1e6:.1f} MB read once a row, at {bandwidth:.1f} GB/s in this run"
    return [
        median_row(
            f"{memory_rows} rows of {width} numbers, {how}",
            [1e6 * seconds for seconds in case.times],
            "µs a row",
            limit=limit.median_us,
            note=f"{1e6 / case.median_us:,.0f} rows/s; {note}",
        )
        for how, case in cases.items()
    ]
