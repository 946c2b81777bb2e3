"""The daemon in the way of harm: wrong starts, damaged state, signals, a full disk, a flood."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from daemons import PATIENCE_S, Start, play, rows, status_when, wait_log

from streamlearn.bench.process import DaemonProcess
from streamlearn.client import Producer
from streamlearn.errors import NoAnswerError
from streamlearn.store.describe import describe
from streamlearn.wire.control import request


def test_sighup_takes_what_can_change_and_says_what_cannot(
    daemon: Start, digits_file: Path
) -> None:
    """Edit, send SIGHUP: live keys change, others are named, a broken file changes none."""
    one = daemon(digits_file)
    text = digits_file.read_text()
    digits_file.write_text(text.replace("units = 24", "units = 25") + "keep = 7\n")
    one.signal(signal.SIGHUP)
    wait_log(one, "restart to change it")
    wait_log(one, "key=store.keep")
    digits_file.write_text("[stream")
    one.signal(signal.SIGHUP)
    wait_log(one, "not reloaded")
    assert request(one.control, "ping", timeout_s=PATIENCE_S)["state"] == "ready"


def test_a_changed_configuration_is_refused_and_the_state_kept(
    daemon: Start, digits_file: Path
) -> None:
    """A checkpoint of other units is not taken: exit 1, the key named with both values."""
    one = daemon(digits_file)
    play(one, 0, 30)
    one.stop()
    before = describe(one.state)
    one.command += ["--set", "layer.0.units=25"]
    one.start()
    assert one.wait() == 1
    assert "layer[0].units" in one.said()
    assert "24" in one.said()
    assert "25" in one.said()
    assert describe(one.state)["digest"] == before["digest"]


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    daemon: Start, digits_file: Path
) -> None:
    """One flipped byte in the newest: the daemon says so and goes on from the one before."""
    one = daemon(digits_file)
    play(one, 0, 30)
    request(one.control, "checkpoint", timeout_s=PATIENCE_S)
    play(one, 30, 60)
    one.stop()
    newest = max(one.state.glob("checkpoint-*")) / "arrays.safetensors"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    one.start()
    one.wait_ready()
    assert request(one.control, "status", timeout_s=PATIENCE_S)["rows_learned"] == 30
    assert newest.parent.name in one.said()


@pytest.mark.parametrize("key", ["ingest.pull", "publish.bind", "control.bind", "observe.bind"])
def test_a_taken_port_is_a_clear_error(daemon: Start, digits_file: Path, key: str) -> None:
    """Exit 3 with the key, the address and the way out; the state is as it was."""
    first = daemon(digits_file)
    taken = {
        "ingest.pull": first.pull,
        "publish.bind": first.publish,
        "control.bind": first.control,
        "observe.bind": first.observe,
    }[key]
    second = daemon(digits_file, f"{key}={taken}", ready=False)
    assert second.wait() == 3
    assert key in second.said()
    assert taken in second.said()
    assert "Traceback" not in second.said()


def test_one_state_folder_has_one_daemon(daemon: Start, digits_file: Path) -> None:
    """A second daemon on the same folder ends with exit 3 and leaves the first alone."""
    first = daemon(digits_file)
    second = daemon(digits_file, f"store.dir={first.state}", ready=False)
    assert second.wait() == 3
    assert "store.dir" in second.said()
    assert request(first.control, "ping", timeout_s=PATIENCE_S)["ok"]


def test_readiness_tells_why_not(daemon: Start, digits_file: Path) -> None:
    """/livez answers from the start, /readyz says what it waits for, then 200."""
    one = daemon(digits_file, ready=False)
    deadline = time.monotonic() + PATIENCE_S
    seen = set()
    while time.monotonic() < deadline:
        seen.add(one.get("/readyz"))
        if (200, "ready\n") in seen:
            break
    assert (200, "ready\n") in seen
    assert one.get("/livez")[0] == 200
    others = {text for code, text in seen if code == 503}
    assert others <= {"compiling\n", "recovering\n", "opening\n"}


def test_a_second_signal_ends_it_at_once(daemon: Start, digits_file: Path) -> None:
    """Who does not want to wait for the drain sends the signal again: exit 130."""
    one = daemon(digits_file, "pipeline.ring_rows=64")
    one.signal(signal.SIGSTOP)
    one.signal(signal.SIGTERM)
    one.signal(signal.SIGINT)
    one.signal(signal.SIGCONT)
    assert one.wait() in (130, 0)


def test_a_full_disk_keeps_learning_and_the_state(daemon: Start, digits_file: Path) -> None:
    """A checkpoint that cannot be written is an error of that moment; the older one stays."""
    one = daemon(digits_file)
    play(one, 0, 30)
    request(one.control, "checkpoint", timeout_s=PATIENCE_S)
    good = describe(one.state)
    blocker = one.state / f"checkpoint-{2:08d}"
    blocker.write_text("a file where a folder must go")
    play(one, 30, 60)
    answer = request(one.control, "checkpoint", timeout_s=PATIENCE_S)
    assert answer["ok"] is False or describe(one.state)["rows_learned"] == 60
    assert describe(one.state)["rows_learned"] >= good["rows_learned"]
    assert request(one.control, "ping", timeout_s=PATIENCE_S)["state"] == "ready"


def test_a_silent_control_address_is_an_error_in_time(endpoint: Callable[[], str]) -> None:
    """Asking nobody ends with the way out, not with a hanging command."""
    with pytest.raises(NoAnswerError):
        request(endpoint(), "ping", timeout_s=0.2)


@pytest.fixture
def flood(digits_file: Path) -> Iterator[Callable[[DaemonProcess], None]]:
    """Send rows faster than they are learned, from a thread, until the test ends."""
    _ = digits_file
    end, threads = threading.Event(), []

    def send(one: DaemonProcess) -> None:
        X, y = rows(1000)
        with suppress(NoAnswerError), Producer(one.pull, "flood", timeout_s=1.0) as producer:
            while not end.is_set():
                producer.send_rows(X, y, 100)

    def start(one: DaemonProcess) -> None:
        threads.append(threading.Thread(target=send, args=(one,), name="flood"))
        threads[-1].start()

    yield start
    end.set()
    for thread in threads:
        thread.join()


def test_a_checkpoint_and_a_stop_do_not_wait_for_a_quiet_moment(
    daemon: Start, digits_file: Path, flood: Callable[[DaemonProcess], None]
) -> None:
    """With senders held up by a full ring: checkpoints are taken, SIGTERM ends it in good time."""
    one = daemon(digits_file, "pipeline.ring_rows=64")
    flood(one)
    status_when(one, 1000)
    first = request(one.control, "checkpoint", timeout_s=PATIENCE_S)
    assert first["rows_learned"] >= 1000
    status_when(one, first["rows_learned"] + 1000)
    began = time.monotonic()
    assert one.stop() == 0
    assert time.monotonic() - began < PATIENCE_S / 2
    assert describe(one.state)["rows_learned"] > first["rows_learned"]


def test_an_order_during_the_drain_is_refused_and_holds_nothing_up(
    daemon: Start, digits_file: Path
) -> None:
    """`stop`, then at once `checkpoint`: an answer or silence, and an end in good time."""
    one = daemon(digits_file)
    request(one.control, "stop", timeout_s=PATIENCE_S)
    with suppress(NoAnswerError):
        assert "ok" in request(one.control, "checkpoint", timeout_s=2.0)
    assert one.wait(PATIENCE_S) == 0
