"""Keys where the newest data wins: PUB that connects, PUB that the daemon connects to."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from daemons import Start, rows
from keyring import PATIENCE_S, Keyring

from streamlearn.bench.process import DaemonProcess
from streamlearn.client import Producer
from streamlearn.errors import NoAnswerError
from streamlearn.wire.control import request
from streamlearn.wire.keys import Keys


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    """Make a producer, and one who asks."""
    return Keyring(tmp_path / "keys", camera=("producer",), admin=("control",))


def learned(one: DaemonProcess, keys: Keyring) -> int:
    """Rows learned, as the admin is told."""
    answer = request(one.control, "status", PATIENCE_S, keys=keys.of("admin"))
    return int(answer["rows_learned"])


def publish(
    endpoint: str, keys: Keys, until: Callable[[], bool], *, bind: bool, patience_s: float
) -> None:
    """Publish rows of a stream, over and over, until something is so."""
    X, y = rows(50)
    deadline = time.monotonic() + patience_s
    with Producer(
        endpoint, "digits", kind="pub", bind=bind, timeout_s=patience_s, keys=keys
    ) as producer:
        for i in itertools.cycle(range(50)):
            producer.send(X[i], y[i])
            time.sleep(0.005)
            if until():
                return
            assert time.monotonic() < deadline


@pytest.mark.parametrize("bind", [False, True], ids=["connects", "binds"])
def test_a_publisher_is_known_by_its_key(
    daemon: Start,
    digits_file: Path,
    keys: Keyring,
    endpoint: Callable[[], str],
    *,
    bind: bool,
) -> None:
    """An allowed one is heard; a stranger is not, and leaves no mark.

    Where the daemon connects, a stranger that sat at the address does not keep it from coming back.
    """
    address = endpoint()
    where = f'ingest.sub_connect=["{address}"]' if bind else f"ingest.sub={address}"
    one = daemon(digits_file, *keys.settings, where)
    with pytest.raises(NoAnswerError):
        publish(address, keys.stranger(), lambda: False, bind=bind, patience_s=3.0)
    assert learned(one, keys) == 0
    publish(
        address,
        keys.of("camera"),
        lambda: learned(one, keys) >= 20,
        bind=bind,
        patience_s=PATIENCE_S,
    )
