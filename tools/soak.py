"""A day of a daemon's life in less than an hour: steady load, random faults, three ledgers.

Rows, checkpoints and looks at the metrics of a day of a sensor that measures ten times a second
come in the time that is given, by way of wires that are cut, from producers that are killed, while
the disk fills, the daemon stands still and strangers talk rubbish. In a last part the daemon is
killed, too. Counted are rows issued, acknowledged and learned (`faults.Ledgers`); watched are
memory, descriptors, threads and what the disk holds.

The growth of memory is that of the second half of the first part: a kill would hide it.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from faults import Ledgers
from lives import Lives
from results import RESULTS, write
from soak_clients import Background, Client, Heard, Scraper, Wire, Witness
from soak_faults import Chaos, Event, World, small_disk
from soak_figures import Outcome, Plan, figures
from soak_looks import Look, draw, look
from soak_producer import ROWS, Job, wrong_below

from streamlearn.bench.report import report
from streamlearn.client import Producer
from streamlearn.errors import StreamlearnError
from streamlearn.store.checkpoint import Checkpoints
from streamlearn.wire.control import request

PLAIN: Final = "plain"
"""The stream of PULL, whose rows may be lost, and are counted then."""
PICTURE: Final = RESULTS.parent / "soak.png"
PATIENCE_S: Final = 240.0
DISK_MIB: Final = 96
GONE_S: Final = 1.0
"""Until the daemon has seen that a client hung up."""
KILLS_SHARE: Final = 1 / 9
LEARNER: Final = """
[stream]
shape = [8, 8]
dtype = "|u1"
classes = 10
live = 6
[ingest]
max_streams = 36
max_message_bytes = 65536
[labels]
rehearse_every = 16
[[prepare]]
step = "standardize"
[[prepare]]
step = "unit_norm"
[[layer]]
rule = "hebbian"
units = 100
[[head]]
kind = "softmax"
[publish]
embeddings_every_rows = 8
[journal]
max_bytes = 8388608
commit_bytes = 1048576
dead_bytes = 262144
[pipeline]
threads = 2
"""


class Watch(Background):
    """Looks at the daemon's process every second."""

    def __init__(self, world: World, scraper: Scraper, into: Path | None) -> None:
        self.looks: list[Look] = []
        self._into = into
        self._world, self._scraper = world, scraper
        super().__init__(self.look, 1.0)

    def look(self) -> None:
        """Look now."""
        process = self._world.lives.one.process
        assert process is not None
        rows = self._scraper.total("samples_learned_total")
        if found := look(time.time(), process.pid, self._world.lives.one.state, rows):
            self.looks.append(found)
            if self._into is not None:
                with self._into.open("a", encoding="ascii") as file:
                    file.write(",".join(f"{x:.10g}" for x in found) + "\n")


def jobs(folder: Path, router: str, pull: str, rate_hz: float) -> list[Job]:
    """Two cameras and a laboratory that are acknowledged, a clumsy one, and a plain one."""

    def job(name: str, endpoint: str, share: float, **more: object) -> Job:
        return Job(endpoint, name, str(folder / name), rate_hz * share, **more)  # type: ignore[arg-type]

    return [
        job("cam0", router, 0.4),
        job("cam1", router, 0.24, spool=str(folder / "spool1")),
        job("lab", router, 0.15, spool=str(folder / "spool2")),
        job("clumsy", router, 0.01, shape=(9, 9)),
        job(PLAIN, pull, 0.2, ack=False),
    ]


@contextmanager
def world(folder: Path, plan: Plan, kind: type[Lives] = Lives) -> Iterator[World]:
    """A daemon with its state on a small disk, and whoever may talk to it; not started yet."""
    config = folder / "soak.toml"
    config.write_text(LEARNER, encoding="utf-8")
    with small_disk(folder / "disk", DISK_MIB) as disk:
        state = (disk or folder) / "state"
        settings = (f"store.dir={state}", f"store.checkpoint_every_s={plan.checkpoint_s}")
        lives = kind(config, folder, settings=settings)
        lives.one.state = state
        wires = [Wire(lives.router), Wire(lives.one.pull)]
        ways = [wire.endpoint for wire in wires]
        clients = [Client(job) for job in jobs(folder, ways[0], ways[1], plan.rate_hz)]
        try:
            with lives:
                lives.one.wait_ready(PATIENCE_S)
                yield World(lives, config, disk, wires, clients, threading.Event())
        finally:
            for client in clients:
                client.kill()
            for wire in wires:
                wire.close()


def part(
    here: World, plan: Plan, seconds: float, clients: Sequence[Client], *, kills: bool
) -> list[Event]:
    """Let producers send and faults come for a while, then let all of it become quiet."""
    here = here._replace(clients=clients)
    for client in clients:
        client.start()
    seed = 2 * plan.seed + kills
    with Chaos(here, seed, plan.pause_s, kills=kills) as events:
        time.sleep(seconds)
    here.lives.one.wait_ready(PATIENCE_S)
    for client in clients:
        client.stop(PATIENCE_S)
    return events


def good(client: Client, rows: int) -> int:
    """Rows below a number that can be learned."""
    return 0 if client.job.clumsy else rows - wrong_below(rows)


def ledgers(here: World, plain_rows: int) -> Ledgers:
    """Compare what the producers know with the newest checkpoint; what cannot be learned aside.

    `plain_rows` of those that it has learned came in by PULL.
    """
    store = Checkpoints(here.lives.one.state)
    found = store.read(store.names()[0])
    places = {stream: rows for stream, _, rows in found.meta["journal"]["places"]}
    sure = [client for client in here.clients if client.job.ack]
    names = {client.job.stream for client in sure}
    others = sum(rows for stream, rows in places.items() if stream not in names)
    return Ledgers(
        issued=sum(good(client, client.ledger.issued) for client in sure),
        acknowledged=sum(good(client, client.ledger.acknowledged) for client in sure),
        learned=found.rows_learned - others - plain_rows,
        kills=here.lives.kills,
    )


def all_learned(scraper: Scraper) -> bool:
    """Whether everything that was taken in is learned."""
    total = scraper.total
    return 0 < total("samples_received_total") == total("samples_learned_total")


def close_accounts(here: World, scraper: Scraper) -> None:
    """Wait until all is learned, let the plain producer say where it stands, and save."""
    plain = next(client for client in here.clients if client.job.stream == PLAIN)
    scraper.until(lambda: all_learned(scraper), PATIENCE_S)
    with Producer(here.lives.one.pull, PLAIN, PLAIN, timeout_s=PATIENCE_S) as one:
        one.seq = plain.ledger.issued
        one.heartbeat()
    time.sleep(2.0)  # nothing tells that a heartbeat came where no row is missing
    scraper.look()
    saved = request(here.lives.one.control, "checkpoint", timeout_s=PATIENCE_S)
    if not saved.get("ok"):
        raise StreamlearnError(f"no checkpoint at the end: {saved}")


def counted(here: World, scraper: Scraper, heard: Heard, unheard: int) -> dict[str, int]:
    """What the figures and the witness say of the first part."""
    sure = [client for client in here.clients if client.job.ack and not client.job.clumsy]
    plain, clumsy = (next(c for c in here.clients if c.job.stream == n) for n in (PLAIN, "clumsy"))
    wrong = sum(wrong_below(client.ledger.issued) for client in sure)
    followed = sum(wrong_below(client.ledger.issued - ROWS) for client in sure)
    total = scraper.total
    # Rows that were refused are missing, too, once a row after them comes.
    missed = total("samples_missed_total") - followed
    return {
        "plain issued": plain.ledger.issued,
        "plain learned": plain.ledger.issued - missed if unheard else heard.rows(PLAIN),
        "plain missed": missed,
        "learned twice": heard.twice(),
        "never heard": sum(good(c, c.ledger.issued) - heard.rows(c.job.stream) for c in sure),
        "unheard messages": unheard,
        "never learnable": (wrong + clumsy.ledger.issued) // ROWS,
        "dead letters": int(scraper.figures.get('dead_letters_total{fate="kept"}', 0)),
        "rejected": total("samples_rejected_total"),
        "publish dropped": total("publish_dropped_total"),
        "checkpoints": total("checkpoints_total"),
        "checkpoint failures": total("checkpoint_failures_total"),
        "journal failures": total("journal_failures_total"),
        "late labels": total("labels_late_total"),
    }


def begun(here: World, scraper: Scraper, watch: Watch) -> Look:
    """The daemon without clients, once it has opened its file of dead letters."""
    clumsy = next(client for client in here.clients if client.job.clumsy)
    clumsy.start()
    if not scraper.until(lambda: scraper.total("dead_letters_total") > 0, PATIENCE_S):
        raise StreamlearnError(f"no dead letter came:\n{here.lives.one.said()}")
    clumsy.stop(PATIENCE_S)
    time.sleep(GONE_S)
    first = len(watch.looks)
    for _ in range(5):  # the scraper has a connection now and then
        watch.look()
        time.sleep(0.1)
    return min(watch.looks[first:], key=lambda one: one.descriptors + one.threads)


def left(watch: Watch, before: Look) -> Look:
    """The daemon once all clients have gone; what is there after some seconds stays."""
    until_s = time.monotonic() + GONE_S + 5.0
    while True:
        time.sleep(0.2)
        watch.look()
        last = watch.looks[-1]
        more = last.descriptors > before.descriptors or last.threads > before.threads
        if not more or time.monotonic() > until_s:
            return last


def run(folder: Path, plan: Plan, into: Path | None = None) -> Outcome:
    """Live through a plan in an empty folder; looks go into a file as they are made, where told."""
    with world(folder, plan) as here:
        scraper, witness = Scraper(here.lives.one), Witness(here.lives.one)
        watch = Watch(here, scraper, into)
        try:
            before = begun(here, scraper, watch)
            events = part(here, plan, plan.quiet_s, here.clients, kills=False)
            looks = [one for one in watch.looks if one.t > before.t]
            close_accounts(here, scraper)
            idle = (before, left(watch, before))
            counts = counted(here, scraper, witness.heard, witness.missed)
            first = ledgers(here, counts["plain learned"])
            sure = [client for client in here.clients if client.job.ack]
            more = part(here, plan, plan.kills_s, sure, kills=True) if plan.kills_s else []
            later = [one for one in watch.looks if one.t > idle[1].t]
            for one in (watch, witness, scraper):
                one.check()
        finally:
            for one in (watch, witness, scraper):
                one.close()
        here.lives.end()
        last = ledgers(here, counts["plain learned"])
    return Outcome(plan, looks, later, idle, [*events, *more], (first, last), counts)


def main() -> None:
    """Live through a day, and keep what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=45.0, help="in all: 45")
    parser.add_argument("--rate", type=float, default=400.0, help="rows a second: 400")
    parser.add_argument("--seed", type=int, default=1, help="draws other faults")
    parser.add_argument("--looks", type=Path, help="file for what was seen each second")
    chosen = parser.parse_args()
    seconds = chosen.minutes * 60
    plan = Plan(seconds * (1 - KILLS_SHARE), seconds * KILLS_SHARE, chosen.rate, seed=chosen.seed)
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), plan, chosen.looks)
    rows = figures(found)
    for row in rows:
        limit = "" if row.limit is None else f" (limit {row.limit:g})"
        print(f"{row.name}: {row.ours:g} {row.unit}{limit}; {row.note}", flush=True)
    print(found.counts)
    command = f"make soak ARGS='--minutes {chosen.minutes:g}'"
    write(report("soak", command, rows))
    title = f"{rows[0].note.partition(';')[0]}; {len(found.events)} faults"
    draw(found.looks + found.later, found.events, title, PICTURE)


if __name__ == "__main__":
    main()
