"""`send` as a person meets it: wrong options are told as options, and what became of the rows."""

import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from caller import Call
from test_cli_live import ROOT, Daemons, running, status_when, streamlearn

from streamlearn.client.spool import Spool

NOWHERE = "tcp://127.0.0.1:9"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--ack", "--ack: the daemon knows by a name which rows it has; give one with --producer"),
        ("--ack --producer p --pub", "--ack and --pub: "),
        ("--spool DIR", "--spool: keeps rows until they are acknowledged; give --ack as well"),
        ("--ack --producer p --spool DIR", "--spool: DIR/spool.sqlite: belongs to producer 'q'"),
        (f"--producer {'p' * 65}", "--producer: expected at most 64 bytes, got 65"),
        (f"--ack --producer {'p' * 65}", "--producer: expected at most 64 bytes, got 65"),
        ("--ack --producer p --stream a*b", "--stream: expected 1 to 128 of A-Z"),
        ("--ack --producer p --to nonsense", "--to: expected tcp://HOST:PORT, got 'nonsense'"),
        ("--pub --to nonsense", "--to: expected tcp://HOST:PORT, got 'nonsense'"),
    ],
)
def test_wrong_options_are_called_what_was_typed(
    call: Call,
    tmp_path: Path,
    words: str,
    says: str,
) -> None:
    """One line with the options of the command line, no word of Python, exit code 2."""
    Spool(tmp_path, "q").close()
    typed = words.replace("DIR", str(tmp_path)).split()
    done = call("send", "optdigits", "--to", NOWHERE, *typed)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"streamlearn: {says.replace('DIR', str(tmp_path))}")
    assert not re.search(r"\w=", done.err)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Sixty rows of four numbers."""
    y = np.arange(60) % 3
    np.savez(path := tmp_path / "x.npz", X=np.eye(3, 4)[y].astype("<f4"), y=y)
    return path


@pytest.fixture
def words(rows: Path, endpoint: Callable[[], str]) -> list[str]:
    """How they are sent, to be acknowledged by a daemon."""
    return ["send", str(rows), "--to", endpoint(), "--ack", "--producer", "desk"]


def router(words: list[str]) -> str:
    """The setting of the daemon to which they are sent."""
    return f"ingest.router={words[words.index('--to') + 1]}"


def test_rows_that_came_before_are_told(daemon: Daemons, words: list[str]) -> None:
    """Going on, nothing to do, and how they are sent as new rows: each is said, and so it is."""
    one = daemon(None, router(words))
    first = streamlearn(*words, "--limit", 20)
    assert (first.returncode, "came before" in first.stderr) == (0, False)
    more = streamlearn(*words)
    assert more.returncode == 0
    assert "20 rows of producer desk came before: going on with row 21; to send" in more.stderr
    again = streamlearn(*words)
    assert (again.returncode, again.stderr.count("\n")) == (0, 1)
    assert "60 rows of producer desk came before: nothing new to send" in again.stderr
    assert "to send them as new rows give another --producer" in again.stderr
    status_when(one, lambda status: status["rows_learned"] == 60)
    assert streamlearn(*words, "--producer", "other").returncode == 0
    status_when(one, lambda status: status["rows_learned"] == 120)


def test_rows_in_the_spool_are_told(daemon: Daemons, words: list[str], tmp_path: Path) -> None:
    """With the daemon down: how many, where, and the command that sends them; it does."""
    one = daemon(None, router(words))
    words += ["--spool", str(tmp_path / "my spool"), "--timeout", "30"]
    assert streamlearn(*words, "--limit", 20).returncode == 0
    one.kill()
    down = streamlearn(*words, "--timeout", 0.5)
    told = f"the daemon is not there; 40 rows are in the spool at {tmp_path}/my spool, not ack"
    assert (down.returncode, told in down.stderr) == (1, True), down.stderr
    command = shlex.split(down.stderr.partition("to send them: ")[2])
    assert command == ["streamlearn", *words, "--timeout", "0.5"]
    one.start()
    one.wait_ready(90)
    back = streamlearn(*command[1:], "--timeout", 30)
    assert back.returncode == 0, back.stderr
    assert "40 rows of before are in the spool" in back.stderr
    assert "nothing is left to be acknowledged" in back.stderr
    status_when(one, lambda status: status["rows_learned"] == 60)
    assert "60 rows of producer desk came before" in streamlearn(*words).stderr


def test_ctrl_c_leaves_rows_in_the_spool(daemon: Daemons, words: list[str], tmp_path: Path) -> None:
    """Who waits without an end is told for what; one Ctrl-C ends it with 130 and the same words."""
    one = daemon(None, router(words))
    words += ["--spool", str(tmp_path / "spool")]
    assert streamlearn(*words, "--limit", 20).returncode == 0
    one.kill()
    with running(*words) as send:
        assert send.stderr is not None
        while "40 rows are in the spool" not in (line := send.stderr.readline()):
            assert line
        assert "where Ctrl-C leaves them" in line
        send.send_signal(signal.SIGINT)
        _, errors = send.communicate(timeout=20)
    assert (send.returncode, errors.count("\n")) == (130, 1)
    assert "interrupted; 40 rows are in the spool" in errors


def test_rows_that_never_went_are_told(call: Call, words: list[str], tmp_path: Path) -> None:
    """A new spool has no number for its first row: nothing is put into it, and that is said."""
    spool = tmp_path / "spool"
    done = call(*words, "--timeout", 0.3, "--spool", spool)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert f"is not there; no row was put into the new spool at {spool}, as where" in done.err
    assert "is not there; no row was sent, as where" in call(*words, "--timeout", 0.3).err


def test_the_configuration_that_comes_along(daemon: Daemons, endpoint: Callable[[], str]) -> None:
    """Both commands of its head work, on other ports: what was acknowledged survives `kill -9`."""
    path = ROOT / "configs" / "acknowledged.toml"
    head = path.read_text("utf-8").splitlines()
    run, send = (shlex.split(line[1:]) for line in head if line.startswith("#   streamlearn "))
    assert run == ["streamlearn", "run", "configs/acknowledged.toml"]
    assert f'router = "{send[send.index("--to") + 1]}"' in head
    address = endpoint()
    send[send.index("--to") + 1] = address
    one = daemon(path, f"ingest.router={address}")
    assert streamlearn(*send[1:]).returncode == 0
    one.kill()
    one.start()
    one.wait_ready(90)
    status_when(one, lambda status: status["rows_learned"] == 3823)
    assert "3,823 rows of producer desk came before" in streamlearn(*send[1:]).stderr
