"""The guards that every test runs under do catch what they are for."""

import os
import socket
import threading
from pathlib import Path

import pytest
from conftest import pytest_runtest_setup
from leaks import Leaks

SHORT_S = 0.05


def test_a_clean_test_leaves_nothing() -> None:
    """What was opened and closed again is no leak."""
    leaks = Leaks()
    with socket.socket():
        assert leaks.now()
    assert leaks.after_grace(SHORT_S) == []


def test_an_open_descriptor_is_a_leak() -> None:
    """A pipe that stays open is named, both ends."""
    leaks = Leaks()
    ends = os.pipe()
    try:
        assert [line.partition(":")[0] for line in leaks.after_grace(SHORT_S)] == [
            f"descriptor {end}" for end in ends
        ]
    finally:
        for end in ends:
            os.close(end)


def test_a_running_thread_is_a_leak() -> None:
    """A thread that runs on is named; one that ends within the grace time is not."""
    leaks = Leaks()
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="left-over")
    thread.start()
    try:
        assert leaks.after_grace(SHORT_S) == ["thread left-over"]
    finally:
        end.set()
    assert leaks.after_grace() == []
    thread.join()


@pytest.fixture
def needing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> pytest.Item:
    """The test itself, marked as one that needs the set `digits` under `tmp_path`."""
    monkeypatch.setenv("STREAMLEARN_DATA", str(tmp_path))
    node: pytest.Item = request.node
    node.add_marker(pytest.mark.needs_data("digits"))
    return node


def test_a_missing_data_set_skips_by_name(needing: pytest.Item) -> None:
    """A test marked `needs_data` is skipped, and the set named, where the set is not."""
    with pytest.raises(pytest.skip.Exception, match="needs digits under"):
        pytest_runtest_setup(needing)


def test_a_data_set_that_is_here_does_not(needing: pytest.Item, tmp_path: Path) -> None:
    """It runs where the set is."""
    (tmp_path / "digits").mkdir()
    pytest_runtest_setup(needing)
