"""The benchmarks measure what they say: their arithmetic, their learners, their daemon."""

import socket
import sys
from pathlib import Path

import numpy as np
import pytest

from streamlearn.bench import latency, learners, stop
from streamlearn.bench.load import Look, rate_hz
from streamlearn.bench.pipeline import in_process_hz, through_sockets_hz
from streamlearn.bench.process import LOOPBACK, DaemonProcess, free_ports
from streamlearn.bench.torch_hebbian import TorchHebbian
from streamlearn.errors import NoAnswerError, StartError
from streamlearn.evaluate import fitted
from streamlearn.part import Place, Rows
from streamlearn.rules.hebbian import Hebbian


@pytest.mark.parametrize("name", ["digits", "mnist", "tiny"])
def test_rows_fit_their_learner(name: str, tmp_path: Path) -> None:
    """What is sent to a measured learner is what its configuration takes, labels included."""
    config, dataset = learners.config(name, tmp_path), learners.rows(name)
    assert fitted(dataset, config).shape == (dataset.rows, np.prod(config.stream.shape))
    assert dataset.y is not None


def test_a_rate_does_not_count_the_pause_before_the_last_look() -> None:
    """A rate is that of the last look at which rows were still to come."""
    assert rate_hz([Look(1.0, 100), Look(2.0, 200), Look(3.0, 201)]) == 100
    assert rate_hz([Look(2.0, 100)]) == 50


def test_a_row_behind_a_slow_one_counts_with_its_whole_wait() -> None:
    """Latency runs from when a row was due, not from when it could be sent."""
    start, rate_hz = 1000.0, 10.0
    stall = start + 5.0  # rows 10 to 39 are due from 1 s to 3.9 s and come together at 5 s
    waits = latency._waits_ms([(stall, 10, 30)], start, rate_hz)
    np.testing.assert_allclose(waits, 1e3 * (5.0 - np.arange(10, 40) / rate_hz))


def fake(tmp_path: Path, code: str) -> DaemonProcess:
    """A process that is no daemon."""
    return DaemonProcess(tmp_path / "no.toml", tmp_path, command=(sys.executable, "-c", code))


def test_a_daemon_that_ends_at_once_is_told_with_its_words(tmp_path: Path) -> None:
    """Waiting for a daemon that could not start ends at once, with what it said."""
    with pytest.raises(StartError, match="exit code 3:\nport taken"):
        fake(tmp_path, "print('port taken'); raise SystemExit(3)").__enter__()


def test_a_daemon_that_is_never_ready_is_given_up_and_gone(tmp_path: Path) -> None:
    """Waiting has an end, and leaves no process behind."""
    daemon = fake(tmp_path, "import time; time.sleep(60)").start()
    with pytest.raises(NoAnswerError, match=r"not ready after 0\.2 s"):
        daemon.wait_ready(0.2)
    daemon.kill()
    assert daemon.wait(1.0) < 0


def test_rates_are_of_all_rows() -> None:
    """In process and through sockets, the tiny learner's rate comes out, and is no dream."""
    assert 1e3 < in_process_hz("tiny", 5000) < 1e8
    assert 1e3 < through_sockets_hz("tiny", 50_000, 64) < 1e8


def test_every_row_has_a_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row of the schedule after the first second is in the figures, later than it was due."""
    monkeypatch.setattr(latency, "SECONDS", 1.5)
    inside_ms, waits = latency.latencies_ms("tiny", 200.0)
    assert 0 < inside_ms < 1000
    assert len(waits) == 100
    assert waits.min() > 0


def test_a_stop_leaves_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM under load ends in a checkpoint; the benchmark looks at it before it counts."""
    monkeypatch.setattr(stop, "LOAD_S", 0.3)
    assert stop.stopped("digits").rows > 0


def test_the_peer_learns_the_same() -> None:
    """Where PyTorch is installed: its update ends with our weights, activities and counts."""
    torch = pytest.importorskip("torch")
    x = np.maximum(np.random.default_rng(0).normal(size=(600, 40)), 0).astype(np.float32)
    y, out = np.full(600, -1, np.int32), np.zeros((600, 25), np.float32)
    options = Hebbian.Options(rule="hebbian", units=25, patience=1e6)
    layer = Hebbian(options, Place(40, (40,), 3, 1))
    layer.learn(Rows(x[:25], out[:25], y[:25], 0))
    peer = TorchHebbian(torch, x[:25])
    peer.load[:] = torch.from_numpy(layer.arrays()["load"])
    peer.moves[:] = layer.arrays()["moves"].tolist()
    layer.learn(Rows(x[25:], out[25:], y[25:], 25))
    said = [peer.learn_one(row).numpy() for row in torch.from_numpy(x[25:])]
    np.testing.assert_allclose(said, out[25:], atol=1e-4)
    np.testing.assert_allclose(peer.weights.numpy(), layer.receptive_fields(), atol=1e-5)
    np.testing.assert_array_equal(peer.moves, layer.arrays()["moves"])


def test_free_ports_are_none_that_the_system_hands_out() -> None:
    """All different, and none is given to another program while a daemon is between two lives."""
    ports = free_ports(50)
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        assert max(ports) < other.getsockname()[1]
    assert len(set(ports)) == 50
