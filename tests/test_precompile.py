"""Kernels are compiled by a child, whose memory goes when it ends; what became of them is told."""

import shutil
from pathlib import Path

import msgspec
import pytest

from streamlearn import precompile
from streamlearn.config import load, parse
from streamlearn.plan import CATALOGUE

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_child_can_build_every_configuration(path: Path) -> None:
    """What it makes small fits the layers: one that pools 31 rows needs a ring of as many."""
    config = load(path, CATALOGUE)
    learner = precompile.small(msgspec.json.encode(config))
    assert learner.config.layer == config.layer


def test_what_became_of_the_kernels_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that fails is tried again at the next start; one that is done is not."""
    config = parse({"stream": {"shape": [4]}, "layer": [{"rule": "pool"}]}, CATALOGUE)
    monkeypatch.setattr(precompile, "HOME", tmp_path)
    for program, told in (
        ("false", precompile.LEFT),
        ("true", precompile.COMPILED),
        ("false", precompile.KEPT),
    ):
        path = shutil.which(program)
        assert path is not None
        monkeypatch.setattr("sys.executable", path)
        assert precompile.ensure(config) == told
    monkeypatch.setattr(precompile, "HOME", None)
    assert precompile.ensure(config) == precompile.LEFT
