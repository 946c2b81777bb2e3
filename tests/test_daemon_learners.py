"""Every learner through the real daemon: from a socket to a prediction, across a restart."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamlearn.bench.process import DaemonProcess
from streamlearn.client import Producer, Subscriber
from streamlearn.config import load as load_config
from streamlearn.data import load
from streamlearn.evaluate import evaluate
from streamlearn.plan import CATALOGUE
from streamlearn.store.describe import describe
from streamlearn.wire.published import Prediction

PATIENCE_S = 60.0

STREAM = """
[stream]
shape = [8, 8]
dtype = "|u1"
classes = 10
[publish]
metrics_every_s = 0.1
[store]
checkpoint_every_s = 0
"""

LEARNERS = {
    "projection": """
[[layer]]
rule = "forward_forward"
units = 30
[[layer]]
rule = "forward_forward"
units = 20
reads = ["layer1", "input"]
[[head]]
kind = "goodness"
""",
    "blocks": """
[[layer]]
rule = "forward_forward"
labels = "blocks"
units = 30
[[head]]
kind = "goodness"
""",
    "overlay by candidates": """
[[layer]]
rule = "forward_forward"
labels = "overlay"
candidates = true
units = 30
[[layer]]
rule = "forward_forward"
labels = "overlay"
candidates = true
units = 20
[[head]]
kind = "goodness"
""",
    "overlay by a softmax over all layers but the first": """
[[layer]]
rule = "forward_forward"
labels = "overlay"
units = 30
[[layer]]
rule = "forward_forward"
labels = "overlay"
units = 20
[[head]]
kind = "softmax"
reads = ["layer2"]
""",
    "none, with labels for the head alone": """
[[layer]]
rule = "forward_forward"
labels = "none"
units = 30
[[layer]]
rule = "black_box"
noise = 0.1
bits = 6
[[layer]]
rule = "forward_forward"
labels = "none"
units = 20
[[head]]
kind = "softmax"
""",
    "units that inhibit each other, read out as published": """
[[layer]]
rule = "hebbian"
competition = "dynamics"
units = 40
p = 3.0
power = 4.5
threshold = "zero"
product = "dot"
scaled = false
[[head]]
kind = "power_loss"
minibatch = 4
""",
    "eq. 2 in minibatches, stopped within one": """
[[layer]]
rule = "hebbian"
plasticity = "equation"
units = 40
minibatch = 25
largest = true
start = "random"
[[layer]]
rule = "hebbian"
units = 30
[[head]]
kind = "softmax"
""",
    "soft competition over patches": """
[[layer]]
rule = "hebbian"
competition = "soft"
units = 12
field = 3
pool = 2
[[head]]
kind = "power_loss"
""",
}


def play(one: DaemonProcess, begin: int, end: int, subscriber: Subscriber) -> list[Prediction]:
    """Send rows begin:end, every third without its label; returns what was published of them."""
    digits = load("optdigits").train
    assert digits.y is not None
    y = np.where(np.arange(end) % 3 == 2, -1, digits.y[:end]).astype(np.int32)
    with Producer(one.pull, "digits", timeout_s=PATIENCE_S) as producer:
        producer.seq = begin
        producer.send_rows(digits.X[begin:end], y[begin:end], 5)
    heard: list[Prediction] = []
    while sum(len(message.y) for message in heard) < end - begin:
        message = next(subscriber)
        assert isinstance(message, Prediction)
        heard.append(message)
    return heard


@pytest.mark.parametrize("name", LEARNERS)
def test_from_a_socket_to_a_prediction_across_a_restart(
    name: str, daemon: Callable[..., DaemonProcess], config_file: Callable[..., Path]
) -> None:
    """Every read-out publishes the same messages; a restart changes no bit; gauges are shown."""
    file = config_file(STREAM + LEARNERS[name], "learner.toml")
    one = daemon(file)
    heard = []
    for begin, end in ((0, 120), (120, 300)):
        with Subscriber(one.publish, ["prediction/digits"], PATIENCE_S) as subscriber:
            with Subscriber(one.publish, ["metrics"], PATIENCE_S) as probe:
                next(probe)  # by now the daemon has heard of the other one, too
            heard += play(one, begin, end, subscriber)
        if end == 300:
            page = one.get("/metrics")[1]
            gauge = "lyapunov" if '"hebbian"' in LEARNERS[name] else "goodness_positive"
            assert f'streamlearn_layer_{gauge}{{layer="layer1"}}' in page
            assert 'streamlearn_layer_dead_share{layer="layer1"}' in page
        assert one.stop() == 0
        if end < 300:
            one.start()
            one.wait_ready(PATIENCE_S)
    numbers = [message.seq + i for message in heard for i in range(len(message.y))]
    assert numbers == list(range(300))
    scores = np.concatenate([message.scores for message in heard])
    assert scores.shape == (300, 10)
    assert scores.sum(axis=1) == pytest.approx(1.0, abs=1e-3)
    digits = load("optdigits")
    assert digits.y is not None
    digits.y[:300] = np.where(np.arange(300) % 3 == 2, -1, digits.y[:300])
    expected = evaluate(load_config(file, CATALOGUE), digits, limit=300)
    assert describe(one.state)["digest"] == expected["digest"]
