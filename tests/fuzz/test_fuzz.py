"""A short fuzz of every decoder: its own encodings, changed by seeded chance.

The same targets as `make fuzz`, without the fuzzer that follows coverage.
"""

import logging
import random
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fuzz
import pytest
from fuzz_input import MOST_FRAMES, Target, attempt, joined, mutated, several, split
from fuzz_targets import FOUND, TARGETS, found_before
from hypothesis import given
from hypothesis import strategies as st

from streamlearn.errors import UsageError

MEMORY_BYTES = 512 << 20
PATIENCE_S = 5.0
EXECUTIONS = 200
SLOW = dict.fromkeys(("journal", "checkpoint", "damaged", "dead", "spool"), 60)
"""These make a state folder for each."""
INPUTS = [path.name for path in sorted(FOUND.glob("*.bin"))]


@contextmanager
def memory_bounded() -> Iterator[None]:
    """Let the system refuse more than `MEMORY_BYTES` beside what is in use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_our_own_errors_comes_out(name: str, tmp_path: Path) -> None:
    """What is damaged is refused by name, soon and in little memory; the rest comes round again."""
    target, chance = TARGETS[name], random.Random(name)
    seeds = target.seeds(tmp_path)
    with memory_bounded():
        for i in range(SLOW.get(name, EXECUTIONS)):
            data = mutated(seeds[i % len(seeds)], chance, target)
            began = time.monotonic()
            assert attempt(target, data, tmp_path) is None, data
            assert time.monotonic() - began < PATIENCE_S, data


@pytest.mark.parametrize("name", TARGETS)
def test_what_we_write_decodes(name: str, tmp_path: Path) -> None:
    """A fuzz that begins with what is refused would search nothing."""
    target = TARGETS[name]
    seeds = target.seeds(tmp_path)
    assert seeds
    for seed in seeds:
        assert len(seed) <= target.most_bytes
        assert not target.framed or joined(split(seed)) == seed
        if name not in ("control_answer", "zap"):  # they answer whatever comes, or say no
            target.run(seed, tmp_path)


@pytest.mark.parametrize("input_name", INPUTS)
def test_what_was_found_stays_mended(input_name: str, tmp_path: Path) -> None:
    """Every input that once made a finding makes none."""
    target = TARGETS[input_name.partition("-")[0]]
    target.seeds(tmp_path)
    with memory_bounded():
        assert attempt(target, (FOUND / input_name).read_bytes(), tmp_path) is None


def test_every_kept_input_has_a_target() -> None:
    """No file is left out for its name."""
    assert {name for name, _ in found_before()} <= TARGETS.keys()
    assert len(list(found_before())) == len(list(FOUND.iterdir())) > 0


def test_a_finding_is_seen(tmp_path: Path) -> None:
    """Another's exception, one that was only logged, and a warning; our own errors are none."""

    def run(data: bytes, _: Path) -> None:
        if data == b"raised":
            raise TypeError("x")
        if data == b"logged":
            try:
                int("x")
            except ValueError:
                logging.getLogger("streamlearn.x").exception("y")
        if data == b"warned":
            warnings.warn("x", RuntimeWarning, stacklevel=1)
        if data == b"refused":
            raise UsageError("x")

    target = Target(run, lambda _: [])
    kinds = {}
    for data in (b"", b"refused", b"raised", b"logged", b"warned"):
        found = attempt(target, data, tmp_path)
        kinds[data] = found and found.kind
        assert found is None or found.place == "fuzz/test_fuzz.py:run"
    assert [*kinds.values()] == [None, None, "TypeError", "ValueError", "RuntimeWarning"]


@given(st.lists(st.binary(max_size=20), max_size=MOST_FRAMES))
def test_frames_come_back(frames: list[bytes]) -> None:
    """Several frames in one input are those frames; a number of them can be asked for."""
    assert split(joined(frames)) == frames
    assert several(joined(frames), 2) == [*frames, b"", b""][:2]


@given(st.binary(max_size=64), st.integers(0, 99))
def test_any_bytes_can_be_changed(data: bytes, seed: int) -> None:
    """The change is the same for the same seed, and keeps to the longest input."""
    for framed in (False, True):
        target = Target(lambda *_: None, lambda _: [], framed=framed, most_bytes=60)
        changed = mutated(data, random.Random(seed), target)
        assert changed == mutated(data, random.Random(seed), target)
        assert len(changed) <= 60


def test_the_log_is_read() -> None:
    """Executions, edges, inputs and memory, also of a run that ended early."""
    line = "#1024\tNEW    cov: 45 ft: 89 corp: 12/345b lim: 4 exec/s: 9 rss: 45Mb\n"
    whole = f"{line}stat::number_of_executed_units: 2000\nstat::peak_rss_mb: 77\n"
    assert fuzz.seen_in(line) == fuzz.Seen(1024, 45, 12, 0)
    assert fuzz.seen_in(whole) == fuzz.Seen(2000, 45, 12, 77)
    assert fuzz.seen_in("nothing") == fuzz.Seen()


def test_without_the_fuzzer_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way out is named, and so is a target that is not there."""
    monkeypatch.setitem(sys.modules, "atheris", None)
    with pytest.raises(SystemExit, match=r"atheris .* make fuzz"):
        fuzz.check([])
    with pytest.raises(SystemExit, match="fuzz x: expected some of message"):
        fuzz.check(["x"])


@pytest.mark.slow
def test_the_fuzzer_runs(tmp_path: Path) -> None:
    """Where it is installed: it starts, follows branches and counts."""
    pytest.importorskip("atheris")
    command = [sys.executable, fuzz.__file__, "hello", "--dry", "--seconds", "3"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hello: 0 findings" in done.stdout
    assert " 0 edges" not in done.stdout
