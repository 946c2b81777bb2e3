"""`demo`, `evaluate` and `bench`: verbs that learn on this machine, now."""
# ruff: noqa: PLC0415  the compiler is loaded only by the verbs that learn

import sys
from pathlib import Path
from typing import Any

import click

from streamlearn.cli.daemon import config_file, load, settings
from streamlearn.cli.progress import DownloadBar, progress
from streamlearn.cli.show import as_json, percent, table

as_json_option = click.option("--json", "json", is_flag=True, help="One JSON object on stdout.")


@click.command()
@config_file
@click.option("--data", required=True, metavar="SRC", help="What is learned, in order.")
@click.option("--test", metavar="SRC", help="Other rows that are held out.")
@click.option("--passes", type=click.IntRange(1), default=1, help="How often the rows are played.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Stop after N rows.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Instead of the file's seed.")
@click.option("--save", type=click.Path(path_type=Path), metavar="DIR", help="Keep the learner.")
@settings
@as_json_option
def evaluate(file: Path, *, json: bool, settings: tuple[str, ...], **how: Any) -> None:
    """Learn a data set without sockets, and report.

    Each row is predicted before it is learned; rows that the data set holds out are never learned
    and give the held-out error. SRC is a set's name (optdigits, mnist, fashion-mnist, cifar10), a
    folder of idx files, a .npz with X, y and is_test, or a .csv.
    """
    from streamlearn import data
    from streamlearn.evaluate import evaluate as learn

    seed = () if how["seed"] is None else (f"seed={how['seed']}",)
    config = load(file, (*settings, *seed))
    rows = data.load(how["data"], new_bar=DownloadBar)
    other = data.load(how["test"], new_bar=DownloadBar) if how["test"] else None
    held_out = other and (other.test or other).shaped(config.stream.shape)
    named = {key: how[key] for key in ("passes", "limit", "save")}
    total = min(how["limit"] or sys.maxsize, how["passes"] * rows.train.rows)
    with progress(f"learning {_short(rows.name)}", total) as show:
        report = learn(
            config,
            rows,
            test=held_out,
            on_progress=lambda done, _, now: show(done, _note(now)),
            **named,
        )
    report.pop("curve")
    if json:
        click.echo(as_json(report))
    else:
        _print_evaluation(rows.name, report)


def _short(name: str) -> str:
    return Path(name).name


def _note(figures: dict[str, Any]) -> str:
    return f"error {percent(figures.get('error_recent'))}"


def _print_evaluation(name: str, report: dict[str, Any]) -> None:
    rate = report["samples_per_s"] or 0.0
    lines = [("rows learned", f"{report['samples']:,} in {report['seconds']:.2f} s, {rate:,.0f}/s")]
    for head, figures in report["heads"].items():
        test = figures["test"]
        lines += [
            (f"{head}: error, all rows", percent(figures["error"])),
            (f"{head}: error, recent rows", percent(figures["error_recent"])),
        ]
        if test:
            held = f"{percent(test['error'])} of {test['samples']:,} rows"
            lines.append((f"{head}: held out", held))
    for figures in list(report["heads"].values())[:1]:
        lines += _trivial(figures)
    table(name, [*lines, ("digest", report["digest"])])


def _trivial(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """What rules that never look at a row would get wrong."""
    return [
        ("always the commonest class", percent(figures["majority_error"])),
        ("repeat the last label", percent(figures["repeat_error"])),
    ]


@click.command()
@click.option("--dataset", default="optdigits", metavar="SRC", help="What is played.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Another daemon.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Play only the first N rows.")
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    default="demo.png",
    metavar="FILE",
    help="Where the picture goes; demo.png if left out.",
)
@as_json_option
def demo(
    dataset: str, config: Path | None, limit: int | None, picture: Path, *, json: bool
) -> None:
    """Watch the real daemon learn a live stream.

    It runs in its own process and is fed a data set over real ZeroMQ, at full speed. Then it is
    asked about the held-out rows, and a summary and a picture are made. Works offline with the
    bundled digits; `--dataset mnist` takes a minute.
    """
    from streamlearn import data, demo

    rows = data.load(dataset, new_bar=DownloadBar)
    path = config or demo.config_of(dataset)
    total = min(limit or sys.maxsize, rows.train.rows)
    click.echo(f"starting the daemon with {path.name} …", err=True)
    with progress(f"learning {_short(rows.name)}", total) as show:
        result = demo.play(
            rows,
            path,
            limit=limit,
            on_progress=lambda done, _, now: show(done, _note(now)),
        )
    drawn = _draw(result, picture)
    report = result.report | {"picture": str(drawn) if drawn else None}
    if json:
        click.echo(as_json(report))
    else:
        _print_demo(rows.name, report)


def _draw(result: Any, path: Path) -> Path | None:
    from streamlearn import picture
    from streamlearn.errors import UsageError

    try:
        picture.draw(result.picture(), path)
    except UsageError as error:
        click.echo(f"no picture: {error}", err=True)
        return None
    except OSError as error:
        click.echo(f"no picture: {path}: {error.strerror}; name another with --picture", err=True)
        return None
    return path


def _print_demo(name: str, report: dict[str, Any]) -> None:
    test, latency = report["test"], report["latency_ms"]
    held = f"{percent(test['error'])} of {test['samples']:,} rows" if test else "-"
    speed = f"{report['samples']:,} in {report['seconds']:.2f} s, {report['samples_per_s']:,.0f}/s"
    lines = [
        ("rows, each learned once", speed),
        ("error, all rows", percent(report["prequential"]["error"])),
        ("error, recent rows", percent(report["prequential"]["error_recent"])),
        ("error, held-out rows", held),
        *_trivial(report["trivial"]),
        ("sent to predicted", f"p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms"),
        ("rows dropped, missed", f"{report['dropped']}, {report['missed']}"),
        ("digest", report["digest"]),
        ("picture", report["picture"] or "none"),
    ]
    table(f"{name}, from a live stream", lines)


@click.command()
@click.argument("names", metavar="[NAME]…", nargs=-1)
@as_json_option
def bench(names: tuple[str, ...], *, json: bool) -> None:
    """Measure this machine.

    NAME is some of kernels, ff, pipeline, latency, idle, memory, start, stop; without one, all run.
    """
    from streamlearn.bench.report import run

    for report in run(names, lambda line: click.echo(line, err=True)):
        if json:
            click.echo(as_json(report))
            continue
        shown = [(row.name, _figure(row)) for row in report.rows]
        table(report.name, shown)


def _figure(row: Any) -> str:
    against = "" if row.against is None else f" (against {row.against:g})"
    note = f"  {row.note}" if row.note else ""
    return f"{row.ours:g} {row.unit}{against}{note}"
