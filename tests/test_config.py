"""The configuration: every error at once, each with its path; overrides; live settings."""

from pathlib import Path

import pytest

from streamlearn.config import config_hash, load, parse
from streamlearn.errors import ConfigError, UsageError
from streamlearn.live import changed, differences, live_keys
from streamlearn.plan import CATALOGUE

GOOD = {
    "stream": {"shape": [8, 8], "dtype": "|u1", "classes": 10},
    "layer": [{"rule": "hebbian", "units": 4}],
    "head": [{"kind": "softmax"}],
}


def lines(raw: dict) -> list[str]:
    """The error lines of a configuration."""
    with pytest.raises(ConfigError) as caught:
        parse(raw, CATALOGUE, "f.toml")
    return list(caught.value.lines)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"layer": [GOOD["layer"][0], {"rule": "hebbian", "units": -3}]},
            "f.toml: layer[1].units: expected 1…65536, got -3",
        ),
        (
            {"stream": {**GOOD["stream"], "clases": 3}},
            "f.toml: stream.clases: unknown key; did you mean 'classes'?",
        ),
        ({"streem": {}}, "f.toml: streem: unknown key; did you mean 'stream'?"),
        (
            {"layer": [{"rule": "hebian", "units": 3}]},
            "f.toml: layer[0].rule: expected one of hebbian, forward_forward",
        ),
        (
            {"publish": {"metrics_every_s": float("nan")}},
            "f.toml: publish.metrics_every_s: expected a finite number, got nan",
        ),
        (
            {"pipeline": {"threads": 0}},
            "f.toml: pipeline.threads: expected 1…64 or one of auto, got 0",
        ),
        ({"store": {"keep": True}}, "f.toml: store.keep: expected 1…1000, got true"),
        (
            {"ingest": {"pull": "tcp://0.0.0.0:5555"}},
            "f.toml: ingest.pull: 'tcp://0.0.0.0:5555' can be reached from other machines",
        ),
        (
            {"head": [{"kind": "softmax", "reads": ["layer2"]}]},
            "f.toml: head[0].reads: expected some of input, layer1, got 'layer2'",
        ),
        (
            {"head": [{"kind": "softmax"}, {"kind": "softmax"}]},
            "f.toml: head[1].name: 'softmax' is taken by head[0]; give it another",
        ),
        (
            {"publish": {"head": "hard"}},
            "f.toml: publish.head: expected one of softmax, got 'hard'",
        ),
        (
            {"stream": {"shape": [8, 8]}},
            "f.toml: stream.classes: expected 2 or more for a head, got 0",
        ),
        (
            {"pipeline": {"ring_rows": 8}},
            "f.toml: pipeline.block_rows: expected at most pipeline.ring_rows = 8, got 64",
        ),
        ({"layer": {"rule": "hebbian"}}, "f.toml: layer: expected [[layer]] tables, got"),
        ({"stream": 3}, "f.toml: stream: expected a table, got 3"),
    ],
)
def test_an_error_names_its_place_the_value_and_the_way_out(change: dict, line: str) -> None:
    """One line an error: path, what is expected there, what was found, the nearest word."""
    found = lines({**GOOD, **change})
    assert len(found) == 1
    assert found[0].startswith(line)


def test_all_errors_come_at_once() -> None:
    """Nobody should mend a file one error at a time."""
    raw = {
        "stream": {"shape": [0], "dtype": "u1"},
        "labels": {"keep_rows": 1.5},
        "layer": [{"rule": "hebbian"}],
        "seed": -1,
    }
    places = [line.split(": ")[1] for line in lines(raw)]
    expected = ["stream.shape", "stream.dtype", "labels.keep_rows", "layer[0].units", "seed"]
    assert sorted(places) == sorted(expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [("[stream", "not TOML"), ("\xff", "not UTF-8"), (None, "cannot be read")],
)
def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, text: str | None, says: str
) -> None:
    """No file, broken TOML, another encoding: the file's name and what is wrong."""
    path = tmp_path / "f.toml"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=says) as caught:
        load(path, CATALOGUE)
    assert str(caught.value).startswith(str(path))


def test_overrides_reach_every_key(tmp_path: Path) -> None:
    """--set changes tables and lists by number; what is not there is refused."""
    path = tmp_path / "f.toml"
    path.write_text('[stream]\nshape = [4]\n[[layer]]\nrule = "hebbian"\nunits = 3\n')
    config = load(path, CATALOGUE, ["layer.0.units=9", "store.dir=/tmp/x", "ingest.max_rows=7"])
    assert config.layer[0].units == 9
    assert config.store.dir == "/tmp/x"
    assert config.ingest.max_rows == 7
    for wrong in ("layer.3.units=1", "novalue", "=3"):
        with pytest.raises(UsageError, match="--set"):
            load(path, CATALOGUE, [wrong])


def test_a_checkpoint_is_bound_to_what_decides_learning() -> None:
    """Sockets and threads may change under a checkpoint; rules, heads, seed may not."""
    base = parse(GOOD, CATALOGUE)
    same = {**GOOD, "pipeline": {"threads": 2}, "store": {"keep": 9}}
    assert config_hash(parse(same, CATALOGUE)) == config_hash(base)
    for other in ({"seed": 1}, {"layer": [{"rule": "hebbian", "units": 5}]}):
        assert config_hash(parse({**GOOD, **other}, CATALOGUE)) != config_hash(base)


def test_live_settings_change_within_their_range_and_others_do_not() -> None:
    """`set` and SIGHUP share one list of what can change; a bad value changes nothing."""
    base = parse(GOOD, CATALOGUE)
    assert "store.keep" in live_keys()
    new = changed(base, "store.keep", 5)
    assert differences(base, new) == ["store.keep"]
    with pytest.raises(UsageError, match=r"stream.shape: cannot change while running"):
        changed(base, "stream.shape", [3])
    with pytest.raises(UsageError, match=r"did you mean 'store.keep'"):
        changed(base, "store.kep", 3)
    with pytest.raises(ConfigError, match=r"store.keep: expected 1…1000, got 0"):
        changed(base, "store.keep", 0)


@pytest.mark.parametrize(
    ("bind", "reached"),
    [
        ("tcp://127.0.0.1:5555", False),
        ("tcp://127.1.2.3:5555", False),
        ("tcp://localhost:5555", False),
        ("tcp://[::1]:5555", False),
        ("ipc:///run/streamlearn.sock", False),
        ("tcp://localhost.example.org:5555", True),
        ("tcp://127.example.org:5555", True),
        ("tcp://*:5555", True),
        ("tcp://eth0:5555", True),
        ("tcp://[::]:5555", True),
        ("tcp://192.168.1.2:5555", True),
    ],
)
def test_other_machines_are_kept_out_unless_allowed_by_name(bind: str, *, reached: bool) -> None:
    """Without keys only the loopback is bound to; keys, or the word, open the other addresses."""
    raw = {**GOOD, "ingest": {"pull": bind}}
    keys = {"server_key": "server.key_secret", "allowed": "allowed"}
    for security in (keys, {"allow_plain": True}):
        parse({**raw, "security": security}, CATALOGUE)
    if not reached:
        parse(raw, CATALOGUE)
        return
    with pytest.raises(ConfigError, match="can be reached from other machines"):
        parse(raw, CATALOGUE)


def test_keys_need_a_list() -> None:
    """With a key and no list of clients, everybody who knows the public key would come in."""
    raw = {**GOOD, "security": {"server_key": "server.key_secret"}}
    with pytest.raises(ConfigError, match=r"security\.allowed: missing"):
        parse(raw, CATALOGUE)


TLS = {"certificate": "daemon.pem", "key": "daemon.key"}


@pytest.mark.parametrize(
    ("observe", "line"),
    [
        ({}, "observe.bind: '0.0.0.0:9464' can be reached from other machines"),
        (TLS, "observe.bind: '0.0.0.0:9464' can be reached from other machines"),
        ({"token_file": "token"}, "observe.bind: '0.0.0.0:9464' can be reached"),
        ({"certificate": "daemon.pem"}, "observe.key: missing; certificate and key go together"),
        ({"client_ca": "ca.pem"}, "observe.certificate: missing; observe.client_ca asks for TLS"),
        ({**TLS, "token_file": "token"}, ""),
        ({**TLS, "client_ca": "ca.pem"}, ""),
    ],
)
def test_the_page_is_reached_from_elsewhere_only_encrypted_and_by_those_who_may(
    observe: dict[str, str], line: str
) -> None:
    """Keys of ZeroMQ do not guard the page: it needs TLS, and a certificate or a token."""
    keys = {"server_key": "server.key_secret", "allowed": "allowed"}
    raw = {**GOOD, "security": keys, "observe": {"bind": "0.0.0.0:9464", **observe}}
    if not line:
        parse(raw, CATALOGUE)
        return
    with pytest.raises(ConfigError) as caught:
        parse(raw, CATALOGUE)
    assert line in str(caught.value)
    plain = {**raw, "observe": {"bind": "0.0.0.0:9464"}, "security": {"allow_plain": True}}
    parse(plain, CATALOGUE)
