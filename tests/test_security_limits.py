"""What an allowed client is held to where rows are acknowledged: its rate, its names."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import zmq
from click.testing import CliRunner
from daemons import Start, rows
from guarded import acknowledged, metric, wait_learned
from keyring import PATIENCE_S, Keyring

from streamlearn.bench.process import DaemonProcess
from streamlearn.cli import main
from streamlearn.client import Producer
from streamlearn.errors import RejectedError
from streamlearn.store.dead import DeadLetters
from streamlearn.wire.acknowledged import Answer, Hello, decode_answer, encode_hello
from streamlearn.wire.keys import ClientKeys
from streamlearn.wire.message import Label, Sample, encode

AUTH = 'samples_rejected_total{reason="auth"}'


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    """Make two producers, and one who asks."""
    return Keyring(tmp_path / "keys", camera=("producer",), other=("producer",), admin=("control",))


@pytest.fixture
def guarded(
    daemon: Start, digits_file: Path, endpoint: Callable[[], str], keys: Keyring
) -> DaemonProcess:
    """Start a daemon that acknowledges, for those in the list."""
    return daemon(digits_file, *keys.settings, f"ingest.router={endpoint()}")


def router(one: DaemonProcess) -> str:
    """Its `ingest.router`."""
    return next(word.partition("=")[2] for word in one.command if "ingest.router=" in word)


def hold(one: DaemonProcess, keys: Keyring, name: str, more: str) -> None:
    """Write more into a client's file, and wait until the daemon has read it."""
    said = one.said().count("allowed clients read")
    file = keys.file(name)
    file.write_text(f"{file.read_text('utf-8')}{more}\n", "utf-8")
    deadline = time.monotonic() + PATIENCE_S
    while one.said().count("allowed clients read") == said:
        assert time.monotonic() < deadline, one.said()
        time.sleep(0.02)


def _told(one: DaemonProcess) -> str:
    lines = one.get("/metrics")[1].splitlines()
    return "; ".join(line for line in lines if line.startswith("streamlearn_samples"))


class Bare:
    """A DEALER with keys that keeps to no credit."""

    def __init__(self, one: DaemonProcess, keys: Path) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger = 0
        ClientKeys.read(keys).arm(self.socket)
        self.socket.connect(router(one))

    def hello(self, producer: str, **more: int) -> Answer:
        """Say hello and hear what is answered."""
        self.socket.send_multipart(encode_hello(Hello("digits", producer, **more)))
        return self.hear()

    def hear(self) -> Answer:
        """The next answer."""
        assert self.socket.poll(1000 * PATIENCE_S), "no answer"
        answer = decode_answer(self.socket.recv())
        assert answer is not None
        return answer

    def rows(self, producer: str, seq: int, n: int = 1, shape: tuple[int, ...] = (8, 8)) -> None:
        """Send rows."""
        x = np.ones((n, *shape), "|u1")
        message = Sample("digits", producer, seq, n, np.nan, x, None)
        self.socket.send_multipart(encode(message))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self._context.term()


def test_a_greedy_producer_slows_itself_alone(guarded: DaemonProcess, keys: Keyring) -> None:
    """Held to a rate it waits for credit: every row is learned, none dropped; others go on."""
    hold(guarded, keys, "other", "max_rows_per_s = 200")
    X, y = rows(700)
    ended: list[float] = []

    def greedy() -> None:
        with acknowledged(router(guarded), "other", keys.of("other")) as other:
            other.send_rows(X, y, 1)
            assert other.flush(PATIENCE_S)
        ended.append(time.monotonic())

    began = time.monotonic()
    thread = threading.Thread(target=greedy)
    thread.start()
    with acknowledged(router(guarded), "camera", keys.of("camera")) as camera:
        camera.send_rows(X, y, 1)
        assert camera.flush(PATIENCE_S)
    fast_s = time.monotonic() - began
    thread.join()
    wait_learned(guarded, keys, 1400)
    slow_s = ended[0] - began
    # A second's burst, and one message in debt.
    assert slow_s >= (700 - 200 - 1) / 200
    assert fast_s < slow_s / 2
    assert metric(guarded, keys, 'samples_dropped_total{reason="rate"}') == 0
    assert metric(guarded, keys, AUTH) == 0


def test_all_streams_of_a_client_share_its_rate(guarded: DaemonProcess, keys: Keyring) -> None:
    """Ten producers with one key come no further in a time than one, plus a message each."""
    hold(guarded, keys, "other", "max_rows_per_s = 100")
    X, _ = rows(10)
    began = time.monotonic()
    producers = [
        acknowledged(router(guarded), f"p{i}", keys.of("other"), patience_s=PATIENCE_S)
        for i in range(10)
    ]
    for i in range(30):
        for producer in producers:
            producer.send(X[i % 10])
    for producer in producers:
        producer.close()
    assert time.monotonic() - began >= (300 - 100 - 10) / 100
    wait_learned(guarded, keys, 300)


def test_who_sends_on_without_credit_is_not_taken(guarded: DaemonProcess, keys: Keyring) -> None:
    """Far beyond its rate rows are refused under auth and not settled; sent again, they count."""
    hold(guarded, keys, "other", "max_rows_per_s = 50")
    with Bare(guarded, keys.of("other")) as rude:
        assert rude.hello("other").credit > 0
        for i in range(12):
            rude.rows("other", 1000 * i, 1000)
        deadline = time.monotonic() + PATIENCE_S
        while metric(guarded, keys, AUTH) < 5:
            assert time.monotonic() < deadline, _told(guarded)
            time.sleep(0.02)
    with acknowledged(router(guarded), "other", keys.of("other")) as other:
        taken = other.seq
    assert 1000 <= taken <= 50 + 4096 + 1000
    wait_learned(guarded, keys, taken)
    assert metric(guarded, keys, "samples_missed_total") == 0
    assert metric(guarded, keys, "dead_letters_total") == 0


def test_a_key_speaks_for_its_own_producers(guarded: DaemonProcess, keys: Keyring) -> None:
    """Neither a hello, nor rows, labels, wrong rows move another's numbers; each is counted."""
    hold(guarded, keys, "other", 'producers = ["other", "desk/*"]')
    X, y = rows(20)
    with acknowledged(router(guarded), "camera", keys.of("camera")) as camera:
        camera.send_rows(X[:10], y[:10])
        assert camera.flush(PATIENCE_S)
        with Bare(guarded, keys.of("other")) as rude:
            answer = rude.hello("camera", first=1_000_000)
            assert (answer.kind, answer.n, answer.reason) == ("reject", 0, "auth")
            rude.rows("camera", 10)
            rude.rows("camera", 10, shape=(63,))
            label = Label("digits", "camera", 0, np.zeros(1, np.int32))
            rude.socket.send_multipart(encode(label))
            assert rude.hello("desk/1").kind == "welcome"
        assert metric(guarded, keys, AUTH) == 3  # the wrong rows count as wrong
        assert metric(guarded, keys, 'samples_rejected_total{reason="shape"}') == 1
        assert metric(guarded, keys, "dead_letters_total") == 0
        assert camera.send(X[10:], y[10:]) == 10
        assert camera.flush(PATIENCE_S)
        assert camera.durable_seq == 20
    wait_learned(guarded, keys, 20)
    assert metric(guarded, keys, "samples_missed_total") == 0


@pytest.mark.parametrize("more", ['producers = ["camera"]', 'streams = ["lab/*"]'])
def test_a_producer_is_told_that_it_may_not(
    guarded: DaemonProcess, keys: Keyring, more: str
) -> None:
    """It does not wait for ever: `send` says what its file in the list does not allow."""
    hold(guarded, keys, "other", more)
    X, _ = rows(1)
    other = acknowledged(router(guarded), "other", keys.of("other"))
    with pytest.raises(RejectedError, match=r"auth: .*'digits'.*'other'.*does not allow"):
        other.send(X[0])
    other._way.release()


def test_a_plain_producer_speaks_for_itself(guarded: DaemonProcess, keys: Keyring) -> None:
    """At ingest.pull, too, also where a message names nobody; it holds when the list changes."""
    X, y = rows(30)
    with Producer(
        guarded.pull, "digits", "camera", timeout_s=PATIENCE_S, keys=keys.of("other")
    ) as other:
        other.send_rows(X[:5], y[:5])
        wait_learned(guarded, keys, 5)
        hold(guarded, keys, "other", 'producers = ["other"]')
        other.send_rows(X[5:10], y[5:10])
        other.heartbeat()
    for name in (None, "other"):
        with Producer(
            guarded.pull, "digits", name, timeout_s=PATIENCE_S, keys=keys.of("other")
        ) as other:
            other.send_rows(X[10:20], y[10:20])
    wait_learned(guarded, keys, 15)
    assert metric(guarded, keys, AUTH) == 3


def test_a_changed_binding_parts_with_who_spoke(guarded: DaemonProcess, keys: Keyring) -> None:
    """Bound to another name while connected, not a row more of it is settled."""
    X, y = rows(20)
    other = acknowledged(router(guarded), "camera", keys.of("other"), patience_s=3.0)
    other.send_rows(X[:10], y[:10])
    assert other.flush(PATIENCE_S)
    hold(guarded, keys, "other", 'producers = ["other"]')
    other.send_rows(X[10:], y[10:])
    assert not other.flush(1.0)
    other._way.release()
    with acknowledged(router(guarded), "camera", keys.of("camera")) as camera:
        assert camera.seq == 10
    assert metric(guarded, keys, AUTH) >= 1


def test_dead_letters_are_sent_again_with_keys(guarded: DaemonProcess, keys: Keyring) -> None:
    """`dead retry --keys` needs a key that may speak for PRODUCER.again; else all stay."""
    with acknowledged(router(guarded), "camera", keys.of("camera")) as camera:
        camera.send(np.full((8, 8), np.nan, "<f4"))
        assert camera.flush(PATIENCE_S)
    assert metric(guarded, keys, "dead_letters_total") == 1
    hold(guarded, keys, "other", 'producers = ["other"]')
    run, state = CliRunner(), str(guarded.state)
    command = ["dead", "retry", state, "--all", "--to", router(guarded), "--keys"]
    done = run.invoke(main, [*command, str(keys.of("other"))])
    assert done.exit_code != 0
    assert len(DeadLetters(guarded.state).numbers()) == 1
    before = metric(guarded, keys, AUTH)
    assert before >= 1
    done = run.invoke(main, [*command, str(keys.of("camera"))])
    assert "refused again: 1" in done.output
    assert metric(guarded, keys, AUTH) == before
