"""How results are printed: tables for people, JSON for programs."""

from collections.abc import Sequence
from typing import Any

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text


def as_json(value: Any) -> str:
    """One line of JSON; arrays as lists, bytes as base64."""
    return msgspec.json.encode(value, enc_hook=_plain).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)


def table(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print names and values: a table on a terminal, plain lines elsewhere."""
    console = Console()
    if not console.is_terminal:
        width = max(len(name) for name, _ in rows)
        click.echo(f"{title}\n" + "\n".join(f"  {n:<{width}}  {v}" for n, v in rows))
        return
    grid = Table(title=title, title_justify="left", show_header=False, border_style="dim")
    grid.add_column(style="cyan", overflow="fold")
    grid.add_column(overflow="fold")  # a digest is there to be copied
    for name, value in rows:
        grid.add_row(Text(name), Text(value))
    console.print(grid)


def percent(share: float | None) -> str:
    """A share as percent, a dash where there is none."""
    return "-" if share is None else f"{100 * share:.2f} %"


def age(seconds: float | None) -> str:
    """A time span in its largest fitting unit."""
    if seconds is None:
        return "-"
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
