"""`keygen` on the command line, and what `check` says of keys."""

import subprocess
import sys
from pathlib import Path


def call(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    command = [sys.executable, "-m", "streamlearn", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_keygen_makes_what_a_configuration_takes(tmp_path: Path, digits_file: Path) -> None:
    """What it prints is a [security] section that `check` finds good; no secret is in it."""
    done = call("keygen", tmp_path / "keys", "--client", "cam0=producer")
    secret = (tmp_path / "keys" / "server.key_secret").read_text("utf-8").split('"')[3]
    assert done.returncode == 0, done.stderr
    assert secret not in done.stdout + done.stderr
    config = tmp_path / "with_keys.toml"
    config.write_text(digits_file.read_text("utf-8") + done.stdout, "utf-8")
    assert call("check", config).returncode == 0


def test_check_names_a_key_that_others_can_read(tmp_path: Path, digits_file: Path) -> None:
    """Exit code 2, and the line has the key of the configuration, the file and the chmod."""
    done = call("keygen", tmp_path / "keys")
    config = tmp_path / "with_keys.toml"
    config.write_text(digits_file.read_text("utf-8") + done.stdout, "utf-8")
    secret = tmp_path / "keys" / "server.key_secret"
    secret.chmod(0o644)
    for verb in ("check", "run"):
        wrong = call(verb, config)
        assert wrong.returncode == 2
        assert f"security.server_key: {secret}: mode 0644" in wrong.stderr
        assert f"chmod 600 {secret}" in wrong.stderr


def test_a_client_is_made_once(tmp_path: Path) -> None:
    """A name that is taken, and one without rights, are exit code 2 and change nothing."""
    words = ("keygen", tmp_path / "keys", "--client", "cam0=producer")
    assert call(*words).returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert "is there already" in call(*words).stderr
    wrong = call("keygen", tmp_path / "keys", "--client", "cam1")
    assert (wrong.returncode, "expected NAME=RIGHT" in wrong.stderr) == (2, True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
