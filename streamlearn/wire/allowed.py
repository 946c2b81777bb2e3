"""The list of clients that may come in: a folder with one small TOML file a client.

To let a client in, put its file there; to revoke it, take the file away. The file's name is the
client's name in log lines, its content the public key and the rights.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta

from streamlearn.errors import UsageError
from streamlearn.schema import Section, read_section
from streamlearn.wire.keys import is_key, read_guarded, refuse_others

Right = Literal["producer", "subscriber", "control"]
RIGHTS: Final[tuple[Right, ...]] = get_args(Right)

MOST_CLIENTS: Final = 4096
_SUFFIX: Final = ".toml"
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_OTHERS_WRITE: Final = 0o022


class Client(Section, frozen=True, kw_only=True):
    """One client's file."""

    key: Annotated[str, Meta(description="Its public key, 40 characters.")]
    rights: Annotated[
        tuple[Right, ...], Meta(min_length=1, description="What it may do; some of these.")
    ]
    streams: Annotated[
        tuple[str, ...],
        Meta(description="Streams it may send: names, or beginnings that end in *; []: any."),
    ] = ()
    producers: Annotated[
        tuple[str, ...],
        Meta(description="Producers it may speak for, likewise; []: any, also without a name."),
    ] = ()
    max_rows_per_s: Annotated[
        float, Meta(ge=0, le=1e9, description="Rows it may send a second; 0: any number.")
    ] = 0.0
    max_streams: Annotated[
        int, Meta(ge=0, le=1 << 16, description="Streams it may send to; 0: any number.")
    ] = 0
    name: str = ""

    def may_send(self, stream: str) -> bool:
        """Whether it may send rows of a stream."""
        return _is_among(stream, self.streams)

    def may_speak(self, producer: str) -> bool:
        """Whether it may send rows that a producer numbers; "" where they name none."""
        return _is_among(producer, self.producers)


def _is_among(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a name is one of these, or begins like one that ends in *; of none, all are."""
    return not patterns or any(
        name.startswith(one[:-1]) if one.endswith("*") else name == one for one in patterns
    )


class Allowed:
    """The clients by key; never changes, a reload makes another one.

    Parameters
    ----------
    clients
        Public key as Z85 text → client.
    errors
        A line for every file that was passed over; its client is not let in.

    """

    def __init__(self, clients: Mapping[str, Client], errors: Sequence[str] = ()) -> None:
        self.clients, self.errors = clients, tuple(errors)

    def may(self, key: str, right: Right) -> bool:
        """Whether a key has a right."""
        client = self.clients.get(key)
        return client is not None and right in client.rights


def read_allowed(folder: Path) -> Allowed:
    """Read all files of the folder.

    What is wrong with one file leaves its client out, and is in `errors`.

    Raises
    ------
    UsageError
        The folder cannot be read, others may write into it, or it holds too many files.

    """
    clients: dict[str, Client] = {}
    errors: list[str] = []
    for path in _files(folder):
        try:
            client = _read(path)
        except UsageError as error:
            errors.append(str(error))
            continue
        if client.key in clients:
            errors.append(f"{path}: the key of {clients[client.key].name}; keep one file of them")
        else:
            clients[client.key] = client
    return Allowed(clients, errors)


def _files(folder: Path) -> list[Path]:
    try:
        refuse_others(folder, folder.stat(), _OTHERS_WRITE, "go-w")
        found = sorted(path for path in folder.iterdir() if path.suffix == _SUFFIX)
    except OSError as error:
        raise UsageError(
            f"{folder}: cannot be read: {error.strerror}; name the folder of allowed clients"
        ) from None
    if len(found) > MOST_CLIENTS:
        raise UsageError(f"{folder}: {len(found)} clients; at most {MOST_CLIENTS} are kept")
    return found


def _read(path: Path) -> Client:
    content = read_guarded(path, _OTHERS_WRITE, "go-w")
    try:
        raw = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or nested for ever
        raise UsageError(f"{path}: not TOML: {error}") from None
    errors: list[str] = []
    client = read_section(raw, Client, "", errors)
    if client is None:
        raise UsageError(f"{path}: {'; '.join(errors)}")
    if not is_key(client.key.encode()):
        raise UsageError(f"{path}: key: expected 40 characters of a public key")
    if client.name:
        raise UsageError(f"{path}: name: unknown key; the file's name is the client's")
    return msgspec.structs.replace(client, name=checked_name(path.stem))


def checked_name(name: str) -> str:
    """A client's name; raises `UsageError` where it is none."""
    if not _NAME.fullmatch(name):
        text = "expected 1 to 64 of A-Z a-z 0-9 _ . -, the first no dot or dash"
        raise UsageError(f"client {name!r}: {text}")
    return name


def client_file(key: bytes, rights: Sequence[Right]) -> str:
    """What stands in a client's file."""
    listed = ", ".join(f'"{right}"' for right in rights)
    return (
        f'key = "{key.decode()}"\n'
        f"rights = [{listed}]\n"
        '# streams = ["cam0", "lab/*"]   only these; a name, or a beginning and *\n'
        '# producers = ["cam0"]          speaks for these only; likewise\n'
        "# max_rows_per_s = 1000         more are dropped and counted; ingest.router: wait\n"
        "# max_streams = 16              one more is refused\n"
    )


def stamp(folder: Path) -> tuple[tuple[str, int, int, int], ...]:
    """What changes when a file of the folder does: names, numbers, sizes, times."""
    try:
        return tuple(sorted(_stamps(folder)))
    except OSError:
        return ()


def _stamps(folder: Path) -> Iterator[tuple[str, int, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            seen = entry.stat()
            yield entry.name, seen.st_ino, seen.st_size, seen.st_mtime_ns + seen.st_ctime_ns
