"""Killed at every named point and at random moments: all is learned, and learned once.

The long version is tools/faults.py.
"""

from pathlib import Path

from faults import Script, at_random, run
from lives import differences

from streamlearn.failpoints import POINTS

SCRIPT = Script(rows=2100, rows_a_message=7, label_delay=21, checkpoint_every=70, pause_s=0.002)


def test_a_kill_at_every_named_point_changes_nothing(digits_file: Path, tmp_path: Path) -> None:
    """One life ends at each point; rows, late labels, figures and weights end as undisturbed."""
    _, expected = run(digits_file, tmp_path / "undisturbed", SCRIPT)
    ledgers, end = run(digits_file, tmp_path / "killed", SCRIPT, [f"{p}:2" for p in POINTS])
    assert ledgers.kills == len(POINTS)
    assert ledgers.issued == ledgers.acknowledged == ledgers.learned == SCRIPT.rows
    assert not differences(end, expected)


def test_kills_at_random_moments_change_nothing(digits_file: Path, tmp_path: Path) -> None:
    """Killed while it starts, recovers or learns, with two threads: the same end."""
    settings = ("pipeline.threads=2", "journal.commit_ms=0")
    script = SCRIPT._replace(pause_s=0.02)
    _, expected = run(digits_file, tmp_path / "undisturbed", script._replace(pause_s=0.0))
    chaos = at_random(7, 4)
    ledgers, end = run(digits_file, tmp_path / "killed", script, chaos=chaos, settings=settings)
    assert ledgers.kills >= 2
    assert ledgers.issued == ledgers.acknowledged == ledgers.learned == SCRIPT.rows
    assert not differences(end, expected)
