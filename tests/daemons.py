"""What tests do with a running daemon: play it rows of optdigits, and wait for what it says."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from streamlearn.bench.process import DaemonProcess
from streamlearn.client import Producer, Subscriber
from streamlearn.config import load as load_config
from streamlearn.data import load
from streamlearn.evaluate import evaluate
from streamlearn.plan import CATALOGUE
from streamlearn.wire.control import request
from streamlearn.wire.published import Metrics

Start = Callable[..., DaemonProcess]
PATIENCE_S = 30.0


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


def wait_for_subscriber(one: DaemonProcess) -> None:
    """Wait until the daemon publishes for somebody: figures go out only when wanted."""
    with Subscriber(one.publish, ["metrics"], PATIENCE_S) as probe:
        assert isinstance(next(probe), Metrics)


def page_when(one: DaemonProcess, line: str) -> str:
    """The metrics page once it holds a line."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        page = one.get("/metrics")[1]
        if line in page:
            return page
    raise AssertionError(f"{line} is not on the page:\n{page}")


def wait_log(one: DaemonProcess, words: str) -> None:
    """Wait until the daemon has said some words."""
    deadline = time.monotonic() + PATIENCE_S
    while words not in one.said():
        assert time.monotonic() < deadline, one.said()
