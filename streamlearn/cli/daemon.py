"""`run` and `check`: the daemon, and its configuration."""
# ruff: noqa: PLC0415  the compiler is loaded only by the verbs that learn

from pathlib import Path

import click

from streamlearn.config import Config

config_file = click.argument("file", type=click.Path(path_type=Path))
settings = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the file, for example layer.0.units=100; can be repeated.",
)


def load(file: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Read a configuration that may name every rule, head and step."""
    from streamlearn import config
    from streamlearn.plan import CATALOGUE

    return config.load(file, CATALOGUE, overrides)


@click.command()
@config_file
@settings
def run(file: Path, settings: tuple[str, ...]) -> None:
    """Run the daemon until it is told to stop.

    The first SIGTERM or SIGINT drains and saves, a second one ends at once. SIGHUP reads FILE again
    and takes over what can change while it runs.
    """
    from streamlearn import garbage

    with garbage.loading():
        from streamlearn import daemon

    daemon.run(file, settings)


@click.command()
@config_file
@settings
def check(file: Path, settings: tuple[str, ...]) -> None:
    """Check a configuration file.

    Wrong: one line on stderr for each error, exit code 2. Good: exit code 0.
    """
    from streamlearn.observe.access import Access
    from streamlearn.plan import check as build
    from streamlearn.wire.gate import Gate

    config = load(file, settings)
    build(config, str(file))
    Access(config.observe, Gate(config.security).refuse)
    parts = [f"{len(config.prepare)} prepare", f"{len(config.layer)} layer", f"{len(config.head)}"]
    click.echo(f"{file}: good: {', '.join(parts)} head, seed {config.seed}")
