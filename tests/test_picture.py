"""The picture of a run: drawn for whatever there is to show, and only where it makes sense."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from streamlearn.errors import UsageError
from streamlearn.picture import Run, _tiled, as_images, draw

pytest.importorskip("matplotlib")
CURVE = [
    {"rows": n, "error": 1 / n, "error_recent": 0.5 / n, "majority_error": 0.9, "repeat_error": 0.9}
    for n in range(1, 50)
]
NOTHING = [dict.fromkeys(("error", "error_recent")) | {"rows": 10}]


def run(**changes: object) -> Run:
    """A run with everything."""
    whole = Run(
        title="a run",
        subtitle="of rows",
        curve=CURVE,
        confusion=np.eye(4, dtype=np.int64) * 7,
        confusion_of="held-out rows",
        fields=np.random.default_rng(1).normal(size=(30, 6, 5)).astype(np.float32),
        test_error=0.05,
    )
    return whole._replace(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fields": None},
        {"confusion": None, "test_error": None},
        {"test_error": 0.0},
        {"curve": NOTHING},
        {"confusion": np.ones((40, 40), np.int64)},
        {"fields": np.ones((1, 28, 28), np.float32)},
        {"fields": np.ones((2000, 3, 40), np.float32)},
    ],
    ids=lambda changes: "+".join(changes) or "all",
)
def test_any_run_can_be_drawn(tmp_path: Path, changes: dict[str, object]) -> None:
    """Whatever is missing, tiny or large, a picture of a sensible size comes out."""
    draw(run(**changes), tmp_path / "run.png")
    head = (tmp_path / "run.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(head[i : i + 4], "big") for i in (16, 20))
    assert width > height > 500


@pytest.mark.parametrize("units", [1, 2, 5, 17, 100, 2000])
@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (72, 96), (2, 30)])
def test_tiles_fill_their_rectangle(units: int, shape: tuple[int, int]) -> None:
    """Every place of the rectangle holds a unit, none twice, in order, with gaps between."""
    fields = np.ones((units, *shape), np.float32) * np.arange(1, units + 1)[:, None, None]
    canvas, count = _tiled(fields.astype(np.float32))
    assert 1 <= count <= units
    assert np.isfinite(canvas).sum() == count * math.prod(shape)
    seen = np.unique(canvas[np.isfinite(canvas)])
    assert len(seen) == count


def test_only_images_have_receptive_fields() -> None:
    """Rows that are no images are not drawn as such; units without weights are left out."""
    ones = np.ones((5, 4, 6), np.float32)
    ones[2] = 0
    kept = as_images(ones)
    assert kept is not None
    assert kept.shape == (4, 4, 6)
    colour = as_images(np.ones((5, 4, 6, 3), np.float32))
    assert colour is not None
    assert colour.shape == (5, 4, 6)
    for fields in (None, np.ones((5, 7)), np.ones((5, 1, 7)), np.zeros((5, 4, 4))):
        assert as_images(fields) is None


def test_without_matplotlib_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is named; nothing half-drawn is left."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'streamlearn\[picture\]'"):
        draw(run(), tmp_path / "run.png")
    assert not list(tmp_path.iterdir())
