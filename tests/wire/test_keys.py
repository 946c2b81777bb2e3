"""Key files and the list of clients: made, guarded, read; what is wrong is named."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq
import zmq.auth
from hypothesis import given
from hypothesis import strategies as st
from keyring import Keyring

from streamlearn.errors import UsageError
from streamlearn.options_outside import SecurityOptions
from streamlearn.wire.allowed import Client, read_allowed
from streamlearn.wire.gate import Gate
from streamlearn.wire.keygen import make_keys, parse_client
from streamlearn.wire.keys import ClientKeys, KeyPair, is_key, read_pair, read_public, write_pair


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    """Make keys of one client."""
    return Keyring(tmp_path / "keys", cam0=("producer",))


def mode(path: Path) -> int:
    """The bits of a file's mode."""
    return stat.S_IMODE(path.stat().st_mode)


def test_secret_halves_are_for_the_owner_alone(keys: Keyring) -> None:
    """Whatever the umask is, secrets have mode 0600, and no public file holds one."""
    before = os.umask(0)
    try:
        make_keys(keys.folder, [("cam1", ("producer",))])
    finally:
        os.umask(before)
    secrets = list(keys.folder.rglob("*.key_secret"))
    assert len(secrets) == 3
    assert {mode(path) for path in secrets} == {0o600}
    assert mode(keys.of("cam1")) == 0o700
    hidden = [read_pair(path).secret for path in secrets]
    for path in keys.folder.rglob("*"):
        if path.is_file() and path not in secrets:
            assert mode(path) == 0o644
            assert not any(secret in path.read_bytes() for secret in hidden)


def test_a_secret_is_never_shown(keys: Keyring) -> None:
    """Neither a pair nor a client's keys show their secret as text, as a log line would."""
    own = ClientKeys.read(keys.of("cam0"))
    for one in (own, own.own):
        assert own.own.secret.decode() not in f"{one} {one!r}"


def test_files_are_those_of_pyzmq(keys: Keyring, tmp_path: Path) -> None:
    """Pyzmq reads our files, and we read its, once their mode is right."""
    path = keys.of("cam0") / "client.key_secret"
    pair = read_pair(path)
    assert zmq.auth.load_certificate(path) == (pair.public, pair.secret)
    public, secret = zmq.auth.create_certificates(tmp_path, "theirs")
    Path(secret).chmod(0o600)
    Path(public).chmod(0o644)
    assert read_pair(Path(secret)).public == read_public(Path(public))


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o777])
def test_a_secret_that_others_can_read_is_refused(keys: Keyring, bits: int) -> None:
    """The error names the file, its mode and the chmod that mends it; and that does."""
    path = keys.of("cam0") / "client.key_secret"
    path.chmod(bits)
    with pytest.raises(UsageError) as caught:
        ClientKeys.read(keys.of("cam0"))
    assert f"{path}: mode {bits:04o} lets others" in str(caught.value)
    assert f"chmod 600 {path}" in str(caught.value)
    path.chmod(0o600)
    ClientKeys.read(keys.of("cam0"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has root's files")
def test_a_credential_of_systemd_is_taken(keys: Keyring) -> None:
    """It belongs to root and root's group, and nobody may write it; with another group, no."""
    path = keys.of("cam0") / "client.key_secret"
    os.chown(path, 0, 0)
    path.chmod(0o440)
    ClientKeys.read(keys.of("cam0"))
    os.chown(path, 0, 12345)
    with pytest.raises(UsageError, match="mode 0440 lets others read it"):
        ClientKeys.read(keys.of("cam0"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_secret_of_somebody_else_is_refused(keys: Keyring) -> None:
    """A key file belongs to us or to root: whoever owns it can change it."""
    path = keys.of("cam0") / "client.key_secret"
    os.chown(path, 12345, -1)
    with pytest.raises(UsageError, match="belongs to user 12345"):
        ClientKeys.read(keys.of("cam0"))


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "without its secret": lambda text: text[: text.index(b"    secret-key")],
    "another's public half": lambda text: text.replace(
        text.split(b'"')[1], KeyPair.new().public, 1
    ),
    "a letter less": lambda text: text.replace(text.split(b'"')[3], text.split(b'"')[3][1:]),
    "no letters": lambda _: bytes(range(256)),
    "too large": lambda text: text + b"#" * 5000,
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_key_file_is_named(keys: Keyring, how: str) -> None:
    """What is no pair of keys is refused with the file's name and without its content."""
    path = keys.of("cam0") / "client.key_secret"
    text = path.read_bytes()
    secret = text.split(b'"')[3].decode()
    path.write_bytes(BROKEN[how](text))
    with pytest.raises(UsageError) as caught:
        ClientKeys.read(keys.of("cam0"))
    assert str(path) in str(caught.value)
    assert secret not in str(caught.value)


def test_a_pipe_in_place_of_a_key_does_not_hang(keys: Keyring) -> None:
    """What can be opened but holds nothing is refused at once."""
    path = keys.of("cam0") / "client.key_secret"
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(UsageError, match="holds no pair"):
        ClientKeys.read(keys.of("cam0"))


@given(st.binary(max_size=300))
def test_nothing_but_keys_is_a_key(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    """Whatever a file holds, it is read as a pair or refused as `UsageError`."""
    path = tmp_path_factory.mktemp("keys") / "some.key_secret"
    path.write_bytes(text)
    path.chmod(0o600)
    assert not is_key(text) or len(text) == 40
    with pytest.raises(UsageError):
        read_pair(path)


def test_keys_that_are_there_stay(keys: Keyring) -> None:
    """A second keygen keeps the daemon's key; a client's name is taken once and for all."""
    server = read_pair(keys.folder / "server.key_secret")
    made = make_keys(keys.folder, [("cam1", ("producer", "control"))])
    assert made == [keys.of("cam1")]
    assert read_pair(keys.folder / "server.key_secret") == server
    with pytest.raises(UsageError, match=r"cam1.*is there already"):
        make_keys(keys.folder, [("cam2", ("producer",)), ("cam1", ("producer",))])
    assert not keys.of("cam2").exists()
    with pytest.raises(UsageError, match="is there already"):
        write_pair(keys.folder, "server", KeyPair.new())


@pytest.mark.parametrize(
    "text", ["", "cam0", "cam0=", "=producer", "cam0=root", "cam0=producer,", "../x=producer"]
)
def test_a_client_is_named_with_its_rights(text: str) -> None:
    """NAME=RIGHT,RIGHT; anything else is told with what would be right."""
    assert parse_client("cam0=control,producer") == ("cam0", ("producer", "control"))
    with pytest.raises(UsageError, match="expected"):
        parse_client(text)


WRONG = {
    "key = 1": "key: expected a string",
    'key = "short"\nrights = ["producer"]': "key: expected 40 characters",
    'key = "KEY"': "rights: missing",
    'key = "KEY"\nrights = []': "rights: expected",
    'key = "KEY"\nrights = ["root"]': "rights: expected",
    'key = "KEY"\nrights = ["producer"]\nstream = ["a"]': "did you mean 'streams'",
    'key = "KEY"\nrights = ["producer"]\nname = "x"': "the file's name is the client's",
    "key": "not TOML",
    "key = " + "[" * 4000: "not TOML",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_broken_file_leaves_only_its_client_out(keys: Keyring, text: str) -> None:
    """The others stay allowed; the line names the file and what is expected there."""
    path = keys.file("broken")
    path.write_text(text.replace("KEY", KeyPair.new().public.decode()), "utf-8")
    allowed = read_allowed(path.parent)
    assert [client.name for client in allowed.clients.values()] == ["cam0"]
    (line,) = allowed.errors
    assert line.startswith(f"{path}: ")
    assert WRONG[text] in line
    with pytest.raises(UsageError, match="broken"):
        Gate(options(keys))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_a_file_holds_the_others_stay_allowed(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """No content of a client's file raises, hangs, or lets anybody in."""
    keys = Keyring(tmp_path_factory.mktemp("keys") / "keys", cam0=("producer",))
    keys.file("other").write_bytes(content)
    allowed = read_allowed(keys.folder / "allowed")
    assert [client.name for client in allowed.clients.values()] == ["cam0"]
    assert len(allowed.errors) == 1


def test_a_list_that_is_gone_lets_nobody_in(keys: Keyring) -> None:
    """A folder that cannot be read any more revokes everybody; put back, it lets them in again."""
    gate, folder = Gate(options(keys)), keys.folder / "allowed"
    assert gate.allowed is not None
    folder.rename(keys.folder / "away")
    gate.reload()
    assert not gate.allowed.clients
    (keys.folder / "away").rename(folder)
    gate.reload()
    assert len(gate.allowed.clients) == 1


def options(keys: Keyring) -> SecurityOptions:
    """The section of a configuration that uses the keys."""
    return SecurityOptions(
        server_key=str(keys.folder / "server.key_secret"), allowed=str(keys.folder / "allowed")
    )


def test_a_list_that_others_can_change_is_refused(keys: Keyring) -> None:
    """Neither the folder nor a file of it may be writable by others: they could let anyone in."""
    folder = keys.folder / "allowed"
    keys.file("cam0").chmod(0o666)
    (line,) = read_allowed(folder).errors
    assert "mode 0666 lets others change it" in line
    keys.file("cam0").chmod(0o644)
    folder.chmod(0o777)
    with pytest.raises(UsageError, match="chmod go-w"):
        Gate(options(keys))


def test_one_key_is_one_client(keys: Keyring) -> None:
    """A key under two names would be revoked under one and live on under the other."""
    keys.file("twin").write_bytes(keys.file("cam0").read_bytes())
    allowed = read_allowed(keys.folder / "allowed")
    assert [client.name for client in allowed.clients.values()] == ["cam0"]
    assert "the key of cam0" in allowed.errors[0]


@pytest.mark.parametrize(
    ("streams", "stream", "may"),
    [
        ((), "anything", True),
        (("cam0",), "cam0", True),
        (("cam0",), "cam01", False),
        (("lab/*", "cam0"), "lab/1", True),
        (("lab/*",), "lab", False),
    ],
)
def test_streams_are_names_or_beginnings(
    streams: tuple[str, ...], stream: str, *, may: bool
) -> None:
    """A list of streams names them whole, or by their beginning and a star."""
    client = Client(key="", rights=("producer",), streams=streams)
    assert client.may_send(stream) is may
