"""The daemon end to end: real processes, real sockets, real signals, real state folders."""

import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from daemons import (
    PATIENCE_S,
    Start,
    page_when,
    play,
    rows,
    status_when,
    uninterrupted,
    wait_for_subscriber,
)

from streamlearn.client import Producer, Subscriber
from streamlearn.store.describe import describe
from streamlearn.wire.control import request
from streamlearn.wire.published import Embedding, Event, Metrics, Prediction


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


def test_json_logs_are_one_object_a_line(daemon: Start, digits_file: Path) -> None:
    """observe.log = "json": every line parses and has time, level and message."""
    one = daemon(digits_file, "observe.log=json")
    assert one.stop() == 0
    lines = [json.loads(line) for line in one.log.read_text().splitlines()]
    assert {"ready", "draining", "stopped"} <= {line["message"] for line in lines}
    assert all({"time", "level"} <= line.keys() for line in lines)


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
