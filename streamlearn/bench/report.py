"""What a benchmark reports: rows of figures, and the machine that they were measured on."""

import datetime as dt
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from streamlearn.bench import BENCHMARKS
from streamlearn.errors import UsageError
from streamlearn.schema import nearest, resolve

Say = Callable[[str], None]
"""Takes one line of progress."""


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure beside what it is held against; at most one of limit, peer and published."""

    name: str
    ours: float
    unit: str
    limit: float | None = None
    """What the machine allows, or what was promised."""
    peer: float | None = None
    """Another program's figure, from the same run."""
    published: float | None = None
    """A paper's figure."""
    seeds: int | None = None
    """How many seeds, or repeats, the figure is the median of."""
    spread: float | None = None
    """Largest minus smallest of them."""
    note: str = ""

    @property
    def against(self) -> float | None:
        """What `ours` is held against."""
        return next((x for x in (self.limit, self.peer, self.published) if x is not None), None)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One benchmark's rows, and how to get them again."""

    name: str
    command: str
    commit: str
    date: str
    machine: dict[str, str | int | float]
    rows: list[Row]


def median_row(name: str, values: Sequence[float], unit: str, **more: object) -> Row:
    """Make a row of repeated measurements: their median, how many, how far apart."""
    fields = {
        "name": name,
        "ours": statistics.median(values),
        "unit": unit,
        "seeds": len(values),
        "spread": max(values) - min(values),
        **more,
    }
    return Row(**{key: _rounded(value) for key, value in fields.items()})  # type: ignore[arg-type]


def _rounded(value: object) -> object:
    """Four digits: more than any of these figures is worth."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def machine() -> dict[str, str | int | float]:
    """What the figures depend on: processor, memory, versions."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in ("numpy", "numba", "pyzmq")},
        "streamlearn": _version("streamlearn"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def commit() -> str:
    """The commit that is measured, with a + where files differ from it; "" outside a checkout."""
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    root = Path(__file__).resolve().parent
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return ""
    return done.stdout.strip()


def report(name: str, command: str, rows: Iterable[Row]) -> Report:
    """Put rows under their heading."""
    now = dt.datetime.now(dt.UTC)
    return Report(
        name=name,
        command=command,
        commit=commit(),
        date=now.strftime("%Y-%m-%d"),
        machine=machine(),
        rows=list(rows),
    )


def run(names: Sequence[str], say: Say) -> Iterator[Report]:
    """Run benchmarks one after the other, all of them where none is named.

    Parameters
    ----------
    names
        Some of `BENCHMARKS`.
    say
        Called with one line at each step.

    Raises
    ------
    UsageError
        A name is none of `BENCHMARKS`.

    """
    for name in names:
        if name not in BENCHMARKS:
            known = ", ".join(BENCHMARKS)
            hint = nearest(name, BENCHMARKS)
            raise UsageError(f"bench {name}: expected some of {known}{hint}")
    for name in names or BENCHMARKS:
        measure = resolve(BENCHMARKS[name])
        rows = measure(lambda line, name=name: say(f"{name}: {line}"))
        yield report(f"bench-{name}", f"streamlearn bench {name}", rows)
