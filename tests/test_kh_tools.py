"""The tools that measure competing units do what they say, in short versions."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tools/kh_reproduce.py as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    spec = importlib.util.spec_from_file_location("kh_tool", ROOT / "tools/kh_reproduce.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "kh_tool", module)
    spec.loader.exec_module(module)
    return module


def test_the_paper_in_short(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Units and read-out learn the bundled digits; less than a tenth of the trivial errors."""
    tool.short()
    assert "% of test rows; the commonest class: 89.8 %" in capsys.readouterr().out


def test_rows_of_3072_numbers_go_all_the_way(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The experiment on CIFAR-10, small, on coloured noise in its shape: every step, learned."""
    random = np.random.default_rng(0)
    colours = random.uniform(0, 1, (10, 1, 1, 3))

    def made(rows: int) -> object:
        y = random.integers(0, 10, rows).astype(np.int32)
        x = 255 * np.clip(colours[y] + random.normal(0, 0.2, (rows, 32, 32, 3)), 0, 1)
        return tool.replace(whole.train, X=x.astype(np.uint8), y=y)

    whole = tool.data.load("optdigits")
    monkeypatch.setattr(tool.Table, "__init__", lambda *_: None)
    table = tool.Table(tool.CIFAR10, tmp_path, tmp_path)
    table.experiment = tool.replace(
        tool.CIFAR10, units=40, passes=4, patience=20.0, minibatch=20, rates=((30, 4e-3),)
    )
    table._folder, table._kept = tmp_path, tmp_path / "kh.npz"
    table.train, table.test = (tool.digits(made(n), (32, 32, 3)) for n in (400, 200))
    assert table.train.x.shape == (400, 3072)
    rows = {row.name: row.ours for step in tool.STEPS[:2] for row in getattr(table, step)()}
    assert rows["competing units, test error"] < 30
    assert (tmp_path / "kh-cifar10-fields.png").stat().st_size > 1000
