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
    help="Draw a layer's receptive fields into this PNG file.",
)
@click.option("--layer", default="", help="Which layer --picture draws; the first unless told.")
def inspect(folder: Path, *, json: bool, picture: Path | None, layer: str) -> int:
    """Show what a state folder holds."""
    from streamlearn.store.describe import describe

    if layer and picture is None:
        raise UsageError(f"--layer {layer}: it chooses what --picture FILE draws; give both")
    found = describe(folder)
    found["positions"] = _positions(found["meta"] or {})
    if json:
        click.echo(as_json(found))
    else:
        _print(found)
    if picture is not None:
        from streamlearn.fields import draw_checkpoint

        try:
            units = draw_checkpoint(folder, found["checkpoint"], layer, picture)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--picture {picture}: {error}; name a .png that can be written"
            ) from None
        click.echo(f"drawn: {units:,} units in {picture}", err=True)
    return 0


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
