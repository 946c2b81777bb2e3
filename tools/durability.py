"""What acknowledging costs: rows a second and time to the answer beside plain PULL, bytes written.

Rows are like those of MNIST: 784 bytes, a fifth of them not zero. The learner is small, so that
ingest is what is measured; plain and acknowledged take turns. Recovery is timed on the journal that
the last run left. Into docs/results/durability.json.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from results import update

from streamlearn.bench.process import LOOPBACK, DaemonProcess, free_ports
from streamlearn.bench.report import Row, median_row, report
from streamlearn.client import Producer
from streamlearn.wire.control import request

PATIENCE_S = 300.0
CONFIG = """
[stream]
shape = [28, 28]
dtype = "|u1"
classes = 10
[[layer]]
rule = "hebbian"
units = 16
[[head]]
kind = "softmax"
[store]
checkpoint_every_s = 0
[journal]
max_bytes = 4000000000
"""


def made_up(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels."""
    draw = np.random.default_rng(0)
    x = draw.integers(1, 256, (rows, 28, 28)) * (draw.random((rows, 28, 28)) < 0.19)
    return x.astype(np.uint8), draw.integers(0, 10, rows)


class Measured:
    """A daemon with both sockets, in a folder of its own."""

    def __init__(self, folder: Path, settings: Sequence[str] = ()) -> None:
        config = folder / "config.toml"
        config.write_text(CONFIG, encoding="utf-8")
        self.router = f"tcp://{LOOPBACK}:{free_ports(1)[0]}"
        settings = (f"ingest.router={self.router}", *settings)
        self.one = DaemonProcess(config, folder, settings)
        self._runs = 0

    def producer(self, *, ack: bool) -> Producer:
        """A producer of a stream of its own, so that numbers begin anew."""
        self._runs += 1
        how: dict[str, Any] = {"timeout_s": PATIENCE_S, "shape": (28, 28), "ack": ack}
        return Producer(self.router if ack else self.one.pull, f"s{self._runs}", "p", **how)

    def rows_hz(self, x: np.ndarray, y: np.ndarray, message_rows: int, *, ack: bool) -> float:
        """Rows a second, from the first that is sent to the last that is learned."""
        before = self.learned()
        with self.producer(ack=ack) as producer:
            producer.send(x[0], int(y[0]))
            began = time.perf_counter()
            producer.send_rows(x[1:], y[1:], message_rows)
        while self.learned() < before + len(x):
            time.sleep(0.005)
        return len(x) / (time.perf_counter() - began)

    def learned(self) -> int:
        """Rows learned so far."""
        return int(request(self.one.control, "status", timeout_s=PATIENCE_S)["rows_learned"])

    def written_bytes(self) -> int:
        """Bytes that the process caused to be written to a disk."""
        lines = Path(f"/proc/{self.one.pid}/io").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))

    def journal_bytes(self) -> int:
        """Bytes of records."""
        figures = request(self.one.control, "status", timeout_s=PATIENCE_S)["metrics"]
        return int(figures["streamlearn_journal_bytes"])


@contextmanager
def measured(settings: Sequence[str] = ()) -> Iterator[Measured]:
    """A daemon that is gone at the end."""
    with tempfile.TemporaryDirectory() as folder:
        one = Measured(Path(folder), settings)
        with one.one:
            yield one


def throughput(rows: int, repeats: int, message_rows: int) -> Iterator[Row]:
    """Acknowledged against plain with a small learner, and what reaches the disk."""
    x, y = made_up(rows)
    plain, acked, ratios, amplified = [], [], [], []
    with measured() as one:
        one.rows_hz(x[:1000], y[:1000], message_rows, ack=False)
        for _ in range(repeats):
            plain.append(one.rows_hz(x, y, message_rows, ack=False))
            stored, written = one.journal_bytes(), one.written_bytes()
            acked.append(one.rows_hz(x, y, message_rows, ack=True))
            amplified.append((one.written_bytes() - written) / (one.journal_bytes() - stored))
            ratios.append(acked[-1] / plain[-1])
        yield from recovery(one, rows * repeats, statistics.median(acked), message_rows)
    name = _messages(message_rows)
    note = f"peer: plain PULL in the same run, {100 * statistics.median(ratios):.0f} %"
    peer = float(f"{statistics.median(plain):.4g}")
    yield median_row(f"acknowledged, {name}", acked, "rows/s", peer=peer, note=note)
    note = "write_bytes of the process over bytes of records"
    yield median_row(f"bytes written a byte stored, {name}", amplified, "bytes", note=note)


def with_a_real_learner(rows: int, repeats: int) -> Row:
    """Acknowledged against plain with a layer of 2000 units, as in configs/mnist.toml."""
    x, y = made_up(rows)
    plain, acked = [], []
    with measured(("layer.0.units=2000",)) as one:
        one.rows_hz(x[:500], y[:500], 16, ack=False)
        for _ in range(repeats):
            plain.append(one.rows_hz(x, y, 16, ack=False))
            acked.append(one.rows_hz(x, y, 16, ack=True))
    share = 100 * statistics.median(a / p for a, p in zip(acked, plain, strict=True))
    note = f"peer: plain PULL in the same run, {share:.0f} %"
    peer = float(f"{statistics.median(plain):.4g}")
    name = "acknowledged, 16 rows a message, 2000 units"
    return median_row(name, acked, "rows/s", peer=peer, note=note)


def recovery(one: Measured, rows: int, written_hz: float, message_rows: int) -> Iterator[Row]:
    """Rows a second out of the journal after a kill, beside the rate at which they came in."""
    one.one.kill()
    one.one.start()
    one.one.wait_ready(PATIENCE_S)
    seconds = replay_s(one.one)
    hz = float(f"{rows / seconds:.4g}")
    name = (
        f"recovery, {message_rows} rows a message"
        if message_rows > 1
        else "recovery, a row a message"
    )
    note = f"limit: five times the rate of writing; {rows:,} rows, {seconds:.2g} s"
    yield Row(name=name, ours=hz, unit="rows/s", limit=float(f"{5 * written_hz:.4g}"), note=note)


def _messages(rows: int) -> str:
    return f"{rows} rows a message" if rows > 1 else "a row a message"


def replay_s(one: DaemonProcess) -> float:
    """Seconds from the kernels being there to being ready: reading and learning the journal."""
    lines = one.said().splitlines()
    at = {
        word: max(i for i, line in enumerate(lines) if word in line)
        for word in (": kernels", ": ready")
    }
    begin, end = (_seconds(lines[at[word]]) for word in (": kernels", ": ready"))
    return (end - begin) % 86400


def _seconds(line: str) -> float:
    hours, minutes, seconds = line.split(maxsplit=1)[0].split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def answers(count: int, commit_ms: float) -> Row:
    """Time from a row being sent to its acknowledgement, one at a time."""
    x, y = made_up(count)
    times = []
    with measured((f"journal.commit_ms={commit_ms}",)) as one, one.producer(ack=True) as producer:
        for i in range(count):
            began = time.perf_counter()
            producer.send(x[i], int(y[i]))
            producer.flush()
            times.append(1000 * (time.perf_counter() - began))
    times.sort()
    p50, p99 = (float(f"{times[int(share * count)]:.3g}") for share in (0.5, 0.99))
    name = f"p99 time to the acknowledgement, commit_ms {commit_ms:g}"
    return Row(
        name=name, ours=p99, unit="ms", note=f"p50 {p50} ms; one row at a time, {count:,} rows"
    )


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60_000, help="rows a run: 60000")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each kind: 3")
    chosen = parser.parse_args()
    rows = [with_a_real_learner(chosen.rows // 6, chosen.repeats)]
    for message_rows in (16, 1):
        fewer = chosen.rows if message_rows > 1 else chosen.rows // 4
        rows += throughput(fewer, chosen.repeats, message_rows)
    rows += [answers(min(1000, chosen.rows), commit_ms) for commit_ms in (0, 5)]
    for row in rows:
        print(f"{row.name}: {row.ours:g} {row.unit} {row.note}", flush=True)
    update(report("durability", "make durability", rows))


if __name__ == "__main__":
    main()
