"""A quiet stream: rules whose phases are apart sleep on, and nothing else notices."""

from typing import Any

import numpy as np
import pytest

from streamlearn.config import parse
from streamlearn.data import load
from streamlearn.evaluate import offer
from streamlearn.learner import Learner
from streamlearn.plan import CATALOGUE
from streamlearn.wire.message import Sample

LAYERS: dict[str, dict[str, Any]] = {
    "apart": {"rule": "forward_forward", "units": 12, "labels": "none", "phases": "apart"},
    "together": {"rule": "forward_forward", "units": 12, "labels": "none"},
    "hebbian": {"rule": "hebbian", "units": 12},
}


@pytest.mark.parametrize("layer", LAYERS)
def test_only_phases_apart_learn_while_nothing_comes(layer: str) -> None:
    """Dreams change a layer that keeps negatives for its sleep; figures and heads stay as are."""
    config = parse(
        {
            "stream": {"shape": [8, 8], "dtype": "|u1", "classes": 10},
            "layer": [LAYERS[layer]],
            "head": [{"kind": "softmax"}],
        },
        CATALOGUE,
    )
    digits = load("optdigits").train.first(70)
    learner = Learner(config)
    learner.assemble()
    learner.warm()
    learner.pipeline.start()
    try:
        rows = digits.X.reshape(70, -1)
        offer(learner, Sample("s", "", 0, 70, 0.0, rows, digits.y))
        assert learner.pipeline.wait_done(60)
        before, figures = learner.digest(), learner.reports()
        head = {n: a.copy() for n, a in learner.learning_arrays().items() if n.startswith("head")}
        assert learner.intake.dream(20, quiet_s=0.0) == 20
        assert learner.pipeline.wait_done(60)
        learner.pipeline.check()
        assert (learner.digest() != before) == (layer == "apart")
        assert learner.reports() == figures
        assert learner.learned() == 70
        now = learner.learning_arrays()
        assert all(np.array_equal(now[name], array) for name, array in head.items())
    finally:
        learner.pipeline.close()
