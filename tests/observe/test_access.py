"""The HTTP address, guarded: TLS, certificates of clients, a token; others go on."""

import base64
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, Request, build_opener, urlopen

import pytest
from observe.helpers import board

from streamlearn.errors import UsageError
from streamlearn.observe import http
from streamlearn.observe.access import Access
from streamlearn.observe.http import Server, start_http
from streamlearn.options_outside import ObserveOptions

TOKEN = "a-token-of-enough-letters"
PATIENCE_S = 10.0

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


class Certificates:
    """An authority's certificate, and one for each name that it signed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._openssl("req", "-x509", *_NEW, "-keyout", "ca.key", "-out", "ca.pem", *_named("ca"))
        self.ca = str(folder / "ca.pem")

    def signed(self, name: str) -> tuple[str, str]:
        """A certificate for 127.0.0.1 and its key."""
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        signer = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1")
        self._openssl("req", "-x509", *_NEW, *files, *signer, *_named(name))
        (self._folder / f"{name}.key").chmod(0o600)
        return str(self._folder / f"{name}.pem"), str(self._folder / f"{name}.key")

    def trusting(self, certificate: tuple[str, str] | None = None) -> ssl.SSLContext:
        """What a client knows: the authority, and a certificate of its own."""
        context = ssl.create_default_context(cafile=self.ca)
        if certificate:
            context.load_cert_chain(*certificate)
        return context

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self._folder, check=True, capture_output=True)


_NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


def _named(name: str) -> tuple[str, str]:
    return "-subj", f"/CN={name}"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Make an authority."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@contextmanager
def guarded(**options: str) -> Iterator[tuple[Server, list[str]]]:
    """Serve a guarded board; also what was refused."""
    refused: list[str] = []
    access = Access(ObserveOptions(**options), refused.append)
    with closing(start_http("127.0.0.1:0", board(), lambda: "", access)) as server:
        yield server, refused


def see(server: Server, path: str, context: ssl.SSLContext, **headers: str) -> str:
    """What HTTPS answers to a path."""
    request = Request(f"https://{server.address}{path}", headers=headers)
    opener = build_opener(HTTPSHandler(context=context))
    with opener.open(request, timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())


def wait(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """Write a token."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n", "utf-8")
    path.chmod(0o600)
    return path


def basic(word: str) -> str:
    """A header as a browser makes it of a password."""
    return "Basic " + base64.b64encode(f"me:{word}".encode()).decode()


@pytest.mark.parametrize("path", ["/", "/metrics"])
def test_a_token_is_asked_for(token_file: Path, path: str) -> None:
    """As Bearer or as a password it opens the page; anything else is 401, and counted."""
    with guarded(token_file=str(token_file)) as (server, refused):
        url = f"http://{server.address}{path}"
        for header in (f"Bearer {TOKEN}", basic(TOKEN)):
            with urlopen(Request(url, headers={"Authorization": header})) as answer:
                assert answer.status == 200
        assert not refused
        wrong = ("", "Bearer", "Bearer x", f"Bearer {TOKEN}x", TOKEN, basic("x"), "Basic \xff!")
        for header in wrong:
            with pytest.raises(HTTPError) as caught:
                urlopen(Request(url, headers={"Authorization": header}))
            assert caught.value.code == 401
            assert "streamlearn_" not in caught.value.read().decode()
        assert len(refused) == len(wrong)
        for open_path in ("/livez", "/readyz"):
            with urlopen(f"http://{server.address}{open_path}") as answer:
                assert answer.status == 200


@needs_openssl
def test_https(certificates: Certificates) -> None:
    """With a certificate the page speaks TLS, and no plain HTTP."""
    certificate, key = certificates.signed("daemon")
    with guarded(certificate=certificate, key=key) as (server, refused):
        assert "streamlearn_ready" in see(server, "/metrics", certificates.trusting())
        assert not refused
        with socket.create_connection(server.address.split(":"), PATIENCE_S) as plain:
            plain.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            assert b"streamlearn" not in b"".join(iter(lambda: plain.recv(4096), b""))
        wait(lambda: len(refused) == 1)
        assert see(server, "/livez", certificates.trusting()) == "alive\n"


@needs_openssl
def test_mutual_tls(certificates: Certificates, tmp_path: Path) -> None:
    """A client shows a certificate that the authority signed, or sees nothing."""
    certificate, key = certificates.signed("daemon")
    files = {"certificate": certificate, "key": key, "client_ca": certificates.ca}
    mine = certificates.signed("prometheus")
    (tmp_path / "others").mkdir()
    others = Certificates(tmp_path / "others").signed("prometheus")
    with guarded(**files) as (server, refused):
        assert "streamlearn_ready" in see(server, "/metrics", certificates.trusting(mine))
        assert not refused
        for stranger in (None, others):
            with pytest.raises(OSError, match=r".") as caught:
                see(server, "/metrics", certificates.trusting(stranger))
            assert not isinstance(caught.value, HTTPError)
        wait(lambda: len(refused) == 2)
        assert see(server, "/livez", certificates.trusting(mine)) == "alive\n"


@needs_openssl
def test_a_handshake_that_is_not_finished_ends(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever trickles bytes into the handshake is cut off in time; others are answered."""
    monkeypatch.setattr(http, "PATIENCE_S", 0.5)
    certificate, key = certificates.signed("daemon")
    with guarded(certificate=certificate, key=key) as (server, refused):
        with socket.create_connection(server.address.split(":"), PATIENCE_S) as slow:
            slow.sendall(b"\x16\x03\x01")
            assert see(server, "/livez", certificates.trusting()) == "alive\n"
            assert slow.recv(1) == b""
        wait(lambda: len(refused) == 1)


@needs_openssl
def test_a_renewed_certificate_is_taken_up(certificates: Certificates, tmp_path: Path) -> None:
    """Reloading takes a new certificate and token; what is wrong leaves what was."""
    names = ("certificate", "key")
    files = dict(zip(names, (str(tmp_path / "now.pem"), str(tmp_path / "now.key")), strict=True))

    def put(name: str) -> None:
        for source, target in zip(certificates.signed(name), files.values(), strict=True):
            shutil.copy(source, target)

    put("first")
    access = Access(ObserveOptions(**files), lambda _: None)
    with closing(start_http("127.0.0.1:0", board(), lambda: "", access)) as server:
        address = server.address.split(":")
        seen = []
        for step in ("first", "second", "second"):
            with (
                socket.create_connection(address, PATIENCE_S) as raw,
                certificates.trusting().wrap_socket(raw, server_hostname="127.0.0.1") as one,
            ):
                (((_, name),),) = one.getpeercert()["subject"]
                seen.append((step, name))
            if step == "first":
                put("second")
            else:
                Path(files["key"]).write_text("nonsense", "utf-8")
            access.reload()
    assert [name for _, name in seen] == ["first", "second", "second"]


@needs_openssl
def test_wrong_files_are_named(certificates: Certificates, token_file: Path) -> None:
    """Key, file and way out, for a mode that is too open, files that do not fit, a short token."""
    certificate, key = certificates.signed("wrong")
    _, other = certificates.signed("other")

    def error(**options: str) -> str:
        with pytest.raises(UsageError) as caught:
            Access(ObserveOptions(**options), lambda _: None)
        return str(caught.value)

    assert "give PEM files that fit" in error(certificate=certificate, key=other)
    assert "observe.client_ca: nowhere" in error(
        certificate=certificate, key=key, client_ca="nowhere"
    )
    Path(key).chmod(0o640)
    assert f"chmod 600 {key}" in error(certificate=certificate, key=key)
    token_file.chmod(0o644)
    assert f"chmod 600 {token_file}" in error(token_file=str(token_file))
    token_file.chmod(0o600)
    token_file.write_text("short", "utf-8")
    assert "16 letters or more" in error(token_file=str(token_file))
