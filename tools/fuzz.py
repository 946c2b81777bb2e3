"""Fuzz every decoder with a coverage-guided fuzzer, and count what it finds.

Each target of `fuzz_targets` runs under atheris (libFuzzer) in a process of its own, within a time
for each input and a bound on memory. Nothing may come out of a decoder but a decoded value or one
of our own errors; see `fuzz_input`. `python tools/fuzz.py` runs the long version, into
docs/results/fuzz.json; tests/fuzz runs a short one without atheris, over the same targets.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from fuzz_input import Finding
from fuzz_targets import TARGETS, found_before
from results import update

from streamlearn.bench.report import Row, report

HERE: Final = Path(__file__).resolve().parent
SECONDS: Final = 60.0
TIMEOUT_S: Final = 5
"""How long one input may take."""
RSS_MIB: Final = 1024
"""Most resident memory of the whole process; a single decode is bounded in `fuzz_child`."""
FOUND_BEFORE: Final = "found before and mended"
_LINE: Final = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)/")
_ENDS: Final = {70: "TimeLimit", 71: "MemoryLimit"}


class Seen(NamedTuple):
    """What one run of a target came to."""

    executions: int = 0
    edges: int = 0
    inputs: int = 0
    """Kept as each reached something new."""
    rss_mib: int = 0


def search(name: str, seconds: float, out: Path) -> tuple[Seen, dict[str, Finding]]:
    """Fuzz a target for a time, started anew where it ends early; what was seen and found."""
    until, total, found = time.monotonic() + seconds, Seen(), dict[str, Finding]()
    while (left := until - time.monotonic()) > 1:
        log = out / "log"
        with log.open("wb") as file:
            options = [f"-max_total_time={left:.0f}", f"-timeout={TIMEOUT_S}"]
            options += [f"-rss_limit_mb={RSS_MIB}", f"-artifact_prefix={out}/ended-"]
            command = [sys.executable, str(HERE / "fuzz_child.py"), name, str(out), *options]
            command += ["-print_final_stats=1"]
            code = subprocess.run(command, stdout=file, stderr=file, check=False).returncode
        text = log.read_text(encoding="utf-8", errors="replace")
        seen = seen_in(text)
        total = Seen(total.executions + seen.executions, *map(max, total[1:], seen[1:]))
        for path in out.glob("finding-*.json"):
            one = Finding(**msgspec.json.decode(path.read_bytes()))
            found[one.key] = one
        if code == 0:
            break
        if not seen.executions:
            sys.exit(f"{name}: ended with exit code {code} before it began:\n{text[-2000:]}")
        end = Finding(_ENDS.get(code, f"Exit{code}"), name, text[-300:])
        found[end.key] = end
    return total, found


def seen_in(log: str) -> Seen:
    """What libFuzzer's log says of a run."""
    lines = _LINE.findall(log)
    executions, edges, _, inputs = map(int, lines[-1]) if lines else (0, 0, 0, 0)
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", log))
    executions = max(executions, int(stats.get("number_of_executed_units", 0)))
    return Seen(executions, edges, inputs, int(stats.get("peak_rss_mb", 0)))


def row(name: str, seconds: float, seen: Seen, found: dict[str, Finding]) -> Row:
    """A line of the report."""
    note = f"{seen.executions:,} executions in {seconds:.0f} s; {seen.edges:,} edges reached, "
    note += f"{seen.inputs:,} inputs kept; at most {seen.rss_mib} MiB"
    if found:
        note += "; " + ", ".join(found)
    return Row(name=name, ours=len(found), unit="findings", limit=0, note=note)


def mended() -> Row:
    """How many findings there were, by the inputs that are kept in tests/fuzz/found."""
    names = sorted({name for name, _ in found_before()})
    inputs = len(list(found_before()))
    note = f"inputs in tests/fuzz/found, each a test: {', '.join(names)}"
    return Row(name=FOUND_BEFORE, ours=inputs, unit="findings", note=note)


def keep(name: str, out: Path, folder: Path) -> None:
    """Copy the inputs of findings to where a person can look at them."""
    for path in (*out.glob("finding-*"), *out.glob("ended-*")):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / f"{name}-{path.name}")


def main() -> int:
    """Fuzz the targets that are named, all by default; exit code 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help=f"some of {', '.join(TARGETS)}; none: all")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each target: 60")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="folder for findings")
    parser.add_argument("--dry", action="store_true", help="leave docs/results as they are")
    chosen = parser.parse_args()
    check(chosen.name)
    findings = 0
    for name in chosen.name or TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            seen, found = search(name, chosen.seconds, Path(folder))
            keep(name, Path(folder), chosen.keep)
        one = row(name, chosen.seconds, seen, found)
        print(f"{one.name}: {one.ours:g} findings; {one.note}", flush=True)
        findings += len(found)
        if not chosen.dry:
            command = f"make fuzz ARGS='--seconds {chosen.seconds:g}'"
            update(report("fuzz", command, [one, mended()]), order=[*TARGETS, FOUND_BEFORE])
    return 1 if findings else 0


def check(names: Sequence[str]) -> None:
    """End where a name is none, or the fuzzer is not there."""
    if unknown := [name for name in names if name not in TARGETS]:
        sys.exit(f"fuzz {unknown[0]}: expected some of {', '.join(TARGETS)}")
    try:
        import atheris  # noqa: F401, PLC0415  an extra
    except ImportError:
        version = ".".join(map(str, sys.version_info[:2]))
        sys.exit(
            "atheris is not installed: make fuzz does it. Where it has no wheel for this machine's "
            f"Python {version}: make PYTHON=python3.11 clean fuzz. tests/fuzz needs none"
        )


if __name__ == "__main__":
    sys.exit(main())
