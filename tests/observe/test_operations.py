"""What is written for those who run it follows the code: the table, the alerts, the dashboard."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import gen_metrics
import pytest
from observe.helpers import board
from source import ROOT

from streamlearn import __version__, errors
from streamlearn.observe.board import Board
from streamlearn.observe.metrics import METRICS, PREFIX

DOCUMENT = ROOT / "docs" / "operations.md"
RULES = ROOT / "deploy" / "prometheus-rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
UNIT = ROOT / "deploy" / "streamlearn.service"


def test_the_table_in_the_docs_is_the_one_in_the_code() -> None:
    """docs/operations.md shows every metric with its kind, unit and meaning as in the code."""
    text = DOCUMENT.read_text("utf-8")
    assert gen_metrics.written(text) == text, "run tools/gen_metrics.py"
    assert all(f"`{PREFIX}{metric.name}" in text for metric in METRICS)


def names_in(text: str) -> set[str]:
    """Our metrics that a text speaks of, without the endings of a histogram."""
    found = set(re.findall(rf"\b{PREFIX}(\w+)", text))
    return {re.sub(r"^(latency_seconds)_(bucket|sum|count)$", r"\1", name) for name in found}


@pytest.mark.parametrize("path", [RULES, DASHBOARD, DOCUMENT], ids=lambda path: path.name)
def test_only_metrics_that_exist_are_named(path: Path) -> None:
    """No alert, panel or advice speaks of a metric that the page does not have."""
    known = {m.name for m in METRICS} | {"prepare_", "layer_", "head_", "layer_.+"}
    assert names_in(path.read_text("utf-8")) <= known


def test_labels_in_the_dashboard_exist() -> None:
    """Every label that a panel or an alert groups or filters by is one of its metrics'."""
    known = {label for metric in METRICS for label in metric.labels}
    known |= {"instance", "job", "le", "layer", "head", "__name__"}
    text = DASHBOARD.read_text("utf-8") + RULES.read_text("utf-8")
    used = {
        label.strip()
        for group in re.findall(r"(?:by|on) \(([^)]*)\)", text)
        for label in group.split(",")
    }
    used |= set(re.findall(r"\{\{ ?(?:\$labels\.)?(\w+) ?\}\}", text))
    assert used <= known


def test_every_alert_has_its_advice() -> None:
    """For each alert the docs say what to do, and for none that is not there."""
    alerts = set(re.findall(r"alert: (\w+)", RULES.read_text("utf-8")))
    advice = set(re.findall(r"\*\*(Streamlearn\w+)\*\*", DOCUMENT.read_text("utf-8")))
    assert alerts == advice


def test_the_dashboard_is_whole() -> None:
    """It is JSON with panels that do not overlap, each with a question to Prometheus."""
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["targets"]
        place = panel["gridPos"]
        cells = {
            (place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_exit_code_is_explained() -> None:
    """Each exit code of the error tree has its row in the docs."""
    codes = {kind.exit_code for kind in vars(errors).values() if hasattr(kind, "exit_code")} | {
        0,
        130,
    }
    text = DOCUMENT.read_text("utf-8").partition("## Exit codes")[2].partition("\n## ")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == codes


def test_the_unit_keeps_the_compiler_alive() -> None:
    """The sandbox leaves what compiled kernels need, and restarts only what can get better."""
    text = UNIT.read_text("utf-8")
    settings = [line for line in text.splitlines() if not line.startswith("#")]
    assert not any(line.startswith("MemoryDenyWriteExecute") for line in settings)
    assert "Environment=NUMBA_CACHE_DIR=/var/cache/streamlearn" in settings
    assert "RestartPreventExitStatus=2" in settings


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Where systemd is there, it understands every line."""
    if not (analyze := shutil.which("systemd-analyze")):
        pytest.skip("no systemd-analyze here")
    unit = tmp_path / UNIT.name
    unit.write_text(
        UNIT.read_text("utf-8").replace("/opt/streamlearn/bin/streamlearn", "/bin/true")
    )
    done = subprocess.run(
        [analyze, "verify", str(unit)], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert not ours


def test_a_board_is_made_before_anything_is_known() -> None:
    """The smallest and the usual board both give a figure for every series."""
    assert Board().flat()["ready"] == 0
    assert board().flat()[f'build_info{{rules="hebbian",version="{__version__}"}}'] == 1
