"""What the soak sees of the daemon's process, whether it grows, and the picture of it."""

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from soak_faults import KILL, Event

from streamlearn.picture import ACCENT, FAINT, INK, styled

KIB: Final = 1024
_BLOCKS: Final = 20
"""So many means are fitted; neighbours among thousands of looks say nearly the same."""


class Look(NamedTuple):
    """The daemon's process and its state folder at a moment."""

    t: float
    """Seconds since 1970."""
    pid: int
    rss_kib: float
    anonymous_kib: float
    """The part of it that is no file's: heaps and stacks."""
    descriptors: float
    threads: float
    journal_kib: float
    """The journal's files on the disk."""
    state_kib: float
    """The whole state folder."""
    rows: float
    """Learned in this life."""


def look(t: float, pid: int, state: Path, rows: float) -> Look | None:
    """Look at a process; None where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]
        sizes = {name: float(line.split()[1]) for line in lines for name in [line.split(":")[0]]}
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208  names alone, and fast
        threads = len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208
    except (OSError, KeyError, IndexError):
        return None
    files = {path: path_bytes(path) for path in state.rglob("*")}
    journal = sum(size for path, size in files.items() if path.name.startswith("journal."))
    whole = sum(files.values())
    return Look(
        t,
        pid,
        sizes["Rss"],
        sizes["Anonymous"],
        descriptors,
        threads,
        journal / KIB,
        whole / KIB,
        rows,
    )


def path_bytes(path: Path) -> int:
    """Size of a file; 0 for what is none, or is gone."""
    with suppress(OSError):
        return path.stat().st_size if path.is_file() else 0
    return 0


class Slope(NamedTuple):
    """How fast something grows, with its standard error."""

    value: float
    error: float


def slope(x: Sequence[float], y: Sequence[float]) -> Slope:
    """A straight line through means of blocks of looks, by least squares.

    The error is that of independent residuals, widened by sqrt((1 + r) / (1 - r)) where
    neighbouring residuals still go together by r.
    """
    count = max(4, min(_BLOCKS, len(x) // 4))
    xs, ys = (_means(np.asarray(v, np.float64) - v[0], count) for v in (x, y))
    centred = xs - xs.mean()
    value = float(centred @ ys / (centred @ centred))
    residuals = ys - ys.mean() - value * centred
    squares = float(residuals @ residuals)
    together = float(residuals[1:] @ residuals[:-1] / squares) if squares else 0.0
    together = min(max(together, 0.0), 0.9)
    variance = squares / (count - 2) / (centred @ centred)
    return Slope(value, float(np.sqrt(variance * (1 + together) / (1 - together))))


def _means(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    return np.array([part.mean() for part in np.array_split(values, count)])


def settled(looks: Sequence[Look]) -> list[Look]:
    """The second half of the time, when every buffer has been used and every fault was met."""
    middle = (looks[0].t + looks[-1].t) / 2
    return [one for one in looks if one.t >= middle]


def draw(looks: Sequence[Look], events: Sequence[Event], title: str, path: Path) -> None:
    """Draw memory, descriptors, threads, bytes on the disk and faults over the time."""
    begin = looks[0].t
    kills = [(event.t - begin) / 60 for event in events if event.name == KILL]
    with styled(path) as new_figure:
        figure = new_figure((12, 9.5))
        figure.text(0.075, 0.965, title, size=13, weight="bold")
        axes = figure.subplots(4, 1, sharex=True, height_ratios=(1.3, 0.9, 0.9, 1.5))
        figure.subplots_adjust(left=0.2, right=0.975, top=0.94, bottom=0.055, hspace=0.12)
        _lines(
            axes[0],
            looks,
            {"rss_kib": "resident", "anonymous_kib": "heaps and stacks"},
            1 / KIB,
            "MiB",
        )
        _lines(axes[1], looks, {"descriptors": "descriptors", "threads": "threads"}, 1, "number")
        _lines(axes[2], looks, {"state_kib": "state", "journal_kib": "journal"}, 1 / KIB, "MiB")
        _marks(axes[3], events, begin)
        for one in axes[:3]:
            for kill in kills:
                one.axvline(kill, color=FAINT, lw=0.4)
        axes[3].set_xlabel("minutes")
        figure.savefig(path)


def _lines(axes: Any, looks: Sequence[Look], of: dict[str, str], scale: float, unit: str) -> None:
    minutes = [(one.t - looks[0].t) / 60 for one in looks]
    for (name, label), color in zip(of.items(), (ACCENT, INK), strict=True):
        values = [getattr(one, name) * scale for one in looks]
        axes.plot(minutes, values, color=color, lw=0.9, label=label)
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.005)
    axes.legend(frameon=False, loc="lower right", ncols=2)
    axes.spines[["top", "right"]].set_visible(False)


def _marks(axes: Any, events: Sequence[Event], begin: float) -> None:
    names = [name for name, _ in Counter(event.name for event in events).most_common()]
    names.sort(key=lambda name: name == KILL)
    for line, name in enumerate(names):
        minutes = [(event.t - begin) / 60 for event in events if event.name == name]
        color = ACCENT if name == KILL else INK
        axes.plot(minutes, [line] * len(minutes), "|", ms=8, color=color, lw=0.5)
    axes.set_yticks(range(len(names)), names)
    axes.spines[["top", "right"]].set_visible(False)
