"""The configurations that come along: each loads, and the reference says what the program does."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import gen_reference
import msgspec
import pytest

from streamlearn import config
from streamlearn.learner import Learner
from streamlearn.plan import CATALOGUE

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_configuration_runs(path: Path) -> None:
    """What lies in configs/ passes `check` and builds a learner."""
    Learner(config.load(path, CATALOGUE))


def test_reference_is_made_from_the_settings() -> None:
    """configs/reference.toml is what the generator says now; else: make reference."""
    made = gen_reference.reference()
    assert (ROOT / "configs" / "reference.toml").read_text("utf-8") == made
    check = [sys.executable, str(ROOT / "tools/gen_reference.py"), "--check"]
    assert subprocess.run(check, check=False, timeout=60, cwd=ROOT).returncode == 0


def test_reference_has_every_key_with_its_default() -> None:
    """Each key of each section, rule, head and step is there; what has a default shows it."""
    path = ROOT / "configs" / "reference.toml"
    raw = tomllib.loads(path.read_text("utf-8"))
    loaded = msgspec.to_builtins(config.load(path, CATALOGUE))
    for section, keys in loaded.items():
        for got, given in _pairs(keys, raw[section]):
            assert {k for k, v in got.items() if v is not None} - {"name"} <= set(given)
    for list_name, (chooser, names) in CATALOGUE.items():
        assert [part[chooser] for part in raw[list_name]] == list(names)
    bare: dict[str, Any] = {"stream": {"shape": [28, 28], "classes": 10}}
    bare |= {name: [] for name in CATALOGUE} | {"head": [{"kind": "softmax"}]}
    defaults = msgspec.json.decode(msgspec.json.encode(config.parse(bare, CATALOGUE)))
    for section in defaults.keys() - set(CATALOGUE) - {"stream"}:
        assert raw[section] == defaults[section]


def _pairs(loaded: Any, raw: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The tables of a section, loaded and as they stand in the file."""
    if isinstance(loaded, dict):
        return [(loaded, raw)]
    return list(zip(loaded, raw, strict=True)) if isinstance(loaded, list | tuple) else []
