"""What `greedy_infomax` promises beyond the contract: streams, negatives, surprise, figures."""

from typing import Any

import numpy as np
import pytest
from naive.greedy_infomax import GreedyInfomax as Twin
from rules.infomax_streams import STREAMS, by_turns, learn, module, noise, state, turning

from streamlearn.errors import ConfigError
from streamlearn.part import Origin, Rows
from streamlearn.pipeline.ring import DREAM, Ring
from streamlearn.pipeline.stage import PartStage, Wires
from streamlearn.rules.greedy_infomax import GreedyInfomax

pytestmark = pytest.mark.xdist_group("greedy_infomax")

SOURCES = ("other", "same", "device", "any")
EVERY = (
    *({"negatives_from": source, "steps": 3} for source in SOURCES),
    {"loss": "hinge"},
    {"loss": "lpl"},
    {"loss": "lpl", "encoder": "convolution", "field": 5, "stride": 3, "average": True},
    {"encoder": "convolution", "field": 4, "stride": 2, "update_every": 5},
    {"context": "lru", "gives": "both", "steps": 3},
    {"context": "gru", "gives": "both", "steps": 3, "context_units": 9},
    {"positions": True, "shape": (3, 4), "steps": 3},
    {"positions": True, "shape": (3, 4), "negatives_from": "positions", "average": True},
    {"positions": True, "shape": (3, 2, 2), "predict": "below", "update_every": 4},
    {"positions": True, "shape": (3, 2, 2), "predict": "below", "loss": "lpl"},
)
"""Options that between them take every way through the equations."""


def twin_of(part: GreedyInfomax) -> Twin:
    """Its slow twin."""
    return Twin(part.options, part.place)


@pytest.mark.parametrize("changed", EVERY, ids=str)
def test_streams_by_turns_are_those_of_the_slow_twin(changed: dict[str, Any]) -> None:
    """With several streams, some of which begin anew, every row is that of the equations."""
    changed = dict(changed)
    part = module(changed, shape=changed.pop("shape", (12,)))
    twin, x = twin_of(part), turning(72)
    origin = by_turns(72)
    origin.begins[50::17] = 1
    for b in range(72):
        here = origin.between(b, b + 1)
        ours, surprise = learn(part, x[b : b + 1], here, b)
        theirs = np.zeros_like(ours)
        twin.learn(Rows(x[b : b + 1], theirs, np.zeros(1, np.int32), b, None, here))
        np.testing.assert_allclose(ours, theirs, 2e-3, 2e-4)
        np.testing.assert_allclose(surprise, twin.surprise, 5e-3, 5e-3)
    for name, array in twin.arrays().items():
        np.testing.assert_allclose(part.arrays()[name], array, 2e-3, 2e-4, err_msg=name)
    np.testing.assert_allclose(part.gauges().get("fallback_share", 0), twin.fallback, 1e-6)


def test_negatives_come_from_where_they_should() -> None:
    """Circles are widened only where they hold nothing, and the gauge tells."""
    shares = {}
    for source in SOURCES:
        part = module({"negatives_from": source})
        learn(part, turning(400), by_turns(400))
        shares[source] = part.gauges()["fallback_share"]
    assert shares == dict.fromkeys(SOURCES, 0.0)
    lonely = module({"negatives_from": "device"})
    origin = by_turns(400)
    learn(lonely, turning(400), origin._replace(device=origin.stream))
    assert lonely.gauges()["fallback_share"] == 1.0


def test_contrast_is_learned_where_there_is_something_to_foresee() -> None:
    """Streams that turn slowly are told from others far above chance, noise is not."""
    seen = {}
    for name, x in (("turning", turning(3000)), ("noise", noise(3000))):
        part = module({})
        learn(part, x, by_turns(3000))
        seen[name] = part.gauges()["accuracy"]
    chance = 1 / (1 + module({}).options.negatives)
    assert seen["turning"] > 0.6
    assert abs(seen["noise"] - chance) < 0.06


def test_the_margin_is_learned() -> None:
    """One negative and a margin teach to tell rows from others too."""
    part = module({"loss": "hinge"})
    learn(part, turning(3000), by_turns(3000))
    assert part.gauges()["accuracy"] > 0.8
    assert part.gauges()["loss"] < 0.6


def test_codes_collapse_unless_they_are_kept_apart() -> None:
    """Without decorrelation the rank of the codes falls, with it they stay about as they began."""
    ranks = {}
    for strength in (0.0, 1.0):
        part = module({"loss": "lpl", "decorrelate": strength, "units": 32, "rate": 3e-3})
        learn(part, turning(8000), by_turns(8000))
        ranks[strength] = part.gauges()["rank"]
    assert ranks[0.0] < 0.6 * ranks[1.0]


def test_learning_beats_the_first_weights() -> None:
    """The same module that never moves does worse on the same rows."""
    losses = {}
    for rate in (0.0, 1e-3):
        part = module({"rate": rate})
        learn(part, turning(3000), by_turns(3000))
        losses[rate] = part.gauges()["loss"]
    assert losses[1e-3] < 0.8 * losses[0.0]


def test_positions_of_a_picture_are_told_from_those_above() -> None:
    """In still images whose columns are of one kind, each place is foreseen from the one above."""
    rng = np.random.default_rng(3)
    kinds = rng.standard_normal((5, 6))
    chosen = rng.integers(0, 5, (800, 1, 2))
    x = kinds[np.repeat(chosen, 3, axis=1)] + 0.3 * rng.standard_normal((800, 3, 2, 6))
    options = {"positions": True, "predict": "below", "negatives_from": "any", "negatives": 7}
    part = module(options, shape=(3, 2, 6))
    out, _ = learn(part, np.ascontiguousarray(x.reshape(800, -1), np.float32), None)
    assert part.shape_out == (3, 2, 16)
    assert out.shape == (800, 96)
    assert part.gauges()["accuracy"] > 0.4
    assert "past_x" not in {n for n, a in part.arrays().items() if a.any()}


def test_only_every_nth_row_moves_weights() -> None:
    """With `update_every` all but the weights goes on with every row."""
    every, some = module({}), module({"update_every": 4})
    for part in (every, some):
        learn(part, turning(300), by_turns(300))
    clocks = every.arrays()["clock"], some.arrays()["clock"]
    assert clocks[0].tolist()[3] == clocks[1].tolist()[3] == clocks[0][2]
    assert clocks[1][2] == -(-clocks[1][3] // 4)
    np.testing.assert_array_equal(every.arrays()["stored_x"], some.arrays()["stored_x"])


def test_averaged_answers_move_less() -> None:
    """Codes of the same rows change less between two moments when weights are averaged."""
    moved = {}
    asked = turning(50, seed=4)
    for average in (False, True):
        part = module({"average": average, "rate": 0.01})
        learn(part, turning(2000), by_turns(2000))
        answers = []
        for first in (2000, 2040):
            out = np.zeros((50, part.width_out), np.float32)
            part.infer(asked, out)
            answers.append(out)
            learn(part, turning(40, seed=first), by_turns(40, begin=False), first)
        moved[average] = float(np.abs(answers[0] - answers[1]).mean())
    assert moved[True] < 0.5 * moved[False]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"loss": "lpl", "context": "lru"}, "context: expected loss"),
        ({"field": 3}, "field: expected encoder"),
        ({"encoder": "convolution"}, "field: expected 1…12"),
        ({"encoder": "convolution", "field": 13}, "field: expected 1…12"),
        ({"memory_rows": 20}, "memory_rows: expected loss"),
        ({"gives": "context"}, "gives: expected context"),
        ({"context": "lru", "context_units": 17}, "context_units: expected at most"),
        ({"context": "lru", "average": True}, "average: expected context"),
        ({"positions": True}, r"positions: expected rows of shape \[positions, D\]"),
        ({"predict": "below"}, "predict: expected positions = true"),
        ({"negatives_from": "positions"}, "negatives_from: expected positions"),
    ],
)
def test_what_would_be_ignored_is_refused(options: dict[str, Any], line: str) -> None:
    """Options that mean nothing beside others, or that rows do not fit, are named."""
    with pytest.raises(ConfigError, match=line):
        module(options)


@pytest.mark.parametrize(
    "changed", [{}, *({"context": one, "gives": "both"} for one in ("lru", "gru"))], ids=str
)
def test_streams_do_not_mix(changed: dict[str, Any]) -> None:
    """Where nothing is learned, every stream is answered by turns as it would be alone."""
    x = turning(200)
    part = module({"rate": 0.0, **changed})
    together, _ = learn(part, x, by_turns(200), how="follow")
    for stream in range(STREAMS):
        alone = module({"rate": 0.0, **changed})
        mine = slice(stream, None, STREAMS)
        origin = Origin(*(np.ascontiguousarray(column[mine]) for column in by_turns(200)))
        own, _ = learn(alone, np.ascontiguousarray(x[mine]), origin, how="follow")
        np.testing.assert_array_equal(together[mine], own)
        np.testing.assert_array_equal(
            part.arrays()["past_x"][stream], alone.arrays()["past_x"][stream]
        )


def test_a_stream_that_begins_has_no_past() -> None:
    """A row that begins a stream is told from nothing; the next one is told from it alone."""
    part = module({"steps": 2})
    x = turning(200)
    learn(part, x, by_turns(200))
    before = int(part.arrays()["by_step"][2].sum())
    fresh = Origin(*np.zeros((4, 3), np.int32))._replace(begins=np.array([1, 0, 0], np.uint8))
    learn(part, turning(3, seed=2), fresh, 200)
    assert int(part.arrays()["by_step"][2].sum()) == before + 0 + 1 + 2


def test_following_moves_no_weight() -> None:
    """While it is frozen the past goes on, and all else stands still."""
    part = module({})
    learn(part, turning(300), by_turns(300))
    before = state(part)
    learn(part, turning(40, seed=1), by_turns(40, begin=False), 300, how="follow")
    changed = {name for name, bits in state(part).items() if bits != before[name]}
    assert changed == {"past_x", "past_rows"}


def test_surprise_is_shown_while_nothing_is_learned() -> None:
    """A frozen module shows how surprising rows are; once it learns, the figure is its own."""
    part = module({})
    learn(part, turning(800), by_turns(800))
    own = part.gauges()["surprise"]
    aside = by_turns(40)._replace(slot=np.full(40, STREAMS, np.int32))
    learn(part, noise(40), aside, 800, how="follow")
    assert part.gauges()["surprise"] == own, "rows shown aside are not the stream's"
    _, told = learn(part, noise(40), by_turns(40, begin=False), 800, how="follow")
    assert part.gauges()["surprise"] == pytest.approx(told.mean(), abs=1e-6)
    assert told.mean() > own + 0.5
    learn(part, turning(4), by_turns(4, begin=False), 840)
    assert part.gauges()["surprise"] == pytest.approx(own, abs=0.1)


@pytest.mark.parametrize("changed", [{}, {"loss": "lpl"}], ids=str)
def test_a_module_at_rest_answers_as_before(changed: dict[str, Any]) -> None:
    """What only learning needs is gone; codes and surprise are those of one that is frozen."""
    x, origin = turning(700), by_turns(700)
    told = []
    for rests in (False, True):
        part = module(changed)
        learn(part, x[:500], origin.between(0, 500))
        if rests:
            part.rest()
            moments = [a for name, a in part.arrays().items() if name.endswith("_moments")]
            assert moments
            assert not any(a.any() for a in moments)
        told.append(learn(part, x[500:], origin.between(500, 700), 500, how="follow"))
    np.testing.assert_array_equal(told[0][0], told[1][0])
    np.testing.assert_array_equal(told[0][1], told[1][1])
    assert (told[0][1] != 0).all()


@pytest.mark.slow
def test_with_a_context_that_goes_on_too() -> None:
    """Its state and traces are of the past, not of what was learned."""
    part = module({"context": "lru"})
    learn(part, turning(300), by_turns(300))
    before = state(part)
    learn(part, turning(40, seed=1), by_turns(40, begin=False), 300, how="follow")
    changed = {name for name, bits in state(part).items() if bits != before[name]}
    assert changed == {f"past_{name}" for name in ("x", "rows", "context", "trace", "trace_mix")}


def test_asking_changes_nothing_and_knows_streams() -> None:
    """A stream that is only asked about leaves no trace, and is told how surprising it is."""
    part = module({})
    learn(part, turning(800), by_turns(800))
    before = state(part)
    origin = Origin(*np.zeros((4, 30), np.int32))
    origin = origin._replace(begins=(np.arange(30) == 0).astype(np.uint8))
    x = np.ascontiguousarray(turning(30 * STREAMS)[::STREAMS])
    out, surprise = learn(part, x, origin, how="respond")
    assert state(part) == before
    assert surprise[0] == 0
    assert np.isfinite(out).all()
    assert (surprise[1:] != 0).all()


def test_rows_shown_aside_leave_streams_alone() -> None:
    """Late rows have a place of their own, behind those of the streams."""
    part = module({})
    learn(part, turning(100), by_turns(100))
    before = part.arrays()["past_x"].copy()
    aside = Origin(
        np.full(8, STREAMS, np.int32), np.zeros(8, np.uint8), *np.zeros((2, 8), np.int32)
    )
    learn(part, turning(8, seed=5), aside, 100, how="learn_late")
    after = part.arrays()["past_x"]
    np.testing.assert_array_equal(after[:STREAMS], before[:STREAMS])
    assert (after[STREAMS] != before[STREAMS]).any()


def test_a_break_is_surprising() -> None:
    """A stream that jumps to something else stands out among rows that go on."""
    part = module({})
    x = turning(4000)
    learn(part, x, by_turns(4000))
    onward = turning(4400)[4000:].copy()
    onward[200] = turning(4, seed=9)[3] * 2
    _, surprise = learn(part, onward, by_turns(400, begin=False), 4000)
    assert surprise[200] > 2
    assert abs(np.median(surprise)) < 1


def test_rows_without_variance_teach_nothing() -> None:
    """Zeros and constants are answered and not learned."""
    part = module({})
    learn(part, turning(200), by_turns(200))
    before = part.arrays()["clock"].copy()
    weights = part.arrays()["weights"].copy()
    dull = np.ones((8, 12), np.float32) * np.arange(8, dtype=np.float32)[:, None]
    _, surprise = learn(part, dull, by_turns(8, begin=False), 200)
    np.testing.assert_array_equal(part.arrays()["weights"], weights)
    np.testing.assert_array_equal(part.arrays()["clock"][1:], before[1:])
    assert (surprise == 0).all()
    assert part.gauges()["blank_share"] == pytest.approx(8 / 208)


@pytest.mark.parametrize("changed", EVERY, ids=str)
def test_streams_are_restored(changed: dict[str, Any]) -> None:
    """A module into which the arrays are copied goes on with every stream."""
    x, origin = turning(400), by_turns(400)
    changed = dict(changed)
    shape = changed.pop("shape", (12,))
    first, second = module(changed, shape=shape), module(changed, shape=shape)
    learn(first, x[:201], origin.between(0, 201))
    for name, array in second.arrays().items():
        array[...] = first.arrays()[name]
    second.restored()
    ends = [learn(one, x[201:], origin.between(201, 400), 201) for one in (first, second)]
    np.testing.assert_array_equal(ends[0][0], ends[1][0])
    np.testing.assert_array_equal(ends[0][1], ends[1][1])
    assert state(first) == state(second)


def test_gauges_are_those_announced() -> None:
    """Every figure is one of the class's, with one a step where the step is shown."""
    part = module({"steps": 4})
    learn(part, turning(300), by_turns(300))
    gauges = part.gauges()
    assert set(gauges) <= set(GreedyInfomax.GAUGES)
    assert {"loss_k1", "loss_k2", "loss_k4", "accuracy_k4"} <= set(gauges)
    assert "loss_k8" not in gauges
    assert 1 < gauges["rank"] <= 16


def test_surprise_has_a_column_of_its_own() -> None:
    """In the ring it stands beside the codes; a row of a silent moment has none."""
    part = module({})
    wires = Wires(("x",), ("",), "layer/below")
    columns = {"x": 12, **wires.owned(part)}
    assert columns["layer/below/surprise"] == 1
    ring = Ring(512, columns)
    stage = PartStage("layer/below", part, ring, wires)
    ring.add_cursor()
    ring.column("x")[:500] = turning(500)
    origin = by_turns(500)
    for name, values in origin._asdict().items():
        ring.column(name)[:500] = values
    ring.column("kind")[450] = DREAM
    ring.column("layer/below/surprise")[:] = np.nan
    ring.commit(500)
    stage.work(ring.ready(0, 500, 500))
    told = ring.column("layer/below/surprise")[:500, 0]
    assert np.isfinite(told).all()
    assert (told[:20] == 0).all()
    assert told[450] == 0
    assert (told[451:] != 0).all()
    codes, surprise = learn(module({}), turning(500)[:450], origin.between(0, 450))
    np.testing.assert_array_equal(ring.column("layer/below")[:450], codes)
    np.testing.assert_array_equal(told[:450], surprise)
