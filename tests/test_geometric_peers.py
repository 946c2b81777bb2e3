"""The tools that hold the geometric network against other programs, without those programs."""

from pathlib import Path

import diehl_cook
import geometric_online
import geometric_speed
import numpy as np
import pytest

from streamlearn.part import F32
from streamlearn.rules.geometric_spiking import GeometricSpiking


def strokes() -> F32:
    """Two made-up images [2, 784] of a few strokes."""
    rng = np.random.default_rng(1)
    images = np.zeros((2, 28, 28), np.float32)
    images[0, 5:22, 13:15] = rng.uniform(0.3, 1, (17, 2))
    images[1, 8:11, 6:22] = rng.uniform(0.3, 1, (3, 16))
    return images.reshape(2, -1)


def test_the_kernel_and_the_twin_that_are_timed_fire_alike() -> None:
    """The ratio is between two programs that give the same spikes."""
    x = strokes()
    ours = geometric_speed.Ours(GeometricSpiking(geometric_speed.OPTIONS, geometric_speed.PLACE))
    counts = ours.counts(x)
    assert counts.sum() > 50
    assert counts.tolist() == geometric_speed.twin().counts(x).tolist()


def test_the_limit_moves_every_signal() -> None:
    """What memory must move is an addition for every edge of an input that fires."""
    limit, x = geometric_speed.Limit(), strokes()
    net = limit._net
    edges = [sum(int(net.first[i + 1] - net.first[i]) for i in np.flatnonzero(row)) for row in x]
    assert limit.arrivals(x) == pytest.approx(np.mean(edges))
    limit.run(x)
    assert not limit._calendar.any()


def test_another_network_is_refused() -> None:
    """Where Brian2 gives other spikes there is no figure."""

    class Other:
        counts = np.zeros((2, geometric_speed.UNITS))

    ours = geometric_speed.Ours(GeometricSpiking(geometric_speed.OPTIONS, geometric_speed.PLACE))
    with pytest.raises(SystemExit, match="not the same network"):
        geometric_speed.same_spikes(ours, lambda _: Other(), strokes())


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages or the checkout it says what to install or to name."""
    monkeypatch.setattr(diehl_cook.importlib.util, "find_spec", lambda name: name == "scipy")
    assert diehl_cook.missing(tmp_path).startswith("needs torch, sklearn; pip install")
    monkeypatch.setattr(diehl_cook.importlib.util, "find_spec", lambda _: True)
    assert "no bindsnet/models/models.py" in diehl_cook.missing(tmp_path)


def test_their_answers_are_counted_by_the_better_way() -> None:
    """Of its two ways of telling a class the better one counts, over all rows and over the last."""
    told = [[False, False]] * 1000 + [[True, False]] * 500 + [[True, True]] * 500
    rows = geometric_online.their_rows(told, 5.0)
    assert rows[0].ours == 50.0
    assert rows[0].note == "100.0 % of the last"
    assert rows[1].ours == 5.0
