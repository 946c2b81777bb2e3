"""Softmax: probabilities, steps that set themselves, averages, revisits."""

import numpy as np
from heads.learners import build, clouds, infer, learn


def test_scores_are_probabilities() -> None:
    """Scores lie in 0…1 and sum to 1, before the first label as after thousands."""
    x, y = clouds(3000, 12, 5)
    head = build("softmax", 12, 5)
    for scores in (infer(head, x), learn(head, x, y), infer(head, x * np.float32(1e6))):
        assert (scores >= 0).all()
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(infer(build("softmax", 12, 5), x), 0.2, rtol=1e-6)


def test_smoothing_keeps_it_from_being_too_sure() -> None:
    """On clouds that never meet, the smoothed head's best score stays near 1 - smoothing."""
    x, y = clouds(5000, 12, 3, spread=0.05)
    best = {}
    for smoothing in (0.0, 0.2):
        head = build("softmax", 12, 3, smoothing=smoothing)
        learn(head, x, y)
        best[smoothing] = float(infer(head, x[-500:]).max(axis=1).mean())
    assert 0.7 < best[0.2] < 0.9
    assert best[0.0] > 0.95


def test_the_average_moves_every_hundred_labelled_rows() -> None:
    """The weights that score change with the count of labelled rows alone, never in between."""
    x, y = clouds(250, 6, 3)
    head = build("softmax", 6, 3)
    moments, before = [], head.arrays()["average"].copy()
    for b in range(250):
        unlabelled = np.full(1, -1, np.int32)
        learn(head, x[b : b + 1], unlabelled)
        learn(head, x[b : b + 1], y[b : b + 1])
        if not np.array_equal(before, head.arrays()["average"]):
            moments.append(b + 1)
            before = head.arrays()["average"].copy()
    assert moments == [100, 200]


def test_revisits_help_on_a_short_stream() -> None:
    """On a few hundred rows, going back to kept rows lowers the loss on fresh ones."""
    x, y = clouds(400, 20, 5, spread=2.0)
    fresh, truth = clouds(3000, 20, 5, seed=1, spread=2.0)
    loss = []
    for revisits in (0, 3):
        head = build("softmax", 20, 5, revisits=revisits)
        learn(head, x, y)
        scores = infer(head, fresh)
        loss.append(-np.log(scores[np.arange(3000), truth]).mean())
    assert loss[1] < loss[0]


def test_gains_fall_and_recover() -> None:
    """Gains fall while rows surprise, and come back within `memory_rows` once they do not."""
    x, y = clouds(3000, 12, 3, spread=3.0)
    head = build("softmax", 12, 3, memory_rows=500)
    start = head.gauges()["mean_gain"]
    learn(head, x, y)
    fallen = head.gauges()["mean_gain"]
    learn(head, np.zeros_like(x), y)
    assert fallen < 0.3 * start
    assert head.gauges()["mean_gain"] > 0.8 * start
