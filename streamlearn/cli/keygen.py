"""`keygen`: keys for the daemon and its clients."""
# ruff: noqa: PLC0415  what a verb needs is loaded when it runs

from pathlib import Path

import click

keys_option = click.option(
    "--keys",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="This client's keys, where the daemon has keys: see keygen.",
)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--client",
    "clients",
    multiple=True,
    metavar="NAME=RIGHT,…",
    help="Keys for a client too; rights are producer, subscriber, control; repeatable.",
)
def keygen(folder: Path, *, clients: tuple[str, ...]) -> None:
    """Make keys for an encrypted daemon and its clients.

    In DIR, what is there stays as it is: run it again with --client for one client more. A client
    gets the folder DIR/clients/NAME, and is let in while DIR/allowed/NAME.toml is there.
    """
    from streamlearn.wire.keygen import ALLOWED, make_keys, parse_client
    from streamlearn.wire.keys import SECRET, SERVER

    made = make_keys(folder, [parse_client(text) for text in clients])
    for path in made:
        click.echo(f"made {path}", err=True)
    click.echo("[security]")
    click.echo(f'server_key = "{folder / f"{SERVER}{SECRET}"}"')
    click.echo(f'allowed = "{folder / ALLOWED}"')
