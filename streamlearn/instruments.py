"""Hangs the learner's figures on the board: which part of the program tells which metric."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from streamlearn.heads import HEADS
from streamlearn.learner import Learner
from streamlearn.observe.board import Board
from streamlearn.options import Config
from streamlearn.pipeline.counts import Counts
from streamlearn.pipeline.figures import FigureStage
from streamlearn.pipeline.outlet import Learned, Outlet
from streamlearn.pipeline.stage import PartStage
from streamlearn.prepare import STEPS
from streamlearn.rules import RULES
from streamlearn.schema import resolve
from streamlearn.wire.gate import Gate
from streamlearn.wire.publish import Publisher

log = logging.getLogger(__name__)


def build_board(config: Config) -> Board:
    """A board with a place for every series that this configuration's learner has."""
    steps = {
        f"prepare/{i + 1}": resolve(STEPS[step.step]).GAUGES
        for i, step in enumerate(config.prepare)
        if step.step in STEPS  # a window is cut at ingest and has no stage
    }
    layers, heads = _gauges(config.layer, "rule", RULES), _gauges(config.head, "kind", HEADS)
    parts = [*steps, *(f"layer/{name}" for name in layers), *(f"head/{name}" for name in heads)]
    return Board(
        stages=[*parts, FigureStage.name, Outlet.name],
        steps=steps,
        layers=layers,
        heads=heads,
        published=config.publish.head or next(iter(heads), ""),
        classes=config.stream.classes,
        rules=[layer.rule for layer in config.layer],
    )


def _gauges(parts: Iterable[Any], key: str, names: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """A part's own name → what it tells of itself."""
    return {part.name: resolve(names[getattr(part, key)]).GAUGES for part in parts}


def _of_kind(learner: Learner, kind: str) -> list[tuple[int, str, PartStage]]:
    """Stages of a kind as (index, part's own name, stage)."""
    return [
        (i, stage.name.partition("/")[2], stage)
        for i, stage in enumerate(learner.parts)
        if stage.name.startswith(f"{kind}/")
    ]


def build_outlet(
    learner: Learner,
    publisher: Publisher,
    learned: Learned,
    figures: Callable[[], dict[str, Any]],
) -> Outlet:
    """The stage that publishes what this learner's configuration says."""
    publish = learner.config.publish
    outlet = Outlet(learner.ring, publisher, lambda: learner.intake.sources, learned, figures)
    outlet.embeddings_every_rows = publish.embeddings_every_rows
    outlet.metrics_every_s = publish.metrics_every_s
    outlet.anomaly_above, outlet.anomaly_rows = publish.anomaly_above, publish.anomaly_rows
    telling = [stage.name for stage in learner.parts if stage.part.surprise_out]
    columns = [learner.ring.column(f"{name}/surprise") for name in telling]
    outlet.publish_surprise([name.partition("/")[2] for name in telling], columns)
    if head := learner.head():
        outlet.publish_scores(learner.ring.column(f"head/{head}"))
    layers = learner.embedding_columns()
    name = "all" if publish.embedding == "all" else layers[0].rpartition("/")[2]
    outlet.publish_embedding(name, [learner.ring.column(layer) for layer in layers])
    return outlet


def connect(board: Board, learner: Learner, publisher: Publisher, gate: Gate) -> None:
    """Let the board ask for every count that is kept where it arises."""
    counts, pipeline = learner.intake.counts, learner.pipeline
    names = [stage.name for stage in pipeline.stages]

    def behind() -> Mapping[str, float]:
        before = [learner.ring.head, *learner.ring.cursors]
        return {name: max(0, before[i] - before[i + 1]) for i, name in enumerate(names)}

    board.supply("samples_received_total", lambda: counts.received)
    board.supply("samples_missed_total", lambda: counts.missed)
    board.supply("samples_rejected_total", lambda: _rejected(counts, gate))
    board.supply("samples_dropped_total", lambda: counts.dropped)
    board.supply("labels_late_total", lambda: _late(learner))
    board.supply("stage_busy_seconds_total", lambda: dict(zip(names, pipeline.busy_s, strict=True)))
    board.supply("stage_rows_behind", behind)
    board.supply("published_total", lambda: publisher.published)
    board.supply("publish_dropped_total", lambda: publisher.dropped)
    board.supply("streams_begun_total", lambda: counts.begun)
    board.supply("streams_kept", lambda: learner.intake.streams_kept)
    board.set("ring_rows", learner.ring.rows)


def _rejected(counts: Counts, gate: Gate) -> dict[str, int]:
    """Messages refused at ingest, and connections and requests that the gate refused."""
    rejected: dict[str, int] = dict(counts.rejected.items())
    return rejected | {"auth": rejected["auth"] + gate.refused}


def _late(learner: Learner) -> dict[str, float]:
    counts = learner.intake.counts
    return {"learned": counts.labels_late, "dropped": sum(counts.labels_dropped.values())}


def show(board: Board, learner: Learner) -> None:
    """Ask the parts for their figures and gauges, each on its own thread, and show them."""
    board.show_figures(learner.reports())
    for kind in ("prepare", "layer", "head"):
        for i, name, stage in _of_kind(learner, kind):
            shown = stage.name if kind == "prepare" else name
            board.show_gauges(kind, shown, learner.pipeline.call(i, stage.gauges).result())


class News:
    """Tells what was refused, missed or dropped since it was last asked.

    Parameters
    ----------
    counts
        What intake counts.
    gate
        Counts who was not let in.

    """

    def __init__(self, counts: Counts, gate: Gate) -> None:
        self._counts, self._gate = counts, gate
        self._told: dict[tuple[str, str], int] = {}

    def tell(self, events: deque[dict[str, Any]]) -> None:
        """Log a line and append an event for each count that moved."""
        now = self._now()
        for (name, reason), count in now.items():
            more = count - self._told.get((name, reason), 0)
            if more:
                # Once only: what is refused at the gate gives none, and an old one would mislead.
                example = self._counts.examples.pop(reason, "") if name == "rejected" else ""
                details = {"reason": reason, "example": example}
                log.warning(name, extra={"count": more} | {k: v for k, v in details.items() if v})
                events.append({"name": name, "count": more, "reason": reason})
        self._told = now

    def _now(self) -> dict[tuple[str, str], int]:
        counts = self._counts
        return {
            **{("rejected", reason): n for reason, n in _rejected(counts, self._gate).items()},
            **{("dropped", reason): n for reason, n in counts.dropped.items()},
            **{("label dropped", reason): n for reason, n in counts.labels_dropped.items()},
            ("missed", ""): counts.missed,
        }
