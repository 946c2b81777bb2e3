"""A spiking network through the real daemon: state that is carried on and weights that are kept."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamlearn.bench.process import DaemonProcess
from streamlearn.client import Producer, Subscriber
from streamlearn.config import load as load_config
from streamlearn.data import load
from streamlearn.evaluate import offer
from streamlearn.learner import Learner
from streamlearn.plan import CATALOGUE
from streamlearn.store.describe import describe
from streamlearn.wire.message import Sample
from streamlearn.wire.published import Prediction

PATIENCE_S = 60.0
DAEMON = """
[stream]
shape = [8, 8]
dtype = "|u1"
classes = 10
live = 2
[publish]
metrics_every_s = 0.1
[store]
checkpoint_every_s = 0
[[layer]]
rule = "geometric_spiking"
units = 30
high = 16.0
window_ms = 80.0
latency_ms = 30.0
sigma = 2.0
p_recurrent = 0.3
clocks = 4
clock_to_ms = 60.0
stdp = "kept"
a_plus = 0.001
a_minus = 0.001
bounds = "additive"
target_spikes = 2.0
between = "carry"
gives = "path"
compress_to = 64
[[head]]
kind = "least_squares"
"""
Piece = tuple[str, int, NDArray[np.uint8], NDArray[np.int32]]


def pieces(begin: int, end: int) -> Iterator[Piece]:
    """Messages of uneven lengths, in turn from three cameras, of which two are kept at once."""
    digits = load("optdigits").train
    assert digits.y is not None
    sizes, at = np.random.default_rng(3).integers(1, 9, 60), [0, 0, 0]
    for number, size in enumerate(sizes.tolist()):
        camera = 2 if number % 10 == 9 else number % 2
        rows = slice(500 * camera + at[camera], 500 * camera + at[camera] + size)
        if begin <= number < end:
            y = np.where(np.arange(size) % 3 == 2, -1, digits.y[rows]).astype(np.int32)
            yield f"cam{camera}", at[camera], digits.X[rows], y
        at[camera] += size


def expected(file: Path) -> tuple[str, int]:
    """Digest and rows of the same messages in one process."""
    learner = Learner(load_config(file, CATALOGUE))
    learner.assemble()
    learner.warm()
    learner.pipeline.start()
    try:
        for name, seq, x, y in pieces(0, 60):
            offer(learner, Sample(name, "", seq, len(x), math.nan, x.reshape(len(x), -1), y))
        learner.pipeline.wait_done()
        learner.pipeline.check()
        return learner.digest(), learner.learned()
    finally:
        learner.pipeline.close()


def test_from_a_socket_to_a_prediction_across_a_restart(
    daemon: Callable[..., DaemonProcess], config_file: Callable[..., Path]
) -> None:
    """Stopped between windows that carry on, it ends with the bits of one never stopped.

    Signals under way, traces, weights and thresholds are part of the checkpoint; every row is
    published once; the gauges are on the metrics page.
    """
    file = config_file(DAEMON, "spiking.toml")
    digest, rows = expected(file)
    one = daemon(file)
    seen: list[tuple[str, int]] = []
    for begin, end in ((0, 23), (23, 60)):
        with Subscriber(one.publish, ["prediction/"], PATIENCE_S) as subscriber:
            with Subscriber(one.publish, ["metrics"], PATIENCE_S) as probe:
                next(probe)  # by now the daemon has heard of the other one, too
            wanted = len(seen)
            with Producer(one.pull, timeout_s=PATIENCE_S, shape=(8, 8)) as producer:
                for name, seq, x, y in pieces(begin, end):
                    producer.switch(name)
                    producer.seq = seq
                    producer.send(x, y)
                    wanted += len(x)
            while len(seen) < wanted:
                message = next(subscriber)
                assert isinstance(message, Prediction)
                seen += [(message.stream, message.seq + i) for i in range(len(message.y))]
        page = one.get("/metrics")[1]
        assert one.stop() == 0
        if end < 60:
            one.start()
            one.wait_ready(PATIENCE_S)
    assert len(seen) == len(set(seen)) == rows
    said = describe(one.state)
    assert (said["digest"], said["rows_learned"]) == (digest, rows)
    assert 'streamlearn_layer_refraction_ratio_p50{layer="layer1"}' in page
    assert 'streamlearn_layer_weights_turned_share{layer="layer1"}' in page
