"""A quiet stream: rules whose phases are apart sleep on, and nothing else notices."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from streamlearn.config import Config, parse
from streamlearn.data import load
from streamlearn.evaluate import offer
from streamlearn.learner import Learner
from streamlearn.plan import CATALOGUE
from streamlearn.wire.message import Sample

APART = {"rule": "forward_forward", "units": 12, "phases": "apart"}
LAYERS: dict[str, dict[str, Any]] = {
    "none": {**APART, "labels": "none"},
    "generated": {**APART, "labels": "none", "negatives": "generated"},
    "overlay": {**APART, "labels": "overlay"},
}
OTHERS: dict[str, dict[str, Any]] = {
    "together": {"rule": "forward_forward", "units": 12, "labels": "none"},
    "hebbian": {"rule": "hebbian", "units": 12},
}


def config(layer: dict[str, Any]) -> Config:
    """Two such layers and a head, over digits."""
    return parse(
        {
            "stream": {"shape": [8, 8], "dtype": "|u1", "classes": 10},
            "layer": [layer, layer],
            "head": [{"kind": "softmax"}],
        },
        CATALOGUE,
    )


@contextmanager
def running(layer: dict[str, Any], snapshot: Any = None) -> Iterator[Learner]:
    """A learner whose threads run; from a snapshot, or after 70 digits."""
    learner = Learner(config(layer))
    learner.assemble()
    learner.warm()
    if snapshot is not None:
        learner.restore(snapshot)
    learner.pipeline.start()
    try:
        if snapshot is None:
            digits = load("optdigits").train.first(70)
            offer(learner, Sample("s", "", 0, 70, 0.0, digits.X.reshape(70, -1), digits.y))
            assert learner.pipeline.wait_done(60)
        yield learner
    finally:
        learner.pipeline.close()


def dream(learner: Learner, rows: int = 20) -> None:
    """Let it dream for so many rows."""
    assert learner.intake.dream(rows, quiet_s=0.0) == rows
    assert learner.pipeline.wait_done(60)
    learner.pipeline.check()


def copied(learner: Learner, kind: str) -> dict[str, Any]:
    """A copy of every array of layers or heads."""
    arrays = learner.learning_arrays()
    return {name: array.copy() for name, array in arrays.items() if name.startswith(kind)}


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_with_phases_apart_learn_while_nothing_comes(layer: str) -> None:
    """Both move their weights; heads, figures and the count of rows stay as they are."""
    with running(LAYERS[layer]) as learner:
        assert learner.dreams
        layers, head, figures = copied(learner, "layer"), copied(learner, "head"), learner.reports()
        dream(learner)
        now = learner.learning_arrays()
        for name in ("layer/layer1/weights", "layer/layer2/weights"):
            assert np.abs(now[name] - layers[name]).max() > 0, name
        assert all(np.array_equal(now[name], array) for name, array in head.items())
        assert learner.reports() == figures
        assert learner.learned() == 70


@pytest.mark.parametrize("layer", LAYERS)
def test_a_restart_changes_no_dream(layer: str) -> None:
    """What is dreamt of is all in the checkpoint: a restored learner dreams the same to the bit."""
    with running(LAYERS[layer]) as first:
        snapshot = first.finish_snapshot(first.begin_snapshot(), 60)
        dream(first)
        expected = copied(first, "layer")
    with running(LAYERS[layer], snapshot) as second:
        dream(second)
        found = copied(second, "layer")
    assert {n: a.tobytes() for n, a in found.items()} == {
        n: a.tobytes() for n, a in expected.items()
    }


@pytest.mark.parametrize("layer", OTHERS)
def test_nothing_else_dreams(layer: str) -> None:
    """Without phases apart, rows of silence change nothing at all."""
    with running(OTHERS[layer]) as learner:
        assert not learner.dreams
        before, figures = learner.digest(), learner.reports()
        dream(learner)
        assert learner.digest() == before
        assert learner.reports() == figures
