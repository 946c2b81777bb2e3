"""The tool that adds modules to a running daemon counts what it says it counts."""

import infomax_added
import infomax_made_up
import numpy as np
import pytest

FOUND = infomax_added.Found(
    seconds=[1.0, 3.0, 2.0],
    waited_s=[0.02, 0.03, 0.04],
    silences=[0.2, 0.1, 0.3],
    usual=0.1,
    sent=1000,
    learned=998,
    changed=1,
)


def test_a_module_joins_a_stream_of_rows() -> None:
    """In a real daemon: every row that was sent is learned, and what was there is as it was."""
    samples = infomax_added.samples_of(infomax_made_up.watch(), 3)
    samples = np.concatenate((samples, samples), axis=2)
    plan = infomax_added.Plan(together=3, modules=1, quiet_s=0.3)
    found = infomax_added.measured(infomax_added.CONFIG, samples, plan)
    assert found.learned == found.sent > 0
    assert found.changed == 0
    assert 0 < found.waited_s[0] < found.seconds[0]
    assert found.silences[0] > 0


def test_rows_of_the_table() -> None:
    """Middle values, rows that were sent and not learned, digests that changed."""
    rows = infomax_added.rows_of(FOUND, infomax_added.Plan(modules=3))
    assert [row.ours for row in rows] == [2.0, 200.0, 2, 1]
    assert "the daemon itself: 30 ms; while nothing was added 100 ms" in rows[1].note


def test_silence_between_two_moments() -> None:
    """The longest, counted from the first moment on; where nothing came, all of it."""
    listener = infomax_added.Listener("tcp://127.0.0.1:1")
    listener.times = [0.5, 1.0, 1.4, 3.0, 3.1]
    assert listener.silence(0.9, 3.1) == pytest.approx(1.6)
    assert listener.silence(1.4, 2.9) == pytest.approx(1.5)


def test_rows_are_counted_by_windows() -> None:
    """A stream of ten samples is one row, five more are another; fewer are none."""
    sender = infomax_added.Sender("tcp://127.0.0.1:1", np.zeros((4, 50, 6), np.float32))
    counts = []
    for sender.sent in (0, 5, 10, 15, 50):
        counts.append(sender.rows())
    assert counts == [0, 0, 4, 8, 36]
