"""What every test shares: data marks, leak check, free ports, a small configuration, a daemon."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from caller import Call, Done
from hypothesis import settings
from leaks import Leaks

from streamlearn.bench.process import LOOPBACK, DaemonProcess, free_ports
from streamlearn.cli import main
from streamlearn.rules import RULES

ROOT = Path(__file__).resolve().parent.parent

# One folder for all runs: a kernel is compiled once. Daemons that tests start inherit it.
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".pytest_cache" / "numba"))

READY_S = 240.0
"""A first start compiles every kernel, beside whatever else the machine does."""

TINY = """
[stream]
shape = [4]
classes = 3
[[prepare]]
step = "unit_norm"
[[layer]]
rule = "hebbian"
units = 8
[[head]]
kind = "softmax"
[pipeline]
threads = 1
"""

DIGITS = """
[stream]
shape = [8, 8]
dtype = "|u1"
classes = 10
[[prepare]]
step = "unit_norm"
[[layer]]
rule = "hebbian"
units = 24
[[head]]
kind = "softmax"
[publish]
embeddings_every_rows = 10
metrics_every_s = 0.1
[store]
checkpoint_every_s = 0
"""

settings.register_profile("shared machine", deadline=None)  # a law holds however slow it is tried
settings.load_profile("shared machine")

DAEMON = (
    "test_add_layer",
    "test_cli_live",
    "test_cli_send",
    "test_daemon",
    "test_daemon_forward_forward",
    "test_daemon_geometric_spiking",
    "test_daemon_learners",
    "test_daemon_mishaps",
    "test_acknowledged",
    "test_daemon_streams",
    "test_disk",
    "test_faults",
    "test_infomax_added",
    "test_mishaps",
    "test_power",
    "test_rubbish_daemon",
    "test_security",
    "test_security_ack",
    "test_security_pub",
    "test_soak",
    "test_soak_alone",
)
"""Modules of tests that start daemons; they come after the others, who compile the kernels."""
RECURRENT = ("greedy_infomax_context", "context=", "'context'")
"""In names of tests of recurrent contexts, whose kernels take two minutes to compile."""
LIVE = ("test_bench", "test_door", "test_ingest", "test_publish", "test_threads")
"""Modules of tests whose deadlines other tests beside them could make them miss."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs later, or alone."""
    for item in items:
        if item.path.stem in DAEMON:
            item.add_marker(pytest.mark.daemon)
        if item.path.stem in LIVE:
            item.add_marker(pytest.mark.live)
        if "greedy_infomax" in item.nodeid and any(word in item.nodeid for word in RECURRENT):
            item.add_marker(pytest.mark.slow)
        if item.path.parent.name == "rules":
            item.add_marker(pytest.mark.xdist_group(_rule_of(item.path.stem)))


def _rule_of(module: str) -> str:
    """The rule that tests are about, so that one process compiles its kernels for all of them."""
    name = module.removeprefix("test_")
    return max((rule for rule in RULES if name.startswith(rule)), key=len, default=name)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, by name, what needs a data set that is not here."""
    for mark in item.iter_markers("needs_data"):
        folder = os.environ.get("STREAMLEARN_DATA")
        for name in mark.args:
            if not folder or not (Path(folder) / name).exists():
                pytest.skip(f"needs {name} under $STREAMLEARN_DATA")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves a thread running or a file, socket or pipe open."""
    leaks = Leaks()
    yield
    if left := leaks.after_grace():
        pytest.fail("left behind: " + "; ".join(left), pytrace=False)


@pytest.fixture
def endpoint() -> Callable[[], str]:
    """Give a TCP endpoint on the loopback that nobody uses, another at each call."""
    return lambda: f"tcp://{LOOPBACK}:{free_ports(1)[0]}"


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """Call the command line in this process."""

    def one(*words: object) -> Done:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        out, err = capfd.readouterr()
        assert isinstance(end.value.code, int)
        return Done(end.value.code, out, err)

    return one


@pytest.fixture
def config_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a configuration file, by default of a tiny learner: 4 inputs, 8 units, 3 classes."""

    def write(text: str = TINY, name: str = "tiny.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def digits_file(config_file: Callable[..., Path]) -> Path:
    """A small learner of digits."""
    return config_file(DIGITS, "digits.toml")


@pytest.fixture
def daemon(
    tmp_path: Path, config_file: Callable[..., Path]
) -> Iterator[Callable[..., DaemonProcess]]:
    """Start real daemons in processes of their own; all are gone when the test ends.

    `daemon(config=None, *settings, ready=True)`: a file or the tiny learner, `key=value` overrides.
    Each keeps its state in a folder of its own, so that `.stop()` and `.start()` restart it.
    """
    started: list[DaemonProcess] = []

    def start(
        config: str | Path | None = None, *settings: str, ready: bool = True
    ) -> DaemonProcess:
        folder = tmp_path / f"daemon{len(started)}"
        folder.mkdir()
        one = DaemonProcess(config or config_file(), folder, settings)
        started.append(one)
        one.start()
        if ready:
            one.wait_ready(READY_S)
        return one

    yield start
    for one in started:
        one.kill()
