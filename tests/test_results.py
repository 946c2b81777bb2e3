"""Every figure in README and docs is the one that a tool measured."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import results
from source import ROOT
from tables import filled

from streamlearn.bench.report import Report, Row, median_row, report, run
from streamlearn.errors import UsageError

RESULTS = sorted((ROOT / "docs" / "results").glob("*.json"))


def tables(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the tool that makes the tables."""
    command = [sys.executable, str(ROOT / "tools" / "tables.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_tables_are_those_of_the_results() -> None:
    """A table in a document says what its JSON file says."""
    done = tables("--check")
    assert done.returncode == 0, f"{done.stdout}{done.stderr}; run make tables"


def test_there_are_results() -> None:
    """The benchmarks' results are part of the repository."""
    assert RESULTS


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_result_says_how_it_was_got(path: object) -> None:
    """A results file has its own name, a command, a date, a machine, and figures in units."""
    found = msgspec.json.decode(path.read_bytes(), type=Report)
    assert found.name == path.stem
    assert found.command
    assert found.machine["processor"]
    assert found.rows
    for row in found.rows:
        assert row.unit
        assert sum(x is not None for x in (row.limit, row.peer, row.published)) <= 1


def test_a_report_survives_the_file() -> None:
    """What is written is what is read."""
    rows = [median_row("sweep", [3.0, 1.0, 2.0], "µs", limit=1.5, note="784→2000")]
    one = report("bench-x", "streamlearn bench x", rows)
    assert rows == [
        Row(name="sweep", ours=2, unit="µs", limit=1.5, seeds=3, spread=2, note="784→2000")
    ]
    assert msgspec.json.decode(msgspec.json.encode(one), type=Report) == one


@pytest.mark.parametrize("order", [(), ("c", "a", "b")])
def test_rows_of_before_are_kept(tmp_path: Path, order: tuple[str, ...]) -> None:
    """What is not measured now stays, in the table's order where it has one; the rest is new."""
    old, left, new, other = (
        Row(name=name, ours=ours, unit="%") for name, ours in zip("abac", (1, 2, 3, 4), strict=True)
    )
    assert results.kept("x", tmp_path) == {}
    results.update(report("x", "now", [old, left]), tmp_path, order)
    results.update(report("x", "now", [other, new]), tmp_path, order)
    kept = results.kept("x", tmp_path)
    assert [*kept.values()] == ([other, new, left] if order else [new, left, other])
    results.update(report("x", "now", []), tmp_path, ("a", "c"))
    assert [*results.kept("x", tmp_path)] == ["a", "c"]


def test_a_table_may_show_some_rows(tmp_path: Path) -> None:
    """Those whose names match; how many more there are stands under it; none at all is an error."""
    rows = [Row(name=f"{what}; {k}", ours=k, unit="%") for what in "ab" for k in (0, 1)]
    results.write(report("x", "now", rows), tmp_path)
    text = "<!-- results: x /^a.*|1$/ -->\nold\n<!-- end -->\n"
    made = filled(text, tmp_path)
    assert [line.split(" |")[0] for line in made.splitlines()[3:6]] == [
        "| a; 0",
        "| a; 1",
        "| b; 1",
    ]
    assert "old" not in made
    assert " 1 more rows: docs/results/x.json." in made
    assert filled(made, tmp_path) == made
    assert "more rows" not in filled(text.replace(" /^a.*|1$/", ""), tmp_path)
    with pytest.raises(SystemExit, match=r"docs/results/x\.json: no row's name has /c/"):
        filled(text.replace("^a.*|1$", "c"), tmp_path)


def test_an_unknown_benchmark_is_named() -> None:
    """A wrong name is answered with the right one before anything is measured."""
    with pytest.raises(UsageError, match="did you mean 'kernels'"):
        next(run(["kernel"], print))
