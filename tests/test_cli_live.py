"""The command line against a real daemon: what each verb does to it, and says of it."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlearn.bench.process import DaemonProcess

ROOT = Path(__file__).resolve().parent.parent
DIGITS = ROOT / "configs" / "digits.toml"
Daemons = Callable[..., DaemonProcess]


def environment() -> dict[str, str]:
    """The environment, with the package found from any folder."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def streamlearn(
    *words: object, folder: Path | None = None, timeout_s: float = 90.0
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "streamlearn", *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=folder,
        env=environment(),
    )


@contextmanager
def running(*words: object) -> Iterator[subprocess.Popen[str]]:
    """Run the command line beside the test, as from a terminal; it is gone in the end."""
    # A job in a shell's background ignores Ctrl-C, and so would what the tests start there.
    begin = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    begin += "from streamlearn.cli import main; main()"
    command = [sys.executable, "-c", begin, *map(str, words)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def last(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON object in the last line of stdout of a command that ended well."""
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def status_when(daemon: DaemonProcess, good: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask for the status until it is as wanted."""
    deadline = time.monotonic() + 20
    while not good(status := last(streamlearn("ctl", daemon.control, "status"))):
        assert time.monotonic() < deadline, status
    return status


def test_send_ctl_and_inspect_agree_with_evaluate(daemon: Daemons) -> None:
    """What `send` plays is learned as `evaluate` learns it: one digest in all four places."""
    one = daemon(DIGITS)
    sent = streamlearn("send", "optdigits", "--to", one.pull, "--limit", 500, "--rows", 7)
    assert (sent.returncode, sent.stdout) == (0, "")
    assert "500 of 500 rows" in sent.stderr
    status_when(one, lambda status: status["rows_learned"] == 500)
    saved = last(streamlearn("ctl", one.control, "checkpoint"))
    learned = last(streamlearn("evaluate", DIGITS, "--data", "optdigits", "--limit", 500, "--json"))
    status = last(streamlearn("ctl", one.control, "status"))
    assert saved["digest"] == learned["digest"] == status["digest"]
    assert status["prequential"]["error"] == pytest.approx(learned["prequential"]["error"])
    assert one.stop() == 0
    shown = last(streamlearn("inspect", one.state, "--json"))
    assert (shown["digest"], shown["rows_learned"]) == (learned["digest"], 500)
    assert shown["positions"] == [{"stream": "default", "producer": "", "next_seq": 500}]
    assert "next row 500" in streamlearn("inspect", one.state).stdout


def test_ctl_answers_and_refuses(daemon: Daemons) -> None:
    """An answer is JSON and exit 0; a refusal is JSON, one line on stderr and exit 1."""
    one = daemon()
    rows = "rows=[[1,2,3,4],[0,0,1,0]]"
    answer = last(streamlearn("ctl", one.control, "infer", rows))
    assert (answer["ok"], answer["n"], np.shape(answer["scores"])) == (True, 2, (2, 3))
    assert last(streamlearn("ctl", one.control, "freeze", "layer=layer1"))["frozen"]
    assert last(streamlearn("ctl", one.control, "set", "key=store.keep", "value=5"))["ok"]
    refused = streamlearn("ctl", one.control, "freez", "layer=layer1")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["ok"] is False
    assert "freeze" in refused.stderr
    assert refused.stderr.count("\n") == 1


def on_terminal(*words: object) -> tuple[int, str]:
    """Exit code and screen of the command line on a terminal of 80 columns, without its colours."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "streamlearn", *map(str, words)]
    environ = environment() | {"COLUMNS": "80"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environ) as process:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # so a terminal says that nobody writes any more
            while data := os.read(ours, 4096):
                seen += data
        os.close(ours)
    return process.returncode, re.sub(r"\x1b\[[0-9;]*m", "", seen.decode())


def test_ctl_is_readable_on_a_terminal(daemon: Daemons, tmp_path: Path) -> None:
    """There a name and its value a line, no JSON unless --json asks for it; refusals as ever."""
    np.savez(tmp_path / "x.npz", X=np.ones((40, 4), "<f4"), y=np.ones(40, int))
    one = daemon()
    assert streamlearn("send", tmp_path / "x.npz", "--to", one.pull).returncode == 0
    status_when(one, lambda status: status["rows_learned"] == 40)
    saved = last(streamlearn("ctl", one.control, "checkpoint"))
    code, seen = on_terminal("ctl", one.control, "status")
    lines = [line.strip("│ ").split("│") for line in seen.splitlines()]
    told = {one[0].strip(): one[1].strip() for one in lines if len(one) == 2}
    assert code == 0
    assert (told["state"], told["rows_learned"], told["frozen"]) == ("ready", "40", "none")
    assert told["prequential.error"].endswith(" %")
    assert saved["digest"] in re.sub(r"[^0-9a-f]", "", seen)
    assert "more, see --json" in told["metrics"]
    assert max(map(len, seen.splitlines())) <= 80
    assert len(lines) < 30
    code, seen = on_terminal("ctl", one.control, "infer", "rows=[[1,2,3,4],[0,0,1,0]]")
    assert (code, "scores[1]" in seen, "{" in seen) == (0, True, False)
    assert json.loads(on_terminal("ctl", one.control, "ping", "--json")[1])["ok"]
    code, seen = on_terminal("ctl", one.control, "freez", "layer=layer1")
    assert (code, seen.count("\n"), "did you mean 'freeze'" in seen) == (1, 1, True)


def test_labels_and_rate_of_send(daemon: Daemons, tmp_path: Path) -> None:
    """`--label-delay` sends labels N rows late, `--no-labels` none; `--rate` holds for each row."""
    y = np.arange(60) % 3
    np.savez(tmp_path / "x.npz", X=np.eye(3, 4)[y].astype("<f4"), y=y)
    one = daemon()
    words = ("send", tmp_path / "x.npz", "--to", one.pull)
    began = time.monotonic()
    assert streamlearn(*words, "--no-labels", "--stream", "bare", "--rate", 60).returncode == 0
    assert time.monotonic() - began > 0.99
    before = status_when(one, lambda status: status["rows_learned"] == 60)
    assert not before["metrics"]["streamlearn_labelled_total"]
    assert streamlearn(*words, "--label-delay", 10, "--stream", "late").returncode == 0
    late = 'streamlearn_labels_late_total{outcome="learned"}'
    after = status_when(one, lambda status: status["metrics"][late] == 60)
    assert after["metrics"]["streamlearn_labelled_total"] == 60


def test_watch_gives_json_lines(daemon: Daemons, tmp_path: Path) -> None:
    """`watch --json` is one object a line, of the topics asked for, until --limit."""
    np.savez(tmp_path / "x.npz", X=np.ones((40, 4), "<f4"), y=np.ones(40, int))
    one = daemon(None, "publish.metrics_every_s=0.05")
    metrics = streamlearn("watch", one.publish, "--topic", "metrics", "--limit", 2, "--json")
    lines = [json.loads(line) for line in metrics.stdout.splitlines()]
    assert [line["topic"] for line in lines] == ["metrics", "metrics"]
    assert lines[0]["streamlearn_samples_learned_total"] == 0
    assert "rows learned 0" in streamlearn("watch", one.publish, "--limit", 1).stdout
    words = ("watch", one.publish, "--topic", "metrics", "--topic", "prediction", "--json")
    with running(*words) as watch:
        assert watch.stdout is not None
        assert json.loads(watch.stdout.readline())["kind"] == "metrics"
        assert streamlearn("send", tmp_path / "x.npz", "--to", one.pull).returncode == 0
        while (line := json.loads(watch.stdout.readline()))["kind"] != "prediction":
            pass
        assert line["topic"] == "prediction/default"
        assert line["y"][0] == 1
        assert len(line["scores"][0]) == 3
        watch.send_signal(signal.SIGINT)
        # What it wrote since must be read, or it waits with a full pipe for someone to read it.
        _, errors = watch.communicate(timeout=20)
        assert watch.returncode == 130
        assert "Traceback" not in errors


def test_run_that_cannot_start_exits_with_3(daemon: Daemons, config_file: Any) -> None:
    """A taken port and a locked state folder are one clear line, exit code 3."""
    one = daemon()
    own = ("--set", "publish.bind=", "--set", "control.bind=", "--set", "observe.bind=")
    words = ("run", config_file(), *own, "--set", f"ingest.pull={one.pull}")
    taken = streamlearn(*words, "--set", f"store.dir={one.state}2")
    assert taken.returncode == 3
    assert "ingest.pull" in taken.stderr
    locked = streamlearn(*words, "--set", f"store.dir={one.state}")
    assert locked.returncode == 3
    assert str(one.state) in locked.stderr
    for done in (taken, locked):
        assert "Traceback" not in done.stderr
    assert one.stop() == 0


def test_fsck_changes_no_byte_of_what_a_kill_left(daemon: Daemons, endpoint: Any) -> None:
    """What was acknowledged is in the journal's log; looking leaves it there, to the byte."""
    router = endpoint()
    one = daemon(DIGITS, f"ingest.router={router}", "store.checkpoint_every_s=0")
    words = ("send", "optdigits", "--to", router, "--ack", "--producer", "desk", "--limit", 300)
    assert streamlearn(*words).returncode == 0
    one.kill()
    before = {path: path.read_bytes() for path in one.state.iterdir() if path.is_file()}
    assert {path.name for path in before} >= {"journal.sqlite", "journal.sqlite-wal", "lock"}
    for _ in range(2):
        looked = streamlearn("fsck", one.state)
        assert (looked.returncode, "300 rows" in looked.stdout) == (0, True), looked
    assert {path: path.read_bytes() for path in one.state.iterdir() if path.is_file()} == before
    one.start()
    one.wait_ready(90)
    status_when(one, lambda status: status["rows_learned"] == 300)
    running = streamlearn("fsck", one.state)
    assert running.returncode == 3
    assert f"in use by process {one.pid}: stop that daemon first" in running.stderr


def test_demo_learns_what_evaluate_learns(tmp_path: Path) -> None:
    """`demo --json`: the promised keys, the digest of `evaluate`, and a picture."""
    pytest.importorskip("matplotlib")
    done = streamlearn("demo", "--limit", 1000, "--json", folder=tmp_path)
    found = last(done)
    learned = last(
        streamlearn("evaluate", DIGITS, "--data", "optdigits", "--limit", 1000, "--json")
    )
    assert (found["samples"], found["test"]["samples"]) == (1000, 1797)
    for key in ("digest", "config", "test"):
        assert found[key] == learned[key]
    for key in ("error", "error_recent"):
        assert found["prequential"][key] == pytest.approx(learned["prequential"][key])
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p99"] < 1000
    assert (found["dropped"], found["missed"]) == (0, 0)
    assert found["samples_per_s"] == pytest.approx(found["samples"] / found["seconds"])
    assert (tmp_path / "demo.png").read_bytes()[:4] == b"\x89PNG"
    assert [path.name for path in tmp_path.iterdir()] == ["demo.png"]
    assert "1,000 of 1,000 rows" in done.stderr


def test_demo_says_why_its_daemon_did_not_start(tmp_path: Path) -> None:
    """When the daemon ends before it is ready, its last words are shown and nothing is left."""
    config = tmp_path / "bad.toml"
    config.write_text(DIGITS.read_text("utf-8") + "\n[security]\nallow_plain = 3\n", "utf-8")
    done = streamlearn("demo", "--config", config, folder=tmp_path)
    assert done.returncode == 2
    assert "security.allow_plain: expected true or false, got 3" in done.stderr
