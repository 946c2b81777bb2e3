"""Make the tables of README and docs from docs/results, between their markers.

A table stands between `<!-- results: NAME -->` and `<!-- end -->`; what is between is replaced.
`<!-- results: NAME /PATTERN/ -->` takes the rows alone in whose name the pattern is found, and says
how many more there are.
"""

import argparse
import re
import sys
from pathlib import Path

import msgspec

from streamlearn.bench.report import Report, Row

ROOT = Path(__file__).resolve().parent.parent
MARKED = re.compile(r"(<!-- results: (\S+)(?: /(.*?)/)? -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def shown(value: float | None) -> str:
    """A figure with three digits that matter, thousands apart."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def against(row: Row) -> str:
    """What the figure is held against, and what kind of thing that is."""
    kinds = (("limit", row.limit), ("peer", row.peer), ("published", row.published))
    return next((f"{shown(value)} ({kind})" for kind, value in kinds if value is not None), "")


def ratio(row: Row) -> str:
    """Our figure over the other."""
    return f"{row.ours / row.against:.2f}" if row.against else ""


def table(report: Report, pattern: str = "") -> str:
    """A Markdown table of a report, with the machine and the command under it."""
    rows = [row for row in report.rows if re.search(pattern, row.name)]
    if not rows:
        sys.exit(f"docs/results/{report.name}.json: no row's name has /{pattern}/; change it")
    lines = [
        "| | ours | unit | against | ratio | spread | |",
        "|---|---:|---|---:|---:|---:|---|",
    ]
    for row in rows:
        cells = (row.name, shown(row.ours), row.unit, against(row), ratio(row), shown(row.spread))
        lines.append(f"| {' | '.join((*cells, row.note))} |")
    machine = report.machine
    where = f"{machine['processor']} ({machine['cores']} cores), Python {machine['python']}"
    made = f"{report.date}, commit {report.commit or 'unknown'}"
    more = len(report.rows) - len(rows)
    left = f" {more} more rows: docs/results/{report.name}.json." if more else ""
    lines += ["", f"`{report.command}`, {made}, on {where}.{left}"]
    return "\n".join(lines) + "\n"


def filled(text: str, folder: Path) -> str:
    """The same document with every marked table made anew."""

    def made(match: re.Match[str]) -> str:
        path = folder / f"{match[2]}.json"
        if not path.exists():
            sys.exit(f"docs/results/{path.name}: missing, and a table is made of it; measure it")
        report = msgspec.json.decode(path.read_bytes(), type=Report)
        return match[1] + table(report, match[3] or "") + match[5]

    return MARKED.sub(made, text)


def documents(root: Path = ROOT) -> list[Path]:
    """The files that may hold tables."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def main() -> int:
    """Rewrite the documents, or with --check say which are not as the results have them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if anything differs"
    )
    check = parser.parse_args().check
    stale = []
    for path in documents():
        text = path.read_text(encoding="utf-8")
        new = filled(text, ROOT / "docs" / "results")
        if new != text:
            stale.append(path)
            if not check:
                path.write_text(new, encoding="utf-8")
    for path in stale:
        print(f"{path.relative_to(ROOT)}: {'differs from docs/results' if check else 'made anew'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
