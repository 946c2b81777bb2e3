"""`fsck` and `dead`: what a state folder is worth, and the messages that were set aside."""
# ruff: noqa: PLC0415  what a verb needs is loaded when it runs

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamlearn.cli.keygen import keys_option
from streamlearn.cli.naming import told_as
from streamlearn.cli.show import as_json
from streamlearn.errors import UsageError

if TYPE_CHECKING:
    from streamlearn.store.dead import DeadLetters, Letter

_folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
_numbers = click.argument("numbers", metavar="[NUMBER]…", nargs=-1, type=int)
_everything = click.option("--all", "everything", is_flag=True, help="All of them.")


@click.command()
@_folder
@click.option(
    "--repair", is_flag=True, help="Keep the longest good part; the rest is moved, not removed."
)
@click.option("--json", "json", is_flag=True, help="One JSON object on stdout.")
def fsck(folder: Path, *, repair: bool, json: bool) -> int:
    """Check every byte of a state folder.

    Checkpoints, journal and dead letters: what is damaged, and what is lost with it. No daemon may
    be using DIR, in which nothing changes without --repair. Exit code 1 where something is damaged
    and was not repaired.
    """
    from streamlearn.store.fsck import examine

    found = examine(folder, repair=repair)
    good = all(one.good for one in found)
    if json:
        click.echo(as_json({"good": good, "found": [one._asdict() for one in found]}))
    else:
        for one in found:
            click.echo(f"{'good   ' if one.good else 'DAMAGED'}  {one.name}  {one.text}")
        way_out = f"damaged; streamlearn fsck {folder} --repair keeps what is good"
        click.echo("nothing is damaged" if good else "repaired" if repair else way_out)
    return 0 if good or repair else 1


@click.group()
def dead() -> None:
    """Look at messages that can never be learned.

    The daemon set them aside with the reason. It may be using DIR meanwhile.
    """


@dead.command("list")
@_folder
@click.option("--json", "json", is_flag=True, help="One JSON object on stdout.")
def list_(folder: Path, *, json: bool) -> None:
    """List what was set aside, oldest first."""
    with _opened(folder) as letters:
        found = [shown(letter) for letter in letters.letters()]
    if json:
        click.echo(as_json({"dead": found}))
        return
    for one in found:
        who = f"{one['stream']} {one['producer']} rows {one['seq']}…{one['seq'] + one['rows'] - 1}"
        click.echo(f"{one['number']:6}  {one['when']}  {one['reason']:9}  {who}  {one['detail']}")


@dead.command()
@_folder
@click.argument("number", type=int)
def show(folder: Path, number: int) -> None:
    """Show one letter with its header and the first bytes of its payload."""
    with _opened(folder) as letters:
        letter = _letter(letters, number)
    for key, value in shown(letter).items():
        click.echo(f"{key:10}  {value}")
    click.echo(f"{'header':10}  {shown_header(letter)}")
    click.echo(f"{'payload':10}  {letter.payload[:32].hex(' ')}")


@dead.command()
@_folder
@_numbers
@_everything
@click.option("--to", required=True, metavar="ENDPOINT", help="The daemon's ingest.router.")
@click.option("--timeout", type=float, default=10.0, help="Give up when it takes nothing: 10 s.")
@keys_option
def retry(folder: Path, numbers: tuple[int, ...], *, everything: bool, **how: Any) -> int:
    """Send letters again, as after a change of the configuration.

    Their numbers are settled, so they go as rows of a producer called PRODUCER.again, for which
    your keys must be allowed to speak. Each is removed from here once it is durable; what is
    refused once more is set aside under that name.
    """
    with _opened(folder) as letters:
        chosen = _chosen(letters, numbers, everything=everything)
        refused = 0
        for number in chosen:
            refused += _sent(_letter(letters, number), **how)
            letters.remove([number])
    click.echo(f"learned: {len(chosen) - refused}, refused again: {refused}")
    return 1 if refused else 0


@dead.command()
@_folder
@_numbers
@_everything
def purge(folder: Path, numbers: tuple[int, ...], *, everything: bool) -> None:
    """Remove letters for good."""
    with _opened(folder) as letters:
        removed = letters.remove(_chosen(letters, numbers, everything=everything))
    click.echo(f"removed: {removed}")


class _opened:  # noqa: N801  used like a function
    """The dead letters of a folder, closed at the end."""

    def __init__(self, folder: Path) -> None:
        from streamlearn.store.dead import DeadLetters

        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder: name the store.dir of a daemon")
        self._letters = DeadLetters(folder)

    def __enter__(self) -> "DeadLetters":
        return self._letters

    def __exit__(self, *_: object) -> None:
        self._letters.close()


def _chosen(letters: "DeadLetters", numbers: tuple[int, ...], *, everything: bool) -> list[int]:
    if bool(numbers) == everything:
        raise UsageError("name letters by number, or give --all")
    return letters.numbers() if everything else list(numbers)


def _letter(letters: "DeadLetters", number: int) -> "Letter":
    if (letter := letters.letter(number)) is None:
        raise UsageError(f"{number}: no such letter; see streamlearn dead list")
    return letter


def shown(letter: "Letter") -> dict[str, Any]:
    """What is listed of a letter."""
    return {
        "number": letter.id,
        "when": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(letter.time)),
        "reason": letter.reason,
        "stream": letter.stream.decode("ascii", "replace"),
        "producer": letter.producer,
        "seq": letter.seq,
        "rows": letter.rows,
        "bytes": len(letter.payload),
        "detail": letter.detail,
    }


def shown_header(letter: "Letter") -> Any:
    """The keys and values of a letter's header; its bytes where it has none that can be read."""
    import msgspec

    try:
        return msgspec.msgpack.decode(letter.header)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        # It was refused for what it says; keys that nobody asks for may hold anything.
        return letter.header.hex(" ")


def _sent(letter: "Letter", to: str, timeout: float, keys: Path | None) -> bool:
    """Send a letter's rows under their new name; whether they were refused again."""
    from streamlearn.client import Producer
    from streamlearn.store.resend import rows_of

    rows = rows_of(letter)
    stream, shape = letter.stream.decode(), rows.x.shape[1:]
    with (
        told_as(endpoint="--to"),
        Producer(
            to, stream, rows.producer, timeout_s=timeout, ack=True, shape=shape, keys=keys
        ) as one,
    ):
        one.send(rows.x, rows.y, rows.t)
    return one.rejected > 0
