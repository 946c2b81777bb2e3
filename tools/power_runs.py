"""Daemons whose calls are written down, power cuts made of what they did, and life after them."""

import hashlib
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from faults import Ledgers, Script, play
from lives import End, Lives, acknowledging, differences, end_of
from power_disk import FATES, Disk, Image, lay
from power_nursery import Forked, Nursery
from power_trace import Player, command, wait_written

from streamlearn.client import Producer
from streamlearn.errors import StartError, StreamlearnError
from streamlearn.store.dead import DeadLetters

HERE = Path(__file__).resolve().parent
PATIENCE_S = 60.0
_TRIES = 3
STOPS = (1, 3)
"""Exit codes of a clear stop: it failed; it could not start."""


class Faults(NamedTuple):
    """What is wrong in one life."""

    inject: tuple[str, ...] = ()
    """See strace, `inject=`."""
    defect: str = ""
    """One of `power_broken.DEFECTS` or `VARIANTS`."""


class Traced(Lives):
    """Lives whose calls are written down; `specs` are `Faults`, one a life."""

    codes = (-9, *STOPS)

    def __init__(
        self, config: Path, folder: Path, specs: Sequence[Faults] = (), settings: Sequence[str] = ()
    ) -> None:
        (disk := folder / "disk").mkdir(parents=True, exist_ok=True)
        super().__init__(config, disk, (), settings)
        self.one.log = folder / "daemon.log"
        self._faults = list(specs)
        self._folder = folder
        self.traces: list[Path] = []
        self.counted = 0
        """Failures on the metrics page of the last life."""

    def _next_command(self) -> list[str]:
        faults = self._faults.pop(0) if self._faults else Faults()
        self.traces.append(self._folder / f"trace{len(self.traces)}")
        plain = self._plain
        if faults.defect:
            broken = [sys.executable, str(HERE / "power_broken.py"), faults.defect]
            plain = [*broken, *plain[plain.index("run") :]]
        return [*command(self.traces[-1], faults.inject), *plain]

    def end(self) -> End:
        """Stop it in order, again where it stops another way first, and read what it left."""
        for _ in range(3):
            self._wait_ready()
            self.counted = _failures(self.one.get("/metrics")[1])
            self._ends = True
            code = self.one.stop(PATIENCE_S)
            self._thread.join()
            if code == 0:
                return end_of(self.one.state)
            if code not in self.codes:
                break
            self.ended.append(code)
            self._start()
        raise StreamlearnError(f"ended with exit code {code}:\n{self.one.said()}")

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.one.wait_ready(PATIENCE_S)
            except StartError:  # another life follows
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return


def _failures(page: str) -> int:
    lines = [line for line in page.splitlines() if "_failures_total" in line and line[0] != "#"]
    return sum(int(float(line.split()[-1])) for line in lines)


class Outcome(NamedTuple):
    """How a script came to its end."""

    ledgers: Ledgers
    end: End
    letters: list[int]
    """First rows of the messages that were set aside."""


class Recording(NamedTuple):
    """Lives whose calls were written down."""

    outcome: Outcome
    folder: Path
    start: Image
    """What was there before the first of them."""
    traces: list[Path]
    ended: list[int]
    """Exit codes of those that another followed."""
    said: str
    """What they said."""
    counted: int
    """Failures that the last of them counted."""

    def player(self) -> Player:
        """What plays it."""
        return Player(self.folder / "disk", Disk(self.start))


def letters(state: Path) -> list[int]:
    """First rows of the messages that were set aside."""
    store = DeadLetters(state)
    try:
        return sorted(letter.seq for letter in store.letters())
    finally:
        store.close()


def record(
    config: Path,
    folder: Path,
    script: Script,
    specs: Sequence[Faults] = (),
    settings: Sequence[str] = (),
    start: Image | None = None,
) -> Recording:
    """Play a script through lives with faults, and write their calls down."""
    (folder / "disk").mkdir(parents=True)
    lay(start or {}, folder / "disk")
    with Traced(config, folder, specs, settings) as lives:
        counts = play(script, lives.router, lives.one.control, timeout_s=PATIENCE_S)
        end = lives.end()
    for trace in lives.traces:
        wait_written(trace)
    outcome = Outcome(Ledgers(*counts, end.rows, lives.kills), end, letters(lives.one.state))
    said = lives.one.log.read_text(encoding="utf-8", errors="replace")
    more = (lives.traces, lives.ended, said, lives.counted)
    found = Recording(outcome, folder, start or {}, *more)
    player = found.player()
    for trace in lives.traces:
        for _ in player.play(trace):
            pass
    player.check()
    return found


class Cut(NamedTuple):
    """A power cut: what was there afterwards, and what had been promised."""

    image: Image
    acknowledged: int
    fate: str
    where: str
    """After which call."""


def cuts(recording: Recording, count: int, seed: int, first: int = 0) -> Iterator[Cut]:
    """Different power cuts of a recording, about so many, at random calls of its lives.

    Parameters
    ----------
    recording
        What happened.
    count
        How many.
    seed
        Decides which.
    first
        The first life among whose calls they are.

    """
    lives = range(len(recording.traces))[first:]
    points = sum(1 for life, _, _ in _points(recording) if life in lives)
    draw = random.Random(seed)  # noqa: S311  no secret
    every = range(points * len(FATES))
    chosen = set(draw.sample(every, min(len(every), 3 * count)))
    share = max(1, len(chosen) // count)
    seen: dict[bytes, int] = {}
    place = -1
    for life, name, player in _points(recording):
        if life not in lives:
            continue
        place += 1
        for i, fate in enumerate(FATES):
            if (key := place * len(FATES) + i) not in chosen:
                continue
            image = player.disk.after(fate, random.Random(f"{seed} {key}"))  # noqa: S311
            mark = hashlib.blake2b(repr(sorted(image.items())).encode()).digest()
            if seen.get(mark, -1) < player.acknowledged and draw.random() < 2 / share:
                seen[mark] = player.acknowledged
                yield Cut(image, player.acknowledged, fate, f"call {place} of {points}, {name}")
                if len(seen) >= count:
                    return


def _points(recording: Recording) -> Iterator[tuple[int, str, Player]]:
    player = recording.player()
    for life, trace in enumerate(recording.traces):
        for name in player.play(trace):
            yield life, name, player


def copies(recording: Recording) -> int:
    """How often the journal's log was begun anew, after it was copied into the table."""
    every = recording.player().all_calls(recording.traces[0])
    begun = sum(1 for one in every if one.name == "pwrite64" and one.text.endswith(", 32, 0"))
    return begun - 1


def calls(recording: Recording) -> Counter[tuple[str, int]]:
    """How often which thread made which call, in the first life."""
    found: Counter[tuple[str, int]] = Counter()
    player = recording.player()
    for call in player.all_calls(recording.traces[0]):
        found[call.name, call.task] += 1
    return found


class After:
    """Lets daemons live on after power cuts, and compares their ends with an undisturbed one.

    Parameters
    ----------
    config, script, settings
        As they were before the power cut.
    expected
        The undisturbed end.
    nursery
        Where daemons come from.
    """

    def __init__(
        self,
        config: Path,
        script: Script,
        settings: Sequence[str],
        expected: Outcome,
        nursery: Nursery,
    ) -> None:
        self._config, self._settings = config, settings
        self._script = script._replace(pause_s=0.0)
        self._expected, self._nursery = expected, nursery

    def differences(self, cut: Cut, folder: Path) -> list[str]:
        """What is not as if nothing had happened; nothing where all is well."""
        for _ in range(_TRIES):
            try:
                return self._lived(cut, folder)
            except StreamlearnError as error:
                found = str(error)
            if "is taken by another process" not in found:
                break  # of all that shows, only a port is none of the daemon's fault
        return [found]

    def _lived(self, cut: Cut, folder: Path) -> list[str]:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        lay(cut.image, folder)
        one, router = acknowledging(Forked, self._config, folder, self._settings)
        one.nursery = self._nursery
        try:
            one.start()
            one.wait_ready(PATIENCE_S)
            with Producer(router, "digits", "oracle", ack=True, timeout_s=PATIENCE_S) as producer:
                there = producer.seq
            counts = play(self._script, router, one.control, timeout_s=PATIENCE_S)
            code = one.stop(PATIENCE_S)
        finally:
            one.kill()
        if there < cut.acknowledged:
            return [f"{cut.acknowledged} rows were acknowledged, {there} are there"]
        if code:
            return [f"exit code {code}: {one.said()}"]
        end = end_of(one.state)
        found = Outcome(Ledgers(*counts, end.rows, 0), end, letters(one.state))
        return compared(found, self._expected)


def compared(found: Outcome, expected: Outcome) -> list[str]:
    """In what two outcomes differ, lives apart."""
    lines = differences(found.end, expected.end)
    if found.ledgers._replace(kills=0) != expected.ledgers._replace(kills=0):
        lines.append(f"{found.ledgers} and {expected.ledgers}")
    if found.letters != expected.letters:
        lines.append(f"set aside: {found.letters} and {expected.letters}")
    return lines
