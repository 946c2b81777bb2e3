"""Run benchmarks and keep what they measured in docs/results, one JSON file each."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from streamlearn.bench import BENCHMARKS
from streamlearn.bench.report import Report, Row, run

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"


def write(report: Report, folder: Path = RESULTS) -> Path:
    """Write one report to `folder/NAME.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.name}.json"
    text = msgspec.json.format(msgspec.json.encode(report), indent=2)
    path.write_bytes(text + b"\n")
    return path


def kept(name: str, folder: Path = RESULTS) -> dict[str, Row]:
    """Rows of the report that was written last, by name; none where there is none."""
    path = folder / f"{name}.json"
    rows = msgspec.json.decode(path.read_bytes(), type=Report).rows if path.exists() else []
    return {row.name: row for row in rows}


def update(new: Report, folder: Path = RESULTS, order: Sequence[str] = ()) -> Path:
    """Write a report in the place of the last one, whose rows that are not in it stay.

    With an order, rows stand in it, and what it does not name is left out.
    """
    known = kept(new.name, folder) | {row.name: row for row in new.rows}
    rows = [known[name] for name in order or known if name in known]
    return write(msgspec.structs.replace(new, rows=rows), folder)


def main() -> None:
    """Measure what is named, all of it by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help=f"some of {', '.join(BENCHMARKS)}; none: all")
    names = parser.parse_args().name
    for report in run(names, lambda line: print(line, file=sys.stderr, flush=True)):
        print(write(report))


if __name__ == "__main__":
    main()
