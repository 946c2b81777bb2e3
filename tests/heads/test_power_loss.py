"""Power loss: the paper's gradient, Adam's steps, minibatches, a way back from saturation."""

from typing import Any

import numpy as np
import pytest
from heads.learners import build, clouds, error, infer, learn
from naive.power_loss import PowerLoss as Twin

from streamlearn.errors import ConfigError
from streamlearn.part import I32


def twin_of(head: Any) -> Twin:
    """The slow twin with the same options and place."""
    return Twin(head.options, head.place)


@pytest.mark.parametrize(
    "options",
    [
        {"epsilon": 1e-8, "memory_rows": 60},
        {"m": 2.0, "beta": 500.0, "smoothing": 0.0},
        {"m": 10.0, "minibatch": 4, "epsilon": 0.01, "beta2": 0.99},
    ],
)
def test_every_step_is_that_of_the_slow_twin(options: dict[str, Any]) -> None:
    """Scores and state follow the papers' equations row by row, unlabelled rows among them."""
    x, y = clouds(150, 5, 3)
    x[::3] = np.maximum(x[::3], 0)
    y[::5] = -1
    head = build("power_loss", 5, 3, **options)
    slow = twin_of(head)
    for b in range(150):
        ours = learn(head, x[b : b + 1], y[b : b + 1])
        slow.infer(x[b : b + 1], theirs := np.zeros((1, 3), np.float32))
        np.testing.assert_allclose(ours, theirs, 1e-3, 1e-5, err_msg=f"row {b}")
        if y[b] >= 0:
            slow.learn_row(x[b], int(y[b]))
        for name, array in slow.arrays().items():
            np.testing.assert_allclose(
                head.arrays()[name], array, 2e-3, 2e-5, err_msg=f"{name}, row {b}"
            )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("m", [2.0, 3.5, 6.0, 10.0])
def test_the_gradient_is_that_of_the_loss(m: float, smoothing: float) -> None:
    """The twin's gradient is the slope of its loss, by differences, wherever tanh is not flat."""
    slow = twin_of(build("power_loss", 4, 3, m=m, beta=1500.0, smoothing=smoothing))
    rng = np.random.default_rng(2)
    x = [*rng.standard_normal(4).tolist(), 1.0]
    gain, small = 1500.0 / 50, 1e-7
    for y in range(3):
        weights = (rng.standard_normal((3, 5)) / 60).tolist()
        assert max(abs(a) for a in slow.outputs(weights, x)) < 2.9
        gradient = slow.gradient_of(weights, x, y)
        for k, d in np.ndindex(3, 5):
            sides = []
            for change in (small, -small):
                moved = [list(row) for row in weights]
                moved[k][d] += change
                sides.append(slow.loss(moved, x, y))
            measured = (sides[0] - sides[1]) / (2 * small) / gain
            assert measured == pytest.approx(gradient[k][d], rel=1e-5, abs=1e-6)


def test_scores_are_probabilities() -> None:
    """Scores lie in 0…1 and sum to 1, before the first label as after thousands."""
    x, y = clouds(3000, 12, 5)
    head = build("power_loss", 12, 5)
    for scores in (infer(head, x), learn(head, x, y), infer(head, x * np.float32(1e6))):
        assert (scores >= 0).all()
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(infer(build("power_loss", 12, 5), x), 0.2, rtol=1e-6)


@pytest.mark.parametrize("m", [2.0, 4.0, 8.0])
def test_scores_mean_what_they_say(m: float) -> None:
    """Where features do not help, scores are the classes' shares, whatever the power."""
    x, _ = clouds(20_000, 6, 3)
    shares = np.array([0.7, 0.2, 0.1])
    y = np.random.default_rng(4).choice(3, 20_000, p=shares).astype(np.int32)
    head = build("power_loss", 6, 3, m=m, rate=1e-4, smoothing=0.0)
    learn(head, np.zeros_like(x), y)
    np.testing.assert_allclose(infer(head, np.zeros_like(x[:1]))[0], shares, atol=0.05)


def saturated(beta: float) -> tuple[Any, Any, I32]:
    """A head that is as sure as can be, and the rows that it learned."""
    x, y = clouds(3000, 8, 2, spread=0.3)
    head = build("power_loss", 8, 2, beta=beta, memory_rows=200, smoothing=0.0)
    learn(head, x, y)
    return head, x, y


def test_a_saturated_head_comes_back() -> None:
    """Outputs far out on the flat of the tanh turn around once the classes trade places."""
    head, x, y = saturated(beta=20_000.0)
    assert head.gauges()["saturated_share"] > 0.5
    assert error(infer(head, x), y) < 0.01
    learn(head, x, 1 - y)
    assert error(infer(head, x), 1 - y) < 0.01


def test_a_minibatch_is_one_step_of_the_mean_gradient() -> None:
    """Weights move at every fourth labelled row only; the same row four times steps as once."""
    x, y = clouds(40, 6, 3)
    head = build("power_loss", 6, 3, minibatch=4)
    moments, before = [], head.arrays()["weights"].copy()
    for b in range(40):
        learn(head, x[b : b + 1], np.full(1, -1, np.int32))
        learn(head, x[b : b + 1], y[b : b + 1])
        if not np.array_equal(before, head.arrays()["weights"]):
            moments.append(b + 1)
            before = head.arrays()["weights"].copy()
    assert moments == list(range(4, 41, 4))
    one, four = build("power_loss", 6, 3), build("power_loss", 6, 3, minibatch=4)
    # Before the first label the scale of rows is not known, so these rows have scale 1 already.
    same = np.ones((4, 6), np.float32)
    learn(one, same[:1], y[:1])
    learn(four, same, np.full(4, y[0], np.int32))
    fallen = np.sqrt(3001 / 3004)
    np.testing.assert_allclose(
        four.arrays()["weights"], fallen * one.arrays()["weights"], rtol=1e-5
    )


def test_the_first_steps_are_as_long_as_later_ones() -> None:
    """Adam corrects its moments: with a tiny epsilon the first row moves weights by the rate."""
    head = build("power_loss", 6, 3, rate=2e-3, epsilon=1e-10)
    learn(head, np.ones((1, 6), np.float32), np.zeros(1, np.int32))
    signs = np.array([[1], [-1], [-1]])
    fallen = np.sqrt(3000 / 3001)
    np.testing.assert_allclose(
        head.arrays()["weights"], np.tile(2e-3 * fallen * signs, 7), rtol=1e-5
    )


@pytest.mark.parametrize("m", [2.0, 10.0, 20.0])
def test_extremes_stay_finite(m: float) -> None:
    """Rows a million times too large, rows of zeros and one class for ever harm no number."""
    x, y = clouds(2000, 10, 4)
    head = build("power_loss", 10, 4, m=m, beta=1e5, rate=1.0)
    blocks = ((x, y), (x * np.float32(1e6), y), (0 * x, y), (x, 0 * y), (x, y))
    for rows, labels in blocks:
        assert np.isfinite(learn(head, np.ascontiguousarray(rows), labels)).all()
    for name, array in head.arrays().items():
        assert np.isfinite(array).all(), name
    assert np.isfinite(infer(head, x)).all()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"beta1": 0.9, "beta2": 0.81}, "beta2: expected more than beta1² = 0.81, got 0.81"),
        ({"minibatch": 200, "memory_rows": 100}, "at most memory_rows = 100, got 200"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], line: str) -> None:
    """Each in its range but senseless together: an error that names the key and the way out."""
    with pytest.raises(ConfigError, match="head power_loss: ") as raised:
        build("power_loss", 6, 3, **options)
    assert line in str(raised.value)
