"""Who may see the HTTP address: TLS, certificates of clients, a token.

Certificates are used by the standard library's TLS, as prometheus_client's own server does; that
server has neither our time limits nor our paths.
"""

import base64
import binascii
import hmac
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from streamlearn.errors import UsageError
from streamlearn.options_outside import ObserveOptions
from streamlearn.wire.keys import read_guarded

OPEN_PATHS: Final = ("/livez", "/readyz")
"""Answered without a token: they say no more than whether it runs."""
_LEAST_TOKEN: Final = 16

log = logging.getLogger(__name__)


class Access:
    """Checks connections and requests.

    Parameters
    ----------
    options
        `[observe]`: files of certificate, key, authority and token.
    refuse
        Told of each request that is refused.

    Raises
    ------
    UsageError
        A file is wrong: names key, file and way out.

    """

    def __init__(self, options: ObserveOptions, refuse: Callable[[str], None]) -> None:
        self._options, self._refuse = options, refuse
        self._context: ssl.SSLContext | None = None
        self._token = b""
        self._load()

    def reload(self) -> None:
        """Read the files again, for connections from now on; where one is wrong, all stay."""
        try:
            self._load()
        except UsageError as error:
            log.error("not reloaded", extra={"error": str(error)})  # noqa: TRY400  text says all

    def _load(self) -> None:
        options = self._options
        token = _token(options.token_file) if options.token_file else b""
        self._context = _context(options) if options.certificate else None
        self._token = token

    def wrapped(self, connection: Any) -> Any:
        """The connection as it is to be spoken on; the handshake is still to do."""
        if self._context is None:
            return connection
        return self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )

    def shake_hands(self, connection: Any, patience_s: float) -> bool:
        """Do the handshake within a time; False where it fails, which is counted."""
        if not isinstance(connection, ssl.SSLSocket):
            return True
        connection.settimeout(patience_s)
        try:
            connection.do_handshake()
        except OSError as error:
            self._refuse(f"http: no TLS, or no certificate that is allowed ({error.strerror})")
            return False
        return True

    def may(self, path: str, authorization: str) -> bool:
        """Whether a request with this header may see a path; counts it where not."""
        if not self._token or path in OPEN_PATHS:
            return True
        if hmac.compare_digest(_said(authorization), self._token):
            return True
        self._refuse("http: a request without the token")
        return False


def _said(authorization: str) -> bytes:
    """The token of a header: `Bearer TOKEN`, or `Basic` with the token as the password."""
    scheme, _, said = authorization.partition(" ")
    if scheme.lower() == "basic":
        with suppress(binascii.Error, ValueError):
            return base64.b64decode(said, validate=True).partition(b":")[2]
        return b""
    return said.strip().encode("utf-8", "replace") if scheme.lower() == "bearer" else b""


def _token(file: str) -> bytes:
    try:
        token = read_guarded(Path(file), 0o077, "600").strip()
    except UsageError as error:
        raise UsageError(f"observe.token_file: {error}") from None
    if len(token) < _LEAST_TOKEN or len(token.split()) != 1:
        text = f"expected one word of {_LEAST_TOKEN} letters or more"
        raise UsageError(f"observe.token_file: {file}: {text}; try: openssl rand -hex 32")
    return token


def _context(options: ObserveOptions) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        read_guarded(Path(options.key), 0o077, "600", most_bytes=1 << 20)
    except UsageError as error:
        raise UsageError(f"observe.key: {error}") from None
    key, file = "certificate", options.certificate
    try:
        # A key with a passphrase would ask for it on the terminal.
        context.load_cert_chain(options.certificate, options.key, password=lambda: "")
        if options.client_ca:
            key, file = "client_ca", options.client_ca
            context.load_verify_locations(options.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise UsageError(f"observe.{key}: {file}: {why}; give PEM files that fit") from None
    return context
