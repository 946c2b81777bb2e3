"""Codes out of a checkpoint: what a layer makes of rows, drawn by class and, of spikes, in time."""

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.config import parse
from streamlearn.data import Dataset
from streamlearn.errors import UsageError
from streamlearn.evaluate import fitted
from streamlearn.learner import Learner
from streamlearn.live import given
from streamlearn.part import F32, I32, UNLABELLED
from streamlearn.picture_codes import F64, Activity, Codes, draw_codes
from streamlearn.pipeline.stage import PartStage
from streamlearn.plan import CATALOGUE
from streamlearn.rules.geometric_spiking import GeometricSpiking
from streamlearn.store.checkpoint import Checkpoints

ROWS: Final = 2000
"""Rows whose codes are drawn."""
_PATHS_A_UNIT: Final = 4


class Drawing(NamedTuple):
    """What is to be drawn."""

    layer: str
    """The layer's name; "" is the last."""
    dataset: Dataset
    """Its first rows are shown to the learner, which learns nothing."""
    row: int
    """Which of them has its window drawn, where the layer is a network of spikes."""


def draw_data(folder: Path, checkpoint: str | None, wanted: Drawing, picture: Path) -> int:
    """Draw a layer's codes out of a checkpoint of a state folder; returns of how many rows.

    Raises
    ------
    UsageError
        Where there is no checkpoint, no such layer, or no such row.

    """
    if checkpoint is None:
        raise UsageError(f"{folder}: no whole checkpoint; let the daemon save one")
    snapshot = Checkpoints(folder).read(checkpoint)
    learner = Learner(parse(given(snapshot.config), CATALOGUE, str(folder)))
    stage = _stage(learner, wanted.layer)
    learner.assemble()
    learner.restore(snapshot)
    learner.pipeline.start()
    try:
        inputs, codes = _seen(learner, stage, wanted.dataset)
    finally:
        learner.pipeline.close()
    if wanted.row >= len(inputs):
        last = len(inputs) - 1
        raise UsageError(f"--row {wanted.row}: expected 0 … {last}, one of the rows that are shown")
    part, row = stage.part, wanted.row
    window = None
    if isinstance(part, GeometricSpiking):
        window = activity(part, inputs[row], f"Row {row}")
    title = f"{stage.name.partition('/')[2]} after {snapshot.rows_learned:,} rows"
    draw_codes(title, codes, window, picture)
    return len(inputs)


def _stage(learner: Learner, layer: str) -> PartStage:
    names = [one.name for one in learner.config.layer]
    stage = learner.layer(layer or (names[-1] if names else ""))
    if stage is None:
        raise UsageError(f"--layer {layer}: expected one of {', '.join(names) or 'no layer'}")
    return stage


def _seen(learner: Learner, stage: PartStage, dataset: Dataset) -> tuple[F32, Codes]:
    """What the layer reads [n, D] of the first rows of every recording, and its codes of them."""
    recordings = dataset.recordings()
    each = max(1, ROWS // max(1, len(recordings)))
    inputs, codes, labels = [], [], []
    for recording in recordings:
        x, y = _first(learner, recording, each)
        values = learner.infer(x.astype(np.float32))
        inputs.append(np.hstack([values[name] for name in stage.reads]))
        codes.append(values[stage.name])
        labels.append(y)
    return np.concatenate(inputs), Codes(np.concatenate(codes), np.concatenate(labels))


def _first(learner: Learner, recording: Dataset, rows: int) -> tuple[NDArray[Any], I32]:
    """The first rows of a recording as they enter the ring, and their labels."""
    samples = recording if learner.cuts else recording.first(min(rows, recording.rows))
    y = np.full(samples.rows, UNLABELLED, np.int32) if samples.y is None else samples.y
    x, labels = learner.rows_of(fitted(samples, learner.config), y.astype(np.int32))
    return x[:rows], labels[:rows]


def activity(part: GeometricSpiking, x: F32, title: str) -> Activity:
    """What a row x [D] sets off in a network."""
    nodes, options = part.nodes(), part.options
    spikes, heard = part.watch(x), part.hear(x)
    times = np.stack([spikes.step * options.step_ms, spikes.unit], axis=1).astype(np.float64)
    heard_ms = np.where(heard >= 0, heard * options.step_ms, np.nan)
    shown = Activity(
        title, options.window_ms, nodes.inputs, heard_ms, nodes.units, times, np.zeros((0, 5))
    )
    return shown._replace(paths=_paths(part, shown, spikes.unit))


def _paths(part: GeometricSpiking, shown: Activity, fired: I32) -> F64:
    """The strongest signals that arrived shortly before each unit's first spike [m, 5]."""
    edges, inputs = part.edges(), len(shown.inputs)
    first_unit = inputs + part.options.clocks
    sent = np.full(first_unit + len(shown.units), np.nan)
    sent[:inputs] = shown.heard_ms
    places = np.vstack([shown.inputs, np.full((part.options.clocks, 2), np.nan), shown.units])
    at, which = np.unique(fired, return_index=True)
    sent[first_unit + at] = shown.spikes[which, 0]
    arrival = sent[edges.source] + edges.latency_ms
    arrival[(edges.source >= inputs) & (edges.source < first_unit)] = np.nan
    paths = []
    for unit in at:
        fires = sent[first_unit + unit]
        into = np.flatnonzero(edges.target == unit)
        late = fires - arrival[into]
        near = into[(late >= 0) & (late <= part.options.tau_fast_ms) & (edges.weight[into] > 0)]
        strongest = near[np.argsort(-edges.weight[near], kind="stable")[:_PATHS_A_UNIT]]
        paths += [(*places[edges.source[e]], *shown.units[unit], arrival[e]) for e in strongest]
    return np.array(paths, np.float64).reshape(-1, 5)
