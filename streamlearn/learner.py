"""The learner: prepare steps, layers, heads and figures, built from a configuration, on one ring.

It is what the daemon and `evaluate` share: sockets or a data set only feed it. It does no I/O.
"""

import math
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.config import Config, config_hash, learner_part
from streamlearn.errors import ChangedError, NoAnswerError, StageError
from streamlearn.kernels.random import stage_seed
from streamlearn.part import F32, I32, UNLABELLED, Arrays, Beside, Part, Rows
from streamlearn.pipeline.barrier import Barrier
from streamlearn.pipeline.figures import FigureStage
from streamlearn.pipeline.intake import Intake, Looks
from streamlearn.pipeline.rehearsal import Rehearsal, Shape
from streamlearn.pipeline.ring import Ring
from streamlearn.pipeline.stage import Columns, PartStage, Stage, restore
from streamlearn.pipeline.streams import Streams
from streamlearn.pipeline.threads import Pipeline, grouped
from streamlearn.plan import Plan
from streamlearn.prepare.window import Window
from streamlearn.store.checkpoint import Snapshot
from streamlearn.store.digest import digest
from streamlearn.wire.message import Schema

_LOOK_S: Final = 0.1
_THREAD_GAIN: Final = 1.3
"""A second thread must make the dearest thread this much cheaper, or it stays off."""
_AGAIN_SEED: Final = 3000
_SMALL_ROW_BYTES: Final = 1 << 20
"""Rows that move less than this are learned faster than they are handed over."""


class Pending(NamedTuple):
    """A checkpoint that the stages are still working towards."""

    barrier: Barrier
    samples: int
    arrays: Arrays
    meta: dict[str, Any]


class Learner:
    """Parts, figures and the ring that they work on.

    Parameters
    ----------
    config
        A checked configuration.
    on_failure
        Called from the failing thread when a stage raises.
    plan
        The parts of this configuration, where they are built already and not used yet.

    """

    def __init__(
        self,
        config: Config,
        on_failure: Callable[[StageError], None] = lambda _: None,
        plan: Plan | None = None,
    ) -> None:
        plan = plan or Plan(config)
        self.config = config
        self.prepared = plan.prepared
        self._window, self._reach = plan.window, plan.reach
        self._on_failure = on_failure
        self.ring = Ring(config.pipeline.ring_rows, plan.widths)
        self.parts = [PartStage(w.writes, part, self.ring, w) for part, w in plan.parts]
        self.dreams = any(part.dreams for part, _ in plan.parts)
        self.figures = FigureStage(
            self.ring,
            [head.name for head in config.head],
            config.stream.classes,
            config.figures.recent_rows,
            config.labels.keep_rows,
        )
        self.added: list[Mapping[str, Any]] = []
        """Layers that were added while it ran; see `streamlearn.growth`."""
        self.pipeline: Pipeline
        self.intake: Intake

    def assemble(self, *more: Stage) -> None:
        """Put the stages on threads, with `more` of them behind the figures; start nothing yet."""
        config = self.config
        stages = [*self.parts, self.figures, *more]
        threads = choose_threads([stage.cost() for stage in stages], config.pipeline.threads)
        self.pipeline = Pipeline(
            self.ring, stages, threads, config.pipeline.block_rows, self._on_failure
        )
        self.intake = Intake(
            self.pipeline,
            self.ring.column("x").shape[1],
            np.dtype(config.stream.dtype or "<f4"),
            config.labels.keep_rows if config.stream.classes else 0,
            config.ingest.max_streams,
            self._looks(),
        )

    def _looks(self) -> Looks | None:
        """What is kept of every stream, where anything looks back along it."""
        config, window = self.config, self._window
        stream, labels = config.stream, config.labels
        if window is None and not self.follows and not labels.rehearse_every:
            return None
        dtype = np.dtype(stream.dtype or "<f4")
        reach = self._reach
        cutter = window and Window(window, stream.live, math.prod(stream.shape), dtype)
        shape = Shape(labels.rehearse_rows, reach, stream.live, self.ring.column("x").shape[1])
        again = Rehearsal(labels.rehearse_every, shape, dtype, stage_seed(config.seed, _AGAIN_SEED))
        return Looks(
            Streams(stream.live, stream.gap_s),
            cutter if isinstance(cutter, Window) else None,
            reach,
            again if labels.rehearse_every else None,
        )

    def layer(self, name: str) -> PartStage | None:
        """The stage of a layer, by the layer's name."""
        return next((stage for stage in self.parts if stage.name == f"layer/{name}"), None)

    def warm(self) -> None:
        """Compile or load every kernel by learning two made-up rows, then undo what they did."""
        for stage in self.parts:
            _warm(stage.part)
        self.figures.warm()

    def learning_arrays(self) -> Arrays:
        """Every state array of steps, layers and heads: what the digest is over."""
        return {name: array for stage in self.parts for name, array in stage.arrays().items()}

    def digest(self) -> str:
        """Equal digests mean equal learners; ask only while no stage works."""
        return digest(self.learning_arrays(), self.intake.samples)

    def restore(self, snapshot: Snapshot, new: tuple[str, ...] = ()) -> None:
        """Take up a snapshot; call it before the threads start.

        Parameters
        ----------
        snapshot
            What to go on from.
        new
            Beginnings of names of arrays that it does not have, as their part is new.

        Raises
        ------
        ChangedError
            Where an array is missing or of another shape.

        """
        saved, meta = dict(snapshot.arrays), snapshot.meta
        wrong = [name for stage in (*self.parts, self.figures) for name in restore(stage, saved)]
        wrong = [name for name in wrong if not name.startswith(new)]
        if wrong:
            raise ChangedError(
                f"the checkpoint's arrays do not fit this learner: {', '.join(wrong)}; "
                "use the configuration and version that made it, or another store.dir"
            )
        self._set_position(snapshot.position)
        self.figures.learned = snapshot.rows_learned
        self.intake.restore(saved, dict(meta["intake"]))
        self.added = list(meta.get("added", ()))
        for stage in self.parts:
            if not stage.name.startswith(new):
                stage.frozen = stage.name in meta["frozen"]

    def begin_snapshot(self) -> "Pending":
        """Mark the rows taken in so far as a checkpoint; call it on the thread that feeds them."""
        kept, positions = self.intake.snapshot()
        meta = {"intake": positions, "frozen": self.frozen(), "added": list(self.added)}
        return Pending(self.pipeline.barrier(), self.intake.samples, kept, meta)

    def finish_snapshot(self, pending: "Pending", timeout_s: float) -> Snapshot:
        """Wait until every stage has given its copy; any thread.

        Raises
        ------
        StageError
            Where a stage failed, so that there is nothing to save.
        NoAnswerError
            Where the stages did not get there in time.

        """
        deadline = time.monotonic() + timeout_s
        while not pending.barrier.wait(_LOOK_S):
            self.pipeline.check()
            if time.monotonic() > deadline:
                raise NoAnswerError(f"no checkpoint: the stages took more than {timeout_s:g} s")
        arrays = pending.barrier.arrays()
        learning = {n: a for n, a in arrays.items() if not n.startswith("figures/")}
        return Snapshot(
            rows_learned=pending.samples,
            position=pending.barrier.position,
            arrays=arrays | pending.arrays,
            meta=pending.meta,
            config=learner_part(self.config),
            digest=digest(learning, pending.samples),
            config_hash=config_hash(self.config),
        )

    def learned(self) -> int:
        """Fresh rows that the last stage has finished, over the learner's life."""
        return self.figures.learned

    def reports(self) -> dict[str, dict[str, Any]]:
        """Head → running figures, asked of the stage that keeps them."""
        report: dict[str, dict[str, Any]] = self.pipeline.call(
            len(self.parts), self.figures.reports
        ).result()
        return report

    def _set_position(self, position: int) -> None:
        self.ring.head = position
        self.ring.cursors[:] = [position] * len(self.ring.cursors)

    def frozen(self) -> list[str]:
        """Names of the stages that learn nothing now."""
        return [stage.name for stage in self.parts if stage.frozen]

    @property
    def follows(self) -> bool:
        """Whether any part looks back along a stream."""
        return any(stage.part.follows for stage in self.parts)

    @property
    def cuts(self) -> bool:
        """Whether a window makes rows of several samples."""
        return self._window is not None

    def rows_of(self, x: NDArray[Any], y: I32 | None = None) -> tuple[NDArray[Any], I32]:
        """Rows [m, D'] of the samples [n, D] of one stream, from its beginning, and their labels.

        Without a window every sample is a row.
        """
        labels = np.full(len(x), UNLABELLED, np.int32) if y is None else y
        if self._window is None:
            return x, labels
        cut = Window(self._window, 1, x.shape[1], x.dtype).cut(0, x, labels, begins=True)
        return cut.x, cut.y

    def infer(self, x: F32) -> Columns:
        """Respond to rows [B, D] without learning; column → [B, …].

        Parts that look back along a stream take them as one of its own, from its beginning.
        Safe while the stages work: each stage answers on its own thread between two blocks.
        """
        values: Columns = {"x": np.ascontiguousarray(x, np.float32)}
        for i, stage in enumerate(self.parts):
            self.pipeline.call(i, partial(stage.infer, values)).result()
        return values

    def embedding(self, values: Columns) -> F32:
        """The published embedding out of the columns that `infer` gave."""
        columns = [values[name] for name in self.embedding_columns()]
        return columns[0] if len(columns) == 1 else np.hstack(columns)

    def embedding_columns(self) -> list[str]:
        """The columns that an embedding is made of."""
        names = [layer.name for layer in self.config.layer]
        chosen = self.config.publish.embedding
        if not names:
            return [self.prepared]
        if chosen == "all":
            return [f"layer/{name}" for name in names]
        return [f"layer/{chosen or names[-1]}"]

    def head(self) -> str | None:
        """The name of the head whose predictions are published."""
        heads = [head.name for head in self.config.head]
        return (self.config.publish.head or heads[0]) if heads else None


def schema_of(config: Config) -> Schema:
    """What a stream's messages must be."""
    stream, limits = config.stream, config.ingest
    return Schema(
        shape=stream.shape,
        dtype=stream.dtype,
        classes=stream.classes,
        max_payload_bytes=limits.max_message_bytes,
        max_rows=limits.max_rows,
    )


def choose_threads(costs: list[int], wanted: int | str) -> int:
    """How many threads the stages get: what was asked for, else what is worth it here.

    Parameters
    ----------
    costs
        Bytes that a row moves, one figure a stage.
    wanted
        `pipeline.threads`.

    """
    if isinstance(wanted, int):
        return wanted
    total = sum(costs)
    if total < _SMALL_ROW_BYTES:
        return 1
    best = 1
    for threads in range(2, len(os.sched_getaffinity(0)) + 1):
        dearest = max(sum(costs[i] for i in group) for group in grouped(costs, threads))
        before = max(sum(costs[i] for i in group) for group in grouped(costs, best))
        if before / dearest >= _THREAD_GAIN:
            best = threads
    return best


def _warm(part: Part) -> None:
    saved = {name: array.copy() for name, array in part.arrays().items()}
    width, out_width = part.place.width_in, part.width_out
    x = np.ones((2, width), np.float32)
    out = np.zeros((2, out_width), np.float32)
    beside = Beside(
        lanes_in=np.ones((2, part.place.lanes_in, width), np.float32),
        lanes=np.zeros((2, part.lanes_out, out_width), np.float32),
        scores=np.zeros((2, part.place.classes if part.scores_out else 0), np.float32),
    )
    for y in (-1, 0):
        rows = Rows(x, out, np.full(2, y, np.int32), 0, beside)
        for work in (part.learn, part.learn_late, part.respond, part.dream):
            work(rows)
    part.infer(x, out)
    part.gauges()
    for name, array in part.arrays().items():
        array[...] = saved[name]
    part.restored()
