"""The tool that measures competing units as a stream: every line is a configuration, and runs."""

import importlib
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
from naive.hebbian import steady
from source import ROOT

from streamlearn import data
from streamlearn.plan import check

TINY = "units=30, field=3, pool=2"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Import the tool, as it imports its neighbours when it is run."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("kh_stream")


def test_every_line_is_a_configuration(tool) -> None:
    """Each line passes the checks, is no line twice, and has its place in the table."""
    for name, line in tool.LINES.items():
        config = tool.configured(line, 1)
        assert config.pipeline.threads == 1
        assert check(config, name).widths["x"] == 784
        assert line.says in tool.ORDER
    assert len(set(tool.ORDER)) == len(tool.ORDER)
    assert len({(line.settings, line.passes) for line in tool.LINES.values()}) == len(tool.LINES)
    assert set(tool.NAMES) == {*tool.LINES, tool.WINNERS}


def test_the_schedule_ends_with_the_stream(tool) -> None:
    """The published rate falls to zero at the last row of the last pass."""
    for passes in (1, 2, 5, 10):
        layer = tool.configured(tool.LINES[f"annealed-{passes}"], 1).layer[0]
        assert layer.anneal_rows == 60_000 * tool.LINES[f"annealed-{passes}"].passes
        assert (layer.plasticity, layer.minibatch, layer.largest) == ("equation", 100, True)


def test_depth_is_what_its_lines_say(tool) -> None:
    """A head reads the layers that the line names, and no others."""
    reads = {
        name: check(tool.configured(line, 1), name).parts[-1][1].reads
        for name, line in tool.DEPTH.items()
    }
    for name, columns in reads.items():
        upper = name in ("two-upper", "patches-two", "patches-dense")
        one = name in ("patches", "patches-still")
        both = ("layer/layer1", "layer/layer2")
        assert columns == (both[1:] if upper else both[:1] if one else both)


def test_every_pass_has_an_order_of_its_own(tool) -> None:
    """Each pass holds every row once, with its label."""
    digits = data.load("optdigits").train.first(50)
    twice = tool.ordered(digits, 3, 2)
    assert twice.rows == 100
    assert np.any(twice.X[:50] != twice.X[50:])
    for part in (slice(0, 50), slice(50, 100)):
        seen = sorted((x.tobytes(), y) for x, y in zip(twice.X[part], twice.y[part], strict=True))
        assert seen == sorted((x.tobytes(), y) for x, y in zip(digits.X, digits.y, strict=True))


@pytest.mark.parametrize("which", ["units", "patches"])
def test_a_line_is_measured(tool, monkeypatch, which: str) -> None:
    """On the bundled digits: a stream of two passes, far better than chance, and timed."""
    monkeypatch.setattr(tool, "CONFIG", ROOT / "configs" / "digits.toml")
    monkeypatch.setattr(tool, "WARM_ROWS", 100)
    monkeypatch.setattr(tool, "TIMED_ROWS", 50)
    settings = tool.on_layer(units=60) if which == "units" else tool.layers(TINY)
    monkeypatch.setitem(tool.LINES, "tiny", tool.Line("tiny", settings, 2, 1))
    row = tool.measured("tiny", data.load("optdigits"), None, 2000)
    assert row.ours < 25
    assert row.seeds == 1
    assert all(f"--set '{setting}'" in row.note or setting in row.note for setting in settings)


def test_the_winners_are_compared(tool, monkeypatch) -> None:
    """The steady state of rows is that of the closed form, and counted as it is."""
    monkeypatch.setattr(tool, "CONFIG", ROOT / "configs" / "digits.toml")
    rows = list(tool.winners(data.load("optdigits"), 500))
    assert [row.name for row in rows] == [tool.winner_name(w) for w in tool.INHIBITIONS]
    assert all(row.ours > 99 for row in rows)
    currents = np.random.default_rng(0).random((20, 15)).astype(np.float32)
    rest = tool.settled(currents, 0.5)
    active = [len(steady(dict(enumerate(drive.tolist())), 0.5)) for drive in currents]
    assert rest.active == pytest.approx(np.mean(active), abs=0.2)
    assert tool.settled(currents, 1.2).active == 1


def test_lines_of_before_are_kept(tool, tmp_path) -> None:
    """What is not measured now stays, in the table's order."""
    one, two, _, other = (tool.Row(name=name, ours=1, unit="%") for name in tool.ORDER[:4])
    newer = tool.Row(name=two.name, ours=2, unit="%")
    tool.write(tool.report(tool.NAME, "x", [one, two]), tmp_path)
    both = tool.merged(tool.report(tool.NAME, "x", [other, newer]), tmp_path)
    assert [row.name for row in both.rows] == [one.name, two.name, other.name]
    assert both.rows[1].ours == 2
