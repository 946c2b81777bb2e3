"""The pipeline over a data set in one process, without sockets: test-then-train, then held out.

It feeds the same intake, ring, stages and threads as the daemon does, so that the same rows end in
the same digest.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlearn.config import Config, config_hash
from streamlearn.data.dataset import Dataset
from streamlearn.data.series import interleaved, messages
from streamlearn.errors import UsageError
from streamlearn.learner import Learner
from streamlearn.part import I32
from streamlearn.store.checkpoint import Checkpoints
from streamlearn.wire.message import Sample

_CHUNK_ROWS = 256
_TURN_ROWS = 16
"""Of one recording before the next has its turn."""
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
        Rows [n, …] and labels [n]; rows marked as test are held out. Of a set of recordings
        `stream.live` are streams at once.
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
    train = interleaved(dataset.train, config.stream.live, _TURN_ROWS, mixed=True)
    held_out = test or dataset.test
    rows = fitted(train, config)
    total = min(limit or passes * len(rows), passes * len(rows))
    learner.pipeline.start()
    try:
        began = time.perf_counter()
        curve = play(learner, replace(train, X=rows), total, on_progress)
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
    learner: Learner, data: Dataset, total: int, on_progress: Progress | None
) -> list[dict[str, Any]]:
    """Feed `total` rows, round and round; returns points of the learning curve.

    Parameters
    ----------
    learner
        Its threads run.
    data
        Rows [n, D] as `fitted` gives them; recordings are streams of their own.
    total
        How many rows.
    on_progress
        Called about 200 times.

    """
    curve: list[dict[str, Any]] = []
    step = max(_CHUNK_ROWS, total // _CURVE_POINTS)
    sent: Counter[str] = Counter()
    done = 0
    while done < total:
        begin = done % data.rows
        end = min(begin + _CHUNK_ROWS, data.rows, begin + total - done)
        for start, stop in messages(data, begin, end):
            _offer_part(learner, data, start, stop, sent)
        before, done = done, done + end - begin
        if done == total:
            learner.pipeline.wait_done()
        if before // step != done // step or done == total:
            curve.append(_point(learner, done))
            if on_progress:
                on_progress(done, total, curve[-1])
    return curve


def _offer_part(learner: Learner, data: Dataset, start: int, stop: int, sent: Counter[str]) -> None:
    """Feed rows of one recording as a message; `sent` counts the rows of each stream."""
    name = data.stream(start, "data")
    labels = data.y if learner.config.stream.classes else None
    part = None if labels is None else labels[start:stop]
    rows = data.X[start:stop]
    offer(learner, Sample(name, "", sent[name], stop - start, float("nan"), rows, part))
    sent[name] += stop - start


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
    """Head → error and confusion matrix on rows that were never learned.

    Recordings are streams of their own; with a window, every window counts once.
    """
    if test.y is None:
        return {}
    rows = replace(test, X=fitted(test, learner.config))
    known, predicted = [], []
    for recording in rows.recordings():
        assert recording.y is not None
        x, y = learner.rows_of(recording.X, recording.y)
        known.append(y)
        predicted.append(_answers(learner, x))
    y = np.concatenate(known)
    heads = [head.name for head in learner.config.head]
    said = {head: np.concatenate([one[head] for one in predicted]) for head in heads}
    return {head: _scored(y[y >= 0], said[head][y >= 0], learner) for head in heads}


def _answers(learner: Learner, x: NDArray[Any]) -> dict[str, I32]:
    """Head → class of each row [n] of one stream; streams that look back are asked in one go."""
    step = len(x) if learner.follows else _CHUNK_ROWS
    said: dict[str, I32] = {head.name: np.empty(len(x), np.int32) for head in learner.config.head}
    for begin in range(0, len(x), max(step, 1)):
        values = learner.infer(x[begin : begin + step].astype(np.float32))
        for head, answers in said.items():
            answers[begin : begin + step] = values[f"head/{head}"].argmax(axis=1)
    return said


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
