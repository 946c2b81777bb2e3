"""The tool that measures the figures of geometric spiking networks does what it says, in short."""

import json
import sys
from pathlib import Path

import geometric_learned
import geometric_networks
import geometric_picture
import geometric_reproduce
import numpy as np
import pytest
from geometric_nearest import (
    Digits,
    Reading,
    encoded,
    most_alike,
    network,
    read,
    split_scores,
    squared_distances,
)
from results import update

from streamlearn.bench.report import Row, report
from streamlearn.config import load
from streamlearn.heads.neighbours import Neighbours
from streamlearn.part import Place, Rows
from streamlearn.plan import CATALOGUE
from streamlearn.rules.geometric_spiking import GeometricSpiking


def bundled(rows: int) -> Digits:
    """The first of the bundled digits."""
    return geometric_reproduce.cut(geometric_reproduce.digits("optdigits"), 0, rows)


def test_every_row_is_a_network() -> None:
    """The rule takes the options of every row; each row has a name of its own and its place."""
    blank = Digits(np.zeros((1, 784), np.float32), np.zeros(1, np.int32), (28, 28))
    for name, variant in geometric_reproduce.VARIANTS.items():
        if variant.options:
            assert network(variant.options, blank).width_out, name
    for _, options, _, _ in geometric_reproduce.PATHS.values():
        assert network(options, blank).width_out
    order = geometric_reproduce.order()
    assert len(order) == len(set(order))


def test_the_free_network_is_the_shipped_one() -> None:
    """The row of the free network is of the options in configs/geometric_trajectories.toml."""
    root = Path(geometric_reproduce.__file__).parent.parent
    layer = load(root / "configs" / "geometric_trajectories.toml", CATALOGUE).layer[0]
    ours = geometric_networks.free(name=layer.name, power=0.5, unit_norm=True)
    assert GeometricSpiking.Options(rule="geometric_spiking", **ours) == layer


@pytest.mark.parametrize("reading", [geometric_networks.PLAIN, geometric_networks.ROOT_UNIT])
def test_numbers_are_read_as_the_rule_writes_them(reading: Reading) -> None:
    """Power and length taken afterwards are those of the rule's own options."""
    digits, options = bundled(20), geometric_networks.short_network().options
    ours = read(encoded(options, digits).code, reading)
    theirs = encoded(options | {"power": reading.power, "unit_norm": reading.unit}, digits).code
    assert ours.std() > 0
    assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-9)


def test_numbers_over_their_deviation() -> None:
    """Each number then varies as much as any other; one that never moves stays as it is."""
    code = np.random.default_rng(0).normal(0, [1, 10, 0], (50, 3)).astype(np.float32)
    scaled = read(code, geometric_networks.SCALED)
    assert scaled.std(axis=0) == pytest.approx([1, 1, 0], rel=1e-5)


def test_splits_answer_as_the_head_does() -> None:
    """What a split tells is what `neighbours` tells that learned the remembered rows."""
    digits = bundled(400)
    scores = split_scores(squared_distances(digits.x), digits.y)
    for split, score in enumerate(scores):
        order = np.random.default_rng(split).permutation(400)
        asked, kept = order[:40], order[40:]
        options = Neighbours.Options(
            kind="neighbours", metric="euclidean", memory_rows=360, k=5, weights="distance"
        )
        head = Neighbours(options, Place(64, (64,), 10, 0))
        out = np.empty((360, 10), np.float32)
        head.learn(Rows(digits.x[kept], out, digits.y[kept], 0))
        said = np.empty((40, 10), np.float32)
        head.infer(digits.x[asked], said)
        assert score == pytest.approx(100 * (said.argmax(axis=1) == digits.y[asked]).mean())


def test_the_most_alike_of_all_blocks() -> None:
    """Blocks of memory one after the other say what the whole memory says at once."""
    digits = bundled(300)
    code = read(digits.x, geometric_networks.UNIT)
    known, asked = code[:250], code[250:]
    parts = ((known[a : a + 60], digits.y[a : a + 60]) for a in range(0, 250, 60))
    said = most_alike(parts, asked)
    near = np.argsort(-(asked @ known.T), axis=1, kind="stable")[:, :5]
    votes = [np.bincount(digits.y[row], minlength=10) for row in near]
    for answer, counts in zip(said, votes, strict=True):
        assert counts[answer] == counts.max()


def test_learning_is_compared_at_equal_conditions() -> None:
    """No image is used twice; what does not learn says the same before and after."""
    parts = geometric_learned.drawn(bundled(1000), seed=0, stimuli=40, told=40)
    rows = [image.tobytes() for part in parts for image in part.x]
    assert len(set(rows)) == len(rows) == 120
    assert set(np.concatenate([part.y for part in parts]).tolist()) == {1, 5}
    article = geometric_learned.NETWORKS["article"]
    pytest.importorskip("sklearn")
    learns = geometric_learned.measured(article, parts, 0)
    assert sum(learns[kind] for kind in geometric_learned.SHARES) == pytest.approx(100)
    assert learns["unchanged"] < 90
    still = article._replace(stdp=article.stdp | {"a_plus": 0.0, "a_minus": 0.0})
    still.stdp.pop("tau_plus_ms")
    stays = geometric_learned.measured(still, parts, 0)
    assert stays["unchanged"] == 100
    for by in ("neighbours", "linear SVM"):
        assert stays[f"{by}, before"] == stays[f"{by}, after"] == learns[f"{by}, before"]


def test_rows_of_learning() -> None:
    """Every figure of the article has its row, and the gain stands beside it."""
    low = dict.fromkeys(geometric_learned.PUBLISHED, 50.0)
    rows = geometric_learned.rows("article", [low | {"neighbours, after": 60.0}] * 3)
    assert [row.published for row in rows] == [*geometric_learned.PUBLISHED.values()]
    assert {row.name for row in rows} <= set(geometric_reproduce.order())
    assert next(row for row in rows if row.name.endswith("neighbours, after")).note.startswith(
        "+10"
    )


def test_what_was_measured_is_kept(tmp_path: Path) -> None:
    """A figure is measured once, however often the tool is started."""
    kept = geometric_reproduce.Kept(tmp_path)
    assert kept.get("free/a", lambda: {"right": 1.0}) == {"right": 1.0}
    assert kept.get("free/b", lambda: {"right": 2.0}) == {"right": 2.0}
    again = geometric_reproduce.Kept(tmp_path)
    assert again.get("free/a", lambda: {"right": 3.0}) == {"right": 1.0}
    assert json.loads((tmp_path / "geometric-free.json").read_text("utf-8")).keys() == {"a", "b"}


def test_the_picture_shows_what_was_measured(tmp_path: Path) -> None:
    """Sizes and times in their order, of the rows in docs/results; nothing without any."""
    assert not geometric_picture.draw(tmp_path / "none.png", tmp_path)
    rows = [
        Row(name=name, ours=90.0, unit="%")
        for name in geometric_reproduce.order()
        if name.startswith("C")
    ]
    update(report(geometric_reproduce.NAME, "", rows), tmp_path)
    assert geometric_picture.draw(tmp_path / "some.png", tmp_path)
    assert (tmp_path / "some.png").stat().st_size > 1000
    sizes, rods, both, times = geometric_picture.curves({row.name: row for row in rows})
    assert [*sizes] == [5, 10, 25, 50, 100, 200, 300, 400]
    assert [*rods] == [5, 10, 25, 50, 100, 200]
    assert [*both] == [5, 10]
    assert [*times] == [100, 200, 300, 400, 500, 600]


def test_in_short(monkeypatch, capsys) -> None:
    """Small networks tell the bundled digits by weights and by paths, far better than by chance."""
    monkeypatch.setattr(sys, "argv", ["geometric_reproduce", "--short"])
    geometric_reproduce.main()
    assert "% of 100 digits by weights" in capsys.readouterr().out
