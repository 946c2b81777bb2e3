"""Time the geometric spiking network beside peers, into docs/results/geometric-speed.json.

    python tools/geometric_speed.py                        beside its slow twin and Brian2
    python tools/geometric_speed.py --bindsnet CHECKOUT    and beside BindsNET

MNIST digits, 200 units, 400 ms of simulated time, one thread; all take turns, so that a machine
whose speed drifts is fair to each. Brian2 runs the same network, and the spikes of every unit in
every window are counted against ours: the tool refuses to give a ratio where they differ. The twin
of the tests goes through every step in plain Python. BindsNET has no such network: its own model of
Diehl & Cook with 200 neurons and 250 ms stands beside it. The limit is what memory allows: adding
every signal to a calendar of the same size, and reading that once, with nothing worked out.
"""

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from brian_network import BrianNetwork
from brian_network import missing as brian_missing
from diehl_cook import DiehlCook
from diehl_cook import missing as bindsnet_missing
from results import update

from streamlearn import data
from streamlearn.bench.report import Row, median_row, report
from streamlearn.kernels import kernel
from streamlearn.part import F32, I32, UNLABELLED, Place, Rows
from streamlearn.rules.geometric_spiking import GeometricSpiking, GeometricSpikingOptions
from streamlearn.rules.geometric_spiking.start import new_net
from streamlearn.rules.geometric_spiking.state import U32

UNITS: Final = 200
OPTIONS: Final = GeometricSpikingOptions(
    rule="geometric_spiking", units=UNITS, window_ms=400.0, reset="subtract"
)
PLACE: Final = Place(784, (28, 28), 10, 1)
ROWS: Final = 256
_SPAN: Final = 425
"""Lines of a calendar: the window, and as long as it takes the weakest input to fire."""
FEW: Final = {"brian": 32, "twin": 2, "bindsnet": 4}
"""Rows of a measurement of what is slow."""
REPEATS: Final = 5
TESTS: Final = Path(__file__).resolve().parent.parent / "tests"


def digits(rows: int) -> F32:
    """Rows [rows, 784] in 0 … 1."""
    pixels = data.load("mnist").train.X[:rows].reshape(rows, -1) / np.float32(255)
    return np.ascontiguousarray(pixels, np.float32)


def seconds_a_row(learn: Callable[[F32], Any], x: F32) -> float:
    """Seconds of processor time a row, all on one thread."""
    began = time.process_time()
    learn(x)
    return (time.process_time() - began) / len(x)


class Ours:
    """The rule, or anything with its `learn`."""

    def __init__(self, part: Any) -> None:
        self._part = part

    def counts(self, x: F32) -> F32:
        """Spikes of each unit for rows x [B, D]."""
        out = np.zeros((len(x), UNITS), np.float32)
        self._part.learn(Rows(x, out, np.full(len(x), UNLABELLED, np.int32), 0))
        return out


def twin() -> Ours:
    """The slow twin of the tests."""
    sys.path.insert(0, str(TESTS))
    slow: Any = importlib.import_module("naive.geometric_spiking")
    return Ours(slow.GeometricSpiking(OPTIONS, PLACE))


def peers(checkout: Path | None) -> dict[str, Callable[[F32], Any]]:
    """What can run here, by name; says what cannot."""
    found: dict[str, Callable[[F32], Any]] = {"twin": twin().counts}
    why = brian_missing()
    if why:
        print(f"geometric_speed: left out, {why}", file=sys.stderr)
    else:
        found["brian"] = BrianNetwork(OPTIONS, PLACE).run
    if checkout is not None:
        net = DiehlCook(checkout, PLACE.classes, 0, UNITS)
        found["bindsnet"] = lambda x: [
            net.told((255 * row).astype(np.uint8).reshape(28, 28), 0) for row in x
        ]
    return found


def same_spikes(ours: Ours, brian: Callable[[F32], Any], x: F32) -> None:
    """Hold ours against Brian2, window by window.

    Raises
    ------
    SystemExit
        Where a unit's count of spikes differs in more than one of a thousand windows.

    """
    share = float((ours.counts(x) == brian(x).counts).mean())
    print(f"{100 * share:.3f} % of units and windows: as many spikes in Brian2", file=sys.stderr)
    if share < 0.999:
        sys.exit("geometric_speed: not the same network, so no ratio")


@kernel
def _add_up(steps: I32, first: I32, cells: U32, weights: F32, calendar: F32) -> np.float32:
    """Add the signals of the sources that fire to the calendar [(T + L) H], read and empty it.

    steps [N] says when each source fires, -1 for never; its edges first[i] … first[i + 1] lead to
    cells [E] further on, with weights [E].
    """
    H = np.int64(calendar.shape[0] // _SPAN)
    for i in range(steps.shape[0]):
        if steps[i] >= 0:
            for e in range(first[i], first[i + 1]):
                calendar[steps[i] * H + cells[e]] += weights[e]
    total = np.float32(0)
    for c in range(calendar.shape[0]):
        total += calendar[c]
        calendar[c] = 0
    return total


class Limit:
    """Moving what must be moved for rows, and nothing else."""

    def __init__(self) -> None:
        self._net = new_net(OPTIONS, PLACE)[0]
        self._calendar = np.zeros(_SPAN * UNITS, np.float32)

    def run(self, x: F32) -> None:
        """Of rows x [B, D]."""
        net, late = self._net, np.floor(OPTIONS.coding_ms * (1 - x))
        for steps in np.where(x > 0, late, -1).astype(np.int32):
            _add_up(steps, net.first, net.cells, net.weights, self._calendar)

    def arrivals(self, x: F32) -> float:
        """Signals a row, in the mean."""
        return float(((x > 0) @ np.diff(self._net.first[: x.shape[1] + 1])).mean())


def measured(checkout: Path | None) -> list[Row]:
    """Every row of the table."""
    ours, x = Ours(GeometricSpiking(OPTIONS, PLACE)), digits(ROWS)
    others = peers(checkout)
    ours.counts(x)
    if "brian" in others:
        same_spikes(ours, others["brian"], x[: FEW["brian"]])
    limit = Limit()
    limit.run(x)
    mine: list[float] = []
    least: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in others}
    for repeat in range(REPEATS):
        print(f"repeat {repeat + 1} of {REPEATS}", file=sys.stderr, flush=True)
        least.append(seconds_a_row(limit.run, x))
        mine.append(seconds_a_row(ours.counts, x))
        for name, run in others.items():
            theirs[name].append(seconds_a_row(run, x[: FEW[name]]))
    return [_limit_row(mine, least, limit.arrivals(x)), *_peer_rows(mine, theirs)]


def _limit_row(mine: list[float], least: list[float], arrivals: float) -> Row:
    rate = arrivals / statistics.median(mine)
    return median_row(
        "a window, 200 units",
        [1e6 * s for s in mine],
        "µs a row",
        limit=round(1e6 * statistics.median(least), 1),
        note=f"{1 / statistics.median(mine):,.0f} rows/s, {arrivals:,.0f} signals a row, "
        f"{rate / 1e6:,.0f} million a second; limit: all of them added to a calendar, and it read",
    )


def _peer_rows(mine: list[float], theirs: dict[str, list[float]]) -> list[Row]:
    told = {
        "twin": "the slow twin, every step in plain Python",
        "brian": "Brian2, the same network, spike for spike",
        "bindsnet": "BindsNET, its own network of Diehl & Cook, 200 neurons, 250 ms",
    }
    return [
        median_row(
            f"against {told[name]}",
            [other / own for other, own in zip(seconds, mine, strict=True)],
            "times as fast",
            note=f"{1 / statistics.median(seconds):,.3g} rows/s of it; one thread each",
        )
        for name, seconds in theirs.items()
    ]


def main() -> None:
    """Measure beside what is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bindsnet", type=Path, metavar="DIR", help="a checkout of it")
    checkout = parser.parse_args().bindsnet
    if checkout and (why := bindsnet_missing(checkout.resolve())):
        sys.exit(f"geometric_speed: {why}")
    rows = measured(checkout and checkout.resolve())
    for row in rows:
        print(f"{row.name}: {row.ours} {row.unit} ({row.note})")
    print(update(report("geometric-speed", "python tools/geometric_speed.py --bindsnet DIR", rows)))


if __name__ == "__main__":
    main()
