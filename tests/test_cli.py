"""The command line without a daemon: what each verb prints, and how each error ends."""

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from caller import Call

from streamlearn import data
from streamlearn.cli import main
from streamlearn.cli.show import age, as_json, percent

ConfigFile = Callable[..., Path]
BAD = """
[stream]
shape = [4]
classes = 3
[[layer]]
rule = "hebbian"
units = 8
[[layer]]
rule = "hebbian"
units = -3
[[head]]
knd = "softmax"
kind = "softmx"
"""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Three easy classes of four numbers, 300 rows, the last 60 held out."""
    random = np.random.default_rng(1)
    y = random.integers(0, 3, 300)
    X = np.eye(3, 4)[y] * 10 + random.normal(size=(300, 4)) + 5
    path = tmp_path / "rows.npz"
    np.savez(path, X=X.astype(np.float32), y=y, is_test=np.arange(300) >= 240)
    return path


def test_help_lists_the_verbs(call: Call) -> None:
    """`--help` shows every verb with one whole line, in the order of a first day."""
    done = call("--help")
    listed = [line.split()[0] for line in done.out.split("Commands:\n")[1].splitlines()]
    assert listed == [
        "demo",
        "run",
        "check",
        "evaluate",
        "send",
        "watch",
        "ctl",
        "inspect",
        "fsck",
        "dead",
        "bench",
        "keygen",
    ]
    assert "..." not in done.out.split("Commands:\n")[1]
    assert done.code == 0


@pytest.mark.parametrize("verb", main.commands)
def test_every_verb_explains_itself(call: Call, verb: str) -> None:
    """`VERB --help` ends well and explains every option."""
    done = call(verb, "--help")
    assert (done.code, done.err) == (0, "")
    for parameter in main.commands[verb].params:
        if parameter.param_type_name == "option":
            assert getattr(parameter, "help", None), f"{verb} {parameter.name} has no help"
            assert any(option in done.out for option in parameter.opts)


def test_version(call: Call) -> None:
    """`--version` prints the version alone."""
    assert call("--version").out.strip().count(".") == 2


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("runn", 2, "No such command 'runn'"),
        ("check", 2, "Missing argument 'FILE'"),
        ("check nowhere.toml", 2, "nowhere.toml: cannot be read: No such file or directory"),
        ("check . ", 2, ".: cannot be read: Is a directory"),
        ("check TINY --set nothing", 2, "--set nothing: expected key=value"),
        ("check TINY --set layer.0.units=0", 2, "layer[0].units: expected 1…65536, got 0"),
        ("check TINY --sets a=b", 2, "No such option '--sets'"),
        ("run nowhere.toml", 2, "nowhere.toml: cannot be read"),
        ("evaluate TINY", 2, "Missing option '--data'"),
        ("evaluate TINY --data nowhere", 2, "nowhere: no such file or folder, and not a known"),
        ("evaluate TINY --data optdigits", 2, "optdigits: rows of shape [8, 8] do not fit"),
        ("evaluate TINY --data ROWS --passes 0", 2, "0 is not in the range x>=1"),
        ("evaluate TINY --data ROWS --test optdigits", 2, "optdigits: rows of shape [8, 8]"),
        ("inspect nowhere", 2, "nowhere: no such folder"),
        ("send optdigits", 2, "Missing option '--to'"),
        ("send optdigit --to tcp://127.0.0.1:9", 2, "did you mean 'optdigits'"),
        ("send optdigits --to nonsense", 2, "--to: expected tcp://HOST:PORT, got 'nonse"),
        ("send optdigits --to tcp://127.0.0.1:9 --stream a*b", 2, "--stream: expected 1 to 128"),
        ("send optdigits --to tcp://127.0.0.1:9 --rate 0", 2, "0 is not in the range x>0"),
        ("send optdigits --to tcp://127.0.0.1:9 --no-labels --label-delay 3", 2, "choose one"),
        ("send optdigits --to tcp://127.0.0.1:9 --timeout 0.1", 1, "the daemon is not there"),
        ("watch nonsense", 2, "ENDPOINT: expected tcp://HOST:PORT, got 'nonsense'"),
        ("watch tcp://127.0.0.1:9 --timeout 0.1", 1, "nothing was published within 0.1 s"),
        ("ctl tcp://127.0.0.1:9 ping --timeout 0.1", 1, "tcp://127.0.0.1:9"),
        ("ctl nonsense ping", 2, "ENDPOINT: expected tcp://HOST:PORT, got 'nonsense'"),
        ("ctl tcp://127.0.0.1:9 set a", 2, "a: expected KEY=VALUE"),
        ("bench nothing", 2, "bench nothing: expected some of kernels"),
        ("demo --dataset ROWS", 2, "no configuration comes with it; add --config FILE"),
        ("demo --config TINY", 2, "optdigits: rows of shape [8, 8] do not fit"),
    ],
)
def test_errors_are_one_clean_line(
    call: Call, config_file: ConfigFile, rows: Path, words: str, code: int, says: str
) -> None:
    """A wrong call ends with its exit code and one line that names place, value and way out."""
    files = {"TINY": config_file(), "ROWS": rows}
    done = call(*(files.get(word, word) for word in words.split()))
    assert says in done.err
    assert done.code == code
    assert done.out == ""
    errors = [line for line in done.err.splitlines() if not line.startswith("starting")]
    assert len(errors) == 1
    assert "Traceback" not in done.err


def test_check_gives_a_line_for_each_error(call: Call, config_file: ConfigFile) -> None:
    """Every error of a file is found at once, each with its key's path, nothing around it."""
    path = config_file(BAD)
    done = call("check", path)
    assert done.code == 2
    assert done.out == ""
    lines = done.err.splitlines()
    assert f"{path}: layer[1].units: expected 1…65536, got -3" in lines
    assert [line.partition(".toml: ")[2].split(":")[0] for line in lines] == [
        "layer[1].units",
        "head[0].kind",
    ]


def test_check_of_a_good_file(call: Call, config_file: ConfigFile) -> None:
    """A good file ends with 0 and a word on stdout, with overrides taken into account."""
    done = call("check", config_file(), "--set", "seed=7")
    assert (done.code, done.err) == (0, "")
    assert "good" in done.out
    assert "seed 7" in done.out


def test_evaluate_prints_one_object_last(call: Call, config_file: ConfigFile, rows: Path) -> None:
    """`evaluate --json` gives the promised keys; progress goes to stderr."""
    done = call("evaluate", config_file(), "--data", rows, "--json")
    found = done.last
    assert done.code == 0
    assert found["samples"] == 240
    assert found["test"]["samples"] == 60
    assert found["test"]["error"] < 0.2
    assert 0 <= found["prequential"]["error_recent"] <= found["prequential"]["error"] < 0.5
    assert found["samples_per_s"] == pytest.approx(found["samples"] / found["seconds"], rel=0.01)
    assert len(bytes.fromhex(found["digest"])) == 32
    assert found["config"]
    assert "240 of 240 rows" in done.err


def test_evaluate_options_mean_what_they_say(
    call: Call, config_file: ConfigFile, rows: Path
) -> None:
    """The same call ends in the same digest; seed, passes and limit each change it."""
    words = ("evaluate", config_file(TINY_RANDOM), "--data", rows, "--json")
    first = call(*words).last
    assert call(*words).last["digest"] == first["digest"]
    assert call(*words, "--seed", 5).last["digest"] != first["digest"]
    assert call(*words, "--passes", 2).last["samples"] == 480
    assert call(*words, "--limit", 50).last["samples"] == 50
    assert call(*words, "--set", "layer.0.units=9").last["config"] != first["config"]
    assert call(*words, "--test", rows).last["test"]["samples"] == 60


def test_evaluate_save_is_what_inspect_shows(
    call: Call, config_file: ConfigFile, rows: Path, tmp_path: Path
) -> None:
    """A saved learner is found again with its digest and its count of rows."""
    state = tmp_path / "state"
    learned = call("evaluate", config_file(), "--data", rows, "--save", state, "--json").last
    done = call("inspect", state, "--json")
    assert done.code == 0
    assert done.last["digest"] == learned["digest"]
    assert done.last["rows_learned"] == 240
    assert done.last["config_hash"] == learned["config"]
    told = call("inspect", state).out
    assert learned["digest"] in told
    assert "240" in told


def test_inspect_draws_receptive_fields(
    call: Call, config_file: ConfigFile, tmp_path: Path
) -> None:
    """A layer of images is drawn; what cannot be drawn or written is an error with a way out."""
    state, picture = tmp_path / "state", tmp_path / "fields.png"
    shape = ("--set", "stream.shape=[8, 8]", "--set", "stream.classes=10")
    words = ("evaluate", config_file(), *shape, "--data", "optdigits", "--limit", 60)
    assert call(*words, "--save", state, "--json").code == 0
    assert call("inspect", state, "--picture", picture, "--layer", "layer1").code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    for wrong, says in (
        (("--picture", picture, "--layer", "none"), "--layer none: expected one of layer1"),
        (("--layer", "layer1"), "it chooses what --picture FILE draws"),
        (("--picture", tmp_path / "no" / "a.png"), "name a .png that can be written"),
        (("--picture", tmp_path / "a.foo"), "name a .png that can be written"),
    ):
        done = call("inspect", state, *wrong)
        assert done.code == 2
        assert says in done.err
    empty = call("inspect", tmp_path, "--picture", picture)
    assert empty.code == 2
    assert "no whole checkpoint" in empty.err


def test_inspect_of_an_empty_folder(call: Call, tmp_path: Path) -> None:
    """A folder without checkpoints is not an error: nothing was learned yet."""
    assert call("inspect", tmp_path, "--json").last["rows_learned"] is None
    assert "none" in call("inspect", tmp_path).out


def test_evaluate_tells_people_the_figures(call: Call, config_file: ConfigFile, rows: Path) -> None:
    """Without --json there is a table with the heads, the trivial rules and the digest."""
    told = call("evaluate", config_file(), "--data", rows).out
    for words in ("softmax: held out", "% of 60 rows", "always the commonest class", "digest"):
        assert words in told


def test_evaluate_without_labels(call: Call, config_file: ConfigFile, tmp_path: Path) -> None:
    """Rows without labels are learned from; figures that need labels are null."""
    np.savez(tmp_path / "x.npz", X=np.random.default_rng(1).normal(size=(50, 4)))
    done = call("evaluate", config_file(), "--data", tmp_path / "x.npz", "--json")
    assert done.code == 0
    assert done.last["prequential"] == {"error": None, "error_recent": None}
    assert done.last["test"] is None


def test_an_unexpected_error_is_one_line(
    call: Call, config_file: ConfigFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours is told in one line with exit code 1, and whole with --traceback."""

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(data, "load", broken)
    words = ("evaluate", config_file(), "--data", "optdigits")
    done = call(*words)
    assert done.code == 1
    assert "unexpected ZeroDivisionError: by nothing" in done.err
    assert "Traceback" not in done.err
    with pytest.raises(ZeroDivisionError):
        main(["--traceback", *map(str, words)])


def test_interrupted(call: Call, config_file: ConfigFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with 130 and without a word of Python."""

    def pressed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "load", pressed)
    done = call("evaluate", config_file(), "--data", "optdigits")
    assert done.code == 130
    assert "Traceback" not in done.err


@pytest.mark.parametrize("words", [["--help"], ["inspect", "."]])
def test_a_reader_that_leaves_is_no_error(tmp_path: Path, words: list[str]) -> None:
    """`streamlearn … | head` ends well though the pipe is closed early."""
    command = [sys.executable, "-m", "streamlearn", *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=_here()
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")


def _here() -> dict[str, str]:
    """The environment, with the package found from any folder."""
    root = str(Path(__file__).resolve().parent.parent)
    return {**os.environ, "PYTHONPATH": root}


def test_progress_is_a_bar_on_a_terminal(config_file: ConfigFile, rows: Path) -> None:
    """On a terminal stderr carries a bar; stdout stays clean JSON."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "streamlearn", "evaluate", config_file(), "--data", rows]
    with subprocess.Popen(
        [*map(str, command), "--json"], stdout=subprocess.PIPE, stderr=theirs, env=_here()
    ) as process:
        os.close(theirs)
        seen = _read_all(ours)
        assert process.stdout is not None
        assert json.loads(process.stdout.read())["samples"] == 240
    assert process.returncode == 0
    assert "━" in seen
    assert "240/240" in seen


def _read_all(terminal: int) -> str:
    """What is written to a terminal until its last user is gone."""
    seen = b""
    with contextlib.suppress(OSError):  # Linux tells the end as an error
        while more := os.read(terminal, 1 << 16):
            seen += more
    os.close(terminal)
    return seen.decode()


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(None, "-"), (0.4, "0 s"), (90, "90 s"), (600, "10.0 min"), (2e5, "2.3 days")],
)
def test_age_in_its_largest_unit(seconds: float | None, says: str) -> None:
    """People read 2.3 days, not 200000 s."""
    assert age(seconds) == says


def test_json_of_arrays_and_nothing() -> None:
    """Arrays become lists; a missing share is a dash."""
    assert msgspec.json.decode(as_json({"a": np.arange(2), "b": np.float32(0.5)})) == {
        "a": [0, 1],
        "b": 0.5,
    }
    assert (percent(None), percent(0.0262)) == ("-", "2.62 %")


TINY_RANDOM = """
[stream]
shape = [4]
classes = 3
[[layer]]
rule = "hebbian"
units = 8
start = "random"
[[head]]
kind = "softmax"
[pipeline]
threads = 1
"""
