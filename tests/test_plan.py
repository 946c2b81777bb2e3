"""What stands where: layers that read several columns, lanes and scores from layer to layer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from streamlearn.config import Config, parse
from streamlearn.data import load
from streamlearn.errors import ConfigError
from streamlearn.evaluate import offer
from streamlearn.learner import Learner
from streamlearn.part import F32, Rows
from streamlearn.pipeline.ring import Ring
from streamlearn.pipeline.stage import PartStage, Wires
from streamlearn.plan import CATALOGUE, Plan, check
from streamlearn.rules.base import Rule
from streamlearn.rules.black_box import BlackBox
from streamlearn.wire.message import Sample


def config(*layers: dict[str, Any], **more: Any) -> Config:
    """A learner of digits with these layers."""
    return parse(
        {
            "stream": {"shape": [8, 8], "classes": 10},
            "prepare": [{"step": "scale", "divide_by": 16.0}],
            "layer": list(layers),
            **more,
        },
        CATALOGUE,
    )


FIRST = {"rule": "hebbian", "units": 5, "name": "first"}


@contextmanager
def learned(options: Config, rows: int = 40) -> Iterator[Learner]:
    """A learner that has seen some digits; its threads run."""
    learner = Learner(options)
    learner.assemble()
    learner.warm()
    learner.pipeline.start()
    x = load("optdigits").train.X[:rows].reshape(rows, -1)
    offer(learner, Sample("s", "", 0, rows, 0.0, x, None))
    try:
        assert learner.pipeline.wait_done(60)
        learner.pipeline.check()
        yield learner
    finally:
        learner.pipeline.close()


def test_a_layer_can_read_several_layers_and_the_row_itself() -> None:
    """They lie side by side in the order named, and answers to questions see the same."""
    second = {"rule": "black_box", "reads": ["first", "input"], "name": "second"}
    with learned(config(FIRST, second)) as learner:
        column = learner.ring.column
        beside = np.hstack([column("layer/first"), column("prepare/1")])[:40]
        assert column("layer/second").shape[1] == 5 + 64
        np.testing.assert_array_equal(column("layer/second")[:40], beside)
        values = learner.infer(np.ones((3, 64), np.float32))
    both = np.hstack([values["layer/first"], values["prepare/1"]])
    np.testing.assert_array_equal(values["layer/second"], both)


def test_more_questions_at_once_than_the_ring_has_rows() -> None:
    """A long question to a layer of two columns does not depend on the ring's size."""
    second = {"rule": "black_box", "reads": ["input", "first"]}
    small = {"ring_rows": 8, "block_rows": 4}
    with learned(config(FIRST, second, pipeline=small)) as learner:
        values = learner.infer(np.ones((100, 64), np.float32))
    assert values["layer/layer2"].shape == (100, 69)


@pytest.mark.parametrize(
    ("layers", "line"),
    [
        ([{**FIRST, "reads": ["second"]}, {**FIRST, "name": "second"}], "got 'second'"),
        ([{**FIRST, "reads": ["first"]}], "layer[0].reads: expected some of input, got 'first'"),
        ([FIRST, {**FIRST, "name": "b", "reads": ["inputs"]}], "expected some of input, first"),
    ],
)
def test_a_layer_reads_only_what_stands_before_it(layers: Any, line: str) -> None:
    """Data flows one way: itself, later layers and unknown names are refused, by place."""
    with pytest.raises(ConfigError) as caught:
        config(*layers)
    assert line in str(caught.value)


def test_evidence_is_read_only_from_layers_that_give_it() -> None:
    """A head of the layers' own evidence takes all that give some, and refuses others by name."""
    knows = {"rule": "forward_forward", "units": 10, "name": "knows"}
    plan = Plan(config(FIRST, knows, head=[{"kind": "goodness"}]))
    assert plan.parts[-1][1].reads == ("layer/knows/scores",)
    for reads, layers in ((["first"], [FIRST, knows]), ([], [FIRST])):
        with pytest.raises(ConfigError, match=r"head\[0\].reads: expected layers that give"):
            Plan(config(*layers, head=[{"kind": "goodness", "reads": reads}]))


def test_check_builds_the_parts_and_names_the_file() -> None:
    """What only shows when a part is built is found before the daemon starts."""
    wrong = config({"rule": "black_box", "function": "no.such:thing"})
    with pytest.raises(ConfigError, match=r"^a\.toml: layer\[0\]\.function: "):
        check(wrong, "a.toml")


class Twice(BlackBox):
    """Gives every row, the row doubled in lane 0, tripled in lane 1, and its sum as evidence."""

    lanes_out = 2
    scores_out = True

    def learn(self, rows: Rows) -> None:
        """Write everything."""
        rows.out[...] = rows.x
        assert rows.beside is not None
        rows.beside.lanes[...] = rows.x[:, None] * np.array([2, 3], np.float32)[:, None]
        rows.beside.scores[...] = rows.x.sum(axis=1, keepdims=True)


class Sees(Rule):
    """Keeps the lanes that it was shown."""

    def __init__(self, options: Any, place: Any) -> None:
        super().__init__(options, place)
        self.seen: list[F32] = []

    width_out = 1

    def learn(self, rows: Rows) -> None:
        """Keep a copy."""
        assert rows.beside is not None
        self.seen.append(rows.beside.lanes_in.copy())

    def infer(self, x: F32, out: F32) -> None:
        """Nothing to say."""

    def arrays(self) -> dict[str, Any]:
        """Nothing kept."""
        return {}


def test_lanes_and_scores_go_up_block_by_block() -> None:
    """The layer above sees every lane of a row, and the plain row where one below has no lanes."""
    options = BlackBox.Options(rule="black_box")
    plan = Plan(config({"rule": "black_box"}))
    place = plan.parts[1][0].place
    below = Twice(options, place)
    wires = Wires(("x",), ("",), "layer/below")
    above = Sees(options, place._replace(width_in=128, lanes_in=2))
    both = Wires(("layer/below", "x"), ("layer/below/lanes", ""), "layer/above")
    ring = Ring(8, {"x": 64, **wires.owned(below), **both.owned(above)})
    stages = [PartStage("below", below, ring, wires), PartStage("above", above, ring, both)]
    for _ in stages:
        ring.add_cursor()
    x = np.arange(8 * 64, dtype=np.float32).reshape(8, 64)
    ring.column("x")[:] = x
    ring.commit(8)
    for start, most in ((0, 3), (3, 5)):
        for number, stage in enumerate(stages):
            stage.work(ring.ready(number, start + most, most))
            ring.cursors[number] += most
    np.testing.assert_array_equal(
        np.concatenate(above.seen),
        np.stack([np.hstack([2 * x, x]), np.hstack([3 * x, x])], axis=1),
    )
    assert ring.column("layer/below/scores").shape == (8, 10)
    np.testing.assert_array_equal(ring.column("layer/below/scores")[:, 3], x.sum(axis=1))
