"""Keys in acknowledged mode: who may not send settles nothing, and is kept nowhere."""

import re
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from daemons import Start, rows, uninterrupted, wait_log
from guarded import acknowledged, metric, wait_learned
from keyring import PATIENCE_S, Keyring

from streamlearn.client import Producer
from streamlearn.errors import NoAnswerError
from streamlearn.store.describe import describe


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    """Make two producers, of whom one will be revoked, a subscriber, and one who asks."""
    return Keyring(
        tmp_path / "keys",
        camera=("producer",),
        former=("producer",),
        viewer=("subscriber",),
        admin=("control",),
    )


def test_acknowledged_rows_survive_a_kill_with_keys(
    daemon: Start, digits_file: Path, endpoint: Callable[[], str], keys: Keyring
) -> None:
    """Through CURVE as without it: killed, started anew, every row learned once, to the bit."""
    address = endpoint()
    one = daemon(digits_file, *keys.settings, f"ingest.router={address}")
    X, y = rows(120)
    with acknowledged(address, "camera", keys.of("camera")) as producer:
        producer.send_rows(X[:60], y[:60], 7)
        assert producer.flush(PATIENCE_S)
        one.kill()
        one.start()
        one.wait_ready()
        producer.send_rows(X[60:], y[60:], 7)
    wait_learned(one, keys, 120)
    assert one.stop() == 0
    assert describe(one.state)["digest"] == uninterrupted(digits_file, 120)["digest"]


@pytest.mark.parametrize("who", ["stranger", "viewer", "revoked"])
def test_who_may_not_send_settles_nothing(
    daemon: Start, digits_file: Path, endpoint: Callable[[], str], keys: Keyring, who: str
) -> None:
    """Refused at once; the number that it would have taken is still the honest producer's."""
    address = endpoint()
    one = daemon(digits_file, *keys.settings, f"ingest.router={address}")
    keys.revoke("former")
    wait_log(one, "allowed clients read")
    X, y = rows(40)
    theirs = {"stranger": keys.stranger(), "viewer": keys.of("viewer")}
    with (
        pytest.raises(NoAnswerError, match="daemon refuses us"),
        acknowledged(address, "camera", theirs.get(who, keys.of("former"))) as intruder,
    ):
        intruder.send_rows(X, y, 10)
    assert metric(one, keys, 'samples_rejected_total{reason="auth"}') >= 1
    with acknowledged(address, "camera", keys.of("camera")) as producer:
        assert producer.seq == 0
        producer.send_rows(X, y, 10)
    wait_learned(one, keys, 40)


def test_a_refusal_is_told_with_a_spool_too(
    daemon: Start, digits_file: Path, endpoint: Callable[[], str], keys: Keyring, tmp_path: Path
) -> None:
    """It goes on trying, as it loses nothing, and says why it waits: not that nobody is there."""
    address = endpoint()
    daemon(digits_file, *keys.settings, f"ingest.router={address}")
    # A daemon with keys may end the connection before a client without has read why.
    told = "daemon (refuses us|ends our connection).*one side has keys"
    how = {"timeout_s": 3.0, "ack": True, "spool": tmp_path / "spool"}
    with (
        Producer(address, "digits", "camera", **how) as producer,
        pytest.raises(NoAnswerError, match=told),
    ):
        producer.send(rows(1)[0])
    assert re.search(told, producer.silence)


def test_a_revoked_producer_is_neither_learned_from_nor_kept(
    daemon: Start, digits_file: Path, endpoint: Callable[[], str], keys: Keyring
) -> None:
    """Revoked while connected, its rows are not settled, set aside or acknowledged."""
    address = endpoint()
    one = daemon(digits_file, *keys.settings, f"ingest.router={address}")
    X, y = rows(40)
    with acknowledged(address, "former", keys.of("former"), patience_s=5.0) as former:
        former.send_rows(X[:20], y[:20], 5)
        assert former.flush(PATIENCE_S)
        keys.revoke("former")
        wait_log(one, "allowed clients read")
        with suppress(NoAnswerError):  # it may know already that it is refused
            former.send_rows(X[20:], y[20:], 5)
            assert not former.flush(2.0)
        assert former.durable_seq == 20
        kept = former.kept_rows
        with pytest.raises(NoAnswerError) if kept else nullcontext():
            former.close()
    assert metric(one, keys, 'samples_rejected_total{reason="auth"}') >= 1
    assert metric(one, keys, "dead_letters_total") == 0
    wait_learned(one, keys, 20)
    with acknowledged(address, "camera", keys.of("camera")) as producer:
        producer.send_rows(X, y, 10)
    wait_learned(one, keys, 60)
