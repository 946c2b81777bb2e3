"""What tests ask of a daemon with keys, as its admin and its producers."""

import time

from keyring import PATIENCE_S, Keyring

from streamlearn.bench.process import DaemonProcess
from streamlearn.client import Producer
from streamlearn.wire.control import request
from streamlearn.wire.keys import Keys


def acknowledged(address: str, name: str, keys: Keys, patience_s: float = PATIENCE_S) -> Producer:
    """A producer of the stream "digits" whose rows are acknowledged."""
    return Producer(address, "digits", name, timeout_s=patience_s, ack=True, keys=keys)


def status(one: DaemonProcess, keys: Keyring) -> dict:
    """What the admin is told."""
    return request(one.control, "status", PATIENCE_S, keys=keys.of("admin"))


def wait_learned(one: DaemonProcess, keys: Keyring, count: int) -> None:
    """Wait until exactly so many rows are learned."""
    deadline = time.monotonic() + PATIENCE_S
    while status(one, keys)["rows_learned"] < count:
        assert time.monotonic() < deadline, one.said()
        time.sleep(0.02)
    assert status(one, keys)["rows_learned"] == count


def metric(one: DaemonProcess, keys: Keyring, name: str) -> float:
    """A figure of the metrics page, summed over its labels where it has some."""
    figures = status(one, keys)["metrics"]
    found = [value for key, value in figures.items() if key.startswith(f"streamlearn_{name}")]
    assert found
    return float(sum(found))
