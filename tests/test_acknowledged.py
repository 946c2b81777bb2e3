"""The acknowledged mode end to end: real daemons that are killed, producers that come back."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from daemons import PATIENCE_S, Start, play, rows, status_when, uninterrupted

from streamlearn.bench.process import DaemonProcess
from streamlearn.cli import main
from streamlearn.client import Producer
from streamlearn.config import load as load_config
from streamlearn.data.dataset import Dataset
from streamlearn.errors import NoAnswerError, UsageError
from streamlearn.evaluate import evaluate
from streamlearn.plan import CATALOGUE
from streamlearn.store.describe import describe
from streamlearn.store.journal import Journal
from streamlearn.wire.control import request
from streamlearn.wire.message import Schema, decode

Address = Callable[[], str]


def again(one: DaemonProcess) -> None:
    """Kill it and start it anew."""
    one.kill()
    one.start()
    one.wait_ready()


def figure(one: DaemonProcess, name: str) -> float:
    """A figure of the metrics page."""
    lines = one.get("/metrics")[1].splitlines()
    return next(float(x.split()[-1]) for x in lines if x.startswith(f"streamlearn_{name} "))


def acked(address: str, name: str = "p", **more: object) -> Producer:
    """A producer of stream `digits` that keeps its rows."""
    how = {"timeout_s": PATIENCE_S, "ack": True, "shape": (8, 8), **more}
    return Producer(address, "digits", name, **how)  # type: ignore[arg-type]


def test_acknowledged_rows_survive_a_kill(
    daemon: Start, digits_file: Path, endpoint: Address
) -> None:
    """Kill -9 without any checkpoint: the rows are learned from the journal, to the bit."""
    address = endpoint()
    one = daemon(digits_file, f"ingest.router={address}")
    X, y = rows(400)
    with acked(address) as producer:
        assert producer.send_rows(X[:200], y[:200], 7) == 0
        assert producer.flush(PATIENCE_S)
        assert producer.durable_seq == 200
        again(one)
        assert status_when(one, 200)["rows_learned"] == 200
        assert (figure(one, "recovery_rows"), figure(one, "recovery_rows_left")) == (200, 0)
        producer.send_rows(X[200:], y[200:], 5)
    status_when(one, 400)
    assert one.stop() == 0
    found, expected = describe(one.state), uninterrupted(digits_file, 400)
    assert (found["rows_learned"], found["digest"]) == (400, expected["digest"])


def test_a_damaged_checkpoint_costs_nothing(
    daemon: Start, digits_file: Path, endpoint: Address
) -> None:
    """The journal reaches back to the checkpoint before: the end is that of the whole stream.

    Meanwhile the socket is turned off: what was acknowledged is learned all the same.
    """
    address = endpoint()
    one = daemon(digits_file, f"ingest.router={address}")
    X, y = rows(300)
    with acked(address) as producer:
        for begin in (0, 100, 200):
            producer.send_rows(X[begin : begin + 100], y[begin : begin + 100])
            assert producer.flush(PATIENCE_S)
            if begin < 200:
                request(one.control, "checkpoint", timeout_s=PATIENCE_S)
    one.kill()
    newest = max(one.state.glob("checkpoint-*")) / "arrays.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    one.command += ["--set", "ingest.router="]
    one.start()
    one.wait_ready()
    assert status_when(one, 300)["rows_learned"] == 300
    assert figure(one, "recovery_rows") == 200
    assert one.stop() == 0
    assert describe(one.state)["digest"] == uninterrupted(digits_file, 300)["digest"]


def test_producers_that_restart_number_on(
    daemon: Start, digits_file: Path, endpoint: Address, tmp_path: Path
) -> None:
    """Without a spool the daemon tells them where; with one, rows of before the crash come, too."""
    address = endpoint()
    one = daemon(digits_file, f"ingest.router={address}")
    X, y = rows(60)
    with acked(address) as producer:
        producer.send(X[:10], y[:10])
    with acked(address) as producer:
        assert producer.seq == 10
        assert producer.send(X[10:20], y[10:20]) == 10
    spool = tmp_path / "spool"
    with acked(address, "q", spool=spool) as producer:
        assert producer.send(X[20:30], y[20:30]) == 0
        assert producer.flush(PATIENCE_S)
        one.kill()
        assert producer.send(X[30:40], y[30:40]) == 10
        producer._way.release()  # the producer dies: nothing is flushed
    one.start()
    one.wait_ready()
    with acked(address, "q", spool=spool) as producer:
        assert producer.seq == 20
        producer.send(X[40:], y[40:])
        assert producer.flush(PATIENCE_S)
        assert producer.durable_seq == 40
    assert status_when(one, 60)["rows_learned"] == 60
    with pytest.raises(UsageError, match="belongs to producer 'q'"):
        acked(address, "r", spool=spool)


def test_several_producers_at_once_through_kills(
    daemon: Start, digits_file: Path, endpoint: Address
) -> None:
    """Each row of each once; the weights are those of the journal's order, learned in peace."""
    address = endpoint()
    settings = (f"ingest.router={address}", "store.keep=1000", "pipeline.threads=2")
    one = daemon(digits_file, *settings)
    X, y = rows(1200)

    def produce(k: int) -> None:
        with acked(address, f"p{k}") as producer:
            for i in range(k, 1200, 3):
                producer.send(X[i], int(y[i]))

    threads = [threading.Thread(target=produce, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for learned in (100, 500):
        status_when(one, learned)
        again(one)
    for thread in threads:
        thread.join()
    status_when(one, 1200)
    assert one.stop() == 0
    order = journaled(one.state)
    assert {(p, s) for p, s, _, _ in order} == {(f"p{k}", s) for k in range(3) for s in range(400)}
    assert len(order) == 1200
    x = np.stack([x for _, _, x, _ in order])
    data = Dataset("order", x, np.array([y for *_, y in order], np.int32), None, 10)
    expected = evaluate(load_config(digits_file, CATALOGUE), data)
    assert describe(one.state)["digest"] == expected["digest"]


def journaled(state: Path) -> list[tuple[str, int, np.ndarray, int]]:
    """(producer, seq, row, label) in the order of a journal that was not trimmed."""
    schema = Schema((8, 8), "|u1", 10)
    journal = Journal(state, 1 << 30)
    found = []
    for record in journal.after(0):
        m = decode(record.frames, schema)
        found += [(m.producer, m.seq + i, m.x[i], int(m.y[i])) for i in range(m.n)]
    journal.close()
    return found


def test_a_stop_in_the_middle_of_a_message(
    daemon: Start, digits_file: Path, endpoint: Address
) -> None:
    """A message larger than the ring, SIGTERM while it is learned: its rows are learned once."""
    address = endpoint()
    settings = ("pipeline.ring_rows=64", "pipeline.block_rows=1", "layer.0.units=48000")
    one = daemon(digits_file, f"ingest.router={address}", *settings)
    X, y = (np.resize(a, (8000, *a.shape[1:])) for a in rows(1700))
    with acked(address) as producer:
        for begin in (0, 4000):
            producer.send(X[begin : begin + 4000], y[begin : begin + 4000])
        assert producer.flush(PATIENCE_S)
        assert one.stop() == 0
        halfway = describe(one.state)["rows_learned"]
        one.start()
        one.wait_ready()
    status_when(one, 8000)
    assert one.stop() == 0
    assert halfway < 8000
    assert describe(one.state)["rows_learned"] == 8000
    config = load_config(digits_file, CATALOGUE, ["layer.0.units=48000"])
    expected = evaluate(config, Dataset("all", X, y.astype(np.int32), None, 10))
    assert describe(one.state)["digest"] == expected["digest"]


def test_a_small_journal_asks_for_checkpoints(
    daemon: Start, digits_file: Path, endpoint: Address
) -> None:
    """Without a clock for checkpoints it stays within its bound, and nothing is dropped."""
    address = endpoint()
    bound = 200_000
    limits = ("ingest.max_message_bytes=10000", "journal.commit_bytes=20000")
    one = daemon(digits_file, f"ingest.router={address}", f"journal.max_bytes={bound}", *limits)
    X, y = (np.resize(a, (12_000, *a.shape[1:])) for a in rows(1700))
    sizes = []
    with acked(address) as producer:
        for begin in range(0, 12_000, 50):
            producer.send(X[begin : begin + 50], y[begin : begin + 50])
            if not begin % 1000:
                sizes.append(figure(one, "journal_bytes"))
    assert status_when(one, 12_000)["rows_learned"] == 12_000
    assert 0 < max(sizes) <= bound
    assert figure(one, "checkpoints_total") >= 4
    assert one.stop() == 0
    data = Dataset("all", X, y.astype(np.int32), None, 10)
    expected = evaluate(load_config(digits_file, CATALOGUE), data)
    assert describe(one.state)["digest"] == expected["digest"]


def test_what_can_never_be_learned_is_set_aside(
    daemon: Start, digits_file: Path, endpoint: Address
) -> None:
    """The producer is told, rows behind it come through; a person lists, sends again, purges."""
    address, run = endpoint(), CliRunner()
    one = daemon(digits_file, f"ingest.router={address}")
    X, y = rows(20)
    with acked(address, shape=(4, 4)) as producer:
        producer.send(np.zeros((3, 4, 4), np.uint8))
        assert producer.flush(PATIENCE_S)
        assert (producer.rejected, producer.durable_seq) == (3, 3)
    with acked(address) as producer:
        assert producer.send(X, y) == 3
    status_when(one, 20)
    again(one)
    with acked(address) as producer:
        assert producer.seq == 23
    assert status_when(one, 20)["rows_learned"] == 20
    state = str(one.state)
    listed = run.invoke(main, ["dead", "list", state])
    assert "digits p rows 0…2  expected [n ≥ 1, 8, 8], got [3, 4, 4]" in listed.output
    assert "|u1" in run.invoke(main, ["dead", "show", state, "1"]).output
    sent = run.invoke(main, ["dead", "retry", state, "1", "--to", address])
    assert (sent.exit_code, sent.output) == (1, "learned: 0, refused again: 1\n")
    assert "digits p.again rows 0…2" in run.invoke(main, ["dead", "list", state]).output
    assert run.invoke(main, ["dead", "purge", state]).exit_code == 2
    assert run.invoke(main, ["dead", "purge", state, "--all"]).output == "removed: 1\n"
    assert run.invoke(main, ["dead", "list", state]).output == ""
    assert one.stop() == 0
    assert run.invoke(main, ["fsck", state]).exit_code == 0


def test_send_goes_on_where_it_ended(daemon: Start, digits_file: Path, endpoint: Address) -> None:
    """The same command again sends what is missing; late labels and all end as in one go."""
    address, run = endpoint(), CliRunner()
    one = daemon(digits_file, f"ingest.router={address}")
    send = ["send", "optdigits", "--to", address, "--ack", "--producer", "p", "--label-delay", "30"]
    assert run.invoke(main, [*send, "--limit", "200"]).exit_code == 0
    again(one)
    assert run.invoke(main, [*send, "--limit", "320"]).exit_code == 0
    assert run.invoke(main, [*send, "--limit", "320"]).exit_code == 0
    status = status_when(one, 320)
    assert status["rows_learned"] == 320
    assert figure(one, "labelled_total") == 320
    assert run.invoke(main, [*send[:5], "--limit", "9"]).exit_code == 2


def test_plain_rows_beside_are_lost_and_acknowledged_ones_are_not(
    daemon: Start, digits_file: Path, endpoint: Address
) -> None:
    """PULL keeps its own promise: after a crash its rows since the checkpoint are missing."""
    address = endpoint()
    one = daemon(digits_file, f"ingest.router={address}")
    X, y = rows(50)
    play(one, 0, 30)
    with acked(address) as producer:
        producer.send(X, y)
    status_when(one, 80)
    again(one)
    assert status_when(one, 50)["rows_learned"] == 50


def test_without_a_daemon_a_producer_says_so(endpoint: Address) -> None:
    """Nobody there: `send` gives up in time, and what it gave up is not kept."""
    producer = Producer(endpoint(), "digits", "p", timeout_s=0.3, ack=True)
    producer.seq = 0
    with pytest.raises(NoAnswerError, match="is not there"):
        producer.send(np.zeros((8, 8), np.uint8))
    producer.close()
    for wrong in ({"producer": None}, {"kind": "pub"}, {"bind": True}):
        with pytest.raises(UsageError, match="ack"):
            Producer(endpoint(), "digits", **{"producer": "p", "ack": True, **wrong})
    with pytest.raises(UsageError, match="spool"):
        Producer(endpoint(), "digits", "p", spool="x")
