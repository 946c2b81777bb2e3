"""Write the table of metrics in docs/operations.md from the one in the code.

Run it after changing streamlearn/observe/metrics.py; a test fails until you have.
"""

import re
from pathlib import Path

from streamlearn.observe.metrics import (
    HEAD_GAUGE,
    LAYER_GAUGE,
    METRICS,
    PREFIX,
    PREPARE_GAUGE,
    Metric,
)

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "operations.md"


def metrics_table() -> str:
    """Every metric as a row of a Markdown table."""
    lines = ["| metric | kind | unit | meaning |", "|---|---|---|---|"]
    lines += [_row(metric) for metric in (*METRICS, PREPARE_GAUGE, LAYER_GAUGE, HEAD_GAUGE)]
    return "\n".join(lines)


def _row(metric: Metric) -> str:
    labels = f"{{{','.join(metric.labels)}}}" if metric.labels else ""
    name = f"`{PREFIX}{metric.name.replace('{gauge}', '…')}{labels}`"
    return f"| {name} | {metric.kind} | {metric.unit} | {metric.help} |"


def written(text: str) -> str:
    """Put the table into the document, between its two marks."""
    marks = r"(<!-- metrics -->\n).*?(<!-- end of metrics -->)"
    return re.sub(marks, lambda m: f"{m[1]}{metrics_table()}\n{m[2]}", text, flags=re.DOTALL)


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
