"""Forward-Forward in a running daemon: asleep while nothing comes, frozen, fed with rubbish."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from streamlearn.bench.process import DaemonProcess
from streamlearn.client import Producer
from streamlearn.config import load as load_config
from streamlearn.data import load
from streamlearn.evaluate import evaluate, offer
from streamlearn.learner import Learner
from streamlearn.plan import CATALOGUE
from streamlearn.store.describe import describe
from streamlearn.wire.control import request
from streamlearn.wire.message import Sample

Start = Callable[..., DaemonProcess]
PATIENCE_S = 60.0
ROWS = 120

STREAM = """
[stream]
shape = [8, 8]
dtype = "|u1"
classes = 10
[store]
checkpoint_every_s = 0
[[head]]
kind = "softmax"
"""
APART = """
[[layer]]
rule = "forward_forward"
labels = "none"
units = 20
phases = "apart"
wake_rows = 1000
[[layer]]
rule = "forward_forward"
labels = "none"
units = 12
phases = "apart"
wake_rows = 1000
"""


def digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first rows and labels of optdigits."""
    rows = load("optdigits").train.first(count)
    assert rows.y is not None
    return rows.X, rows.y


def send(one: DaemonProcess, begin: int, end: int) -> None:
    """Send rows begin:end of optdigits in one message and wait until they are learned."""
    x, y = digits(end)
    with Producer(one.pull, "digits", timeout_s=PATIENCE_S) as producer:
        producer.seq = begin
        producer.send_rows(x[begin:], y[begin:], end - begin)
    wait_for(one, lambda: ask(one, "status")["rows_learned"] == end)


def ask(one: DaemonProcess, verb: str, **more: object) -> dict:
    """An answer of the control socket."""
    answer = request(one.control, verb, timeout_s=PATIENCE_S, **more)
    assert answer["ok"], answer
    return answer


def wait_for(one: DaemonProcess, true: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, one.said()


def saved(one: DaemonProcess) -> str:
    """The digest of a checkpoint that is taken now."""
    digest: str = ask(one, "checkpoint")["digest"]
    return digest


@contextmanager
def in_process(file: Path) -> Iterator[Learner]:
    """The same learner without a daemon, after the first rows."""
    learner = Learner(load_config(file, CATALOGUE))
    learner.assemble()
    learner.warm()
    learner.pipeline.start()
    try:
        x, y = digits(ROWS)
        offer(learner, Sample("digits", "", 0, ROWS, 0.0, x.reshape(ROWS, -1), y))
        assert learner.pipeline.wait_done(PATIENCE_S)
        yield learner
    finally:
        learner.pipeline.close()


def test_a_daemon_sleeps_on_while_nothing_comes_and_after_a_restart(
    daemon: Start, config_file: Callable[..., Path]
) -> None:
    """What was kept awake is dreamt to its end, each once, though a stop falls in between.

    Then it rests, and learns what comes next.
    """
    file = config_file(STREAM + APART, "apart.toml")
    with in_process(file) as learner:
        awake = learner.digest()
        assert learner.intake.dream(10 * ROWS, quiet_s=0.0) == 10 * ROWS
        assert learner.pipeline.wait_done(PATIENCE_S)
        asleep = learner.digest()
    assert asleep != awake
    one = daemon(file)
    send(one, 0, ROWS)
    assert saved(one) == awake, "nobody asked it to dream yet"
    assert one.stop() == 0
    one.command += ["--set", "ingest.dream_after_s=0.1", "--set", "ingest.dream_rows=40"]
    one.start()
    one.wait_ready(PATIENCE_S)
    wait_for(one, lambda: saved(one) != awake)
    assert one.stop() == 0
    halfway = describe(one.state)
    assert halfway["rows_learned"] == ROWS
    assert halfway["digest"] != asleep, "a second's dreams are not all of them"
    one.start()
    one.wait_ready(PATIENCE_S)
    wait_for(one, lambda: saved(one) == asleep)
    rested = time.monotonic() + 2.5  # two more moments in which it might dream
    while time.monotonic() < rested:
        assert saved(one) == asleep
    send(one, ROWS, ROWS + 30)
    assert saved(one) != asleep
    assert one.stop() == 0
    assert describe(one.state)["rows_learned"] == ROWS + 30


FAMILY = {
    "projection": """
[[layer]]
rule = "forward_forward"
units = 20
""",
    "overlay": """
[[layer]]
rule = "forward_forward"
labels = "overlay"
units = 20
""",
    "fields": """
[[layer]]
rule = "forward_forward_fields"
labels = "blocks"
units = 10
field = 3
stride = 1
pool = 2
""",
    "top-down": """
[[layer]]
rule = "forward_forward_top_down"
labels = "overlay"
units = [12, 8]
steps = 4
frames = 1
carry = false
""",
}


@pytest.mark.parametrize("name", FAMILY)
def test_labels_outside_the_classes_are_counted_and_nothing_else(
    name: str, daemon: Start, config_file: Callable[..., Path]
) -> None:
    """Rows with such labels are refused by reason; the weights are those of the others alone."""
    file = config_file(STREAM + FAMILY[name], "family.toml")
    one = daemon(file)
    send(one, 0, 60)
    x, _ = digits(7)
    with Producer(one.pull, "stranger", timeout_s=PATIENCE_S) as producer:
        producer.send_rows(x, np.array([10, 99, 10, 10, 1000, 10, 10], np.int32), 1)
    line = 'streamlearn_samples_rejected_total{reason="label"} 7.0'
    wait_for(one, lambda: line in one.get("/metrics")[1])
    send(one, 60, 200)
    assert one.stop() == 0
    expected = evaluate(load_config(file, CATALOGUE), load("optdigits"), limit=200)
    assert describe(one.state)["digest"] == expected["digest"]


BOX = '''
def moody(x):
    """Each wrong in its own way on a tenth of the digits."""
    kind = int(x.sum()) % 10
    if kind == 1:
        raise RuntimeError("out of order")
    if kind == 2:
        return x[:, :3]
    return x * float("nan") if kind == 3 else x
'''
ABOVE = {
    "overlay": """
[[layer]]
rule = "black_box"
name = "box"
function = "moodybox:moody"
[[layer]]
rule = "forward_forward"
labels = "overlay"
units = 20
[[layer]]
rule = "forward_forward"
labels = "overlay"
units = 12
""",
    "fields": """
[[layer]]
rule = "black_box"
name = "box"
function = "moodybox:moody"
[[layer]]
rule = "forward_forward_fields"
negatives = "pairing"
units = 6
field = 3
stride = 1
pool = 2
[[layer]]
rule = "forward_forward"
units = 12
""",
    "top-down": """
[[layer]]
rule = "black_box"
name = "box"
function = "moodybox:moody"
[[layer]]
rule = "forward_forward_top_down"
units = [12, 8]
[[layer]]
rule = "forward_forward"
labels = "none"
units = 12
""",
}


@pytest.mark.parametrize("name", ABOVE)
def test_a_black_box_that_fails_is_counted_and_the_daemon_goes_on(
    name: str,
    daemon: Start,
    config_file: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It throws, gives a wrong width, NaN, across a restart: each fault is on the page.

    Both layers above go on learning, as they would without sockets.
    """
    (tmp_path / "moodybox.py").write_text(BOX, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    file = config_file(STREAM + ABOVE[name], "box.toml")
    one = daemon(file)
    send(one, 0, 120)
    half = saved(one)
    assert one.stop() == 0
    one.start()
    one.wait_ready(PATIENCE_S)
    send(one, 120, 300)
    ink = digits(300)[0].reshape(300, -1).sum(axis=1, dtype=int) % 10
    for kind, fault in ((1, "throws"), (2, "width"), (3, "nonfinite")):
        count = float((ink == kind).sum())
        assert count > 10
        line = f'streamlearn_layer_faults_{fault}{{layer="box"}} {count}'
        wait_for(one, lambda line=line: line in one.get("/metrics")[1])
    assert one.get("/readyz")[0] == 200
    assert one.stop() == 0
    expected = evaluate(load_config(file, CATALOGUE), load("optdigits"), limit=300)
    assert describe(one.state)["digest"] == expected["digest"] != half


FROZEN = """
[[layer]]
rule = "forward_forward_top_down"
units = [12, 8]
evidence = true
frozen = true
"""


def test_a_frozen_net_stands_still_in_time_and_answers(
    daemon: Start, config_file: Callable[..., Path]
) -> None:
    """Rows leave no trace in it, before and after a restart; thawed, it goes on with the film."""
    file = config_file(STREAM + FROZEN, "frozen.toml")
    one = daemon(file)
    question = digits(1)[0].tolist()
    first = ask(one, "infer", rows=question, **{"as": "lists"})["embedding"]
    assert np.isfinite(first).all()
    assert np.any(first)
    send(one, 0, 60)
    assert ask(one, "infer", rows=question, **{"as": "lists"})["embedding"] == first
    assert one.stop() == 0
    one.start()
    one.wait_ready(PATIENCE_S)
    assert ask(one, "status")["frozen"] == ["layer/layer1"]
    assert ask(one, "infer", rows=question, **{"as": "lists"})["embedding"] == first
    ask(one, "thaw", layer="layer1")
    send(one, 60, 120)
    assert ask(one, "infer", rows=question, **{"as": "lists"})["embedding"] != first
    assert one.stop() == 0
