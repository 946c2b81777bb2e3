"""Positive against negative rows: as written, in every combination, in lanes, awake and asleep."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive.ff_contrast import Contrast as Naive
from naive.ff_contrast import Goal
from rules.contrast_layers import (
    CLASSES,
    GOALS,
    SEED,
    SMALL,
    WIDTH,
    Answer,
    both,
    every_option,
    layer,
    learn,
    look,
    name_of,
    state,
    stream,
)

from streamlearn.errors import ConfigError
from streamlearn.part import F32, I32, Beside, Place, Rows
from streamlearn.rules.forward_forward.contrast import Contrast
from streamlearn.rules.forward_forward.options import ForwardForwardOptions


@pytest.mark.parametrize(("goodness", "activation", "loss"), GOALS)
def test_every_goal_is_that_of_the_slow_twin(goodness: str, activation: str, loss: str) -> None:
    """Row by row, answers and state are those of the equations, for every goodness and loss."""
    goal = {"goodness": goodness, "activation": activation, "loss": loss}
    fast, slow = layer(**goal), layer(Naive, **goal)
    x, y = stream(60)
    for b in range(len(x)):
        both(fast, slow, x[b : b + 1], y[b : b + 1], b)
    assert np.abs(fast.arrays()["weights"] - layer(**goal).arrays()["weights"]).max() > 1e-3


@every_option
@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_every_option_is_that_of_the_slow_twin(changed: dict[str, Any], kind: str) -> None:
    """Steps, averages, wrong labels, kept rows, phases, negatives: as worked out slowly."""
    fast, slow = layer(**changed), layer(Naive, **changed)
    x, y = stream(130, kind=kind)
    x[17] = 0
    for b in range(len(x)):
        both(fast, slow, x[b : b + 1], y[b : b + 1], b)


@pytest.mark.parametrize(("D", "H"), [(1, 2), (3, 5), (8, 9), (16, 4), (41, 17)])
@pytest.mark.parametrize("labels", ["overlay", "none"])
def test_every_shape_is_that_of_the_slow_twin(D: int, H: int, labels: str) -> None:
    """Inputs and units of any number, dense and sparse rows in turn."""
    changed = {"width_in": D, "units": H, "labels": labels, "rate": 0.1, "average": False}
    fast, slow = layer(**changed), layer(Naive, **changed)
    x, y = stream(30, D, "dense")
    x[::2] = np.maximum(x[::2], 0)
    for b in range(len(x)):
        both(fast, slow, x[b : b + 1], y[b : b + 1], b)


@pytest.mark.parametrize("changed", [
    {}, {"candidates": True}, {"candidates": True, "wrong_label": "random", "average": False},
    {"revisits": 2, "kept_rows": 3}, {"revisits": 2, "kept_rows": 3, "candidates": True},
    {"labels": "none"}, {"labels": "none", "phases": "apart", "wake_rows": 6},
    {"phases": "apart", "wake_rows": 6, "candidates": True, "step": "adagrad"},
], ids=name_of)  # fmt: skip
def test_lanes_lead_through_layers_as_in_the_slow_twins(changed: dict[str, Any]) -> None:
    """Two layers on each other, of either kind, agree in lanes, scores, answers and state."""
    fast, slow = layer(**changed), layer(Naive, **changed)
    above = {**changed, "width_in": fast.options.units, "lanes_in": fast.lanes_out, "units": 6}
    fast_above, slow_above = layer(**above), layer(Naive, **above)
    x, y = stream(110)
    for b in range(len(x)):
        ours, theirs = both(fast, slow, x[b : b + 1], y[b : b + 1], b)
        below = ours.lanes, theirs.lanes, theirs.out
        both(fast_above, slow_above, ours.out, y[b : b + 1], b, below)


@pytest.mark.parametrize(("goodness", "activation", "loss"), GOALS)
def test_steps_follow_the_gradient(goodness: str, activation: str, loss: str) -> None:
    """What a step follows is minus the derivative of the loss, but for one positive constant."""
    changed = {"goodness": goodness, "activation": activation, "loss": loss, "units": 9}
    options = ForwardForwardOptions(rule="forward_forward", **{**SMALL, **changed})
    goal, rng = Goal(options), np.random.default_rng(3)
    v = rng.standard_normal((2, 9)) + 0.3
    z = goal.odds(v[0]), goal.odds(v[1])
    constant = options.scale / 9 * (2 if goal.squared else 1)
    for side, sign in ((0, 1.0), (1, -1.0)):
        step = sign * goal.pull(*z, side) * goal.slope(v[side])
        for h in range(9):
            moved = np.zeros((2, 9))
            moved[side, h] = 1e-6
            up, down = ([goal.odds(w) for w in v + s * moved] for s in (1, -1))
            slope = (goal.loss(*up) - goal.loss(*down)) / 2e-6
            assert -slope == pytest.approx(constant * step[h], rel=1e-5, abs=1e-9)


@every_option
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 120), max_size=6), kind=st.sampled_from(["sparse", "dense"]))
def test_where_blocks_end_changes_nothing(
    changed: dict[str, Any], cuts: list[int], kind: str
) -> None:
    """Any cut of a stream into blocks gives the same answers, lanes, scores, state to the bit."""
    x, y = stream(120, kind=kind)
    whole, cut = layer(**changed), layer(**changed)
    together = learn(whole, x, y)
    pieces = [learn(cut, x[a:b], y[a:b], a) for a, b in pairwise([0, *sorted(cuts), 120])]
    for name in ("out", "lanes", "scores"):
        joined = np.concatenate([getattr(piece, name) for piece in pieces])
        assert joined.tobytes() == getattr(together, name).tobytes(), name
    assert state(cut) == state(whole)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("D", [20, 30])
def test_where_blocks_of_dense_rows_end_changes_nothing(D: int, *, average: bool) -> None:
    """The same holds where inputs of row and negative go by the four, learned while answered."""
    x, y = stream(60, D, "dense")
    options = {"labels": "none", "negatives": "pairing", "units": 70, "average": average}
    whole, cut, slow = (layer(cls, D, **options) for cls in (Contrast, Contrast, Naive))
    together = learn(whole, x, y)
    edges = [0, 1, 2, 7, 30, 31, 60]
    pieces = [learn(cut, x[a:b], y[a:b], a) for a, b in pairwise(edges)]
    assert b"".join(piece.out.tobytes() for piece in pieces) == together.out.tobytes()
    assert state(cut) == state(whole)
    slow.learn(Answer(slow, 60, twin_of=whole).rows(x, y, 0))
    np.testing.assert_allclose(whole.arrays()["weights"], slow.weights, 2e-3, 2e-4)


@pytest.mark.parametrize("candidates", [False, True])
@pytest.mark.parametrize("average", [False, True])
def test_where_blocks_end_changes_nothing_above(*, candidates: bool, average: bool) -> None:
    """The same holds for a layer that reads lanes, of many units, where inputs go by the four."""
    x, y = stream(90, 30)
    below = layer(width_in=30, units=40, candidates=candidates)
    given_rows = learn(below, x, y)
    parts = [
        layer(width_in=40, units=50, lanes_in=below.lanes_out, candidates=candidates,
              average=average) for _ in range(2)
    ]  # fmt: skip
    whole = learn(parts[0], given_rows.out, y, 0, given_rows.lanes)
    bits = []
    for b in range(90):
        here = slice(b, b + 1)
        bits.append(learn(parts[1], given_rows.out[here], y[here], b, given_rows.lanes[here]).out)
    assert np.concatenate(bits).tobytes() == whole.out.tobytes()
    assert state(parts[0]) == state(parts[1])


@every_option
def test_looking_says_what_learning_will_write_and_changes_nothing(changed: dict[str, Any]) -> None:
    """Before each row, `respond` gives its answer, lanes and scores, and leaves no trace."""
    part = layer(**changed)
    x, y = stream(60)
    learn(part, x[:40], y[:40])
    for b in range(40, 60):
        one = x[b : b + 1], y[b : b + 1], b
        before = state(part)
        shown = look(part, *one)
        assert state(part) == before
        assert shown.bits() == learn(part, *one).bits()


@pytest.mark.parametrize("wrong_label", ["hard", "random"])
def test_wrong_labels_are_drawn_as_believed(wrong_label: str) -> None:
    """Over many rows each wrong label comes as often as softmax(2 z), or luck, has it."""
    part = layer(candidates=False, wrong_label=wrong_label, average=False, units=30)
    x, y = stream(300)
    learn(part, x, y)
    same, label = np.repeat(x[:1], 3000, axis=0), np.full(3000, 1, np.int32)
    shown = look(part, same, label)
    every = look(layer_with_candidates(part), same[:1], label[:1]).lanes[0]
    chosen = np.abs(shown.lanes[:, 1, None, :] - every[None, :CLASSES]).max(axis=2).argmin(axis=1)
    share = np.bincount(chosen, minlength=CLASSES) / len(chosen)
    belief = np.exp(2.0 * shown.scores[0].astype(float)) * (np.arange(CLASSES) != 1)
    if wrong_label == "random":
        belief = (np.arange(CLASSES) != 1).astype(float)
    np.testing.assert_allclose(share, belief / belief.sum(), atol=0.03)


def layer_with_candidates(part: Contrast) -> Contrast:
    """The same weights in a layer that shows every label's lane."""
    other: Contrast = layer(candidates=True, average=False, units=part.options.units)
    for name, array in other.arrays().items():
        array[...] = part.arrays()[name]
    return other


def test_scores_are_what_candidate_lanes_carry_up() -> None:
    """A layer above has, for each label, the log odds of the lane of that label."""
    part = layer(candidates=True, units=12)
    x, y = stream(50)
    shown = learn(part, x, y)
    above = layer(width_in=12, units=9, lanes_in=CLASSES + 1, candidates=True, average=False)
    weights = above.arrays()["weights"]
    scores = look(above, shown.out, np.full(50, -1, np.int32), 0, shown.lanes).scores
    activity = np.maximum(shown.lanes[:, :CLASSES] @ weights, 0)
    expected = 2.0 * (activity**2 - 0.5).mean(axis=2)
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-3)


def test_apart_a_row_moves_nothing_but_itself_and_a_dream_its_negative() -> None:
    """Awake positives gain goodness, what is dreamt loses it, without a store nothing is dreamt."""
    part = layer(phases="apart", wake_rows=1000, average=False, units=40, rate=0.3, candidates=True)
    x, y = stream(1)
    y[:] = 1
    blank = np.zeros((1, 40), np.float32)
    fresh = state(part)
    part.dream(Rows(x * 0, blank, y * 0 - 1, 0))
    assert state(part) == fresh
    assert not blank.any()
    before = look(part, x, y).scores[0]
    learn(part, x, y)
    awake = look(part, x, y).scores[0]
    assert awake[1] > before[1] + 0.01
    learned = state(part)
    part.dream(Rows(x * 0, blank, y * 0 - 1, 1))
    asleep = look(part, x, y).scores[0]
    assert (asleep < awake).all()
    assert state(part) != learned
    slept = state(part)
    part.dream(Rows(x * 0, blank, y * 0 - 1, 2))
    assert state(part) == slept, "each negative is dreamt once"


def test_dreams_leave_less_for_the_night() -> None:
    """Negatives dreamt in quiet moments are not learned again asleep; twin and layer agree."""
    changed = {"phases": "apart", "wake_rows": 8, "loss": "threshold"}
    fast, slow = layer(**changed), layer(Naive, **changed)
    x, y = stream(40)
    for b in range(40):
        both(fast, slow, x[b : b + 1], y[b : b + 1], b)
        if b % 5 == 2:
            fast.dream(Rows(0 * x[:3], np.zeros((3, 7), np.float32), y[:3], b))
            slow.dream(3)


@every_option
def test_extreme_rows_do_no_harm(changed: dict[str, Any]) -> None:
    """Zeros, constants, largest and smallest rows, one class, all labels wrong: never a NaN."""
    x, y = stream(60)
    one = np.ones_like(x[:5])
    spike = one * (np.arange(WIDTH) == 4)
    wild = [0 * one, 7 * one, 1e6 * x[:5], -1e6 * x[:5], 1e12 * spike, 1e-41 * one, 3e38 * spike]
    rows = np.concatenate([*wild, x]).astype(np.float32)
    labels = np.concatenate([np.arange(35) % (CLASSES + 2) - 1, y]).astype(np.int32)
    part = layer(**{**changed, "rate": 1.0, "peer": 0.5})
    for wrong in (labels, np.zeros_like(labels), (labels + 1) % CLASSES):
        answer = learn(part, rows, np.ascontiguousarray(wrong, np.int32))
        for written in (answer.out, answer.lanes, answer.scores):
            assert np.isfinite(written).all()
    for name, array in part.arrays().items():
        assert np.isfinite(array).all(), name
    assert np.isfinite(list(part.gauges().values())).all()


def test_it_learns_again_after_wrong_labels() -> None:
    """A stream whose labels were all wrong for a while ends about as well as one that never was."""
    x, y = stream(4000)
    part, other = layer(units=60), layer(units=60)
    learn(other, x[:600], ((np.maximum(y[:600], 0) + 1) % CLASSES).astype(np.int32))
    for one in (part, other):
        learn(one, x[:3000], y[:3000])
    errors = [_error(one, x[3000:], y[3000:]) for one in (part, other)]
    assert errors[0] < 0.1
    assert errors[1] < errors[0] + 0.03


def _error(part: Contrast, x: F32, y: I32) -> float:
    """Share of the labelled rows whose highest score is another class."""
    scores = look(part, x, np.full(len(x), -1, np.int32)).scores
    return float((scores.argmax(axis=1) != y)[y >= 0].mean())


@pytest.mark.parametrize("changed", [
    {"step": "adagrad", "rate": 0.5, "scale": 8.0, "margin": 2.0}, {"scale": 8.0},
    {"loss": "threshold", "threshold": 0.5, "scale": 8.0}, {"goodness": "split", "scale": 8.0},
    {"goodness": "minus_squares", "scale": 8.0}, {"goodness": "sum", "scale": 8.0},
    {"activation": "student_t", "scale": 8.0},
], ids=name_of)  # fmt: skip
def test_one_pass_over_digits(changed: dict[str, Any]) -> None:
    """Bundled digits, each seen once: every goal tells most of the writers' digits that follow."""
    from streamlearn.data.source import load  # noqa: PLC0415  only this test needs it

    data = load("optdigits")
    x, y = (np.ascontiguousarray(data.train.X.reshape(-1, 64), np.float32), data.train.y)
    options = {**SMALL, "units": 200, "label_strength": 8.0, "unlabelled": 0.0, "margin": 0.0}
    options |= changed
    made = ForwardForwardOptions(rule="forward_forward", **options)
    part = Contrast(made, Place(64, (8, 8), 10, SEED))
    n = 3000
    out, lanes = np.zeros((n, 200), np.float32), np.zeros((n, 0, 200), np.float32)
    scores = np.zeros((n, 10), np.float32)
    beside = Beside(np.zeros((n, 0, 64), np.float32), lanes, scores)
    part.learn(Rows(x[:n], out, np.ascontiguousarray(y[:n], np.int32), 0, beside))
    assert (scores[-1000:].argmax(axis=1) != y[n - 1000 : n]).mean() < 0.12
    gauges = part.gauges()
    assert gauges["goodness_positive"] > gauges["goodness_negative"]
    assert gauges["pair_error"] < 0.2


def test_peers_bring_back_the_dead() -> None:
    """Units that no row can reach come alive again with peer, and stay dead without."""
    dead = {}
    for peer in (0.0, 0.1):
        part = layer(units=20, peer=peer, average=False, unlabelled=1.0)
        part.arrays()["weights"][:, :5] = -0.3
        part.arrays()["means"][:5] = 0
        x, y = stream(4000)
        learn(part, np.abs(x), y)
        dead[peer] = part.gauges()["dead_share"]
    assert dead[0.0] >= 0.25
    assert dead[0.1] == 0


def test_lanes_and_classes_must_fit() -> None:
    """Too few classes, and lanes that the layer below does not give, are told with the way out."""
    options = ForwardForwardOptions(rule="forward_forward", **SMALL)
    with pytest.raises(ConfigError, match="at least 2, got 1"):
        Contrast(options, Place(4, (4,), 1, SEED))
    with pytest.raises(ConfigError, match="expected 2 lanes from the layer below, got 1"):
        Contrast(options, Place(4, (4,), 3, SEED, 1))


@pytest.mark.parametrize("labels", ["overlay", "none"])
def test_gauges_and_pictures(labels: str) -> None:
    """Gauges have their names from the start; fields are the answering weights without labels."""
    part = layer(labels=labels)
    fresh = part.gauges()
    learn(part, *stream(150))
    later = part.gauges()
    assert fresh.keys() == later.keys()
    assert later["margin"] == later["goodness_positive"] - later["goodness_negative"]
    assert later["rate"] < fresh["rate"] == SMALL["rate"]
    fields = part.receptive_fields()
    assert fields.shape == (7, WIDTH)
    np.testing.assert_array_equal(fields, part.arrays()["average"][:WIDTH].T)


@every_option
def test_arrays_restore_the_layer(changed: dict[str, Any]) -> None:
    """A layer whose arrays are overwritten in mid-stream goes on as the one they came from."""
    x, y = stream(120)
    first, second = layer(**changed), layer(**changed)
    learn(first, x[:61], y[:61])
    learn(second, *stream(23, seed=1))
    for name, array in first.arrays().items():
        second.arrays()[name][...] = array
    second.restored()
    assert learn(second, x[61:], y[61:], 61).bits() == learn(first, x[61:], y[61:], 61).bits()
    assert state(second) == state(first)
