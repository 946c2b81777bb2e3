"""Cut the power of a daemon's disk, and let its disk fail, call by call; all must live on whole.

The daemon's calls are written down by strace. A model of a disk that keeps what POSIX promises and
no more (tools/power_disk.py) makes power cuts of them: after any call, what was not fsynced is
there, or not, or in part. On each of them a daemon starts, the producer goes on, and the end must
be that of an undisturbed run: every acknowledged row learned once, digest, figures, kept rows and
dead letters. Then calls fail with EIO and ENOSPC: the daemon goes on, or stops and says why;
started again, it ends the same; and so it does where the power goes after that.

`python tools/power.py` runs the long version, into docs/results/power.json, tests/faults a short
one. It needs strace, and the right to use it.
"""

import argparse
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from faults import OPTIONS, STREAM, Script
from power_broken import DEFECTS
from power_disk import FATES
from power_nursery import Nursery
from power_runs import (
    After,
    Cut,
    Faults,
    Recording,
    calls,
    compared,
    copies,
    cuts,
    record,
)
from power_trace import command
from results import update

from streamlearn.bench.report import Row, report
from streamlearn.errors import StreamlearnError

SETTINGS = ("journal.commit_ms=0", "pipeline.threads=2")
SCRIPT = Script(rows=1400, label_delay=21, checkpoint_every=140, pause_s=0.002, refused_every=20)
"""Long enough for a short log to be copied and begun anew."""
BRIEF = SCRIPT._replace(rows=420)
KILLED = "signal=SIGKILL"


def configured(folder: Path) -> Path:
    """Write the configuration of a small learner."""
    path = folder / "hebbian.toml"
    path.write_text(STREAM.format(rule="hebbian", options=OPTIONS["hebbian"]), encoding="utf-8")
    return path


class Tally(NamedTuple):
    """What came of some tries."""

    tried: int
    wrong: list[str]
    """A line for each that did not end as it should."""
    note: str = ""

    def row(self, name: str, unit: str = "power cuts gone wrong") -> Row:
        """The figure of a report."""
        return Row(name=name, ours=len(self.wrong), unit=unit, limit=0, note=self.note)


class Bench:
    """A folder to work in, and an undisturbed run of every script."""

    def __init__(self, folder: Path, nursery: Nursery, config: Path) -> None:
        self.folder, self.nursery, self.config = folder, nursery, config
        self._count = 0
        self._undisturbed: dict[Script, Recording] = {}

    def record(self, script: Script, *faults: Faults, **more: object) -> Recording:
        """Play a script through lives with faults."""
        self._count += 1
        place = self.folder / f"recording{self._count}"
        return record(self.config, place, script, faults, SETTINGS, **more)  # type: ignore[arg-type]

    def undisturbed(self, script: Script) -> Recording:
        """The run that all others must end like."""
        if script not in self._undisturbed:
            self._undisturbed[script] = self.record(script)
        return self._undisturbed[script]

    def live_on(self, script: Script, all_cuts: Iterator[Cut]) -> Tally:
        """Let daemons live on after power cuts."""
        expected = self.undisturbed(script).outcome
        after = After(self.config, script, SETTINGS, expected, self.nursery)
        wrong, fates = [], Counter[str]()
        for cut in all_cuts:
            fates[cut.fate] += 1
            if lines := after.differences(cut, self.folder / "life"):
                wrong.append(f"{cut.fate}, {cut.where}: {'; '.join(lines)}"[:600])
                print(wrong[-1], file=sys.stderr, flush=True)
        note = ", ".join(f"{fates[fate]} {fate}" for fate in FATES)
        return Tally(fates.total(), wrong, f"{fates.total()} power cuts: {note}")


def at_any_call(bench: Bench, count: int) -> Row:
    """Power cuts of a run in which nothing else happens."""
    recording = bench.record(SCRIPT, Faults(defect="short_log"))
    made, copied = sum(calls(recording).values()), copies(recording)
    tally = bench.live_on(SCRIPT, cuts(recording, count, 1))
    note = f"{tally.note}; {recording.outcome.ledgers.issued:,} rows, {made:,} calls, "
    note += f"the log copied {copied} times"
    return tally._replace(note=note).row("power cut at any call")


def after_a_kill(bench: Bench, count: int) -> Row:
    """Killed at fsync, started again, then a power cut: what was never on the disk reads well."""
    places = [("fdatasync", n) for n in (1, 2, 3, 5, 8, 9, 13, 21, 34)]
    places += [("fsync", n) for n in (1, 2, 3, 4, 5, 7, 11)]
    kills = [Faults((f"inject={name}:{KILLED}:when={n}",)) for name, n in places]
    recordings = (bench.record(BRIEF, kill) for kill in kills)
    share = -(-count // len(kills))
    every = chain.from_iterable(cuts(one, share, i, first=1) for i, one in enumerate(recordings))
    return bench.live_on(BRIEF, every).row("power cut in the life after a kill -9 before an fsync")


def after_a_cut(bench: Bench, count: int) -> Row:
    """A second power cut, in the life after the first: recovery itself writes."""
    firsts = list(cuts(bench.undisturbed(BRIEF), 16, 2))
    recordings = (bench.record(BRIEF, start=cut.image) for cut in firsts)
    share = -(-count // len(firsts))
    every = chain.from_iterable(cuts(one, share, i) for i, one in enumerate(recordings))
    return bench.live_on(BRIEF, every).row("power cut in the life after a power cut")


CALLS = {
    "EIO": ("fdatasync", "fsync", "pwrite64", "ftruncate", "rename", "renameat", "mkdir", "unlink"),
    "ENOSPC": ("pwrite64", "fdatasync", "fsync", "mkdir", "rename", "renameat"),
}
"""What fails, and how."""
DID = ("stopped, said why and were started again", "stopped without a word")
DID += ("counted it and went on", "went on, as SQLite tried it again or could do without")


def failing(bench: Bench, count: int, error: str) -> Iterator[Row]:
    """A call fails once or for a while; the outcome, and power cuts after it."""
    made = calls(bench.undisturbed(BRIEF))
    tried, wrong, did, all_cuts = 0, [], Counter[str](), []
    for name, when in _moments(made, CALLS[error]):
        fault = Faults((f"inject={name}:error={error}:when={when}",))
        try:
            recording = bench.record(BRIEF, fault)
            lines = compared(recording.outcome, bench.undisturbed(BRIEF).outcome)
        except StreamlearnError as trouble:
            lines = [str(trouble)]
        else:
            all_cuts.append(recording)
            did[_did(recording)] += 1
            if _did(recording) == DID[1]:
                lines.append(DID[1])
        tried += 1
        if lines:
            wrong.append(f"{name} {when} {error}: {'; '.join(lines)}"[:600])
            print(wrong[-1], file=sys.stderr, flush=True)
    note = f"{tried} runs with a call that fails: {', '.join(CALLS[error])}; "
    note += ", ".join(f"{did[what]} {what}" for what in DID)
    yield Tally(tried, wrong, note).row(f"{error} at a call", "runs gone wrong")
    share = -(-count // max(1, len(all_cuts)))
    every = chain.from_iterable(cuts(one, share, i) for i, one in enumerate(all_cuts))
    yield bench.live_on(BRIEF, every).row(f"power cut after {error}, what failed never written")


def _did(recording: Recording) -> str:
    """What a daemon did about a call that failed."""
    if recording.ended:
        return DID[0] if re.search("^streamlearn: ", recording.said, re.MULTILINE) else DID[1]
    return DID[2] if recording.counted else DID[3]


def _moments(made: Counter[tuple[str, int]], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Counts at which a call fails: some single ones, and three in a row."""
    for name in names:
        # strace counts the calls of each thread.
        most = max((count for (known, _), count in made.items() if known == name), default=0)
        chosen = sorted({1, 2, 3, 5, most // 4, most // 2, 3 * most // 4, most} - {0})
        yield from ((name, str(count)) for count in chosen if count <= most)
        if most > 6:
            yield name, f"{most // 2}..{most // 2 + 2}"


def broken(bench: Bench, count: int, defect: str) -> Row:
    """A daemon that does not wait for the disk where it should: the cuts must find it out."""
    recording = bench.record(BRIEF, Faults(defect=defect))
    tally = bench.live_on(BRIEF, cuts(recording, count, 3))
    note = f"of {tally.tried}: a defect put in, which must be found"
    name = f"the daemon broken: {defect.replace('_', ' ')}"
    return Row(name=name, ours=len(tally.wrong), unit="power cuts gone wrong", note=note)


def cases(cut_count: int) -> dict[str, Callable[[Bench], list[Row]]]:
    """Everything that is tried, by name."""

    def one(case: Callable[[Bench, int], Row], share: float) -> Callable[[Bench], list[Row]]:
        return lambda bench: [case(bench, round(share * cut_count))]

    found = {
        "any": one(at_any_call, 0.5),
        "kill": one(after_a_kill, 0.15),
        "again": one(after_a_cut, 0.15),
    }
    for error in CALLS:
        found[error] = lambda bench, error=error: list(failing(bench, cut_count // 10, error))
    for defect in DEFECTS:
        found[defect] = one(partial(broken, defect=defect), 0.02)
    return found


def main() -> int:
    """Try what is named, all of it by default, and keep what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = list(cases(0))
    parser.add_argument("name", nargs="*", help=f"some of {', '.join(known)}; none: all")
    parser.add_argument("--cuts", type=int, default=1000, help="power cuts in all, about: 1000")
    chosen = parser.parse_args()
    try:
        command(Path("trace"))
    except StreamlearnError as error:
        return print(error, file=sys.stderr) or 3
    for name, case in cases(chosen.cuts).items():
        if chosen.name and name not in chosen.name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            config = configured(Path(folder))
            with Nursery(config) as nursery:
                rows = case(Bench(Path(folder), nursery, config))
        for row in rows:
            print(f"{row.name}: {row.ours:g} {row.unit}; {row.note}", flush=True)
        update(report("power", "make power", rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
