"""`send` as a person meets it: wrong options are told as options, and what became of the rows."""

import re
from pathlib import Path

import pytest
from caller import Call

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
