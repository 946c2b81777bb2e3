"""Receptive fields out of a checkpoint: the layer's own, built from what is below it."""

import sys
from pathlib import Path

import numpy as np
import pytest

from streamlearn.config import Config, learner_part, parse
from streamlearn.data import load
from streamlearn.errors import ConfigError
from streamlearn.evaluate import evaluate
from streamlearn.fields import receptive_fields
from streamlearn.plan import CATALOGUE, Plan
from streamlearn.store.checkpoint import Checkpoints, Snapshot

BOX = "def twice(x):\n    return 2 * x\n"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Config, Snapshot]:
    """A net with a function between its layers, and its checkpoint; the function is gone."""
    (tmp_path / "gonebox.py").write_text(BOX, encoding="utf-8")
    layer = {"rule": "forward_forward_fields", "units": 5, "field": 3, "stride": 1, "pool": 2}
    config = parse(
        {
            "stream": {"shape": [8, 8], "dtype": "|u1", "classes": 10},
            "layer": [
                {"rule": "forward_forward", "units": 64},
                {**layer, "reads": ["input"]},
                {"rule": "black_box", "function": "gonebox:twice"},
                {"rule": "hebbian", "units": 8},
            ],
            "head": [{"kind": "softmax", "reads": ["layer4"]}],
        },
        CATALOGUE,
    )
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        evaluate(config, load("optdigits"), limit=300, save=tmp_path / "state")
    monkeypatch.delitem(sys.modules, "gonebox")
    snapshot = Checkpoints(tmp_path / "state").newest(learner_part(config))
    assert snapshot is not None
    return config, snapshot


def test_a_layer_is_drawn_though_what_is_above_it_cannot_be_built(
    kept: tuple[Config, Snapshot],
) -> None:
    """Elsewhere than where it learned, a function may be missing: layers below it are there."""
    config, snapshot = kept
    fields = receptive_fields(config, snapshot)
    assert fields is not None
    averaged = snapshot.arrays["layer/layer1/mean_weights"][:-1].T
    np.testing.assert_array_equal(fields, averaged.reshape(64, 8, 8))
    second = receptive_fields(config, snapshot, "layer2")
    assert second is not None
    weights = snapshot.arrays["layer/layer2/weights"][0]
    np.testing.assert_array_equal(second, weights.T.reshape(5, 3, 3))
    with pytest.raises(ConfigError, match=r"layer\[2\]\.function: gonebox:twice"):
        Plan(config)
    with pytest.raises(ConfigError, match=r"layer\[2\]\.function: gonebox:twice"):
        receptive_fields(config, snapshot, "layer4")
