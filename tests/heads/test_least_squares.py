"""Least squares: the exact ridge fit, and an inverse that stays one however long the stream."""

import os
from typing import Any

import numpy as np
import pytest
from heads.learners import build, clouds, error, infer, learn

from streamlearn.errors import ConfigError
from streamlearn.part import F32, I32


def covariance(head: Any) -> Any:
    """P [D + 1, D + 1] in float64, with what is held back."""
    arrays, width = head.arrays(), head.place.width_in + 1
    full = np.zeros((width + 3, width + 3))
    start = 0
    for first in range(0, width, 4):
        panel = arrays["covariance"][start : start + 4 * (first + 4)].reshape(4, first + 4)
        full[first : first + 4, : first + 4] = panel
        start += panel.size
    lower = np.tril(full[:width, :width])
    held = arrays["held"][:width].astype(float)
    whole = lower + lower.T - np.diag(np.diag(lower))
    return whole - arrays["held_step"][0] * np.outer(held, held)


def test_without_forgetting_it_is_the_ridge_fit() -> None:
    """With forgetting 0 the weights are those of ridge regression solved at once."""
    x, y = clouds(1500, 15, 3)
    x /= np.sqrt((x**2).mean(axis=1, keepdims=True))
    head = build("least_squares", 15, 3, forgetting=0.0, ridge=2.0)
    learn(head, x, y)
    rows = np.hstack([x, np.ones((1500, 1))]).astype(float)
    gram = rows.T @ rows + 2.0 * np.eye(16)
    fit = np.linalg.solve(gram, rows.T @ np.eye(3)[y])
    np.testing.assert_allclose(head.arrays()["weights"].T, fit, rtol=1e-2, atol=1e-4)
    np.testing.assert_allclose(covariance(head), np.linalg.inv(gram), rtol=5e-2, atol=2e-6)


HARD_ROWS = int(os.environ.get("STREAMLEARN_HARD_ROWS", "1000000"))


def hard_rows(count: int, seed: int) -> tuple[F32, I32]:
    """Rows that break textbook RLS: constants, duplicates, dead inputs, long silences, outliers."""
    rng = np.random.default_rng(seed)
    x, y = clouds(count, 8, 3, seed)
    x[:, 2] = x[:, 1]
    x[:, 3] = 0
    x[:, 4] = 1
    x[:, 5] *= rng.random(count) < 1e-3
    x[count // 4 : count // 2] = x[0]
    x[count // 2 : count // 2 + count // 8] = 0
    x[rng.random(count) < 1e-4] *= np.float32(1e6)
    return x, y


@pytest.mark.parametrize("forgetting", [0.0, 0.05, 0.5])
def test_many_hard_rows(forgetting: float) -> None:
    """P stays positive and bounded by 1 / ridge, and the head learns on as at the start.

    A million rows here; `make soak-rows` plays ten million.
    """
    head = build("least_squares", 8, 3, forgetting=forgetting, ridge=1.0)
    for seed in range(HARD_ROWS // 250_000):
        x, y = hard_rows(250_000, seed)
        assert np.isfinite(learn(head, x, y)).all()
        p = covariance(head)
        assert np.diag(p).max() <= 1.001
        assert np.linalg.eigvalsh(p).min() > -1e-6 * np.diag(p).max()
    x, y = clouds(3000, 8, 3, seed=9)
    fresh, truth = clouds(3000, 8, 3, seed=10)
    learn(head, x, y)
    new = build("least_squares", 8, 3, forgetting=forgetting)
    learn(new, x, y)
    slack = 0.03 if forgetting else 0.3
    assert error(infer(head, fresh), truth) < error(infer(new, fresh), truth) + slack


def test_forgetting_sets_the_share_that_is_corrected() -> None:
    """However long the stream, a row moves its own score by about `forgetting` of its error."""
    x, y = clouds(60_000, 30, 2)
    for forgetting in (0.02, 0.1):
        head = build("least_squares", 30, 2, forgetting=forgetting)
        learn(head, x, y)
        shares = []
        for b in range(200):
            before = infer(head, x[b : b + 1])
            learn(head, x[b : b + 1], y[b : b + 1])
            wanted = np.eye(2, dtype=np.float32)[y[b]] - before[0]
            moved = infer(head, x[b : b + 1])[0] - before[0]
            shares.append(float(moved @ wanted / (wanted @ wanted)))
        assert 0.4 * forgetting < np.mean(shares) < 2 * forgetting


def test_too_wide_is_refused_with_a_way_out() -> None:
    """A head wider than allowed says what is too much and what to change."""
    with pytest.raises(ConfigError, match="at most 100 inputs, got 101; read fewer layers"):
        build("least_squares", 101, 2, max_inputs=100)
