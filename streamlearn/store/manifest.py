"""What a checkpoint says of itself, as JSON that carries its own checksum. Pure: bytes in and out.

The checksum is the SHA-256 of the text with the checksum's own 64 digits as zeros.
"""

import hashlib
import json
from typing import Any, Final, NamedTuple, TypedDict

import msgspec

from streamlearn import __version__
from streamlearn.errors import DamagedError, StateError

FORMAT: Final = 1
"""Version of what is written; another one is refused, never guessed at."""

_BLANK: Final = b"0" * 64


class Manifest(NamedTuple):
    """The fields of manifest.json beside its checksum."""

    format: int
    """See `FORMAT`."""
    streamlearn: str
    """Version of the program that wrote it."""
    time: float
    """When, in seconds since 1970."""
    rows_learned: int
    position: int
    digest: str
    config_hash: str
    config: dict[str, Any]
    meta: dict[str, Any]
    files: dict[str, dict[str, Any]]
    """`bytes` and `sha256` of the files beside it."""


class _File(TypedDict):
    bytes: int
    sha256: str


class _Journal(TypedDict, total=False):
    id: int
    part: int
    places: list[tuple[str, str, int]]


class _Meta(TypedDict, total=False):
    journal: _Journal
    added: list[dict[str, Any]]


class _Fields(TypedDict):
    """What the fields must be for those who read them here; a learner checks what is its own."""

    streamlearn: str
    time: float
    rows_learned: int
    position: int
    digest: str
    config_hash: str
    config: dict[str, Any]
    meta: _Meta
    files: dict[str, _File]


def seal(manifest: Manifest) -> bytes:
    """Encode a manifest, with its checksum first."""
    fields = {"checksum": _BLANK.decode(), **manifest._asdict()}
    blank = json.dumps(fields, indent=1).encode() + b"\n"
    return blank.replace(_BLANK, _checksum(blank), 1)


def unseal(data: bytes, place: str) -> Manifest:
    """Decode a manifest that is to the byte what was written.

    Raises
    ------
    DamagedError
        It is not; the text begins with `place`.
    StateError
        Its format is not the one that this version reads.

    """
    try:
        fields = json.loads(data)
        written = fields.pop("checksum").encode()
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DamagedError(f"{place}: not what was written: no checksum can be read") from error
    if _checksum(data.replace(written, _BLANK, 1)) != written:
        raise DamagedError(f"{place}: not what was written: its checksum differs")
    if fields.get("format") != FORMAT:
        raise StateError(
            f"{place}: format {fields.get('format')}, and streamlearn {__version__} reads {FORMAT}:"
            f" go on with streamlearn {fields.get('streamlearn')}, which wrote it"
        )
    try:
        msgspec.convert(fields, _Fields)
        return Manifest(**fields)
    except (msgspec.ValidationError, TypeError) as error:
        raise DamagedError(f"{place}: not what streamlearn writes: {error}") from error


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()
