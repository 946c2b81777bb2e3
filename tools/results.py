"""Run benchmarks and keep what they measured in docs/results, one JSON file each."""

import argparse
import sys
from pathlib import Path

import msgspec

from streamlearn.bench import BENCHMARKS
from streamlearn.bench.report import Report, run

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"


def write(report: Report, folder: Path = RESULTS) -> Path:
    """Write one report to `folder/NAME.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.name}.json"
    text = msgspec.json.format(msgspec.json.encode(report), indent=2)
    path.write_bytes(text + b"\n")
    return path


def main() -> None:
    """Measure what is named, all of it by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help=f"some of {', '.join(BENCHMARKS)}; none: all")
    names = parser.parse_args().name
    for report in run(names, lambda line: print(line, file=sys.stderr, flush=True)):
        print(write(report))


if __name__ == "__main__":
    main()
