"""`inspect`: what a state folder holds."""
# ruff: noqa: PLC0415  what a verb needs is loaded when it runs

from pathlib import Path
from typing import Any, Final

import click

from streamlearn.cli.show import age, as_json, table
from streamlearn.errors import UsageError

_POSITIONS_SHOWN: Final = 20


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--json", "json", is_flag=True, help="One JSON object on stdout.")
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw a layer's receptive fields into this PNG file; with --data, what it makes of rows.",
)
@click.option(
    "--layer", default="", help="Which layer --picture draws; the first, or last by data."
)
@click.option("--data", "src", metavar="SRC", help="Rows whose codes --picture draws, by class.")
@click.option(
    "--row",
    type=click.IntRange(0),
    metavar="N",
    default=0,
    help="Whose window is drawn, of a network of spikes.",
)
def inspect(folder: Path, *, json: bool, picture: Path | None, **drawn: Any) -> int:
    """Show what a state folder holds."""
    from streamlearn.store.describe import describe

    for option in ("layer", "src", "row"):
        if drawn[option] and picture is None:
            name = {"src": "data"}.get(option, option)
            raise UsageError(
                f"--{name} {drawn[option]}: it chooses what --picture FILE draws; give both"
            )
    found = describe(folder)
    found["positions"] = _positions(found["meta"] or {})
    if json:
        click.echo(as_json(found))
    else:
        _print(found)
    if picture is not None:
        try:
            what = _draw(folder, found["checkpoint"], picture, **drawn)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--picture {picture}: {error}; name a .png that can be written"
            ) from None
        click.echo(f"drawn: {what} in {picture}", err=True)
    return 0


def _draw(
    folder: Path, checkpoint: str | None, picture: Path, *, layer: str, src: str | None, row: int
) -> str:
    """Draw a layer, or what it makes of data; says what was drawn."""
    if src is None:
        from streamlearn.fields import draw_checkpoint

        return f"{draw_checkpoint(folder, checkpoint, layer, picture):,} units"
    from streamlearn import data
    from streamlearn.cli.progress import DownloadBar
    from streamlearn.codes import Drawing, draw_data

    wanted = Drawing(layer, data.load(src, new_bar=DownloadBar), row)
    return f"codes of {draw_data(folder, checkpoint, wanted, picture):,} rows"


def _print(found: dict[str, Any]) -> None:
    table(
        str(found["dir"]),
        [
            ("in use by process", found["process"] or "none"),
            ("newest good checkpoint", found["checkpoint"] or "none"),
            ("rows learned", f"{found['rows_learned'] or 0:,}"),
            ("digest", found["digest"] or "-"),
            ("configuration", found["config_hash"] or "-"),
            ("age", age(found["age_s"])),
            *_next_rows(found["positions"]),
        ],
    )
    for one in found["checkpoints"]:
        rest = one.get("error") or f"{one['rows_learned']:,} rows, {one['bytes']:,} bytes"
        click.echo(f"  {one['name']}  {rest}")


def _positions(meta: dict[str, Any]) -> list[dict[str, Any]]:
    """Each stream and producer with the number of the row that is expected next."""
    intake = meta.get("intake", {})
    sources = zip(intake.get("sources", ()), intake.get("next_seq", ()), strict=False)
    return [{"stream": s, "producer": p, "next_seq": next_seq} for (s, p), next_seq in sources]


def _next_rows(positions: list[dict[str, Any]]) -> list[tuple[str, str]]:
    shown = []
    for one in positions[:_POSITIONS_SHOWN]:
        producer = f", producer {one['producer']}" if one["producer"] else ""
        shown.append((f"stream {one['stream']}{producer}", f"next row {one['next_seq']:,}"))
    more = len(positions) - len(shown)
    return [*shown, ("more streams", f"{more:,}, see --json")] if more else shown
