"""What else befalls a daemon: clocks, stops, cut connections, failing disks, bad networks.

As in tools/faults.py a stream is played, the mishap happens in the middle of it, and the end must
be that of a run that nobody interrupted. Beside that, memory stays in bounds, and the daemon's
figures, its pages or its log tell what happened, which each mishap holds while it lasts
(tools/havoc.py).

`python tools/mishaps.py` runs the long version, into docs/results/mishaps.json; a row is kept as
soon as it is there, and `--rest` goes on with those that are not. tests/faults runs a short one.
What needs root, or a program that is not installed, is left out by name.
"""

import argparse
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import damage
from faults import STREAM, STUCK_S, Ledgers, Script, run
from havoc import (
    HOUR_S,
    Clocked,
    CutOff,
    OnDisk,
    cut_off,
    figures,
    hours,
    learned,
    nothing_amiss,
    read_only,
    stopped,
)
from lives import PATIENCE_S, End, Lives, differences
from lossy_link import Link, MissingError, Weather
from results import kept, update

from streamlearn import precompile
from streamlearn.bench.process import free_ports
from streamlearn.bench.report import Row, report
from streamlearn.config import load as load_config
from streamlearn.errors import StreamlearnError
from streamlearn.plan import CATALOGUE

MEMORY_BYTES = 48 << 20
"""What a mishap may cost beside the memory of a run without: queues, allocators that keep."""
CONFIG = STREAM.format(rule="hebbian", options="units = 24")
SCRIPT = Script(rows=1400, label_delay=21, checkpoint_every=350, pause_s=0.01)


class Found(NamedTuple):
    """How a stream ended."""

    ledgers: Ledgers
    end: End
    note: str = ""


def wrong(found: Found, quiet: Found) -> list[str]:
    """What is not as without the mishap."""
    lines = differences(found.end, quiet.end)
    issued, acknowledged, rows, _, peak = found.ledgers
    if not issued == acknowledged == rows:
        lines.append(f"{issued} rows issued, {acknowledged} acknowledged, {rows} learned")
    if peak > quiet.ledgers.peak_bytes + MEMORY_BYTES:
        lines.append(f"{peak >> 20} MiB, {quiet.ledgers.peak_bytes >> 20} undisturbed")
    return lines


def undisturbed(config: Path, folder: Path, script: Script) -> Found:
    """Play a script, and nothing befalls."""
    # A first start compiles, which takes more memory than any mishap.
    precompile.ensure(load_config(config, CATALOGUE))
    return Found(*run(config, folder, script._replace(pause_s=0.0)))


def clock_jumps(
    config: Path, folder: Path, script: Script, shifts: tuple[int, ...], pause_s: float
) -> Found:
    """The wall clock jumps; killed where it went back."""
    found = run(config, folder, script, chaos=partial(hours, shifts, pause_s), make=Clocked)
    note = f"{len(shifts)} jumps, {found[0].kills} kills; told by the timestamps on the page"
    return Found(*found, note)


def is_stopped(config: Path, folder: Path, script: Script, seconds: float) -> Found:
    """SIGSTOP, SIGCONT after some seconds."""
    found = run(config, folder, script, chaos=partial(stopped, seconds))
    note = "told by /livez, which does not answer, and by last_learned_timestamp_seconds"
    return Found(*found, f"{seconds:g} s; {note}")


def is_cut_off(config: Path, folder: Path, script: Script, cuts: int) -> Found:
    """Producers die in the middle of a message: closed, reset, or silent."""
    script = script._replace(waits=False)
    found = run(config, folder, script, chaos=cut_off, make=partial(CutOff, cuts))
    return Found(*found, f"{cuts} connections died; told by hellos_total, nothing rejected")


def becomes_read_only(config: Path, folder: Path, script: Script) -> Found:
    """The disk becomes read-only, and is mended after the daemon has stopped."""
    found = run(config, folder, script, chaos=read_only, make=OnDisk)
    return Found(*found, "told by checkpoint_failures_total, then by exit code 1 and the log")


class Far(Lives):
    """Lives that listen on a link with weather."""

    def __init__(self, link: Link, config: Path, folder: Path) -> None:
        super().__init__(config, folder)
        self.router = f"tcp://{link.here}:{free_ports(1)[0]}"
        self.one.command += ["--set", f"ingest.router={self.router}"]
        self.one.command += ["--set", "security.allow_plain=true"]
        self._plain = self.one.command


def bad_network(config: Path, folder: Path, script: Script, weather: Weather) -> Found:
    """`streamlearn send` from a network namespace, over a link that loses and delays packets."""
    folder.mkdir()
    with Link(weather) as link, Far(link, config, folder) as lives:
        one, rows = lives.one, script.rows
        one.wait_ready(PATIENCE_S)
        send = [sys.executable, "-m", "streamlearn", "send", "optdigits", "--to", lives.router]
        send += ["--stream", "digits", "--producer", "oracle", "--ack", "--limit", str(rows)]
        send += ["--rows", str(script.rows_a_message), "--timeout", str(2 * STUCK_S)]
        done = subprocess.run(link.inside(*send), capture_output=True, check=False)
        if done.returncode:
            raise StreamlearnError(f"send: exit code {done.returncode}: {done.stderr!r}")
        learned(one, rows)
        nothing_amiss(one)
        hellos = figures(one)["hellos_total"]
        end = lives.end()
    note = f"{link.lost:,} of {link.lost + link.passed:,} packets lost, nothing rejected or missed"
    ledgers = Ledgers(rows, rows, end.rows, lives.kills, lives.peak_bytes)
    return Found(ledgers, end, f"{note}; hellos_total {hellos:g}")


def is_damaged(config: Path, folder: Path, parts: int, quiet: Found) -> Found:
    """Each file of the newest checkpoint damaged at each part of its length, one at a time."""
    folder.mkdir()
    return Found(*damage.everywhere(config, folder, parts, quiet.end))


SCRIPT = damage.SCRIPT
PLAIN = Script(rows=1400)
JUMPS = (HOUR_S, 0, -HOUR_S, 0, HOUR_S, -HOUR_S)
Case = Callable[[Path, Path, Script, Found], Found]
CASES: dict[str, tuple[Script, Case]] = {
    "clock that jumps an hour either way": (
        SCRIPT._replace(rows=7000),
        lambda c, f, s, _: clock_jumps(c, f, s, JUMPS, 1.0),
    ),
    "SIGSTOP for a minute": (SCRIPT, lambda c, f, s, _: is_stopped(c, f, s, 60.0)),
    "producers that die in the middle of a message": (
        SCRIPT._replace(rows=30_000),
        lambda c, f, s, _: is_cut_off(c, f, s, 300),
    ),
    "disk that becomes read-only": (SCRIPT, lambda c, f, s, _: becomes_read_only(c, f, s)),
    "network with 30 % loss and 200 ms delay each way": (
        PLAIN,
        lambda c, f, s, _: bad_network(c, f, s, Weather(0.3, 0.2)),
    ),
    "checkpoint damaged at every 1/64 of its length": (
        SCRIPT,
        lambda c, f, _, quiet: is_damaged(c, f, 64, quiet),
    ),
}
"""What is played, and what befalls it; each is handed a configuration and a folder."""


def row(name: str, folder: Path) -> Row:
    """What came of one mishap."""
    config = folder / "digits.toml"
    config.write_text(CONFIG, encoding="utf-8")
    script, case = CASES[name]
    quiet = undisturbed(config, folder / "undisturbed", script)
    found = case(config, folder / "mishap", script, quiet)
    lines = wrong(found, quiet)
    ledgers, peak = found.ledgers, quiet.ledgers.peak_bytes
    note = "; ".join(lines) or f"{ledgers.issued:,} rows issued, acknowledged and learned"
    if ledgers.peak_bytes:
        note += f"; {ledgers.peak_bytes >> 20} MiB at most, {peak >> 20} undisturbed"
    note = f"{note}; {found.note}"
    return Row(name=name, ours=len(lines), unit="differences", limit=0, note=note)


def main() -> None:
    """Try what is named, all of it by default, and keep what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help="beginnings of mishaps' names; none: all")
    parser.add_argument("--rest", action="store_true", help="only what has no row yet")
    chosen = parser.parse_args()
    there = kept("mishaps") if chosen.rest else {}
    logging.disable(logging.WARNING)  # what recovery in this process passes over, 256 times
    for name in CASES:
        if name in there or (chosen.name and not name.startswith(tuple(chosen.name))):
            continue
        try:
            with tempfile.TemporaryDirectory() as folder:
                one = row(name, Path(folder))
        except MissingError as error:
            print(f"{name}: left out, as it needs {error}", flush=True)
            continue
        print(f"{one.name}: {one.ours:g} differences; {one.note}", flush=True)
        update(report("mishaps", "make mishaps", [one]), order=list(CASES))


if __name__ == "__main__":
    main()
