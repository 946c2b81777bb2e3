"""The tool that measures competing units as a stream: every line is a configuration, and runs."""

import kh_stream
import numpy as np
import pytest
from naive.hebbian import steady
from source import ROOT

from streamlearn import data
from streamlearn.plan import check

TINY = "units=30, field=3, pool=2"


def test_every_line_is_a_configuration() -> None:
    """Each line passes the checks, is no line twice, and has its place in the table."""
    for name, line in kh_stream.LINES.items():
        config = kh_stream.configured(line, 1)
        assert config.pipeline.threads == 1
        assert check(config, name).widths["x"] == 784
        assert line.says in kh_stream.ORDER
    assert len(set(kh_stream.ORDER)) == len(kh_stream.ORDER)
    assert len({(line.settings, line.passes) for line in kh_stream.LINES.values()}) == len(
        kh_stream.LINES
    )
    assert set(kh_stream.NAMES) == {*kh_stream.LINES, kh_stream.WINNERS}


def test_the_schedule_ends_with_the_stream() -> None:
    """The published rate falls to zero at the last row of the last pass."""
    for passes in (1, 2, 5, 10):
        layer = kh_stream.configured(kh_stream.LINES[f"annealed-{passes}"], 1).layer[0]
        assert layer.anneal_rows == 60_000 * kh_stream.LINES[f"annealed-{passes}"].passes
        assert (layer.plasticity, layer.minibatch, layer.largest) == ("equation", 100, True)


def test_depth_is_what_its_lines_say() -> None:
    """A head reads the layers that the line names, and no others."""
    reads = {
        name: check(kh_stream.configured(line, 1), name).parts[-1][1].reads
        for name, line in kh_stream.DEPTH.items()
    }
    for name, columns in reads.items():
        upper = name in ("two-upper", "patches-two", "patches-dense")
        one = name in ("patches", "patches-still")
        both = ("layer/layer1", "layer/layer2")
        assert columns == (both[1:] if upper else both[:1] if one else both)


def test_every_pass_has_an_order_of_its_own() -> None:
    """Each pass holds every row once, with its label."""
    digits = data.load("optdigits").train.first(50)
    twice = kh_stream.ordered(digits, 3, 2)
    assert twice.rows == 100
    assert np.any(twice.X[:50] != twice.X[50:])
    for part in (slice(0, 50), slice(50, 100)):
        seen = sorted((x.tobytes(), y) for x, y in zip(twice.X[part], twice.y[part], strict=True))
        assert seen == sorted((x.tobytes(), y) for x, y in zip(digits.X, digits.y, strict=True))


@pytest.mark.parametrize("which", ["units", "patches"])
def test_a_line_is_measured(monkeypatch, which: str) -> None:
    """On the bundled digits: a stream of two passes, far better than chance, and timed."""
    monkeypatch.setattr(kh_stream, "CONFIG", ROOT / "configs" / "digits.toml")
    monkeypatch.setattr(kh_stream, "WARM_ROWS", 100)
    monkeypatch.setattr(kh_stream, "TIMED_ROWS", 50)
    settings = kh_stream.on_layer(units=60) if which == "units" else kh_stream.layers(TINY)
    monkeypatch.setitem(kh_stream.LINES, "tiny", kh_stream.Line("tiny", settings, 2, 1))
    row = kh_stream.measured("tiny", data.load("optdigits"), None, 2000)
    assert row.ours < 25
    assert row.seeds == 1
    assert all(f"--set '{setting}'" in row.note or setting in row.note for setting in settings)


def test_the_winners_are_compared(monkeypatch) -> None:
    """The steady state of rows is that of the closed form, and counted as it is."""
    monkeypatch.setattr(kh_stream, "CONFIG", ROOT / "configs" / "digits.toml")
    rows = list(kh_stream.winners(data.load("optdigits"), 500))
    assert [row.name for row in rows] == [kh_stream.winner_name(w) for w in kh_stream.INHIBITIONS]
    assert all(row.ours > 99 for row in rows)
    currents = np.random.default_rng(0).random((20, 15)).astype(np.float32)
    rest = kh_stream.settled(currents, 0.5)
    active = [len(steady(dict(enumerate(drive.tolist())), 0.5)) for drive in currents]
    assert rest.active == pytest.approx(np.mean(active), abs=0.2)
    assert kh_stream.settled(currents, 1.2).active == 1
