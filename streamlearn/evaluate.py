"""The pipeline over a data set in one process, without sockets: test-then-train, then held out.

It feeds the same intake, ring, stages and threads as the daemon does, so that the same rows end in
the same digest.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlearn.config import Config, config_hash
from streamlearn.data.dataset import Dataset
from streamlearn.errors import UsageError
from streamlearn.learner import Learner
from streamlearn.part import I32
from streamlearn.store.checkpoint import Checkpoints
from streamlearn.wire.message import Sample

_CHUNK_ROWS = 256
_CURVE_POINTS = 200

Progress = Callable[[int, int, dict[str, Any]], None]
"""Called with rows done, rows in all, and the published head's figures."""


def evaluate(
    config: Config,
    dataset: Dataset,
    *,
    test: Dataset | None = None,
    passes: int = 1,
    limit: int | None = None,
    save: Path | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Learn a data set once a pass, in order, and report.

    Parameters
    ----------
    config
        A checked configuration; its sockets are not used.
    dataset
        Rows [n, …] and labels [n]; rows marked as test are held out.
    test
        Other held-out rows.
    passes
        How many times the rows are played.
    limit
        Stop after this many rows.
    save
        Folder to write a checkpoint to at the end, as the daemon would.
    on_progress
        Called about 200 times along the stream.

    Returns
    -------
    dict
        The object of `streamlearn evaluate --json`, with `heads` and `curve` beside it.

    Raises
    ------
    UsageError
        Where the data does not fit the configuration.
    StageError
        Where a stage failed.

    """
    learner = Learner(config)
    learner.assemble()
    learner.warm()
    train, held_out = dataset.train, test or dataset.test
    rows = fitted(train, config)
    total = min(limit or passes * len(rows), passes * len(rows))
    learner.pipeline.start()
    try:
        began = time.perf_counter()
        curve = play(learner, rows, train.y, total, on_progress)
        learner.pipeline.wait_done()
        learner.pipeline.check()
        seconds = time.perf_counter() - began
        held = held_out_errors(learner, held_out) if held_out is not None else {}
        if save is not None:
            _save(learner, save)
        return _report(learner, total, seconds, curve, held)
    finally:
        learner.pipeline.close()


def fitted(dataset: Dataset, config: Config) -> NDArray[Any]:
    """The rows [n, D] in the stream's type, checked as the daemon checks messages.

    Raises
    ------
    UsageError
        With the place, the value found and the way out.

    """
    stream = config.stream
    rows = dataset.shaped(stream.shape).X.reshape(dataset.rows, -1)
    if stream.dtype is not None and rows.dtype != np.dtype(stream.dtype):
        cast = rows.astype(stream.dtype)
        if not np.array_equal(cast, rows):
            raise UsageError(
                f"{dataset.name}: rows are {rows.dtype.str}, not stream.dtype = {stream.dtype}; "
                "change stream.dtype or the data"
            )
        rows = cast
    with np.errstate(over="ignore"):
        bad = np.flatnonzero(~np.isfinite(rows.astype(np.float32)).all(axis=1))
    if len(bad):
        raise UsageError(f"{dataset.name}: row {bad[0]} is not finite; leave such rows out")
    if dataset.y is not None and stream.classes and int(dataset.y.max()) >= stream.classes:
        row = int(np.argmax(dataset.y >= stream.classes))
        raise UsageError(
            f"{dataset.name}: y[{row}] is {dataset.y[row]}; stream.classes = {stream.classes} "
            f"takes 0…{stream.classes - 1}"
        )
    return np.ascontiguousarray(rows)


def play(
    learner: Learner,
    rows: NDArray[Any],
    y: I32 | None,
    total: int,
    on_progress: Progress | None,
) -> list[dict[str, Any]]:
    """Feed `total` rows, round and round; returns points of the learning curve."""
    curve: list[dict[str, Any]] = []
    labels = y if learner.config.stream.classes else None
    step = max(_CHUNK_ROWS, total // _CURVE_POINTS)
    done = 0
    while done < total:
        begin = done % len(rows)
        end = min(begin + _CHUNK_ROWS, len(rows), begin + total - done)
        part = None if labels is None else labels[begin:end]
        offer(learner, Sample("data", "", done, end - begin, float("nan"), rows[begin:end], part))
        before, done = done, done + end - begin
        if done == total:
            learner.pipeline.wait_done()
        if before // step != done // step or done == total:
            curve.append(_point(learner, done))
            if on_progress:
                on_progress(done, total, curve[-1])
    return curve


def offer(learner: Learner, message: Sample) -> None:
    """Feed one message to a learner whose threads run, as its ring has room.

    Raises
    ------
    StageError
        Where a stage failed.

    """
    intake, start = learner.intake, 0
    while start < message.n:
        room = min(intake.room(), message.n - start)
        if room:
            intake.sample(message, start, start + room)
            intake.flush()
            start += room
        else:
            intake.wait_room(1.0)
            learner.pipeline.check()


def _point(learner: Learner, rows: int) -> dict[str, Any]:
    head = learner.head()
    report = learner.reports()[head] if head else {"rows": rows}
    names = ("rows", "error", "error_recent", "majority_error", "repeat_error")
    return {name: report.get(name) for name in names}


def held_out_errors(learner: Learner, test: Dataset) -> dict[str, dict[str, Any]]:
    """Head → error and confusion matrix on rows that were never learned."""
    if test.y is None:
        return {}
    rows = fitted(test, learner.config)
    heads = [head.name for head in learner.config.head]
    predicted = {head: np.empty(len(rows), np.int32) for head in heads}
    for begin in range(0, len(rows), _CHUNK_ROWS):
        here = slice(begin, begin + _CHUNK_ROWS)
        values = learner.infer(rows[here].astype(np.float32))
        for head in heads:
            predicted[head][here] = values[f"head/{head}"].argmax(axis=1)
    known = test.y >= 0
    return {head: _scored(test.y[known], said[known], learner) for head, said in predicted.items()}


def _scored(y: I32, said: I32, learner: Learner) -> dict[str, Any]:
    classes = learner.config.stream.classes
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (y, said), 1)
    error = float(np.mean(said != y)) if len(y) else None
    return {"error": error, "samples": len(y), "confusion": confusion.tolist()}


def _save(learner: Learner, folder: Path) -> None:
    snapshot = learner.finish_snapshot(learner.begin_snapshot(), 600.0)
    store = Checkpoints(folder, learner.config.store.keep)
    with store.lock():
        store.save(snapshot)


def _report(
    learner: Learner,
    total: int,
    seconds: float,
    curve: list[dict[str, Any]],
    held: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    reports = learner.reports()
    head = learner.head()
    figures = reports[head] if head else {}
    test = held.get(head or "")
    return {
        "samples": total,
        "seconds": seconds,
        "samples_per_s": total / seconds if seconds else None,
        "prequential": {name: figures.get(name) for name in ("error", "error_recent")},
        "test": test and {"error": test["error"], "samples": test["samples"]},
        "digest": learner.digest(),
        "config": config_hash(learner.config),
        "heads": {name: report | {"test": held.get(name)} for name, report in reports.items()},
        "curve": curve,
    }
