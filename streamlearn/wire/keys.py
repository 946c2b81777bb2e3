"""CURVE keys in files: a secret half with mode 0600, a public half apart.

The files are certificates as pyzmq and czmq write them, so their tools read ours and ours theirs.
No key of these is ever logged or shown, public ones of strangers aside.
"""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TypeAlias

import zmq
from zmq.utils import z85

from streamlearn.errors import UsageError

SECRET: Final = ".key_secret"  # noqa: S105  the ending of a name
PUBLIC: Final = ".key"
SERVER: Final = "server"
CLIENT: Final = "client"

_MAX_BYTES: Final = 4096
_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022


@dataclass(frozen=True)
class KeyPair:
    """Both halves of a key, as Z85 text; the secret one is not shown."""

    public: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def new(cls) -> Self:
        """Make one from the system's random numbers."""
        public, secret = zmq.curve_keypair()
        return cls(public, secret)


@dataclass(frozen=True)
class ClientKeys:
    """What a client needs: its own pair, and the daemon's public half to know it by."""

    own: KeyPair
    server: bytes

    @classmethod
    def read(cls, folder: "str | Path") -> Self:
        """Read `client.key_secret` and `server.key` out of a folder that `keygen` made.

        Raises
        ------
        UsageError
            One is missing, no key, or can be read by others: names the file and the way out.

        """
        place = Path(folder)
        return cls(read_pair(place / f"{CLIENT}{SECRET}"), read_public(place / f"{SERVER}{PUBLIC}"))

    def arm(self, socket: "zmq.Socket[bytes]") -> None:
        """Make a client's socket speak with these keys; before it connects or binds."""
        socket.curve_publickey = self.own.public
        socket.curve_secretkey = self.own.secret
        socket.curve_serverkey = self.server


Keys: TypeAlias = str | Path | ClientKeys


def client_keys(keys: Keys | None) -> ClientKeys | None:
    """The keys of a folder, or those given; None: in plain text. Raises like `ClientKeys.read`."""
    return ClientKeys.read(keys) if isinstance(keys, str | Path) else keys


def write_pair(folder: Path, name: str, pair: KeyPair) -> None:
    """Write NAME.key_secret with mode 0600, and NAME.key.

    Raises
    ------
    UsageError
        A file is there already, or cannot be written.

    """
    public = f'    public-key = "{pair.public.decode()}"\n'
    secret = f'    secret-key = "{pair.secret.decode()}"\n'
    warning = "# The secret half of a CURVE key: for one owner's eyes, mode 0600.\n"
    write_new(folder / f"{name}{SECRET}", f"{warning}metadata\ncurve\n{public}{secret}", 0o600)
    write_public(folder, name, pair.public)


def write_public(folder: Path, name: str, public: bytes) -> None:
    """Write NAME.key; raises like `write_pair`."""
    half = f'    public-key = "{public.decode()}"\n'
    text = f"# The public half of a CURVE key.\nmetadata\ncurve\n{half}"
    write_new(folder / f"{name}{PUBLIC}", text, 0o644)


def write_new(path: Path, text: str, mode: int) -> None:
    """Write a file that must not be there; raises `UsageError` that names it."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            os.fchmod(file.fileno(), mode)  # the umask may have taken more away
            file.write(text)
    except FileExistsError:
        raise UsageError(
            f"{path}: is there already; move it away, or choose another name"
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None


def read_pair(path: Path) -> KeyPair:
    """Read a secret key file.

    Raises
    ------
    UsageError
        It cannot be read, others may read it, or it holds no pair that belongs together.

    """
    found = _entries(read_guarded(path, _OTHERS, "600"))
    public, secret = found.get("public-key", b""), found.get("secret-key", b"")
    with suppress(ValueError, KeyError, zmq.ZMQError):
        if is_key(secret) and zmq.curve_public(secret) == public:
            return KeyPair(public, secret)
    raise UsageError(f"{path}: holds no pair of keys; make one with streamlearn keygen")


def read_public(path: Path) -> bytes:
    """Read the public half, Z85 text of 40 characters; raises like `read_pair`."""
    public = _entries(read_guarded(path, _OTHERS_WRITE, "go-w")).get("public-key", b"")
    if not is_key(public):
        raise UsageError(f"{path}: holds no public key; make one with streamlearn keygen")
    return public


def is_key(text: bytes) -> bool:
    """Whether a text is a key: 40 characters of Z85."""
    try:
        return len(text) == 40 and len(z85.decode(text)) == 32
    except Exception:  # noqa: BLE001  the decoder raises several kinds, all for what is no Z85
        return False


def read_guarded(path: Path, others: int, way_out: str, most_bytes: int = _MAX_BYTES) -> bytes:
    """Read a short file that others may not touch.

    Parameters
    ----------
    path
        The file.
    others
        Bits of its mode that must not be set.
    way_out
        What chmod would have to be told.
    most_bytes
        A longer file is not what it should be.

    Raises
    ------
    UsageError
        With the file, its mode and the chmod that mends it.

    """
    try:
        # Asked of the open file, so that it is not another one that is read; a pipe does not hang.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            refuse_others(path, os.fstat(file.fileno()), others, way_out)
            content = file.read(most_bytes + 1) or b""
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > most_bytes:
        raise UsageError(f"{path}: more than {most_bytes} bytes; it is no key file")
    return content


def refuse_others(path: Path, seen: os.stat_result, others: int, way_out: str) -> None:
    """Raise `UsageError` where a file's mode or owner lets others do what they must not."""
    mode = stat.S_IMODE(seen.st_mode)
    # A credential that systemd hands over is root's, with 0440 as it shows the mask of an ACL.
    handed_over = seen.st_uid == seen.st_gid == 0 and not mode & ~0o440
    if mode & others and not handed_over:
        verb = "read" if others & 0o044 else "change"
        raise UsageError(
            f"{path}: mode {mode:04o} lets others {verb} it; run: chmod {way_out} {path}"
        )
    if seen.st_uid not in (os.geteuid(), 0):
        owner = os.geteuid()
        raise UsageError(
            f"{path}: belongs to user {seen.st_uid}; run: chown {owner} {path}, or copy it"
        )


def _entries(content: bytes) -> dict[str, bytes]:
    """`name = "value"` lines; the values may hold = and #."""
    found = {}
    for line in content.splitlines():
        name, equals, value = line.strip().partition(b"=")
        if equals and not name.startswith(b"#"):
            found[name.strip().decode("ascii", "replace")] = value.strip(b" \t\"'")
    return found
