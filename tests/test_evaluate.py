"""evaluate: what it reports, what it holds out, what it saves."""

from pathlib import Path

import numpy as np
import pytest

from streamlearn.config import Config, learner_part, parse
from streamlearn.data import load
from streamlearn.data.dataset import Dataset
from streamlearn.errors import UsageError
from streamlearn.evaluate import evaluate
from streamlearn.plan import CATALOGUE
from streamlearn.store.checkpoint import Checkpoints


def digits_config(units: int = 24) -> Config:
    """A small learner of digits."""
    raw = {
        "stream": {"shape": [8, 8], "dtype": "|u1", "classes": 10},
        "prepare": [{"step": "unit_norm"}],
        "layer": [{"rule": "hebbian", "units": units}],
        "head": [{"kind": "softmax"}, {"kind": "least_squares"}],
    }
    return parse(raw, CATALOGUE)


def test_the_report_has_the_promised_keys() -> None:
    """Scripts rely on these names: samples, seconds, prequential, test, digest, config."""
    seen: list[int] = []
    result = evaluate(
        digits_config(),
        load("optdigits"),
        limit=1000,
        on_progress=lambda done, _total, _point: seen.append(done),
    )
    assert result["samples"] == 1000
    assert result["samples_per_s"] == pytest.approx(1000 / result["seconds"])
    assert set(result["prequential"]) == {"error", "error_recent"}
    assert result["test"]["samples"] == 1797
    assert len(result["digest"]) == len(result["config"]) == 64
    assert set(result["heads"]) == {"softmax", "least_squares"}
    assert seen[-1] == 1000
    assert result["curve"][-1]["rows"] == 1000


def test_one_pass_over_digits_learns_them() -> None:
    """The number that the project promises for other writers' digits: at most 6 % error."""
    result = evaluate(digits_config(400), load("optdigits"))
    assert result["test"]["error"] <= 0.06
    assert result["prequential"]["error"] < 0.12
    assert result["heads"]["softmax"]["majority_error"] > 0.85


def test_passes_and_limit_play_the_rows_round_and_round() -> None:
    """Two passes are the rows twice; a limit stops in the middle; the same rows, the same end."""
    rows = load("optdigits").train.first(300)
    twice = Dataset("twice", np.concatenate([rows.X] * 2), np.concatenate([rows.y] * 2), None, 10)
    assert (
        evaluate(digits_config(), rows, passes=2, limit=450)["digest"]
        == evaluate(digits_config(), twice.first(450))["digest"]
    )


def test_data_without_labels_or_test_rows_is_welcome() -> None:
    """Figures that cannot be known are None, not zero."""
    rows = load("optdigits").train.first(50)
    result = evaluate(digits_config(), Dataset("unlabelled", rows.X, None, None, 0))
    assert result["test"] is None
    assert result["prequential"]["error"] is None


def test_a_saved_learner_is_a_checkpoint_that_the_daemon_takes(tmp_path: Path) -> None:
    """--save writes what `streamlearn run` recovers from."""
    config = digits_config()
    result = evaluate(config, load("optdigits"), limit=200, save=tmp_path / "state")
    snapshot = Checkpoints(tmp_path / "state").newest(learner_part(config))
    assert snapshot is not None
    assert (snapshot.rows_learned, snapshot.digest) == (200, result["digest"])


def test_data_of_another_type_is_taken_where_nothing_is_lost() -> None:
    """Whole numbers that came as floats fit |u1; others are refused with the way out."""
    rows = load("optdigits").train.first(20)
    floats = Dataset("floats", rows.X.astype(np.float64), rows.y, None, 10)
    assert evaluate(digits_config(), floats)["digest"] == evaluate(digits_config(), rows)["digest"]
    with pytest.raises(UsageError, match=r"rows are <f8, not stream.dtype = \|u1"):
        evaluate(digits_config(), Dataset("halves", rows.X / 2, rows.y, None, 10))
