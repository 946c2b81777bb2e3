"""The daemon end to end: real processes, real sockets, real signals, real state folders."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from streamlearn.bench.process import DaemonProcess
from streamlearn.client import Producer, Subscriber
from streamlearn.config import load as load_config
from streamlearn.data import load
from streamlearn.errors import NoAnswerError
from streamlearn.evaluate import evaluate
from streamlearn.plan import CATALOGUE
from streamlearn.store.describe import describe
from streamlearn.wire.control import request
from streamlearn.wire.published import Embedding, Event, Metrics, Prediction

Start = Callable[..., DaemonProcess]
PATIENCE_S = 30.0

DIGITS = """
[stream]
shape = [8, 8]
dtype = "|u1"
classes = 10
[[prepare]]
step = "unit_norm"
[[layer]]
rule = "hebbian"
units = 24
[[head]]
kind = "softmax"
[publish]
embeddings_every_rows = 10
metrics_every_s = 0.1
[store]
checkpoint_every_s = 0
"""


@pytest.fixture
def digits_file(config_file: Callable[..., Path]) -> Path:
    """A small learner of digits."""
    return config_file(DIGITS, "digits.toml")


def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first rows and labels of optdigits."""
    data = load("optdigits").train.first(count)
    return data.X, data.y


def status_when(one: DaemonProcess, learned: int) -> dict:
    """The status once that many rows are learned."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        status = request(one.control, "status", timeout_s=PATIENCE_S)
        if status["rows_learned"] >= learned:
            return status
    raise AssertionError(f"{learned} rows were not learned: {one.said()}")


def play(one: DaemonProcess, begin: int, end: int, **more: object) -> None:
    """Send rows begin:end of optdigits and wait until they are learned."""
    X, y = rows(end)
    with Producer(one.pull, "digits", timeout_s=PATIENCE_S) as producer:
        producer.seq = begin
        producer.send_rows(X[begin:], y[begin:], 5)
    status_when(one, end)


def uninterrupted(config: Path, count: int) -> dict:
    """What evaluate makes of the first rows."""
    return evaluate(load_config(config, CATALOGUE), load("optdigits"), limit=count)


def test_a_sample_goes_from_a_socket_to_a_published_prediction(
    daemon: Start, digits_file: Path
) -> None:
    """Producer in, subscriber out: each row once, in order, with its label, scores and number."""
    one = daemon(digits_file)
    _, y = rows(200)
    with Subscriber(one.publish, ["prediction/digits", "embedding/"], PATIENCE_S) as subscriber:
        wait_for_subscriber(one)
        play(one, 0, 200)
        predictions, embeddings = [], []
        while sum(len(p.y) for p in predictions) < 200:
            message = next(subscriber)
            (predictions if isinstance(message, Prediction) else embeddings).append(message)
    assert np.concatenate([p.y for p in predictions]).tolist() == y.tolist()
    numbers = [p.seq + i for p in predictions for i in range(len(p.y))]
    assert numbers == list(range(200))
    scores = np.concatenate([p.scores for p in predictions])
    assert scores.argmax(axis=1).tolist() == [k for p in predictions for k in p.y_pred.tolist()]
    assert scores.sum(axis=1) == pytest.approx(1.0, abs=1e-3)
    assert {e.seq % 10 for e in embeddings if isinstance(e, Embedding)} == {0}
    assert embeddings[0].layer == "layer1"
    assert embeddings[0].x.shape == (1, 24)


def wait_for_subscriber(one: DaemonProcess) -> None:
    """Wait until the daemon publishes for somebody: figures go out only when wanted."""
    with Subscriber(one.publish, ["metrics"], PATIENCE_S) as probe:
        assert isinstance(next(probe), Metrics)


def test_the_digest_is_that_of_evaluate_across_a_restart(daemon: Start, digits_file: Path) -> None:
    """Stop in mid-stream, start again, go on: the same weights as one uninterrupted run."""
    one = daemon(digits_file)
    play(one, 0, 150)
    assert one.stop() == 0
    halfway = describe(one.state)
    assert halfway["rows_learned"] == 150
    assert halfway["digest"] == uninterrupted(digits_file, 150)["digest"]
    one.start()
    one.wait_ready()
    play(one, 150, 400)
    assert one.stop() == 0
    expected = uninterrupted(digits_file, 400)
    assert describe(one.state)["digest"] == expected["digest"]
    assert describe(one.state)["rows_learned"] == 400


def test_figures_go_on_after_a_restart(daemon: Start, digits_file: Path) -> None:
    """The running error after a restart is that of the whole stream, on page and in status."""
    one = daemon(digits_file)
    play(one, 0, 150)
    one.stop()
    one.start()
    one.wait_ready()
    play(one, 150, 400)
    status = status_when(one, 400)
    expected = uninterrupted(digits_file, 400)["prequential"]
    assert status["prequential"] == pytest.approx(expected)
    page = page_when(one, "streamlearn_labelled_total 400.0")
    assert f'streamlearn_prequential_error{{window="all"}} {expected["error"]}' in page


def page_when(one: DaemonProcess, line: str) -> str:
    """The metrics page once it holds a line."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        page = one.get("/metrics")[1]
        if line in page:
            return page
    raise AssertionError(f"{line} is not on the page:\n{page}")


def test_late_labels_are_learned_and_score_what_was_published(
    daemon: Start, digits_file: Path
) -> None:
    """Rows without labels, labels after them: figures and weights follow; too late is counted."""
    one = daemon(digits_file, "labels.keep_rows=50")
    X, y = rows(100)
    with Producer(one.pull, "digits", timeout_s=PATIENCE_S) as producer:
        producer.send_rows(X, None, 10)
        producer.label(0, y[:50])
        producer.label(50, y[50:])
    page = page_when(one, "streamlearn_labelled_total 50.0")
    assert 'streamlearn_labels_late_total{outcome="learned"} 50.0' in page
    assert 'streamlearn_labels_late_total{outcome="dropped"} 50.0' in page
    assert 'streamlearn_prequential_error{window="all"} 1.0' not in page
    untaught = request(one.control, "status", timeout_s=PATIENCE_S)["prequential"]["error"]
    # Nothing had been learned from a label when these rows were predicted.
    assert untaught > 0.6


def test_control_answers_and_commands(daemon: Start, digits_file: Path) -> None:
    """Every verb on a running daemon: what it says, what it changes, what it refuses."""
    one = daemon(digits_file)
    ask = lambda verb, **more: request(one.control, verb, timeout_s=PATIENCE_S, **more)  # noqa: E731
    play(one, 0, 60)
    assert ask("ping")["state"] == "ready"
    X, _ = rows(2)
    answer = ask("infer", rows=X.tolist(), **{"as": "lists"})
    raw = ask("infer", rows=X.tobytes(), dtype="|u1", shape=[2, 8, 8])
    assert np.frombuffer(raw["scores"], "<f4").tolist() == pytest.approx(
        [s for row in answer["scores"] for s in row]
    )
    assert raw["embedding_shape"] == [2, 24]
    assert ask("status")["rows_learned"] == 60
    saved = ask("checkpoint")
    assert saved["rows_learned"] == 60
    assert ask("status")["digest"] == saved["digest"] == describe(one.state)["digest"]
    assert ask("freeze", layer="layer1")["frozen"] is True
    play(one, 60, 90)
    frozen = ask("status")
    assert frozen["frozen"] == ["layer/layer1"]
    assert ask("thaw", layer="layer1")["frozen"] is False
    assert ask("set", key="store.keep", value=1)["value"] == 1
    for verb, more, says in (
        ("set", {"key": "stream.shape", "value": [2]}, "cannot change while running"),
        ("freeze", {"layer": "layer9"}, "expected one of layer1"),
        ("infer", {"rows": [[1, 2]]}, "expected rows of shape"),
        ("infer", {"rows": b"123", "dtype": "<f9", "shape": [1]}, "dtype"),
        ("checkpont", {}, "checkpoint"),
    ):
        refused = ask(verb, **more)
        assert refused["ok"] is False
        assert says in refused["error"] + refused.get("hint", "")
    assert ask("stop")["ok"]
    assert one.wait() == 0


def test_pause_holds_the_stream_and_resume_goes_on(daemon: Start, digits_file: Path) -> None:
    """While paused nothing is learned, nothing is lost, readiness says why."""
    one = daemon(digits_file)
    request(one.control, "pause", timeout_s=PATIENCE_S)
    X, y = rows(40)
    with Producer(one.pull, "digits", timeout_s=PATIENCE_S) as producer:
        producer.send_rows(X, y, 10)
        assert one.get("/readyz") == (503, "paused\n")
        assert request(one.control, "status", timeout_s=PATIENCE_S)["rows_learned"] == 0
        request(one.control, "resume", timeout_s=PATIENCE_S)
        assert status_when(one, 40)["state"] == "ready"


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


def wait_log(one: DaemonProcess, words: str) -> None:
    """Wait until the daemon has said some words."""
    deadline = time.monotonic() + PATIENCE_S
    while words not in one.said():
        assert time.monotonic() < deadline, one.said()


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


def test_events_tell_the_story(daemon: Start, digits_file: Path) -> None:
    """A subscriber to `event` hears of checkpoints, rejections and the end."""
    one = daemon(digits_file)
    heard: list[Event] = []
    with Subscriber(one.publish, ["event", "metrics"], PATIENCE_S) as subscriber:
        while not isinstance(next(subscriber), Metrics):
            continue
        with Producer(one.pull, "digits", timeout_s=PATIENCE_S) as producer:
            producer.send(np.zeros((8, 9), np.uint8))
        request(one.control, "checkpoint", timeout_s=PATIENCE_S)
        while not {"checkpoint", "rejected"} <= {event.name for event in heard}:
            message = next(subscriber)
            heard += [message] if isinstance(message, Event) else []
        one.signal(signal.SIGTERM)
        while "stopping" not in {event.name for event in heard}:
            message = next(subscriber)
            heard += [message] if isinstance(message, Event) else []
    rejected = next(event for event in heard if event.name == "rejected")
    assert rejected.data == {"reason": "shape", "count": 1}


def test_sub_ingest_drops_the_oldest_and_counts(daemon: Start, digits_file: Path) -> None:
    """Newest data wins: rows of a publisher arrive, gaps in seq are counted as missed."""
    one = daemon(digits_file, f"ingest.sub=ipc://{digits_file.parent}/sub.ipc")
    X, y = rows(30)
    with Producer(
        f"ipc://{digits_file.parent}/sub.ipc", "digits", kind="pub", timeout_s=PATIENCE_S
    ) as producer:
        producer.send_rows(X[:10], y[:10], 1)
        producer.seq = 17
        producer.send_rows(X[10:], y[10:], 1)
        status_when(one, 30)
    assert "streamlearn_samples_missed_total 7.0" in page_when(one, "missed_total 7.0")


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


def test_json_logs_are_one_object_a_line(daemon: Start, digits_file: Path) -> None:
    """observe.log = "json": every line parses and has time, level and message."""
    one = daemon(digits_file, "observe.log=json")
    assert one.stop() == 0
    lines = [json.loads(line) for line in one.log.read_text().splitlines()]
    assert {"ready", "draining", "stopped"} <= {line["message"] for line in lines}
    assert all({"time", "level"} <= line.keys() for line in lines)


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


def test_late_labels_alone_are_worth_a_checkpoint(daemon: Start, digits_file: Path) -> None:
    """What was learned from labels that came late is saved as soon as what rows taught."""
    one = daemon(digits_file, "store.checkpoint_every_s=1")
    X, y = rows(40)
    with Producer(one.pull, "digits", timeout_s=PATIENCE_S) as producer:
        producer.send_rows(X, None, 10)
        page_when(one, "streamlearn_checkpoint_rows 40.0")
        before = describe(one.state)["digest"]
        producer.label(0, y)
    deadline = time.monotonic() + PATIENCE_S
    while describe(one.state)["digest"] == before:
        assert time.monotonic() < deadline, one.said()


def test_a_thawed_layer_stays_thawed_across_a_restart(daemon: Start, digits_file: Path) -> None:
    """What control changed last is what the checkpoint says, whatever the file began with."""
    one = daemon(digits_file, "layer.0.frozen=true")
    request(one.control, "thaw", layer="layer1", timeout_s=PATIENCE_S)
    play(one, 0, 20)
    one.stop()
    one.start()
    one.wait_ready()
    assert request(one.control, "status", timeout_s=PATIENCE_S)["frozen"] == []
