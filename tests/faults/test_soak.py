"""A day of faults in seconds: nothing lost, nothing twice, nothing left over.

The long version is tools/soak.py, which also says whether memory grows.
"""

from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from faults import Ledgers
from soak import run
from soak_clients import Heard
from soak_faults import FAULTS, KILL
from soak_figures import Plan, figures, wrong
from soak_looks import slope

SHORT = Plan(quiet_s=8.0, kills_s=7.0, rate_hz=300.0, pause_s=0.05, seed=3, checkpoint_s=5.0)
MUST_BE_ZERO = (
    "descriptors left over",
    "threads left over",
    "ledgers, first part",
    "rows learned twice or never",
    "dead letters",
    "ledgers, with kills",
)


def test_a_short_soak_loses_and_leaves_nothing(tmp_path: Path) -> None:
    """Ledgers agree, no row is learned twice, descriptors and threads are back where they were.

    Many kinds of faults, and kills, are among what happens meanwhile.
    """
    found = run(tmp_path, SHORT)
    rows = {row.name: row for row in figures(found)}
    for name in MUST_BE_ZERO:
        assert rows[name].ours == 0, rows[name]
    kinds = {event.name for event in found.events}
    assert len(kinds & {*FAULTS}) >= 6
    assert KILL in kinds
    assert found.ledgers[1].learned > found.ledgers[0].learned > 0


def test_ledgers_that_differ_are_seen() -> None:
    """A row that was acknowledged and not learned, or learned twice, counts."""
    assert wrong(Ledgers(10, 10, 10, 0)) == 0
    assert wrong(Ledgers(10, 10, 9, 0)) == wrong(Ledgers(10, 10, 11, 0)) == 1
    assert wrong(Ledgers(10, 9, 10, 0)) == 2


def looks_that_wander(seed: int, count: int) -> np.ndarray:
    """Made-up looks of which neighbours go together."""
    steps = np.random.default_rng(seed).normal(0.0, 1.0, count)
    return np.array([*accumulate(steps, lambda before, step: 0.9 * before + step)])


def test_a_leak_is_seen_and_noise_is_none() -> None:
    """Noise that wanders is rarely a slope beyond two errors; a leak nearly always is.

    Looks come each second for twenty minutes.
    """
    t = np.arange(1200.0)
    flat = [slope(t, looks_that_wander(seed, 1200)) for seed in range(40)]
    leaks = [slope(t, looks_that_wander(seed, 1200) + 0.01 * t) for seed in range(40)]
    assert sum(abs(one.value) > 2 * one.error for one in flat) <= 5
    assert sum(one.value > 2 * one.error for one in leaks) >= 38
    assert np.median([one.value for one in leaks]) == pytest.approx(0.01, rel=0.1)


def test_a_row_heard_twice_is_counted() -> None:
    """Rows that came more than once are known, and rows that never came."""
    heard = Heard()
    heard.add("cam0", 1, 2)
    heard.add("cam0", 7, 1)
    heard.add("cam1", 1, 2)
    assert (heard.rows("cam0"), heard.twice()) == (3, 0)
    heard.add("cam0", 2, 8000)
    assert (heard.rows("cam0"), heard.twice()) == (8001, 2)
