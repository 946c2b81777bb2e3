"""Layers that learn from labels alone: as written, wherever blocks end, with labels or without."""

import functools
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from naive.ff_blocks import Blocks as NaiveBlocks
from naive.ff_projection import Projection as NaiveProjection

from streamlearn.errors import ConfigError
from streamlearn.part import F32, I32, Beside, Place, Rows
from streamlearn.rules.forward_forward.blocks import Blocks
from streamlearn.rules.forward_forward.blocks_kernels import block_start
from streamlearn.rules.forward_forward.options import ForwardForwardOptions
from streamlearn.rules.forward_forward.projection import Projection

FAST = {"projection": Projection, "blocks": Blocks}
SLOW = {"projection": NaiveProjection, "blocks": NaiveBlocks}
CLASSES = 4
WIDTH = 30
SEED = 5

both = pytest.mark.parametrize("labels", ["projection", "blocks"])


def layer(labels: str = "projection", made: Any = FAST, **options: Any) -> Any:
    """A layer of the fast machine, or of its slow twin."""
    place = Place(options.pop("width", WIDTH), (WIDTH,), options.pop("classes", CLASSES), SEED)
    rate = {"projection": 0.1, "blocks": 0.03}[labels]
    given = {"units": 23, "rate": rate, "read_rate": 0.05, "scale": 2.0} | options
    return made[labels](
        ForwardForwardOptions(rule="forward_forward", labels=labels, **given), place
    )


def stream(count: int, seed: int = SEED, width: int = WIDTH) -> tuple[F32, I32]:
    """Rows [B, D] around two centres a class, half of the inputs zero, and their classes."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((2 * CLASSES, width))
    which = rng.integers(0, len(centres), count)
    x = np.maximum(centres[which] + 0.8 * rng.standard_normal((count, width)), 0)
    return x.astype(np.float32), (which // 2).astype(np.int32)


def learn(part: Any, x: F32, y: I32, first: int = 0) -> tuple[F32, F32]:
    """Learn rows; returns activities [B, H] and log beliefs [B, K]."""
    return _through(part.learn, part, x, y, first)


def ask(part: Any, x: F32) -> tuple[F32, F32]:
    """Activities [B, H] and log beliefs [B, K]."""
    return _through(part.respond, part, x, np.full(len(x), -1, np.int32), 0)


def _through(work: Any, part: Any, x: F32, y: I32, first: int) -> tuple[F32, F32]:
    out = np.full((len(x), part.options.units), np.nan, np.float32)
    scores = np.full((len(x), CLASSES), np.nan, np.float32)
    none = np.zeros((len(x), 0, 1), np.float32)
    work(Rows(x, out, y, first, Beside(none, none, scores)))
    return out, scores


def state(part: Any) -> dict[str, bytes]:
    """The bits of every array."""
    return {name: array.tobytes() for name, array in part.arrays().items()}


def errors(part: Any, seed: int = 99) -> float:
    """Share of 2,000 fresh rows that the layer gets wrong."""
    x, y = stream(2000, seed)
    return float((ask(part, x)[1].argmax(axis=1) != y).mean())


def some_unlabelled(y: I32, share: float, seed: int = 1) -> I32:
    """The labels with a share of them taken away."""
    gone = np.random.default_rng(seed).random(len(y)) < share
    return np.where(gone, -1, y).astype(np.int32)


@both
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"decorrelate": True, "damping": 0.5, "revisits": 2, "kept_rows": 5},
        {"step": "adagrad", "rate": 0.02, "read_rate": 0.02, "memory_rows": 50},
        {"average": False, "rate_floor": 0.8, "decay_rows": 10.0, "smoothing": 0.0},
        {"unlabelled": 0.5, "memory_rows": 40, "revisits": 1, "kept_rows": 3},
        {"average": False, "decorrelate": True},
        {"rate": 5.0, "read_rate": 5.0},
    ],
    ids=["plain", "decorrelated", "adagrad", "raw", "unlabelled", "raw-decorrelated", "bounded"],
)
def test_every_step_is_that_of_the_slow_twin(labels: str, options: dict[str, Any]) -> None:
    """After each row, activities, beliefs and all state are those of the equations."""
    fast, slow = layer(labels, **options), layer(labels, SLOW, **options)
    # Steps as large as the last ones soon tell float32 from float64.
    x, y = stream(30 if options.get("rate") == 5 else 260)
    y = some_unlabelled(y, 0.3)
    for b in range(len(x)):
        ours, theirs = (learn(part, x[b : b + 1], y[b : b + 1], b) for part in (fast, slow))
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, 5e-3, 2e-3, err_msg=f"row {b}")
        for name, array in slow.arrays().items():
            np.testing.assert_allclose(
                fast.arrays()[name], array, 5e-3, 2e-3, err_msg=f"{name} {b}"
            )


@both
@pytest.mark.parametrize("decorrelate", [False, True])
def test_where_blocks_end_changes_nothing(labels: str, *, decorrelate: bool) -> None:
    """Any cut gives the same bits, though delayed steps, averages and moments fall in between."""
    x, y = stream(700)
    y = some_unlabelled(y, 0.2)
    options = {"decorrelate": decorrelate, "revisits": 1, "kept_rows": 7, "unlabelled": 0.3}
    whole = layer(labels, **options)
    together = learn(whole, x, y)
    for cuts in ([50, 75, 112, 168], [1, 2, 3, 49, 51, 333], list(range(1, 700))):
        part = layer(labels, **options)
        edges = [0, *cuts, 700]
        pieces = [learn(part, x[a:b], y[a:b], a) for a, b in pairwise(edges)]
        for k in range(2):
            assert np.concatenate([p[k] for p in pieces]).tobytes() == together[k].tobytes()
        assert state(part) == state(whole)


@both
def test_arrays_restore_the_layer_between_delayed_steps(labels: str) -> None:
    """A layer saved in mid-stream, steps waiting, goes on to the bit in another one."""
    x, y = stream(300)
    options = {"decorrelate": True, "revisits": 1, "kept_rows": 9}
    first, second = layer(labels, **options), layer(labels, **options)
    learn(first, x[:171], y[:171])
    assert first.arrays()["counts"][2] > 0
    for name, array in second.arrays().items():
        array[...] = first.arrays()[name]
    second.restored()
    assert (
        learn(second, x[171:], y[171:])[1].tobytes() == learn(first, x[171:], y[171:])[1].tobytes()
    )
    assert state(first) == state(second)


@both
@pytest.mark.parametrize("average", [False, True])
def test_respond_says_what_learn_will_write_and_changes_nothing(
    labels: str, *, average: bool
) -> None:
    """A question gets the answer that learning would write, delayed steps and all."""
    x, y = stream(230)
    part = layer(labels, decorrelate=True, average=average)
    learn(part, x[:200], y[:200])
    for b in range(200, 230):
        before = state(part)
        answer = ask(part, x[b : b + 1])
        assert state(part) == before
        for one, other in zip(answer, learn(part, x[b : b + 1], y[b : b + 1]), strict=True):
            assert one.tobytes() == other.tobytes()


@both
def test_answers_are_beliefs_and_scaled_activities(labels: str) -> None:
    """Scores are logarithms of probabilities, activities have mean square 1; any size of row."""
    x, y = stream(400)
    part = layer(labels)
    learn(part, x, y)
    out, scores = ask(part, x)
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose((out**2).mean(axis=1), 1, rtol=1e-4)
    for size in (1e-6, 1e6):
        larger = ask(part, np.float32(size) * x)
        np.testing.assert_allclose(larger[0], out, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(larger[1], scores, rtol=1e-3, atol=1e-4)


@both
@pytest.mark.parametrize(
    ("options", "limit"),
    [({}, 0.06), ({"decorrelate": True}, 0.06), ({"revisits": 2}, 0.06)],
    ids=["plain", "decorrelated", "revisits"],
)
def test_it_learns(labels: str, options: dict[str, Any], limit: float) -> None:
    """3,000 rows of four classes, three quarters of a fresh layer's answers wrong, suffice."""
    part = layer(labels, units=60, **options)
    assert errors(part) > 0.5
    learn(part, *stream(3000))
    assert errors(part) < limit
    gauges = part.gauges()
    assert gauges["margin"] > 1
    assert gauges["pair_error"] < 0.1
    assert gauges["dead_share"] < 0.2


def test_steps_that_are_averaged_end_better_than_the_last_one() -> None:
    """With a constant, large step the averaged weights make fewer errors than the raw ones."""
    options = {"units": 60, "rate_floor": 1.0, "rate": 0.4, "read_rate": 0.1, "memory_rows": 0}
    averaged, raw = layer(**options), layer(average=False, **options)
    for part in (averaged, raw):
        learn(part, *stream(4000))
    assert errors(averaged) < 0.8 * errors(raw)


def test_the_average_is_that_of_the_last_rows() -> None:
    """The n-th average weighs as polynomial decay says, and no less than memory_rows asks."""
    x, y = stream(1200)
    for memory, least in ((0, 0.0), (200, 0.5)):
        part = layer(memory_rows=memory)
        before: dict[str, Any] = {}
        for b in range(1200):
            learn(part, x[b : b + 1], y[b : b + 1])
            gap = b + 1 - int(before.get("at", 0))
            if part.arrays()["counts"][1] == b + 1:
                share = max(5 * gap / (b + 1 + 4 * gap), gap * least / 100)
                expected = before.get("mean", 0) + share * (
                    part.arrays()["weights"] - before.get("mean", 0)
                )
                if b > 0:
                    np.testing.assert_allclose(part.arrays()["mean_weights"], expected, 1e-4, 1e-5)
                before = {"at": b + 1, "mean": part.arrays()["mean_weights"].astype(np.float64)}
        assert before["at"] > 1100


def test_directions_are_those_of_the_inverse_moments() -> None:
    """With all directions known, delayed steps go along (C + damping I)^-1 z, scaled to |z|²."""
    part = layer(decorrelate=True, damping=0.3)
    x, y = stream(12_000)
    learn(part, x, y)
    learn(part, x[:9], y[:9])
    arrays = part.arrays()
    direction = arrays["delayed_inputs"][arrays["counts"][2] - 1]
    z = x / np.sqrt((x**2).mean(axis=1, keepdims=True))
    expected = np.linalg.solve(z.T @ z / len(z) + 0.3 * np.eye(WIDTH), z[8])
    cosine = direction[:-1] @ expected / np.linalg.norm(direction[:-1]) / np.linalg.norm(expected)
    plain = z[8] @ expected / np.linalg.norm(z[8]) / np.linalg.norm(expected)
    assert cosine > 0.98
    assert plain < 0.8
    assert direction[:-1] @ z[8] == pytest.approx(WIDTH, rel=1e-3)
    assert direction[-1] == 1


def test_moments_are_learned_from_rows_without_labels() -> None:
    """Unlabelled rows alone bring the basis to that of the inputs, and leave the weights alone."""
    part = layer(decorrelate=True)
    before = part.arrays()["weights"].copy()
    x, y = stream(3000)
    learn(part, x, np.full_like(y, -1))
    assert (part.arrays()["weights"] == before).all()
    z = x / np.sqrt((x**2).mean(axis=1, keepdims=True))
    known = np.linalg.eigvalsh(z.T @ z / len(z))[::-1]
    np.testing.assert_allclose(part.arrays()["spread"][:3], known[:3], rtol=0.1)
    basis = part.arrays()["basis"]
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-4)


@both
def test_labels_that_name_no_class_count_as_none(labels: str) -> None:
    """-1, K and beyond teach nothing, answers are written all the same."""
    x, _ = stream(60)
    part = layer(labels)
    before = state(part)
    for label in (-1, CLASSES, 1_000_000, -7):
        out, scores = learn(part, x, np.full(60, label, np.int32))
        assert np.isfinite(out).all()
        assert np.isfinite(scores).all()
    after = state(part)
    del before["usage"], after["usage"]
    assert after == before


@both
def test_unlabelled_rows_move_a_layer_that_is_sure(labels: str) -> None:
    """With `unlabelled`, rows whose class seems clear are learned from, and nothing breaks."""
    x, y = stream(3000)
    part, still = layer(labels, units=60, unlabelled=0.3), layer(labels, units=60)
    for one in (part, still):
        learn(one, x[:1500], y[:1500])
    before = state(still)["weights"]
    assert state(part)["weights"] == before
    for one in (part, still):
        learn(one, x[1500:], np.full(1500, -1, np.int32))
    assert state(still)["weights"] == before
    assert state(part)["weights"] != before
    assert errors(part) < errors(still) + 0.02


@both
@pytest.mark.parametrize("options", [{}, {"decorrelate": True}, {"step": "adagrad"}], ids=str)
def test_bad_input_leaves_everything_finite_and_learning_on(
    labels: str, options: dict[str, Any]
) -> None:
    """Zeros, constants, giants, one class only, wrong labels for a while: then it learns again."""
    part = layer(labels, units=60, **options)
    x, y = stream(800)
    largest = np.float32(np.finfo(np.float32).max)
    wild = [0 * x, 0 * x + 7, 1e6 * x, x * 0 + largest, 0 * x - 1e-44, -x]
    wrong = ((y + 1) % CLASSES).astype(np.int32)
    for rows in wild:
        learn(part, np.ascontiguousarray(rows[:100], np.float32), y[:100])
    learn(part, x, np.zeros_like(y))
    learn(part, x, wrong)
    for name, array in part.arrays().items():
        assert np.isfinite(array).all(), name
    assert np.isfinite(list(part.gauges().values())).all()
    for seed in range(8):
        learn(part, *stream(800, seed))
    assert errors(part) < 0.1


def test_a_row_of_zeros_teaches_nothing() -> None:
    """It has no direction; the answer is that of the biases."""
    part = layer(decorrelate=True)
    learn(part, *stream(100))
    before = state(part)
    learn(part, np.zeros((3, WIDTH), np.float32), np.zeros(3, np.int32))
    after = state(part)
    del before["usage"], after["usage"]
    assert after == before


@both
def test_steps_far_too_large_do_not_run_away(labels: str) -> None:
    """At the largest rates, labels at random, weights stay small enough to learn with."""
    part = layer(labels, rate=10.0, read_rate=10.0, rate_floor=1.0, smoothing=0.0)
    x, _ = stream(4000)
    y = np.random.default_rng(3).integers(0, CLASSES, 4000).astype(np.int32)
    learn(part, x, y)
    for name in ("weights", "readout", "mean_weights"):
        assert np.abs(part.arrays()[name]).max(initial=0) < 100, name


def test_blocks_share_units_that_are_left_over() -> None:
    """Every unit belongs to one class; the first classes have one more."""
    for units in (4, 5, 7, 23):
        starts = [block_start(k, units, CLASSES) for k in range(CLASSES + 1)]
        assert starts == [0, *np.cumsum([len(b) for b in np.array_split(range(units), CLASSES)])]


def test_what_does_not_fit_is_an_error_of_the_configuration() -> None:
    """No classes, more classes than units in blocks, two ways to size a step at once."""
    with pytest.raises(ConfigError, match=r"stream\.classes"):
        layer(classes=0)
    with pytest.raises(ConfigError, match=r"units"):
        layer("blocks", units=3)
    with pytest.raises(ConfigError, match="decorrelate"):
        layer(decorrelate=True, step="adagrad")


def test_receptive_fields_are_pictures_of_the_weights_that_answer() -> None:
    """[H, *shape_in], a copy."""
    part = layer()
    learn(part, *stream(50))
    fields = part.receptive_fields()
    np.testing.assert_array_equal(fields, part.arrays()["mean_weights"][:-1].T)
    fields[...] = 0
    assert part.arrays()["mean_weights"].any()


@functools.cache
def _mnist() -> Any:
    from streamlearn.data.source import load  # noqa: PLC0415  only the test on MNIST needs it

    return load("mnist")


@pytest.mark.needs_data("mnist")
def test_one_pass_over_mnist_begins_well() -> None:
    """5,000 images once each, decorrelated: at most 8 % errors on 2,000 of the test set."""
    data = _mnist()
    place = Place(784, (28, 28), 10, SEED)
    options = ForwardForwardOptions(
        rule="forward_forward", units=300, decorrelate=True, rate=0.06, read_rate=0.006
    )
    part = Projection(options, place)
    rows = np.random.default_rng(0).permutation(len(data.train.X))[:5000]
    x = np.ascontiguousarray(data.train.X[rows].reshape(5000, -1), np.float32)
    part.learn(Rows(x, np.zeros((5000, 300), np.float32), data.train.y[rows].astype(np.int32), 0))
    scores = np.zeros((2000, 10), np.float32)
    none = np.zeros((2000, 0, 1), np.float32)
    test = np.ascontiguousarray(data.test.X[:2000].reshape(2000, -1), np.float32)
    out = np.zeros((2000, 300), np.float32)
    part.respond(Rows(test, out, np.full(2000, -1, np.int32), 0, Beside(none, none, scores)))
    assert (scores.argmax(axis=1) != data.test.y[:2000]).mean() < 0.08
