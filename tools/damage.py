"""A checkpoint damaged at every part of its length: each is told, and nothing is lost with it.

A daemon is killed when it has two checkpoints and a journal that reaches back to the older one.
Then one file of the newer is damaged, and recovery must go on from the older one and the journal.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from faults import Ledgers, Script, play
from havoc import figures
from lives import PATIENCE_S, End, Lives, differences, end_of

from streamlearn.bench.process import DaemonProcess
from streamlearn.config import learner_part
from streamlearn.config import load as load_config
from streamlearn.durable import Durable, replay_schema
from streamlearn.errors import StreamlearnError
from streamlearn.learner import Learner, schema_of
from streamlearn.plan import CATALOGUE
from streamlearn.store.checkpoint import ARRAYS, MANIFEST, Checkpoints

SCRIPT = Script(rows=1260, label_delay=21, checkpoint_every=490, pause_s=0.02, waits=True)
"""Checkpoints at rows 490 and 980; what is newer is in the journal alone."""
_EVERY_DAEMON = 8
"""Of so many flipped bits, one meets a whole daemon; the other damages meet recovery alone."""


class Damage(NamedTuple):
    """What is done to one file."""

    file: str
    kind: str
    """"flipped": one bit; "cut off": what comes after is gone."""
    part: int
    parts: int

    def do(self, folder: Path) -> None:
        """Damage the file in a checkpoint's folder."""
        path = folder / self.file
        data = bytearray(path.read_bytes())
        place = len(data) * self.part // self.parts
        if self.kind == "flipped":
            data[place] ^= 1 << self.part % 8
        else:
            del data[place:]
        path.write_bytes(data)


def damages(parts: int) -> Iterator[Damage]:
    """Both kinds at every part of both files."""
    for file in (ARRAYS, MANIFEST):
        for kind in ("flipped", "cut off"):
            yield from (Damage(file, kind, part, parts) for part in range(parts))


def killed(config: Path, folder: Path) -> tuple[tuple[int, int], Path]:
    """Rows issued and acknowledged, and the state of a daemon that was killed after them."""
    folder.mkdir()
    with Lives(config, folder) as lives:
        counts = play(SCRIPT._replace(pause_s=0.0), lives.router, lives.one.control)
    found = Checkpoints(lives.one.state).names()
    if len(found) != 2:
        raise StreamlearnError(f"two checkpoints were asked for, and there are {found}")
    return counts, lives.one.state


def recovered(config: Path, state: Path) -> End:
    """What recovery makes of a state folder, in this process; the newest is passed over."""
    here = load_config(config, CATALOGUE, [f"store.dir={state}", "store.checkpoint_every_s=0"])
    store = Checkpoints(state)
    snapshot = store.newest(learner_part(here))
    if snapshot is None or not store.notes:
        raise StreamlearnError("the damage was not seen")
    learner = Learner(here)
    learner.assemble()
    learner.warm()
    durable = Durable(here)
    try:
        durable.resume(snapshot)
        learner.restore(snapshot)
        learner.pipeline.start()
        durable.replay(learner.intake, replay_schema(schema_of(here)), learner.pipeline.check)
        pending = learner.begin_snapshot()
        learner.intake.flush()
        end = learner.finish_snapshot(pending, PATIENCE_S)
    finally:
        learner.pipeline.close()
        durable.close()
    kept = ("figures/", "window/", "history/", "again/")
    arrays = {name: np.array(a) for name, a in end.arrays.items() if name.startswith(kept)}
    return End(end.rows_learned, end.digest, arrays)


def restarted(config: Path, state: Path) -> End:
    """What a whole daemon makes of it; its log and its figures tell what it went on from."""
    one = DaemonProcess(config, state.parent, ("store.checkpoint_every_s=0",))
    one.state, older = state, Checkpoints(state).names()[1]
    one.command += ["--set", f"store.dir={state}"]
    with one:
        again = figures(one)["recovery_rows"]
        if f"going on from {older}" not in one.said() or again <= SCRIPT.checkpoint_every:
            raise StreamlearnError(f"it learned {again:g} rows again, and said:\n{one.said()}")
        if code := one.stop(PATIENCE_S):
            raise StreamlearnError(f"ended with exit code {code}:\n{one.said()}")
    return end_of(state)


def tried(config: Path, whole: Path, folder: Path, damage: Damage, *, daemon: bool) -> End:
    """How a killed daemon's state ends where one file of its newest checkpoint is damaged."""
    shutil.copytree(whole, folder / "state")
    try:
        damage.do(folder / "state" / Checkpoints(whole).names()[0])
        recover: Callable[[Path, Path], End] = restarted if daemon else recovered
        return recover(config, folder / "state")
    except StreamlearnError as error:
        place = f"{damage.file} {damage.kind} at {damage.part}/{damage.parts}"
        raise StreamlearnError(f"{place}: {error}") from error
    finally:
        shutil.rmtree(folder / "state")


def everywhere(config: Path, folder: Path, parts: int, expected: End) -> tuple[Ledgers, End, str]:
    """Try every damage: what came of the worst of them, and how many there were."""
    (issued, acknowledged), whole = killed(config, folder / "whole")
    worst, count, daemons = expected, 0, 0
    for damage in damages(parts):
        daemon = damage.kind == "flipped" and damage.part % _EVERY_DAEMON == 1
        end = tried(config, whole, folder, damage, daemon=daemon)
        if len(differences(end, expected)) > len(differences(worst, expected)):
            worst = end
        count, daemons = count + 1, daemons + daemon
    note = f"{count} damages, {daemons} of them to a whole daemon; told by log and recovery_rows"
    return Ledgers(issued, acknowledged, worst.rows, 1), worst, note
