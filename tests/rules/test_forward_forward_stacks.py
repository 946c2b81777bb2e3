"""Stacks of Forward-Forward layers: windows in a wrong order, and nets that stand still."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pytest
from naive.ff_contrast import Contrast as Naive

from streamlearn.config import Config, parse
from streamlearn.evaluate import offer
from streamlearn.learner import Learner
from streamlearn.part import F32, I32, UNLABELLED, Beside, Place, Rows
from streamlearn.plan import CATALOGUE
from streamlearn.rules.forward_forward.contrast import Contrast
from streamlearn.rules.forward_forward.options import ForwardForwardOptions
from streamlearn.wire.message import Sample

PATIENCE_S: Final = 60.0
STEPS, WIDTH = 6, 5
SHUFFLED: Final[dict[str, Any]] = {
    "rule": "forward_forward",
    "labels": "none",
    "negatives": "shuffled",
    "units": 60,
    "rate": 0.1,
}


def windows(count: int, *, ordered: bool, seed: int = 3) -> F32:
    """Windows [B, T * 5] of a bump that goes one place on each step, or is anywhere each step."""
    rng = np.random.default_rng(seed)
    place = rng.integers(0, WIDTH, (count, 1)) + np.arange(STEPS)
    if not ordered:
        place = rng.integers(0, WIDTH, (count, STEPS))
    rows = np.eye(WIDTH)[place % WIDTH] + 0.1 * rng.random((count, STEPS, WIDTH))
    return np.ascontiguousarray(rows.reshape(count, -1), np.float32)


def config(shape: list[int], *layers: dict[str, Any]) -> Config:
    """These layers over rows of a shape, without a head."""
    return parse({"stream": {"shape": shape}, "layer": [*layers]}, CATALOGUE)


@contextmanager
def running(made: Config, snapshot: Any = None) -> Iterator[Learner]:
    """A learner whose threads run."""
    learner = Learner(made)
    learner.assemble()
    learner.warm()
    if snapshot is not None:
        learner.restore(snapshot)
    learner.pipeline.start()
    try:
        yield learner
    finally:
        learner.pipeline.close()


def feed(learner: Learner, x: F32) -> None:
    """Learn rows, with labels in turn where there are classes."""
    classes = learner.config.stream.classes
    y = np.arange(len(x), dtype=np.int32) % classes if classes else None
    offer(learner, Sample("s", "", learner.intake.samples, len(x), 0.0, x, y))
    assert learner.pipeline.wait_done(PATIENCE_S)
    learner.pipeline.check()


def told_apart(learner: Learner) -> list[float]:
    """How often each layer takes the wrong order for the right one, of late."""
    return [stage.gauges()["pair_error"] for stage in learner.parts]


@pytest.mark.parametrize("ordered", [True, False])
def test_both_layers_tell_the_order_of_time(*, ordered: bool) -> None:
    """Where steps follow each other both learn it; where they do not, neither can know."""
    with running(config([STEPS, WIDTH], SHUFFLED, SHUFFLED)) as learner:
        feed(learner, windows(4000, ordered=ordered))
        wrong = told_apart(learner)
    assert max(wrong) < 0.15 if ordered else min(wrong) > 0.4, wrong


def layer(cls: Any, width: int, lanes_in: int) -> Any:
    """A layer that shuffles, or reads what the one below shuffled; fast or slow."""
    options = ForwardForwardOptions(**{**SHUFFLED, "units": 7})
    shape = (width,) if lanes_in else (STEPS, width // STEPS)
    return cls(options, Place(width, shape, 0, 21, lanes_in))


def learned(part: Any, x: F32, lanes_in: Any, row: int) -> tuple[Any, Any]:
    """What one row comes to: activity [1, H] and its lane [1, 1, H]."""
    out, lanes = np.zeros((1, 7), np.float32), np.zeros((1, 1, 7), np.float32)
    y: I32 = np.full(1, UNLABELLED, np.int32)
    beside = Beside(lanes_in, lanes, np.zeros((1, 0), np.float32))
    part.learn(Rows(x, out, y, row, beside))
    return out, lanes


def test_a_shuffled_stack_is_that_of_the_slow_twins() -> None:
    """Row by row the upper layer learns from the lane in which the lower one shuffled."""
    width = STEPS * WIDTH
    lower = [layer(cls, width, 0) for cls in (Contrast, Naive)]
    upper = [layer(cls, 7, 1) for cls in (Contrast, Naive)]
    x, none = windows(90, ordered=True), np.zeros((1, 0, width), np.float32)
    for row in range(len(x)):
        found = []
        for below, above in zip(lower, upper, strict=True):
            out, lanes = learned(below, x[row : row + 1], none, row)
            found.append((out, lanes, *learned(above, out, lanes, row)))
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose(one, other, 5e-3, 1e-3, err_msg=f"row {row}")
    for fast, slow in (lower, upper):
        for name, array in slow.arrays().items():
            np.testing.assert_allclose(fast.arrays()[name], array, 2e-3, 2e-4, err_msg=name)
    assert (
        np.abs(upper[0].arrays()["weights"] - layer(Contrast, 7, 1).arrays()["weights"]).max() > 0
    )


def test_a_shuffled_stack_goes_on_after_a_restart() -> None:
    """From a snapshot in mid-stream both layers go on to the same bits."""
    x = windows(200, ordered=True)
    made = config([STEPS, WIDTH], SHUFFLED, SHUFFLED)
    with running(made) as learner:
        feed(learner, x[:120])
        snapshot = learner.finish_snapshot(learner.begin_snapshot(), PATIENCE_S)
        feed(learner, x[120:])
        expected = learner.digest()
    with running(made, snapshot) as learner:
        feed(learner, x[120:])
        assert learner.digest() == expected


TOP_DOWN: Final[dict[str, dict[str, Any]]] = {
    "film": {"units": [12, 8], "evidence": True, "negatives": "mixed", "background_rows": 20},
    "label": {"units": [12, 8], "labels": "overlay", "frames": 1, "carry": False, "steps": 4},
    "label that goes on": {"units": [12, 8], "labels": "overlay", "steps": 4, "average": True},
}


def film(count: int) -> F32:
    """Frames [B, 30] of a bump that moves."""
    places = np.arange(count)[:, None] * 0.7
    far = (np.arange(30) - places) % 30
    return np.exp(-0.1 * np.minimum(far, 30 - far) ** 2).astype(np.float32)


def still(kind: str, *, frozen: bool, **more: Any) -> Config:
    """A net over frames, frozen or not."""
    layer = {"rule": "forward_forward_top_down", "frozen": frozen, **TOP_DOWN[kind], **more}
    return parse({"stream": {"shape": [5, 6], "classes": 3}, "layer": [layer]}, CATALOGUE)


@pytest.mark.parametrize("kind", TOP_DOWN)
def test_a_frozen_net_with_connections_down_stands_still(kind: str) -> None:
    """It learns, freezes, answers each row as if it came next, restores, thaws and goes on."""
    x = film(90)
    with running(still(kind, frozen=False)) as learner:
        feed(learner, x[:40])
        net = learner.parts[0]
        net.frozen = True
        before = {name: array.copy() for name, array in net.arrays().items()}
        answers = learner.infer(x[40:60])["layer/layer1"]
        feed(learner, x[40:60])
        for name, array in net.arrays().items():
            np.testing.assert_array_equal(array, before[name], err_msg=name)
        written = learner.ring.column("layer/layer1")[40:60]
        np.testing.assert_array_equal(written, answers)
        assert np.isfinite(answers).all()
        assert (np.abs(answers).max(axis=1) > 0).all()
        assert len(np.unique(answers, axis=0)) == 20, "it answers to the row, not to its past alone"
        cold = learner.finish_snapshot(learner.begin_snapshot(), PATIENCE_S)
        assert cold.meta["frozen"] == ["layer/layer1"]
    with running(still(kind, frozen=False), cold) as learner:
        assert learner.parts[0].frozen, "what was frozen last comes back so"
        np.testing.assert_array_equal(learner.infer(x[40:60])["layer/layer1"], answers)
        learner.parts[0].frozen = False
        feed(learner, x[60:])
        moved = learner.parts[0].arrays()["layer/layer1/up1"]
        assert not np.array_equal(moved, before["layer/layer1/up1"])


@pytest.mark.parametrize("kind", TOP_DOWN)
@pytest.mark.parametrize("background_rows", [0, 20])
def test_a_net_frozen_from_the_start_answers(kind: str, background_rows: int) -> None:
    """It stays as it was made and answers with its first weights; with a background it sees none.

    As it never had a row, each is its own background.
    """
    made = still(kind, frozen=True, background_rows=background_rows)
    with running(made) as learner:
        feed(learner, film(30))
        assert learner.learned() == 30
        answers = learner.infer(film(30))["layer/layer1"]
        assert np.isfinite(answers).all()
        fresh = Learner(made).parts[0].arrays()
        for name, array in learner.parts[0].arrays().items():
            np.testing.assert_array_equal(array, fresh[name], err_msg=name)
    if background_rows == 0:
        assert len(np.unique(answers, axis=0)) == 30
    elif kind != "film":
        assert len(np.unique(answers, axis=0)) == 1, "only the label's neutral part is left"
    else:
        assert not answers[:, :20].any()
