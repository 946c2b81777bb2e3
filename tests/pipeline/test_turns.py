"""Layers that learn one at a time: each from its rows on, for so many, whatever the blocks."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from streamlearn.config import Config, parse
from streamlearn.data import load
from streamlearn.evaluate import evaluate
from streamlearn.learner import Learner
from streamlearn.pipeline.stage import PartStage
from streamlearn.plan import CATALOGUE
from streamlearn.wire.message import Sample


def configuration(block_rows: int, rule: dict[str, Any]) -> Config:
    """Two layers, the first from rows 0…99, the second from rows 100…249."""
    raw = {
        "stream": {"shape": [8, 8], "dtype": "|u1", "classes": 10},
        "layer": [
            {**rule, "units": 20, "learns_rows": 100},
            {**rule, "units": 10, "learns_from": 100, "learns_rows": 150},
        ],
        "head": [{"kind": "softmax"}],
        "pipeline": {"block_rows": block_rows, "threads": 1},
    }
    return parse(raw, CATALOGUE)


def weights(stage: PartStage) -> bytes:
    """The bits of a layer's weights."""
    return stage.part.arrays()["weights"].tobytes()


RULES: list[dict[str, Any]] = [
    {"rule": "hebbian", "k": 2},
    {"rule": "greedy_infomax", "steps": 1, "negatives": 2, "warm_rows": 4},
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["rule"]))
def test_each_layer_learns_only_in_its_turn(rule: dict[str, Any]) -> None:
    """Weights stand still before and after; moments are gone once it is over."""
    digits = load("optdigits").train
    learner = Learner(configuration(64, rule))
    learner.assemble()
    learner.pipeline.start()
    one, two = learner.layer("layer1"), learner.layer("layer2")
    assert one is not None
    assert two is not None
    seen = [(weights(one), weights(two))]
    try:
        for begin, end in ((0, 90), (90, 100), (100, 240), (240, 330)):
            rows = digits.X[begin:end].reshape(end - begin, -1)
            learner.intake.sample(
                Sample("a", "", begin, end - begin, float("nan"), rows, None), 0, end - begin
            )
            learner.intake.flush()
            learner.pipeline.wait_done()
            learner.pipeline.check()
            seen.append((weights(one), weights(two)))
    finally:
        learner.pipeline.close()
    assert [a[0] != b[0] for a, b in pairwise(seen)] == [
        True,
        True,
        False,
        False,
    ]
    assert [a[1] != b[1] for a, b in pairwise(seen)] == [
        False,
        False,
        True,
        True,
    ]
    moments = {name: a for name, a in two.part.arrays().items() if name.endswith("_moments")}
    assert bool(moments) == (rule["rule"] == "greedy_infomax")
    assert not any(np.any(a) for a in moments.values())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["rule"]))
def test_turns_end_at_the_same_row_whatever_the_blocks(rule: dict[str, Any]) -> None:
    """Blocks of 7 and of 256 rows give the same digest."""
    digits = load("optdigits").train.first(400)
    both = [evaluate(configuration(rows, rule), digits)["digest"] for rows in (7, 256)]
    assert both[0] == both[1]


def test_a_head_learns_from_its_row_on() -> None:
    """Labels before it only count for the figures."""
    digits = load("optdigits").train
    assert digits.y is not None
    raw = {
        "stream": {"shape": [8, 8], "dtype": "|u1", "classes": 10},
        "head": [{"kind": "softmax", "learns_from": 50}],
        "pipeline": {"threads": 1},
    }
    learner = Learner(parse(raw, CATALOGUE))
    learner.assemble()
    learner.pipeline.start()
    head = learner.parts[-1]
    seen = [weights(head)]
    try:
        for begin, end in ((0, 50), (50, 60)):
            x, y = digits.X[begin:end].reshape(end - begin, -1), digits.y[begin:end]
            message = Sample("a", "", begin, end - begin, float("nan"), x, y)
            learner.intake.sample(message, 0, end - begin)
            learner.intake.flush()
            learner.pipeline.wait_done()
            seen.append(weights(head))
        assert learner.reports()["softmax"]["rows"] == 60
    finally:
        learner.pipeline.close()
    assert [a != b for a, b in pairwise(seen)] == [False, True]
