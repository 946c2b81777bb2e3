"""A daemon with keys, end to end: who is not let in changes nothing, and others go on."""

import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import zmq
from daemons import PATIENCE_S, Start, rows, uninterrupted, wait_log
from keyring import Keyring, recorded, say

from streamlearn.bench.process import DaemonProcess
from streamlearn.client import Producer, Subscriber
from streamlearn.errors import NoAnswerError
from streamlearn.store.describe import describe
from streamlearn.wire import control
from streamlearn.wire.control import request
from streamlearn.wire.handshake import Handshake
from streamlearn.wire.keys import Keys
from streamlearn.wire.published import Metrics

HANDSHAKE_S = 1.0
REFUSED = "daemon refuses us"


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    """Make one client for each right, and one that will be revoked."""
    return Keyring(
        tmp_path / "keys",
        camera=("producer",),
        viewer=("subscriber",),
        admin=("control",),
        former=("producer", "subscriber", "control"),
    )


@pytest.fixture
def guarded(daemon: Start, digits_file: Path, keys: Keyring) -> DaemonProcess:
    """Start a daemon that lets in whom the keyring allows."""
    return daemon(digits_file, *keys.settings, f"security.handshake_s={HANDSHAKE_S}")


def send(one: DaemonProcess, begin: int, end: int, keys: Keys | None, patience_s: float) -> None:
    """Send rows begin:end of optdigits."""
    X, y = rows(end)
    with Producer(one.pull, "digits", timeout_s=patience_s, keys=keys) as producer:
        producer.seq = begin
        producer.send_rows(X[begin:], y[begin:], 5)


def learned(one: DaemonProcess, keys: Keyring) -> int:
    """Rows learned, as the admin is told."""
    answer = request(one.control, "status", PATIENCE_S, keys=keys.of("admin"))
    return int(answer["rows_learned"])


def wait_learned(one: DaemonProcess, keys: Keyring, count: int) -> None:
    """Wait until exactly so many rows are learned."""
    wait(lambda: learned(one, keys) >= count, one)
    assert learned(one, keys) == count


def wait(true: Callable[[], bool], one: DaemonProcess) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, one.said()
        time.sleep(0.02)


def refused(one: DaemonProcess) -> int:
    """What was refused under `auth`, by the metrics page."""
    head = 'streamlearn_samples_rejected_total{reason="auth"} '
    lines = one.get("/metrics")[1].splitlines()
    return int(float(next(line.removeprefix(head) for line in lines if line.startswith(head))))


def test_each_client_does_what_it_may(guarded: DaemonProcess, keys: Keyring) -> None:
    """A producer sends, a subscriber hears, control is answered; what is learned is the same."""
    send(guarded, 0, 100, keys.of("camera"), PATIENCE_S)
    wait_learned(guarded, keys, 100)
    with Subscriber(guarded.publish, ["metrics"], PATIENCE_S, keys=keys.of("viewer")) as viewer:
        message = next(viewer)
    assert isinstance(message, Metrics)
    assert message.figures["streamlearn_samples_learned_total"] == 100
    assert refused(guarded) == 0


INTRUDERS: dict[str, Callable[[Keyring], Keys | None]] = {
    "no key": lambda _: None,
    "a key in no list": lambda keys: keys.stranger(),
    "a subscriber": lambda keys: keys.of("viewer"),
    "control": lambda keys: keys.of("admin"),
    "revoked": lambda keys: keys.of("former"),
}


@pytest.mark.parametrize("intruder", INTRUDERS)
def test_who_may_not_send_changes_nothing(
    guarded: DaemonProcess, keys: Keyring, digits_file: Path, intruder: str
) -> None:
    """A plain client, a stranger, a wrong role, a revoked key: refused, counted, nothing learned.

    What an honest producer sends meanwhile is learned as if nobody else were there.
    """
    keys.revoke("former")
    wait_log(guarded, "allowed clients read")
    send(guarded, 0, 60, keys.of("camera"), PATIENCE_S)
    wait_learned(guarded, keys, 60)
    with pytest.raises(NoAnswerError, match=REFUSED):
        send(guarded, 1000, 1100, INTRUDERS[intruder](keys), PATIENCE_S)
    assert refused(guarded) >= 1
    assert learned(guarded, keys) == 60
    send(guarded, 60, 100, keys.of("camera"), PATIENCE_S)
    wait_learned(guarded, keys, 100)
    assert guarded.stop() == 0
    assert describe(guarded.state)["digest"] == uninterrupted(digits_file, 100)["digest"]


def test_rights_of_one_socket_open_no_other(guarded: DaemonProcess, keys: Keyring) -> None:
    """A producer gets no figures and no answers, a subscriber no answers, control no figures."""
    for name in ("camera", "viewer"):
        with pytest.raises(NoAnswerError, match=REFUSED):
            request(guarded.control, "ping", PATIENCE_S, keys=keys.of(name))
    for name in ("camera", "admin"):
        with (
            Subscriber(guarded.publish, ["metrics"], PATIENCE_S, keys=keys.of(name)) as one,
            pytest.raises(NoAnswerError, match=REFUSED),
        ):
            next(one)
    assert refused(guarded) == 4
    assert request(guarded.control, "ping", PATIENCE_S, keys=keys.of("admin"))["ok"]


def test_a_replayed_handshake_is_refused(guarded: DaemonProcess, keys: Keyring) -> None:
    """What a producer said, said again byte for byte, is refused, and its rows are not learned."""
    port = int(guarded.pull.rpartition(":")[2])
    X, y = rows(50)
    with recorded(port) as relay:
        with Producer(
            relay.endpoint, "digits", timeout_s=PATIENCE_S, keys=keys.of("camera")
        ) as producer:
            producer.send_rows(X, y, 5)
        wait_learned(guarded, keys, 50)
    assert len(relay.said) > X.nbytes
    before = refused(guarded)
    say(port, bytes(relay.said))
    wait(lambda: refused(guarded) > before, guarded)
    send(guarded, 50, 60, keys.of("camera"), PATIENCE_S)
    wait_learned(guarded, keys, 60)


@pytest.mark.parametrize(
    "words", [b"", b"\xff", b"\xff\0\0\0\0\0\0\0\1\x7f\3\0CURVE", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_who_never_finishes_is_cut_off(guarded: DaemonProcess, keys: Keyring, words: bytes) -> None:
    """A connection that proves nothing within security.handshake_s ends, and is counted."""
    port = int(guarded.control.rpartition(":")[2])
    began = time.monotonic()
    say(port, words)
    assert time.monotonic() - began < PATIENCE_S
    wait(lambda: refused(guarded) == 1, guarded)
    assert learned(guarded, keys) == 0


def test_the_list_changes_while_the_daemon_runs(guarded: DaemonProcess, keys: Keyring) -> None:
    """Who is added comes in without a restart, by a changed folder or at SIGHUP."""
    with pytest.raises(NoAnswerError, match=REFUSED):
        send(guarded, 0, 10, keys.stranger(), PATIENCE_S)
    newcomer = keys.add("newcomer", "producer")
    wait_log(guarded, "clients=5")
    send(guarded, 0, 10, newcomer, PATIENCE_S)
    wait_learned(guarded, keys, 10)
    second = keys.add("second", "producer")
    guarded.signal(signal.SIGHUP)
    wait_log(guarded, "clients=6")
    send(guarded, 10, 20, second, PATIENCE_S)
    wait_learned(guarded, keys, 20)


def test_a_revoked_producer_that_is_connected_is_cut_off(
    guarded: DaemonProcess, keys: Keyring
) -> None:
    """Nothing more of it is learned, and it does not come back; another's connection stays."""
    X, y = rows(40)
    with (
        Producer(guarded.pull, "digits", timeout_s=PATIENCE_S, keys=keys.of("camera")) as camera,
        Producer(guarded.pull, "digits", timeout_s=5.0, keys=keys.of("former")) as former,
    ):
        camera.send_rows(X[:10], y[:10], 5)
        wait_learned(guarded, keys, 10)
        former.seq = 10
        former.send_rows(X[10:20], y[10:20], 5)
        wait_learned(guarded, keys, 20)
        keys.revoke("former")
        guarded.signal(signal.SIGHUP)
        wait_log(guarded, "right=producer connections=1")
        former.send_rows(X[20:], y[20:], 5)
        wait(lambda: refused(guarded) >= 1, guarded)
        assert learned(guarded, keys) == 20
        camera.seq = 20
        camera.send_rows(X[20:30], y[20:30], 5)
        wait_learned(guarded, keys, 30)
        with pytest.raises(NoAnswerError):
            former.close()


def test_a_revoked_subscriber_hears_no_more(guarded: DaemonProcess, keys: Keyring) -> None:
    """Its connection is ended, and no other's: another subscriber misses nothing."""
    short_s = 3.0
    with (
        Subscriber(guarded.publish, ["metrics"], PATIENCE_S, keys=keys.of("former")) as former,
        Subscriber(guarded.publish, ["metrics"], PATIENCE_S, keys=keys.of("viewer")) as viewer,
    ):
        next(former)
        next(viewer)
        keys.revoke("former")
        wait_log(guarded, "right=subscriber")
        silent_from = time.time() + short_s
        wait(lambda: next(viewer).t > silent_from, guarded)
        assert viewer.missed == 0
        # What it heard before may still wait in its queue.
        heard = [0.0]
        former._socket.rcvtimeo = 500
        with pytest.raises(NoAnswerError):
            heard.extend(message.t for message in former)
        assert max(heard) < silent_from - short_s / 2


def test_who_is_refused_before_asking_is_told(
    guarded: DaemonProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the refusal comes before the request leaves: no wait without an end."""
    sockets, asked_s, packb = [], [], control.msgpack.packb

    def handshake(socket: zmq.Socket, endpoint: str) -> Handshake:
        sockets.append(socket)
        return Handshake(socket, endpoint)

    def late(request: dict) -> bytes:
        deadline = time.monotonic() + PATIENCE_S
        while sockets[0].poll(10, zmq.POLLOUT):
            assert time.monotonic() < deadline
        sockets[0].sndtimeo = 5000  # to fail, not to hang
        asked_s.append(time.monotonic())
        return packb(request)

    monkeypatch.setattr(control, "Handshake", handshake)
    monkeypatch.setattr(control.msgpack, "packb", late)
    with pytest.raises(NoAnswerError, match="daemon refuses us"):
        request(guarded.control, "ping", PATIENCE_S)
    assert time.monotonic() - asked_s[0] < 4


def test_a_revoked_controller_is_not_answered(guarded: DaemonProcess, keys: Keyring) -> None:
    """Revoked, it gets no new connection; the others' requests are answered."""
    assert request(guarded.control, "ping", PATIENCE_S, keys=keys.of("former"))["ok"]
    keys.revoke("former")
    wait_log(guarded, "allowed clients read")
    with pytest.raises(NoAnswerError, match=REFUSED):
        request(guarded.control, "stop", PATIENCE_S, keys=keys.of("former"))
    assert request(guarded.control, "ping", PATIENCE_S, keys=keys.of("admin"))["ok"]


def test_connections_are_bounded(daemon: Start, digits_file: Path, keys: Keyring) -> None:
    """One connection too many is ended at once; those that were there go on."""
    limits = ("security.max_connections=3", "security.handshake_s=600")
    one = daemon(digits_file, *keys.settings, *limits)
    port = int(one.pull.rpartition(":")[2])
    X, y = rows(30)
    with (
        Producer(one.pull, "digits", timeout_s=PATIENCE_S, keys=keys.of("camera")) as camera,
        ExitStack() as idle,
    ):
        camera.send_rows(X[:10], y[:10], 5)
        wait_learned(one, keys, 10)
        for _ in range(2):
            idle.enter_context(socket.create_connection(("127.0.0.1", port)))
        say(port, b"")
        wait(lambda: refused(one) == 1, one)
        camera.send_rows(X[10:], y[10:], 5)
        wait_learned(one, keys, 30)
    # The idle ones have left without a handshake, and there is room again.
    wait(lambda: refused(one) == 3, one)
    send(one, 30, 40, keys.of("camera"), PATIENCE_S)
    wait_learned(one, keys, 40)


def test_one_address_cannot_take_all_connections(
    daemon: Start, digits_file: Path, keys: Keyring
) -> None:
    """Those from elsewhere still find room; which address it was is in the log."""
    limits = ("security.max_connections_each=2", "security.handshake_s=600")
    one = daemon(digits_file, *keys.settings, *limits)
    place = ("127.0.0.1", int(one.pull.rpartition(":")[2]))
    with ExitStack() as greedy:
        for _ in range(5):
            greedy.enter_context(socket.create_connection(place, source_address=("127.0.0.2", 0)))
        wait(lambda: refused(one) == 3, one)
        assert "security.max_connections_each = 2 from 127.0.0.2" in one.said()
        send(one, 0, 10, keys.of("camera"), PATIENCE_S)
        wait_learned(one, keys, 10)
    # All have left, and there is room for that address again.
    wait(lambda: refused(one) == 5, one)
    with socket.create_connection(place, source_address=("127.0.0.2", 0)) as again:
        again.settimeout(PATIENCE_S)
        assert again.recv(1)


def test_a_client_is_held_to_its_streams_and_its_rate(
    guarded: DaemonProcess, keys: Keyring
) -> None:
    """Rows for another's stream are refused; rows beyond the rate are dropped and counted."""
    file = keys.file("camera")
    text = file.read_text("utf-8")
    file.write_text(f'{text}streams = ["cam0", "lab/*"]\nmax_rows_per_s = 20\n', "utf-8")
    wait_log(guarded, "allowed clients read")
    X, y = rows(400)
    with Producer(guarded.pull, "other", timeout_s=PATIENCE_S, keys=keys.of("camera")) as camera:
        camera.send(X[0], y[0])
        wait(lambda: refused(guarded) == 1, guarded)
        camera.switch("lab/1")
        camera.send(X[0], y[0])
        wait_learned(guarded, keys, 1)
        camera.switch("cam0")
        began = time.monotonic()
        camera.send_rows(X, y, 1)
    dropped = 'streamlearn_samples_dropped_total{reason="rate"}'

    def page() -> dict[str, float]:
        lines = [line for line in guarded.get("/metrics")[1].splitlines() if line[:1] != "#"]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    wait(lambda: page()[dropped] + page()["streamlearn_samples_learned_total"] == 401, guarded)
    most = 1 + 20 * (time.monotonic() - began + 1)
    assert 20 <= page()["streamlearn_samples_learned_total"] <= most
    assert page()["streamlearn_samples_missed_total"] == 0
