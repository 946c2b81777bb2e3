"""Making keys: the daemon's pair; for each client a folder of its own, and a place in the list.

::

    DIR/server.key_secret        the daemon's secret, stays here
    DIR/server.key               its public half
    DIR/allowed/NAME.toml        what a client may do; take it away to revoke the client
    DIR/clients/NAME/            goes to the client: client.key_secret, client.key, server.key
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from streamlearn.errors import UsageError
from streamlearn.wire.allowed import RIGHTS, Right, checked_name, client_file
from streamlearn.wire.keys import (
    CLIENT,
    PUBLIC,
    SECRET,
    SERVER,
    KeyPair,
    read_public,
    write_new,
    write_pair,
    write_public,
)

ALLOWED: Final = "allowed"
CLIENTS: Final = "clients"

Named = tuple[str, tuple[Right, ...]]
"""A client's name and rights."""


def parse_client(text: str) -> Named:
    """Read NAME=RIGHT,RIGHT.

    Raises
    ------
    UsageError
        It is not of that form, or names a right that there is not.

    """
    name, equals, listed = text.partition("=")
    rights = tuple(right for right in RIGHTS if right in listed.split(","))
    if not equals or len(rights) != len(listed.split(",")):
        known = ", ".join(RIGHTS)
        raise UsageError(f"--client {text}: expected NAME=RIGHT,RIGHT with rights of {known}")
    return checked_name(name), rights


def make_keys(folder: Path, clients: Sequence[Named]) -> list[Path]:
    """Make what is not there yet of the layout above; keys that are there stay as they are.

    Returns
    -------
    list[Path]
        What was made: the server's secret, clients' folders.

    Raises
    ------
    UsageError
        A client is there already, or a file cannot be written; names it.

    """
    for name, _ in clients:
        for path in (folder / CLIENTS / name, folder / ALLOWED / f"{name}.toml"):
            if path.exists():
                raise UsageError(f"{path}: is there already; choose another name, or revoke it")
    made: list[Path] = []
    # The list holds no secrets, and a daemon with a user of its own must be able to read it.
    _make_folder(folder, 0o755)
    _make_folder(folder / ALLOWED, 0o755)
    _make_folder(folder / CLIENTS, 0o700)
    if not (folder / f"{SERVER}{SECRET}").exists():
        write_pair(folder, SERVER, KeyPair.new())
        made.append(folder / f"{SERVER}{SECRET}")
    server = read_public(folder / f"{SERVER}{PUBLIC}")
    for name, rights in clients:
        made.append(_make_client(folder, name, rights, server))
    return made


def _make_client(folder: Path, name: str, rights: Sequence[Right], server: bytes) -> Path:
    own, pair = folder / CLIENTS / name, KeyPair.new()
    _make_folder(own, 0o700)
    write_pair(own, CLIENT, pair)
    write_public(own, SERVER, server)
    # Last, so that a client that is let in has all of its keys.
    write_new(folder / ALLOWED / f"{name}.toml", client_file(pair.public, rights), 0o644)
    return own


def _make_folder(folder: Path, mode: int) -> None:
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made: {error.strerror}") from None
