"""The picture of codes: what a layer of a checkpoint makes of rows, and the window of one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamlearn import data
from streamlearn.cli import main
from streamlearn.codes import activity
from streamlearn.config import Config, parse
from streamlearn.evaluate import evaluate
from streamlearn.part import Place
from streamlearn.picture_codes import Activity, components, first_spikes
from streamlearn.plan import CATALOGUE
from streamlearn.rules.geometric_spiking import GeometricSpiking, GeometricSpikingOptions

pytest.importorskip("matplotlib")
SPIKING = {"rule": "geometric_spiking", "units": 40, "high": 16.0, "latency_ms": 40.0}
RECURRENT = SPIKING | {"layout": "plane", "sigma": 0.0, "threshold": 2.0, "p_recurrent": 0.5}


def learner(*layers: dict[str, object]) -> Config:
    """A learner of the bundled digits."""
    return parse(
        {
            "stream": {"shape": [8, 8], "dtype": "|u1", "classes": 10},
            "layer": [dict(one) for one in layers],
            "head": [{"kind": "neighbours", "memory_rows": 100}],
        },
        CATALOGUE,
    )


def saved(folder: Path, *layers: dict[str, object]) -> Path:
    """A state folder with a checkpoint of such a learner after some digits."""
    evaluate(learner(*layers), data.load("optdigits"), limit=150, save=folder)
    return folder


Inspect = Callable[..., tuple[int, str]]


@pytest.fixture
def inspect(capfd: pytest.CaptureFixture[str]) -> Inspect:
    """Call `inspect` in this process; its exit code and what it says beside its answer."""

    def call(*words: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main(["inspect", *(str(word) for word in words)])
        assert isinstance(end.value.code, int)
        return end.value.code, capfd.readouterr().err

    return call


@pytest.mark.parametrize("layer", [SPIKING, RECURRENT, {"rule": "hebbian", "units": 30}])
def test_codes_of_any_layer_are_drawn(
    inspect: Inspect, tmp_path: Path, layer: dict[str, object]
) -> None:
    """A spiking layer has its window above the codes, so its picture is higher than another's."""
    picture, folder = tmp_path / "codes.png", saved(tmp_path, layer)
    code, words = inspect(folder, "--picture", picture, "--data", "optdigits", "--row", 7)
    assert code == 0, words
    assert "codes of 2,000 rows" in words
    head = picture.read_bytes()[:24]
    width, height = (int.from_bytes(head[i : i + 4], "big") for i in (16, 20))
    assert (height > 0.8 * width) == (layer["rule"] == "geometric_spiking")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--data", "optdigits", "--row", "2000"), "--row 2000: expected 0 … 1999"),
        (("--data", "optdigits", "--layer", "nobody"), "--layer nobody: expected one of layer1"),
        (("--data", "nothing"), "nothing: no such file"),
    ],
)
def test_what_cannot_be_drawn_is_named(
    inspect: Inspect, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    """A wrong row, layer or source is refused with the way out, and nothing is written."""
    picture = tmp_path / "codes.png"
    code, words = inspect(saved(tmp_path, SPIKING), "--picture", picture, *options)
    assert code == 2
    assert told in words
    assert not picture.exists()


def test_data_need_a_picture(inspect: Inspect, tmp_path: Path) -> None:
    """What chooses a picture is refused without one."""
    code, words = inspect(tmp_path, "--data", "optdigits")
    assert code == 2
    assert "--data optdigits: it chooses what --picture FILE draws" in words


def shown(**options: object) -> tuple[GeometricSpiking, Activity]:
    """A network, and what one digit sets off in it."""
    given = SPIKING | options
    part = GeometricSpiking(GeometricSpikingOptions(**given), Place(64, (8, 8), 10, 3))
    return part, activity(part, np.float32(data.load("optdigits").X[4].reshape(-1)), "digit")


def test_activity_is_what_the_kernel_counts() -> None:
    """The spikes that are drawn are those that the layer writes as its code."""
    part, seen = shown()
    x = np.float32(data.load("optdigits").X[4:5].reshape(1, -1))
    out = np.zeros((1, 40), np.float32)
    part.infer(x, out)
    counts = np.bincount(seen.spikes[:, 1].astype(int), minlength=40)
    assert counts.sum() > 20
    assert counts.tolist() == out[0].tolist()
    assert np.isfinite(seen.heard_ms).tolist() == (x[0] > 0).tolist()


@pytest.mark.parametrize("options", [{}, {"clocks": 5, "stdp": "row"}, RECURRENT])
def test_paths_lead_to_first_spikes(options: dict[str, object]) -> None:
    """Each path arrives at a unit that fires, when it first does or shortly before."""
    part, seen = shown(**options)
    first = first_spikes(seen)
    assert len(seen.paths) > 10
    for path in seen.paths:
        unit = int(np.flatnonzero((seen.units == path[2:4]).all(axis=1))[0])
        assert 0 <= first[unit] - path[4] <= part.options.tau_fast_ms


def test_components_are_those_of_the_covariance() -> None:
    """Variances along the components are the largest eigenvalues of the codes' covariance."""
    rng = np.random.default_rng(1)
    codes = np.float32(rng.normal(size=(300, 6)) * [5, 3, 2, 1, 1, 0.5] @ rng.normal(size=(6, 6)))
    places, shares = components(codes)
    values = np.linalg.eigvalsh(np.cov(np.float64(codes.T)))[::-1]
    np.testing.assert_allclose(places.var(axis=0, ddof=1), values[:3], rtol=1e-4)
    np.testing.assert_allclose(shares, values[:3] / values.sum(), rtol=1e-4)
    np.testing.assert_allclose(np.corrcoef(places.T), np.eye(3), atol=1e-6)


def test_codes_of_few_rows_and_numbers_have_components() -> None:
    """One row, or one number a row, has components too: zeros where there are none."""
    for codes in (np.ones((1, 4), np.float32), np.arange(5, dtype=np.float32).reshape(5, 1)):
        places, shares = components(codes)
        assert places.shape == (len(codes), 3)
        assert np.isfinite(shares).all()
