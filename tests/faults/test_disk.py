"""The disk is full for a while, or fails: nothing acknowledged is lost, and the figures tell."""

import resource
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from daemons import PATIENCE_S, Start, rows, status_when, uninterrupted

from streamlearn.bench.process import DaemonProcess
from streamlearn.client import Producer
from streamlearn.store.describe import describe

ROWS = 1500


class Sender:
    """A thread that sends rows and waits as long as it must."""

    def __init__(self, address: str) -> None:
        self.address, self.durable = address, 0
        self._thread = threading.Thread(target=self._send, name="sender")
        self._thread.start()

    def _send(self) -> None:
        X, y = (np.resize(a, (ROWS, *a.shape[1:])) for a in rows(1700))
        with Producer(self.address, "digits", "p", ack=True, shape=(8, 8)) as producer:
            for begin in range(0, ROWS, 10):
                producer.send(X[begin : begin + 10], y[begin : begin + 10])
                self.durable = producer.durable_seq
                time.sleep(0.01)
            producer.flush()
            self.durable = producer.durable_seq

    def join(self) -> None:
        """Wait until all is durable."""
        self._thread.join(PATIENCE_S * 2)
        assert not self._thread.is_alive()


def figure_when(one: DaemonProcess, name: str, least: float) -> None:
    """Wait until a figure of the page is that large."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        lines = one.get("/metrics")[1].splitlines()
        found = [float(x.split()[-1]) for x in lines if x.startswith(f"streamlearn_{name} ")]
        if found and found[0] >= least:
            return
        time.sleep(0.05)
    raise AssertionError(f"{name} did not reach {least}: {one.said()}")


def fill(path: Path) -> None:
    """Take all the space that is left."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_holds_producers_up_for_a_while(
    daemon: Start, digits_file: Path, endpoint, small_disk: Path
) -> None:
    """No space: no acknowledgement, credit 0, counted; with space again it goes on by itself."""
    address, state = endpoint(), small_disk / "state"
    one = daemon(digits_file, f"ingest.router={address}", f"store.dir={state}")
    sender = Sender(address)
    status_when(one, 200)
    ballast = small_disk / "ballast"
    fill(ballast)
    figure_when(one, "journal_failures_total", 3)
    held = sender.durable
    assert one.get("/readyz")[0] == 200
    assert "nothing is acknowledged" in one.said()
    assert held < ROWS
    assert status_when(one, 0)["rows_learned"] >= held
    ballast.unlink()
    sender.join()
    assert sender.durable == ROWS
    status_when(one, ROWS)
    assert one.stop() == 0
    assert describe(state)["digest"] == uninterrupted(digits_file, ROWS)["digest"]


def test_a_disk_that_fails_is_a_clear_stop(daemon: Start, digits_file: Path, endpoint) -> None:
    """Another error than a full disk: exit 1 with the file named; a restart has all of it."""
    address = endpoint()
    one = daemon(digits_file, f"ingest.router={address}")
    sender = Sender(address)
    status_when(one, 200)
    size = (one.state / "journal.sqlite-wal").stat().st_size
    resource.prlimit(one.pid, resource.RLIMIT_FSIZE, (size + 4096, resource.RLIM_INFINITY))
    assert one.wait() == 1
    assert "journal.sqlite: disk I/O error" in one.said()
    durable = sender.durable
    assert durable < ROWS
    one.start()
    one.wait_ready()
    assert status_when(one, durable)["rows_learned"] >= durable
    sender.join()
    status_when(one, ROWS)
    assert one.stop() == 0
    assert describe(one.state)["digest"] == uninterrupted(digits_file, ROWS)["digest"]
