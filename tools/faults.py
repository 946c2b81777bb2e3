"""Kill the daemon at named points and at random moments, and compare three ledgers.

*Issued*: what the producer was given. *Acknowledged*: what the daemon said is durable. *Learned*:
what it has learned after it came back. Acknowledged rows must be learned, none twice, and the end
must be that of a run that nobody interrupted: digest, figures and kept rows, to the bit.

`python tools/faults.py` runs the long version, into docs/results/faults.json; a row is kept as soon
as it is there, and `--rest` goes on with those that are not. tests/faults runs a short one.
"""

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lives import End, Lives, differences
from results import kept, update

from streamlearn.bench.report import Row, report
from streamlearn.client import Producer
from streamlearn.data import load
from streamlearn.errors import StreamlearnError
from streamlearn.failpoints import POINTS
from streamlearn.rules import RULES
from streamlearn.wire.control import request

STUCK_S = 180.0
"""When a producer that gets no further gives up."""
NO_CLASS = 99
"""A label that no stream of ten classes takes."""


class Ledgers(NamedTuple):
    """What was counted of one run, in rows, and how often the daemon was killed."""

    issued: int
    acknowledged: int
    learned: int
    kills: int
    peak_bytes: int = 0
    """Most memory that any of its lives took."""


class Script(NamedTuple):
    """What a producer does: the same every time that it is played."""

    rows: int
    rows_a_message: int = 7
    label_delay: int = 0
    """Labels come so many rows late; 0: with their row."""
    checkpoint_every: int = 0
    """Rows between two checkpoints that are asked for; 0: none."""
    pause_s: float = 0.0
    """After every message, so that a run lasts long enough to be killed often."""
    waits: bool = False
    """Whether the last third waits until chaos is over."""
    refused_every: int = 0
    """Every so manieth message has a class that there is none of, and is set aside; 0: none."""

    def messages(self, first: int = 0) -> Iterator[tuple[int, int]]:
        """Begin and end of every message from a row on."""
        for begin in range(first, self.rows, self.rows_a_message):
            yield begin, min(begin + self.rows_a_message, self.rows)

    def is_refused(self, begin: int) -> bool:
        """Whether the message that begins so can never be learned."""
        every = self.rows_a_message * self.refused_every
        return bool(every) and begin % every == 0

    def is_due(self, begin: int, end: int) -> bool:
        """Whether a checkpoint is asked for after a message."""
        every = self.checkpoint_every
        return bool(every) and begin // every != end // every


def play(
    script: Script,
    router: str,
    control: str,
    spool: Path | None = None,
    timeout_s: float | None = None,
    calm: Callable[[], bool] = lambda: True,
) -> tuple[int, int]:
    """Send what a script says, from the row on that comes next of this producer.

    `calm` tells whether chaos is over.

    Returns
    -------
    tuple of int
        Rows issued and rows acknowledged at its end.

    """
    data = load("optdigits").train
    X, y = (np.resize(a, (script.rows, *a.shape[1:])) for a in (data.X, data.y))
    how: Any = {"ack": True, "spool": spool, "shape": X.shape[1:], "timeout_s": timeout_s}
    with Producer(router, "digits", "oracle", **how) as one:
        # The rows before are there, the label behind the last of them may not be.
        _label(script, one, one.seq - script.rows_a_message, y)
        for begin, end in script.messages(one.seq):
            while script.waits and 3 * end > 2 * script.rows and not calm():
                time.sleep(0.02)
            if script.is_refused(begin):
                one.send(X[begin:end], np.full(end - begin, NO_CLASS))
            else:
                one.send(X[begin:end], None if script.label_delay else y[begin:end])
            _label(script, one, begin, y)
            if script.is_due(begin, end):
                _checkpoint(control)
            time.sleep(script.pause_s)
        one.flush()
        return one.seq, one.durable_seq


def _label(script: Script, one: Producer, begin: int, y: np.ndarray) -> None:
    """Send the labels that come behind the rows from `begin` on."""
    late = begin - script.label_delay
    if script.label_delay and late >= 0:
        one.label(late, y[late : late + script.rows_a_message])


def _checkpoint(control: str) -> None:
    """Ask for a checkpoint; a daemon that dies meanwhile answers nothing."""
    with suppress(StreamlearnError):
        request(control, "checkpoint", timeout_s=5.0)


def run(
    config: Path,
    folder: Path,
    script: Script,
    specs: Sequence[str] = (),
    chaos: Callable[[Lives, threading.Event], None] | None = None,
    settings: Sequence[str] = (),
    make: Callable[..., Lives] = Lives,
) -> tuple[Ledgers, End]:
    """Play a script through lives that end at failpoints or by chaos; what chaos raises, too."""
    folder.mkdir(parents=True)
    with ThreadPoolExecutor(1, "chaos") as pool, make(config, folder, specs, settings) as lives:
        over = threading.Event()
        havoc = pool.submit(chaos or (lambda *_: None), lives, over)
        try:
            where = (lives.router, lives.one.control)
            issued, acknowledged = play(script, *where, timeout_s=STUCK_S, calm=havoc.done)
        finally:
            over.set()
        havoc.result()
        end = lives.end()
    return Ledgers(issued, acknowledged, end.rows, lives.kills, lives.peak_bytes), end


def at_random(seed: int, kills: int) -> Callable[[Lives, threading.Event], None]:
    """Kill so many times: a quarter of them while it starts or recovers, the others at work."""

    def chaos(lives: Lives, over: threading.Event) -> None:
        draw = random.Random(seed)  # noqa: S311  no secret
        while lives.kills < kills and not over.is_set():
            if draw.random() < 0.75:
                _wait(over, lambda: lives.one.get("/readyz")[0] == 200)
            if over.wait(draw.uniform(0.0, 2.0)):
                return
            before = lives.kills
            lives.kill()
            _wait(over, lambda before=before: lives.kills > before)  # type: ignore[misc]

    return chaos


def _wait(over: threading.Event, until: Callable[[], bool]) -> None:
    while not until() and not over.wait(0.02):
        pass


SHORT = Script(rows=2100, label_delay=21, checkpoint_every=70, pause_s=0.002)
LONG = Script(rows=70_000, label_delay=21, checkpoint_every=700, pause_s=0.02)
ROWS_A_KILL = 600
"""More than is sent between two random kills, so that rows last."""

STREAM = """
[stream]
shape = [8, 8]
dtype = "|u1"
classes = 10
[pipeline]
threads = 2
[[prepare]]
step = "unit_norm"
[[head]]
kind = "softmax"
[[layer]]
rule = "{rule}"
{options}
"""
OPTIONS = {
    "hebbian": "units = 24",
    "forward_forward": "units = 20",
    "forward_forward_fields": 'units = 5\nfield = 3\npool = 3\nreads = ["input"]',
    "forward_forward_top_down": "units = [20, 12]",
    "greedy_infomax": "units = 12\nnegatives = 3\nwarm_rows = 8",
    "pool": "rows = 3",
    "geometric_spiking": 'units = 12\nwindow_ms = 200.0\nlatency_ms = 20.0\nbetween = "carry"',
}
"""What a rule cannot do without."""


def at_points(config: Path, folder: Path, name: str) -> Row:
    """Kill a learner once at every named point."""
    _, expected = run(config, folder / "undisturbed", SHORT)
    found = run(config, folder / "killed", SHORT, [f"{point}:2" for point in POINTS])
    return row(f"{name}, at every named point", found, expected)


def often(config: Path, folder: Path, name: str, kills: int, seed: int = 1) -> Row:
    """Kill a learner at random moments."""
    script = LONG._replace(rows=ROWS_A_KILL * kills)
    _, expected = run(config, folder / "undisturbed", script._replace(pause_s=0.0))
    found = run(config, folder / "killed", script, chaos=at_random(seed, kills))
    return row(f"{name}, at random moments", found, expected)


def row(name: str, found: tuple[Ledgers, End], expected: End) -> Row:
    """What came of one run: rows lost or learned twice, and all that differs besides."""
    ledgers, end = found
    other = len(differences(end, expected))
    wrong = abs(ledgers.learned - ledgers.issued) + abs(ledgers.acknowledged - ledgers.issued)
    counts = f"{ledgers.issued:,} rows issued, acknowledged and learned"
    if wrong:
        counts = f"{ledgers.issued:,} rows issued, {ledgers.acknowledged:,} acknowledged, "
        counts += f"{ledgers.learned:,} learned"
    note = f"{ledgers.kills} kills; {counts}"
    return Row(name=name, ours=wrong + other, unit="differences", limit=0, note=note)


def cases(kills: int) -> dict[str, Callable[[Path], Row]]:
    """Everything that is tried, by name; each is handed an empty folder."""

    def config(folder: Path, rule: str) -> Path:
        path = folder / f"{rule}.toml"
        path.write_text(STREAM.format(rule=rule, options=OPTIONS.get(rule, "")), encoding="utf-8")
        return path

    def of(try_one: Callable[[Path, Path, str], Row], rule: str) -> Callable[[Path], Row]:
        return lambda folder: try_one(config(folder, rule), folder, rule)

    random_moments = partial(often, kills=kills)
    return {f"{rule}, at every named point": of(at_points, rule) for rule in RULES} | {
        f"{rule}, at random moments": of(random_moments, rule) for rule in RULES
    }


def main() -> None:
    """Try what is named, all of it by default, and keep what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help="beginnings of cases' names; none: all")
    parser.add_argument("--kills", type=int, default=200, help="kills at random moments: 200")
    parser.add_argument("--rest", action="store_true", help="only what has no row yet")
    chosen = parser.parse_args()
    known = cases(chosen.kills)
    there = kept("faults") if chosen.rest else {}
    for name, case in known.items():
        if name in there or (chosen.name and not name.startswith(tuple(chosen.name))):
            continue
        with tempfile.TemporaryDirectory() as folder:
            one = case(Path(folder))
        print(f"{one.name}: {one.ours:g} differences; {one.note}", flush=True)
        update(report("faults", "make faults", [one]), order=list(known))


if __name__ == "__main__":
    main()
