"""Streams of samples through the real daemon: windows, codes, a pool, heads, across a restart."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamlearn.bench.process import DaemonProcess
from streamlearn.client import Producer, Subscriber
from streamlearn.config import load as load_config
from streamlearn.evaluate import offer
from streamlearn.learner import Learner
from streamlearn.plan import CATALOGUE
from streamlearn.store.describe import describe
from streamlearn.wire.message import Sample
from streamlearn.wire.published import Embedding, Prediction, Surprise

PATIENCE_S = 60.0

DAEMON = """
[stream]
shape = [3]
dtype = "<f4"
classes = 2
live = 3
[labels]
rehearse_every = 20
rehearse_rows = 10
[publish]
metrics_every_s = 0.1
embeddings_every_rows = 1
[store]
checkpoint_every_s = 0
[[prepare]]
step = "window"
rows = 6
hop = 3
[[prepare]]
step = "standardize"
[[layer]]
rule = "greedy_infomax"
units = 12
negatives = 3
warm_rows = 8
negatives_from = "device"
[[layer]]
rule = "pool"
rows = 4
[[head]]
kind = "least_squares"
"""
Piece = tuple[str, int, NDArray[np.float32], int]


def pieces(begin: int, end: int) -> Iterator[Piece]:
    """Messages of uneven lengths, in turn from four streams of two devices, turning two ways."""
    rng = np.random.default_rng(7)
    noise = rng.standard_normal((4, 600, 3)).astype(np.float32)
    sizes, at = rng.integers(1, 30, 200), [0, 0, 0, 0]
    for number, size in enumerate(sizes):
        stream = number % 4
        start, stop = at[stream], min(at[stream] + int(size), 600)
        at[stream] = stop
        if not begin <= number < end or start == stop:
            continue
        t = np.arange(start, stop) / (3.0 if stream % 2 else -3.0)
        turning = np.stack([np.sin(t), np.cos(t), np.zeros_like(t)], axis=1).astype(np.float32)
        yield (
            f"d{stream // 2}/{stream}",
            start,
            turning + 0.1 * noise[stream, start:stop],
            stream % 2,
        )


def expected(file: Path) -> tuple[str, int]:
    """Digest and rows of the same messages in one process."""
    learner = Learner(load_config(file, CATALOGUE))
    learner.assemble()
    learner.warm()
    learner.pipeline.start()
    try:
        for name, seq, x, y in pieces(0, 100):
            labels = np.full(len(x), y, np.int32)
            offer(learner, Sample(name, "", seq, len(x), math.nan, x, labels))
        learner.pipeline.wait_done()
        learner.pipeline.check()
        return learner.digest(), learner.learned()
    finally:
        learner.pipeline.close()


def test_from_samples_to_predictions_across_a_restart(
    daemon: Callable[..., DaemonProcess], config_file: Callable[..., Path]
) -> None:
    """Stopped in the middle of windows, it goes on to the same bits as if it never was.

    Codes, predictions and surprise are published for the last sample of every window; a fourth
    stream takes the place of the one silent longest; rows shown again are not published.
    """
    file = config_file(DAEMON, "streams.toml")
    digest, rows = expected(file)
    one = daemon(file)
    heard: list[Prediction] = []
    codes = surprises = 0
    for begin, end in ((0, 37), (37, 100)):
        topics = ["prediction/", "embedding/", "surprise/"]
        with Subscriber(one.publish, topics, PATIENCE_S) as subscriber:
            with Subscriber(one.publish, ["metrics"], PATIENCE_S) as probe:
                next(probe)  # by now the daemon has heard of the other one, too
            with Producer(one.pull, timeout_s=PATIENCE_S, shape=(3,)) as producer:
                for name, seq, x, y in pieces(begin, end):
                    producer.switch(name)
                    producer.seq = seq
                    producer.send(x, np.full(len(x), y))
            page = one.get("/metrics")[1]
            until = rows
            if end < 100:
                assert one.stop() == 0
                until = describe(one.state)["rows_learned"]
            while sum(len(message.y) for message in heard) < until or codes < until:
                message = next(subscriber)
                heard += [message] if isinstance(message, Prediction) else []
                codes += len(message.x) if isinstance(message, Embedding) else 0
                surprises += len(message.x) if isinstance(message, Surprise) else 0
            page = one.get("/metrics")[1] or page
        if end < 100:
            one.start()
            one.wait_ready(PATIENCE_S)
    assert one.stop() == 0
    said = describe(one.state)
    assert (said["digest"], said["rows_learned"]) == (digest, rows)
    assert {message.stream for message in heard} == {"d0/0", "d0/1", "d1/2", "d1/3"}
    assert surprises > 0
    assert 'streamlearn_layer_accuracy{layer="layer1"}' in page
    assert 'streamlearn_prepare_constant_inputs{step="prepare/2"}' in page
    assert 'stage="prepare/1"' not in page, "windows are cut at ingest, no stage works at them"
    assert 'streamlearn_streams_begun_total{begin="new"}' in page
    assert "streamlearn_streams_kept 3.0" in page
