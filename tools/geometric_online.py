"""One pass online: the geometric network through the daemon, beside Diehl & Cook of BindsNET.

    python tools/geometric_online.py                       ours alone: all of MNIST's training rows
    python tools/geometric_online.py --bindsnet CHECKOUT   and BindsNET, as many rows as --rows says

Ours is the shipped configuration in the real daemon, fed over its socket (`streamlearn demo`), with
the neighbours head. Both see every digit once, in the file's order, and are asked before they learn
it. BindsNET takes a fifth of a second a digit, so it sees fewer: its figure is that of the last
thousand, and ours stands beside it after as many rows, too. Its answers are kept in --state: where
there are enough they are not asked for again. Writes docs/results/geometric-online.json.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Final

from diehl_cook import NEURONS, RELABEL_ROWS, DiehlCook
from diehl_cook import missing as bindsnet_missing
from results import update

from streamlearn import data
from streamlearn.bench.report import Row, report
from streamlearn.demo import play

CONFIG: Final = Path(__file__).resolve().parent.parent / "configs" / "geometric_mnist.toml"
LAST: Final = 1000
UNIT: Final = "% of rows told right before learning"


def ours(limit: int | None) -> dict[str, Any]:
    """What the daemon reports after so many rows, all where None."""
    return play(data.load("mnist"), CONFIG, limit=limit).report


def theirs(checkout: Path, rows: int, state: Path) -> tuple[list[list[bool]], float]:
    """Whether BindsNET told each of the first rows right, by its two ways; rows a second."""
    state.mkdir(parents=True, exist_ok=True)
    file = state / f"bindsnet-{NEURONS}.json"
    known = json.loads(file.read_text("utf-8")) if file.exists() else {"told": []}
    if len(known["told"]) >= rows:
        return known["told"][:rows], known["rows_per_s"]
    train = data.load("mnist").train
    assert train.y is not None
    net = DiehlCook(checkout, train.classes, 0)
    told: list[list[bool]] = []
    began = time.process_time()
    for row in range(rows):
        y = int(train.y[row])
        guesses = net.told(train.X[row].reshape(28, 28), y)
        told.append([guess == y for guess in guesses])
        if (row + 1) % RELABEL_ROWS == 0:
            speed = (row + 1) / (time.process_time() - began)
            file.write_text(json.dumps({"told": told, "rows_per_s": speed}), "utf-8")
            print(f"BindsNET, {row + 1} rows: {_last(told):.1f} % of the last {LAST}", flush=True)
    return told, rows / (time.process_time() - began)


def _last(told: list[list[bool]]) -> float:
    """The better of its two ways, over the last rows, in percent."""
    return max(100 * statistics.fmean(way) for way in zip(*told[-LAST:], strict=True))


def our_rows(limit: int | None) -> list[Row]:
    """Right answers and speed."""
    found = ours(limit)
    count = found["samples"]
    error, recent = (found["prequential"][key] for key in ("error", "error_recent"))
    title = f"ours, {count:,} rows"
    note = f"{100 * (1 - recent):.1f} % of recent rows"
    if found["test"]:
        note += f"; {100 * (1 - found['test']['error']):.2f} % of the test set after it"
    return [
        Row(name=title, ours=round(100 * (1 - error), 2), unit=UNIT, note=note),
        Row(
            name=f"{title}: speed",
            ours=round(found["samples_per_s"], 1),
            unit="rows/s",
            note=f"through the daemon; latency p50 {found['latency_ms']['p50']:.1f} ms",
        ),
    ]


def their_rows(told: list[list[bool]], speed: float) -> list[Row]:
    """The same of BindsNET."""
    title = f"BindsNET, Diehl & Cook, {NEURONS} neurons, {len(told):,} rows"
    whole = max(100 * statistics.fmean(way) for way in zip(*told, strict=True))
    return [
        Row(name=title, ours=round(whole, 2), unit=UNIT, note=f"{_last(told):.1f} % of the last"),
        Row(name=f"{title}: speed", ours=round(speed, 2), unit="rows/s", note="one thread"),
    ]


def main() -> None:
    """Measure what is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bindsnet", type=Path, metavar="DIR", help="a checkout of it")
    parser.add_argument("--rows", type=int, default=10_000, help="that BindsNET sees")
    parser.add_argument("--only", choices=("ours", "bindsnet"), help="leave the other out")
    parser.add_argument("--state", type=Path, default=Path("state-geometric"))
    arguments = parser.parse_args()
    if arguments.bindsnet and (why := bindsnet_missing(arguments.bindsnet.resolve())):
        sys.exit(f"geometric_online: {why}")
    if arguments.only != "bindsnet":
        _write(our_rows(None))
    if arguments.bindsnet:
        told, speed = theirs(arguments.bindsnet.resolve(), arguments.rows, arguments.state)
        _write(their_rows(told, speed))
        if arguments.only != "bindsnet":
            _write(our_rows(len(told)))


def _write(rows: list[Row]) -> None:
    for row in rows:
        print(f"{row.name}: {row.ours} {row.unit} ({row.note})")
    command = "python tools/geometric_online.py --bindsnet DIR"
    print(update(report("geometric-online", command, rows)))


if __name__ == "__main__":
    main()
