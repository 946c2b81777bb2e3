"""The acknowledged mode end to end: real daemons that are killed, producers that come back."""

from pathlib import Path

from daemons import PATIENCE_S, Start, rows, status_when, uninterrupted

from streamlearn.bench.process import DaemonProcess
from streamlearn.client import Producer
from streamlearn.store.describe import describe


def acknowledging(daemon: Start, config: Path, address: str, *settings: str) -> DaemonProcess:
    """A daemon with a ROUTER beside its PULL."""
    return daemon(config, f"ingest.router={address}", *settings)


def again(one: DaemonProcess) -> None:
    """Kill it and start it anew."""
    one.kill()
    one.start()
    one.wait_ready()


def test_acknowledged_rows_survive_a_kill(daemon: Start, digits_file: Path, endpoint) -> None:
    """Kill -9 without any checkpoint: the rows are learned from the journal, to the bit."""
    address = endpoint()
    one = acknowledging(daemon, digits_file, address)
    X, y = rows(400)
    with Producer(address, "digits", "p", timeout_s=PATIENCE_S, ack=True) as producer:
        assert producer.send_rows(X[:200], y[:200], 7) == 0
        assert producer.flush(PATIENCE_S)
        assert producer.durable_seq == 200
        again(one)
        assert status_when(one, 200)["rows_learned"] == 200
        producer.send_rows(X[200:], y[200:], 5)
    status_when(one, 400)
    assert one.stop() == 0
    found, expected = describe(one.state), uninterrupted(digits_file, 400)
    assert (found["rows_learned"], found["digest"]) == (400, expected["digest"])
