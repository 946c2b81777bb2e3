"""Kill the daemon at named points and at random moments, and compare three ledgers.

*Issued*: what the producer was given. *Acknowledged*: what the daemon said is durable. *Learned*:
what it has learned after it came back. Acknowledged rows must be learned, none twice, and the end
must be that of a run that nobody interrupted: digest, figures and kept rows, to the bit.

`python tools/faults.py` runs the long version, into docs/results/faults.json; a row is kept as soon
as it is there, and `--rest` goes on with those that are not. tests/faults runs a short one.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from results import kept, update

from streamlearn.bench.process import LOOPBACK, DaemonProcess, free_ports
from streamlearn.bench.report import Row, report
from streamlearn.client import Producer
from streamlearn.data import load
from streamlearn.errors import StreamlearnError
from streamlearn.failpoints import POINTS
from streamlearn.rules import RULES
from streamlearn.store.checkpoint import Checkpoints
from streamlearn.wire.control import request

HERE = Path(__file__).resolve().parent
PATIENCE_S = 120.0
STUCK_S = 180.0
"""When a producer that gets no further gives up."""
LOOK_S = 0.2
"""How often it is looked how much memory a life takes."""


class Ledgers(NamedTuple):
    """What was counted of one run, in rows, and how often the daemon was killed."""

    issued: int
    acknowledged: int
    learned: int
    kills: int
    peak_bytes: int = 0
    """Most memory that any of its lives took."""


class End(NamedTuple):
    """How a run ended: equal ends mean that nothing was lost, doubled or changed."""

    rows: int
    digest: str
    arrays: dict[str, np.ndarray]
    """Figures, kept rows and windows, by name."""


class Lives:
    """One state folder through several lives of a daemon; whoever dies is started anew.

    What befalls it beside kills is a subclass's business; see tools/mishaps.py.

    Parameters
    ----------
    config
        What it runs.
    folder
        Where its state and log go.
    specs
        Failpoints of the first lives, one a life, as `POINT:COUNT`; later ones have none.
    settings
        More overrides.

    Attributes
    ----------
    router
        Where producers send; what a subclass puts between stands there.
    codes
        How a life may end before the last.
    ended
        Exit codes of the lives before the last.
    peak_bytes
        Most memory that any of them took.

    """

    def __init__(
        self, config: Path, folder: Path, specs: Sequence[str] = (), settings: Sequence[str] = ()
    ) -> None:
        self.router = f"tcp://{LOOPBACK}:{free_ports(1)[0]}"
        settings = (f"ingest.router={self.router}", "store.checkpoint_every_s=0", *settings)
        self.one = DaemonProcess(config, folder, settings)
        self._plain = self.one.command
        self._specs = list(specs)
        self.codes = {-signal.SIGKILL}
        self.ended: list[int] = []
        self.peak_bytes = 0
        self._ends = False
        self._thread = threading.Thread(target=self._watch, name="watch")

    def __enter__(self) -> Self:
        self._start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        self.one.kill()
        self._thread.join()

    def _start(self) -> None:
        self.one.command = self._plain
        if self._specs:
            armed = [sys.executable, str(HERE / "armed.py"), self._specs.pop(0)]
            self.one.command = [*armed, *self._plain[self._plain.index("run") :]]
        self.one.start()

    def _watch(self) -> None:
        while not self._ends:
            process = self.one.process
            assert process is not None
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(LOOK_S)
                if self._ends:
                    return
                if code not in self.codes:
                    raise StreamlearnError(f"ended with exit code {code}:\n{self.one.said()}")
                self.mend()
                self._start()
                self.ended.append(code)
            self.peak_bytes = max(self.peak_bytes, memory_bytes(self.one.pid))

    @property
    def kills(self) -> int:
        """Lives that ended before the last."""
        return len(self.ended)

    def mend(self) -> None:
        """Put right what ended a life, before the next one begins."""

    def kill(self) -> None:
        """Kill the life that is, whatever it does."""
        self.one.process.kill()  # type: ignore[union-attr]

    def end(self) -> End:
        """Stop it in order and read what it left."""
        self.one.wait_ready(PATIENCE_S)
        self._ends = True
        code = self.one.stop(PATIENCE_S)
        if code != 0:
            raise StreamlearnError(f"ended with exit code {code}:\n{self.one.said()}")
        self._thread.join()
        return end_of(self.one.state)


def memory_bytes(pid: int) -> int:
    """What a process holds in memory; 0 where it has ended."""
    with suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0


def end_of(state: Path) -> End:
    """What the newest checkpoint of a folder holds."""
    store = Checkpoints(state)
    found = store.read(store.names()[0])
    kept = ("figures/", "window/", "history/", "again/")
    arrays = {name: np.array(a) for name, a in found.arrays.items() if name.startswith(kept)}
    return End(found.rows_learned, found.digest, arrays)


def differences(one: End, other: End) -> list[str]:
    """In what two ends differ; nothing where they are equal to the bit."""
    lines = [
        f"{n}: {a} and {b}"
        for n, a, b in zip(End._fields, one, other, strict=True)
        if n != "arrays" and a != b
    ]
    names = sorted({*one.arrays, *other.arrays})
    return lines + [n for n in names if one.arrays[n].tobytes() != other.arrays[n].tobytes()]


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


def play(script: Script, lives: Lives, calm: Callable[[], bool] = lambda: True) -> tuple[int, int]:
    """Send what a script says; rows issued and rows acknowledged at its end."""
    data = load("optdigits").train
    X, y = (np.resize(a, (script.rows, *a.shape[1:])) for a in (data.X, data.y))
    how: Any = {"ack": True, "shape": X.shape[1:], "timeout_s": STUCK_S}
    with Producer(lives.router, "digits", "oracle", **how) as one:
        for begin in range(0, script.rows, script.rows_a_message):
            end = min(begin + script.rows_a_message, script.rows)
            while script.waits and 3 * end > 2 * script.rows and not calm():
                time.sleep(0.02)
            one.send(X[begin:end], None if script.label_delay else y[begin:end])
            late = begin - script.label_delay
            if script.label_delay and late >= 0:
                one.label(late, y[late : late + script.rows_a_message])
            if (
                script.checkpoint_every
                and begin // script.checkpoint_every != end // script.checkpoint_every
            ):
                _checkpoint(lives)
            time.sleep(script.pause_s)
        one.flush()
        return one.seq, one.durable_seq


def _checkpoint(lives: Lives) -> None:
    """Ask for a checkpoint; a daemon that dies meanwhile answers nothing."""
    with suppress(StreamlearnError):
        request(lives.one.control, "checkpoint", timeout_s=5.0)


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
            issued, acknowledged = play(script, lives, havoc.done)
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
