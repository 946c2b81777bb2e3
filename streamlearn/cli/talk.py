"""`watch` and `ctl`: see what a daemon publishes, and ask it something."""
# ruff: noqa: PLC0415  what a verb needs is loaded when it runs

import math
import sys
from collections import deque
from pathlib import Path
from typing import Any, Final, Self

import click
import msgspec

from streamlearn.cli.answer import lines_of
from streamlearn.cli.keygen import keys_option
from streamlearn.cli.naming import told_as
from streamlearn.cli.show import as_json, percent, table
from streamlearn.errors import UsageError
from streamlearn.observe.metrics import PREFIX

_EVENTS_SHOWN: Final = 5


@click.command()
@click.argument("endpoint")
@click.option("--topic", "topics", multiple=True, help="Only topics that begin so; repeatable.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Stop after N messages.")
@click.option("--timeout", type=float, metavar="S", help="Give up after S seconds of silence.")
@click.option("--json", "json", is_flag=True, help="One JSON object a line.")
@keys_option
def watch(
    endpoint: str,
    *,
    topics: tuple[str, ...],
    limit: int | None,
    timeout: float | None,
    json: bool,
    keys: Path | None,
) -> None:
    """Show live what a daemon publishes.

    ENDPOINT is its publish.bind. Topics are metrics, event, prediction/STREAM, embedding/STREAM,
    surprise/STREAM.
    Without --topic, metrics and events are shown, and --json gives everything.
    """
    from streamlearn.client import Subscriber

    chosen = topics or (("",) if json else ("metrics", "event"))
    shown = _Lines() if json or topics else _Screen()
    with (
        told_as(endpoint="ENDPOINT"),
        Subscriber(endpoint, topics=chosen, timeout_s=timeout, keys=keys) as subscriber,
        shown,
    ):
        for count, message in enumerate(subscriber, 1):
            shown.show(message)
            if count == limit:
                return


class _Lines:
    """One JSON object a line, as soon as it comes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""

    def show(self, message: Any) -> None:
        """Print a message."""
        click.echo(as_json(plain(message)))


def plain(message: Any) -> dict[str, Any]:
    """A message as a map: topic and kind first, then its own keys; NaN as null."""
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    kind: dict[str, Any] = {"topic": message.topic, "kind": message.kind}
    kind |= fields.pop("figures", {}) | fields.pop("data", {}) | fields
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in kind.items()}


class _Screen:
    """Figures that renew themselves in place; a line each where there is no terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False)
        self._events: deque[str] = deque(maxlen=_EVENTS_SHOWN)
        self._figures: dict[str, Any] = {}
        self._before: tuple[float, float] | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
            self._live.update("waiting for the first figures …", refresh=True)
        return self

    def __exit__(self, *error: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, message: Any) -> None:
        """Take in metrics or an event and show how things stand."""
        if message.kind == "event":
            self._events.append(f"{message.name} {as_json(message.data)}")
        else:
            self._figures = message.figures
        if self._console.is_terminal:
            self._live.update(self._grid(message.t), refresh=True)
        elif message.kind == "event":
            click.echo(self._events[-1])
        else:
            click.echo("; ".join(f"{name} {value}" for name, value in self._rows(message.t)))

    def _grid(self, t: float) -> Any:
        from rich.table import Table

        grid = Table(show_header=False, border_style="dim")
        grid.add_column(style="cyan")
        grid.add_column()
        for name, value in [*self._rows(t), *(("event", event) for event in self._events)]:
            grid.add_row(name, value)
        return grid

    def _rows(self, t: float) -> list[tuple[str, str]]:
        """The figures that matter first."""
        get = self._get
        rejected = sum(self._all("samples_rejected_total"))
        dropped = sum(self._all("samples_dropped_total"))
        trivial = 'trivial_error{{rule="{}",window="recent"}}'
        return [
            ("rows learned", f"{get('samples_learned_total') or 0:,.0f} ({self._rate(t)})"),
            ("error, recent rows", percent(get('prequential_error{window="recent"}'))),
            ("error, all rows", percent(get('prequential_error{window="all"}'))),
            ("always the commonest class", percent(get(trivial.format("majority")))),
            ("repeat the last label", percent(get(trivial.format("repeat")))),
            ("rejected, dropped", f"{rejected:.0f}, {dropped:.0f}"),
            ("missed", f"{get('samples_missed_total') or 0:.0f}"),
            ("rows in the checkpoint", f"{get('checkpoint_rows') or 0:,.0f}"),
        ]

    def _get(self, name: str) -> float | None:
        value = self._figures.get(PREFIX + name)
        return float(value) if isinstance(value, int | float) and value == value else None  # noqa: PLR0124  NaN

    def _all(self, name: str) -> list[float]:
        return [
            value for key, value in self._figures.items() if key.startswith(f"{PREFIX}{name}{{")
        ]

    def _rate(self, t: float) -> str:
        """Rows a second since the metrics before."""
        rows, before = self._get("samples_learned_total") or 0.0, self._before
        if before is None or before[0] != t:
            self._before = (t, rows)
        if before is None or t <= before[0]:
            return "-"
        return f"{(rows - before[1]) / (t - before[0]):,.0f}/s"


@click.command()
@click.argument("endpoint")
@click.argument("verb")
@click.argument("arguments", metavar="[KEY=VALUE]…", nargs=-1)
@click.option("--timeout", type=float, default=60.0, metavar="S", help="How long to wait.")
@click.option(
    "--json", "json", is_flag=True, help="One JSON object on stdout, on a terminal as elsewhere."
)
@keys_option
def ctl(
    endpoint: str,
    verb: str,
    arguments: tuple[str, ...],
    *,
    timeout: float,
    json: bool,
    keys: Path | None,
) -> int:
    """Ask a daemon for one thing.

    ENDPOINT is its control.bind; VERB is ping, status, infer, checkpoint, pause, resume, freeze,
    thaw, set, add_layer or stop, for example
    `streamlearn ctl tcp://127.0.0.1:5557 freeze layer=layer1`.
    Values are JSON where they can be, else text. The answer is a table on a terminal, else JSON;
    exit code 1 where the daemon says no.
    """
    from streamlearn.wire.control import request

    given = dict(_argument(text) for text in arguments)
    if verb == "infer":
        given.setdefault("as", "lists")
    with told_as(endpoint="ENDPOINT"):
        answer = request(endpoint, verb, timeout, keys=keys, **given)
    good = bool(answer.get("ok"))
    if json or not sys.stdout.isatty():
        click.echo(as_json(answer))
    elif good:
        table(verb, lines_of(answer))
    if good:
        return 0
    hint = answer.get("hint")
    click.echo(f"streamlearn: {answer.get('error')}{f'; {hint}' if hint else ''}", err=True)
    return 1


def _argument(text: str) -> tuple[str, Any]:
    key, found, value = text.partition("=")
    if not found or not key:
        raise UsageError(f"{text}: expected KEY=VALUE, for example layer=layer1")
    try:
        return key, msgspec.json.decode(value.encode())
    except msgspec.DecodeError:
        return key, value
