"""The tools that measure competing units do what they say, in short versions."""

from dataclasses import replace
from pathlib import Path

import kh_reproduce
import numpy as np
import pytest
from kh_paper import CIFAR10, digits

from streamlearn import data


def test_the_paper_in_short(capsys: pytest.CaptureFixture[str]) -> None:
    """Units and read-out learn the bundled digits; less than a tenth of the trivial errors."""
    kh_reproduce.short()
    assert "% of test rows; the commonest class: 89.8 %" in capsys.readouterr().out


def test_rows_of_3072_numbers_go_all_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The experiment on CIFAR-10, small, on coloured noise in its shape: every step, learned."""
    random = np.random.default_rng(0)
    colours = random.uniform(0, 1, (10, 1, 1, 3))

    def made(rows: int) -> object:
        y = random.integers(0, 10, rows).astype(np.int32)
        x = 255 * np.clip(colours[y] + random.normal(0, 0.2, (rows, 32, 32, 3)), 0, 1)
        return replace(whole.train, X=x.astype(np.uint8), y=y)

    whole = data.load("optdigits")
    monkeypatch.setattr(kh_reproduce.Table, "__init__", lambda *_: None)
    table = kh_reproduce.Table(CIFAR10, tmp_path, tmp_path)
    table.experiment = replace(
        CIFAR10, units=40, passes=4, patience=20.0, minibatch=20, rates=((30, 4e-3),)
    )
    table._folder, table._kept = tmp_path, tmp_path / "kh.npz"
    table.train, table.test = (digits(made(n), (32, 32, 3)) for n in (400, 200))
    assert table.train.x.shape == (400, 3072)
    rows = {row.name: row.ours for step in kh_reproduce.STEPS[:2] for row in getattr(table, step)()}
    assert rows["competing units, test error"] < 30
    assert (tmp_path / "kh-cifar10-fields.png").stat().st_size > 1000
