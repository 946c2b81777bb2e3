"""What acknowledging costs: rows a second and time to the answer beside plain PULL, bytes written.

Rows are like those of MNIST: 784 bytes, a fifth of them not zero. The learner is small, so that
ingest is what is measured; plain and acknowledged take turns. Recovery is timed on the journal that
the last run left. On the disk that holds temporary files, and in memory (/dev/shm, where there is
one). What a file of segments would cost is the least that a journal can: records one after another
behind a checksum, one fdatasync a batch. Into docs/results/durability.json.
"""

import argparse
import os
import statistics
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from results import update

from streamlearn.bench.process import LOOPBACK, DaemonProcess, free_ports
from streamlearn.bench.report import Row, median_row, report
from streamlearn.client import Producer
from streamlearn.store.journal import MESSAGE, Journal, Record
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
def measured(settings: Sequence[str] = (), where: Path | None = None) -> Iterator[Measured]:
    """A daemon that is gone at the end."""
    with tempfile.TemporaryDirectory(dir=where) as folder:
        one = Measured(Path(folder), settings)
        with one.one:
            yield one


def throughput(
    rows: int, repeats: int, message_rows: int, where: Path | None = None
) -> Iterator[Row]:
    """Acknowledged against plain with a small learner, and what reaches the disk."""
    x, y = made_up(rows)
    plain, acked, ratios, amplified = [], [], [], []
    with measured((), where) as one:
        one.rows_hz(x[:1000], y[:1000], message_rows, ack=False)
        for _ in range(repeats):
            plain.append(one.rows_hz(x, y, message_rows, ack=False))
            stored, written = one.journal_bytes(), one.written_bytes()
            acked.append(one.rows_hz(x, y, message_rows, ack=True))
            amplified.append((one.written_bytes() - written) / (one.journal_bytes() - stored))
            ratios.append(acked[-1] / plain[-1])
        name = _messages(message_rows) + (", in memory" if where else "")
        yield against_plain(name, acked, plain, ratios)
        if not where:
            yield recovery(one, rows * repeats, statistics.median(plain), acked, name)
            note = "write_bytes of the process over bytes of records"
            yield median_row(f"bytes written a byte stored, {name}", amplified, "bytes", note=note)


def against_plain(
    name: str, acked: Sequence[float], plain: Sequence[float], ratios: Sequence[float]
) -> Row:
    """Acknowledged rows a second beside plain ones."""
    note = f"peer: plain PULL in the same run, {100 * statistics.median(ratios):.0f} %"
    peer = float(f"{statistics.median(plain):.4g}")
    return median_row(f"acknowledged, {name}", acked, "rows/s", peer=peer, note=note)


def with_a_real_learner(rows: int, repeats: int) -> Row:
    """Acknowledged against plain with a layer of 2000 units, as in configs/mnist.toml."""
    x, y = made_up(rows)
    plain, acked = [], []
    with measured(("layer.0.units=2000",)) as one:
        one.rows_hz(x[:500], y[:500], 16, ack=False)
        for _ in range(repeats):
            plain.append(one.rows_hz(x, y, 16, ack=False))
            acked.append(one.rows_hz(x, y, 16, ack=True))
    ratios = [a / p for a, p in zip(acked, plain, strict=True)]
    return against_plain("16 rows a message, 2000 units", acked, plain, ratios)


def recovery(
    one: Measured, rows: int, plain_hz: float, written_hz: Sequence[float], name: str
) -> Row:
    """Rows a second out of the journal after a kill, beside what the learner can take at all."""
    one.one.kill()
    one.one.start()
    one.one.wait_ready(PATIENCE_S)
    seconds = replay_s(one.one)
    times = rows / seconds / statistics.median(written_hz)
    note = f"limit: plain PULL; {times:.2g} times the rate of writing; ready after {seconds:.2g} s"
    hz, limit = (float(f"{value:.4g}") for value in (rows / seconds, plain_hz))
    return Row(name=f"recovery, {name}", ours=hz, unit="rows/s", limit=limit, note=note)


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
    settings = (f"journal.commit_ms={commit_ms}",)
    _, times, written = closed_loop(settings, 1, count, None)
    name = f"p99 time to the acknowledgement, commit_ms {commit_ms:g}"
    kib = f"{written / count / 1024:.3g} KiB written a row"
    note = f"p50 {_share(times, 0.5)} ms; one row at a time, {count:,} rows, {kib}"
    return Row(name=name, ours=_share(times, 0.99), unit="ms", note=note)


def groups(size: int, where: Path | None) -> Row:
    """Rows written together, as many at once and no more: rows a second, and the time they take."""
    count = max(40, min(400, 40_000 // size))
    settings = (f"journal.commit_rows={size}", "journal.commit_ms=1000")
    hz, times, _ = closed_loop(settings, size, count, where)
    name = f"groups of {size:,}, {'in memory' if where else 'on disk'}"
    note = f"p50 {_share(times, 0.5)} ms, p99 {_share(times, 0.99)} ms; {count} groups"
    return Row(name=name, ours=float(f"{hz:.4g}"), unit="rows/s", note=note)


def closed_loop(
    settings: Sequence[str], size: int, count: int, where: Path | None
) -> tuple[float, list[float], int]:
    """Send so many rows, wait until they are durable, again; rows a second, ms, bytes written."""
    x, y = made_up(size)
    times = []
    with measured(settings, where) as one, one.producer(ack=True) as producer:
        producer.send_rows(x, y, 1)
        producer.flush()
        before = one.written_bytes()
        for _ in range(count):
            began = time.perf_counter()
            producer.send_rows(x, y, 1)
            producer.flush()
            times.append(1000 * (time.perf_counter() - began))
        written = one.written_bytes() - before
    return 1000 * size * count / sum(times), sorted(times), written


def _share(times: Sequence[float], share: float) -> float:
    return float(f"{times[int(share * len(times))]:.3g}")


def segments(batches: int) -> Iterator[Row]:
    """The journal beside a file of segments, both alone, in batches of 2 MB."""
    payloads = [b"x" * 12_544 for _ in range(160)]
    ours, peer = [], []
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), 1 << 40)
        with (Path(folder) / "segment").open("wb", buffering=0) as file:
            for _ in range(batches):
                ours.append(cost(lambda: journalled(journal, payloads)))
                peer.append(cost(lambda: in_a_segment(file.fileno(), payloads)))
        journal.close()
    note = f"peer: a file of segments; {batches} batches, the log is copied in every eighth"
    for i, (what, unit) in enumerate((("mean", "ms"), ("written", "MiB"))):
        means = [float(f"{statistics.mean(one[i] for one in both):.3g}") for both in (ours, peer)]
        name = f"2 MB into the journal, {what}"
        yield Row(name=name, ours=means[0], unit=unit, peer=means[1], note=note)


def journalled(journal: Journal, payloads: Sequence[bytes]) -> None:
    """One batch into the journal."""
    first = journal.last + 1
    journal.append(
        [Record(first + i, MESSAGE, 16, b"s", b"h", one) for i, one in enumerate(payloads)]
    )


def in_a_segment(file: int, payloads: Sequence[bytes]) -> None:
    """One batch at the end of a file, each record behind its length and checksum."""
    heads = [struct.pack("<2q", len(one), zlib.crc32(one)) for one in payloads]
    os.writev(file, [part for pair in zip(heads, payloads, strict=True) for part in pair])
    os.fdatasync(file)


def cost(do: Callable[[], None]) -> tuple[float, float]:
    """Milliseconds that something takes, and MiB that it writes."""
    before, began = own_bytes(), time.perf_counter()
    do()
    return 1000 * (time.perf_counter() - began), (own_bytes() - before) / 2**20


def own_bytes() -> int:
    """Bytes that this process caused to be written to a disk."""
    lines = Path("/proc/self/io").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def parts(rows: int, repeats: int) -> Iterator[tuple[str, Callable[[], Iterable[Row]]]]:
    """What is measured, by name."""
    memory = [path for path in (Path("/dev/shm"),) if path.is_dir()]  # noqa: S108
    yield "learner", lambda: [with_a_real_learner(rows // 6, repeats)]
    for where in (None, *memory):
        for size in (16, 1):
            fewer = rows if size > 1 else rows // 4
            yield "rows", partial(throughput, fewer, repeats, size, where)
    yield "answers", lambda: [answers(min(1000, rows), ms) for ms in (0, 5)]
    for where in (None, *memory):
        yield "groups", partial(_all_groups, rows, where)
    yield "segments", lambda: segments(min(64, rows // 100))


def _all_groups(rows: int, where: Path | None) -> Iterator[Row]:
    for size in (1, 4, 16, 64, 256, 1024):
        if size <= rows:
            yield groups(size, where)


def main() -> None:
    """Measure all of it, or what is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="learner, rows, answers, groups, segments: all")
    parser.add_argument("--rows", type=int, default=60_000, help="rows a run: 60000")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each kind: 5")
    chosen = parser.parse_args()
    rows = []
    for name, measure in parts(chosen.rows, chosen.repeats):
        for row in measure() if not chosen.only or name in chosen.only else ():
            print(f"{row.name}: {row.ours:g} {row.unit} {row.note}", flush=True)
            rows.append(row)
    if not chosen.only:
        update(report("durability", "make durability", rows))


if __name__ == "__main__":
    main()
