"""100,000 mutated and random messages against the whole daemon, valid rows among them."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import zmq
from wire.rubbish import SPEECHES, foreign, messages

from streamlearn.bench.process import LOOPBACK, DaemonProcess
from streamlearn.config import load as load_config
from streamlearn.data.dataset import Dataset
from streamlearn.evaluate import evaluate
from streamlearn.plan import CATALOGUE
from streamlearn.wire.control import request
from streamlearn.wire.message import Sample, Schema, decode

SCHEMA = Schema(shape=(4,), dtype=None, classes=3)
MESSAGES = int(os.environ.get("STREAMLEARN_RUBBISH", "100000"))
PATIENCE_S = 60.0
MEMORY_BYTES = 48 << 20
"""What the process may grow by: queues of sockets fill, allocators keep what they had."""


def test_rubbish_changes_nothing_but_the_counts(
    daemon: Callable[..., DaemonProcess], config_file: Callable[..., Path]
) -> None:
    """The daemon keeps serving, counts each refusal under its reason, memory stays in bounds.

    Its digest is that of the valid rows alone.
    """
    config = config_file()
    one = daemon(config, "store.checkpoint_every_s=0")
    process = psutil.Process(one.pid)
    stop, strangers = threading.Event(), Counter[str]()
    port = int(one.pull.rpartition(":")[2])
    talk = threading.Thread(target=_talk, args=(port, stop, strangers), name="strangers")
    talk.start()
    try:
        warm_up, _ = throw(one, 0, 2000)
        # What comes by another connection could else be read in between.
        wait_learned(one, len(warm_up))
        before = process.memory_info().rss
        valid, reasons = throw(one, 1, MESSAGES)
        grown = process.memory_info().rss - before
    finally:
        stop.set()
        talk.join()
    rows = warm_up + valid
    wait_learned(one, len(rows))
    saved = request(one.control, "checkpoint", timeout_s=PATIENCE_S)
    assert saved["rows_learned"] == len(rows)
    assert saved["digest"] == digest_of(config, rows)
    counted = rejected(one)
    assert counted["auth"] == 0
    for reason, count in reasons.items():
        if reason:
            assert counted[reason] >= count, reason
    assert sum(counted.values()) >= sum(reasons.values())
    assert grown < MEMORY_BYTES
    assert set(strangers) == set(SPEECHES)
    assert one.get("/readyz")[0] == 200


def _talk(port: int, stop: threading.Event, heard: Counter[str]) -> None:
    """Speak other protocols to the port, over and over, while messages come."""
    while not stop.is_set():
        heard.update(foreign(LOOPBACK, port, 0.5))
        stop.wait(0.05)


def throw_nowhere(seed: int, count: int) -> tuple[list[Sample], Counter[str]]:
    """The valid rows and the known reasons among the messages of a seed."""
    valid, reasons = [], Counter[str]()
    for frames, reason in messages(seed, count, SCHEMA):
        if reason == "":
            message = decode(frames, SCHEMA)
            assert isinstance(message, Sample)
            valid.append(message)
        else:
            reasons[reason or ""] += 1
    return valid, reasons


def throw(one: DaemonProcess, seed: int, count: int) -> tuple[list[Sample], Counter[str]]:
    """Send the messages of a seed as they are."""
    context = zmq.Context()
    with context, context.socket(zmq.PUSH) as socket:
        socket.sndtimeo = round(PATIENCE_S * 1000)
        socket.linger = round(PATIENCE_S * 1000)
        socket.connect(one.pull)
        for frames, _ in messages(seed, count, SCHEMA):
            socket.send_multipart(frames)
    return throw_nowhere(seed, count)


def wait_learned(one: DaemonProcess, rows: int) -> None:
    """Wait until that many rows are learned."""
    deadline = time.monotonic() + PATIENCE_S
    while request(one.control, "status", timeout_s=PATIENCE_S)["rows_learned"] < rows:
        assert time.monotonic() < deadline, one.said()


def digest_of(config: Path, rows: list[Sample]) -> str:
    """What evaluate makes of the valid rows."""
    x = np.concatenate([np.asarray(row.x, np.float32) for row in rows])
    y = np.concatenate([np.full(row.n, -1) if row.y is None else row.y for row in rows])
    data = Dataset("valid", x, y.astype(np.int32), None, 3)
    return evaluate(load_config(config, CATALOGUE), data)["digest"]


def rejected(one: DaemonProcess) -> Counter[str]:
    """Reason → count, from the metrics page."""
    head = "streamlearn_samples_rejected_total{reason="
    lines = [line for line in one.get("/metrics")[1].splitlines() if line.startswith(head)]
    return Counter({line.split('"')[1]: int(float(line.split()[-1])) for line in lines})
