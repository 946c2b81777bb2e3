"""The container's steps, without a container: built in a clean folder, run from a read-only one.

The Dockerfile's own instructions are read and run, with its folders moved under a temporary one.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from source import ROOT

from streamlearn.bench.process import DaemonProcess

pytestmark = [
    pytest.mark.xdist_group("install"),  # one installs for all of them
    pytest.mark.slow,
]

FOLDERS = re.compile(r"(?<![\w.:])/(src|opt|var|etc)\b")
UNREACHABLE = "Could not find a version|Failed to establish|Name or service|timed out"


class Step(NamedTuple):
    """One instruction of a Dockerfile."""

    word: str
    rest: str


def stages() -> list[list[Step]]:
    """The instructions of the Dockerfile, stage by stage."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    steps = [Step(*line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]
    starts = [number for number, step in enumerate(steps) if step.word == "FROM"]
    return [steps[a:b] for a, b in zip(starts, [*starts[1:], len(steps)], strict=True)]


def last(steps: list[Step], word: str) -> str:
    """What the last instruction of that name says."""
    return [step.rest for step in steps if step.word == word][-1]


class Image:
    """A folder that stands for the root of the container."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root
        # `python` is this one, and pip may use what it has fetched before.
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            **{name: os.environ[name] for name in os.environ if name.startswith("PIP_")},
            "HOME": str(Path.home()),
        }

    def moved(self, text: str) -> str:
        """The same text, with the container's folders under this root."""
        return FOLDERS.sub(rf"{self.root}/\1", text)

    def take(self, step: Step) -> None:
        """Do what one instruction says."""
        match step.word:
            case "WORKDIR":
                self.folder = Path(self.moved(step.rest))
                self.folder.mkdir(parents=True, exist_ok=True)
            case "ENV":
                name, _, value = self.moved(step.rest).partition("=")
                if name != "PIP_NO_CACHE_DIR":
                    self.environment[name] = value
            case "COPY":
                self.copy(*self.moved(step.rest).split())
            case "RUN":
                self.run(self.moved(step.rest))

    def copy(self, *words: str) -> None:
        """Copy files and folders of the build's context."""
        *sources, target = words
        for source in sources:
            to = Path(target) / source if target.endswith("/") else Path(target)
            to.parent.mkdir(parents=True, exist_ok=True)
            ignore = shutil.ignore_patterns("__pycache__")
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, to, ignore=ignore)
            else:
                shutil.copy(ROOT / source, to)

    def run(self, command: str) -> None:
        """Run a command as a build would: in the shell, nothing of our environment in it."""
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if done.returncode and "pip install" in command and re.search(UNREACHABLE, done.stderr):
            pytest.skip("needs a package index")
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def read_only(folder: Path) -> tuple[str, ...]:
    """What to put before a command so that it can write nothing under the folder."""
    inside = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}"
    wrapper = ("unshare", "--mount", "sh", "-c", f'{inside} && exec "$@"', "sh")
    if (
        shutil.which("unshare")
        and not subprocess.run([*wrapper, "true"], check=False, capture_output=True).returncode
    ):
        return wrapper
    subprocess.run(["chmod", "-R", "a-w", folder], check=True)
    return ()


def compiled(folder: Path) -> set[str]:
    """The compiled kernels under a folder; their names tell function, types and processor."""
    return {path.name for path in folder.rglob("*.nbc")}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root folder that the build leaves behind."""
    root = tmp_path_factory.mktemp("image")
    built = Image(root)
    for step in stages()[0]:
        built.take(step)
    return root


@pytest.fixture
def served(image: Path, tmp_path: Path) -> Iterator[DaemonProcess]:
    """The image's daemon, not started; only its state and scratch folders can be written."""
    (tmp_path / "scratch").mkdir()
    cache = image / "var/cache/streamlearn"
    daemon = DaemonProcess(
        image / "etc/streamlearn/streamlearn.toml",
        tmp_path,
        command=(*read_only(image), str(image / "opt/streamlearn/bin/streamlearn")),
        environment={
            "NUMBA_CACHE_DIR": str(cache),
            "TMPDIR": str(tmp_path / "scratch"),
            "HOME": "/nonexistent",
        },
    )
    yield daemon
    daemon.kill()


@pytest.mark.timeout(400)
def test_times_are_whole_seconds(image: Path) -> None:
    """Image layers keep whole seconds only; finer times would make every cached kernel stale."""
    sources = [*image.glob("opt/streamlearn/lib/python3*/site-packages/streamlearn/**/*.py")]
    assert len(sources) > 20
    assert all(path.stat().st_mtime.is_integer() for path in sources)


@pytest.mark.timeout(400)
def test_it_serves_from_a_read_only_root(served: DaemonProcess) -> None:
    """The health check fails before the start and succeeds after it; SIGTERM ends with exit 0."""
    check = health_check(stages()[1], served.observe)
    assert subprocess.run(check, check=False, capture_output=True).returncode != 0
    with served:
        assert subprocess.run(check, check=False, capture_output=True).returncode == 0
        assert served.stop() == 0, served.said()


@pytest.mark.timeout(400)
def test_the_build_leaves_every_kernel_behind(
    image: Path, served: DaemonProcess, tmp_path: Path
) -> None:
    """A start from the image compiles nothing."""
    baked = compiled(image / "var/cache/streamlearn")
    assert baked
    with served:
        assert served.stop() == 0, served.said()
    assert compiled(tmp_path / "scratch") | compiled(image) == baked


def health_check(final: list[Step], address: str) -> list[str]:
    """The health check's command, for a daemon at another address."""
    command = json.loads(last(final, "HEALTHCHECK").partition("CMD")[2])
    assert command[0] == "python"
    return [sys.executable, *(word.replace("127.0.0.1:9464", address) for word in command[1:])]


def test_the_image_runs_as_nobody_and_stops_in_order() -> None:
    """Not root, SIGTERM to stop, a health check, and nothing tied to one kind of processor."""
    build, final = stages()
    assert last(final, "USER") not in ("0", "root")
    assert last(final, "STOPSIGNAL") == "SIGTERM"
    assert not re.search(r"amd64|x86|arm64|aarch64|--platform", str([build, final]))
    copied = [step.rest for step in final if step.word == "COPY"]
    for path in [words.split()[-2] for words in copied]:
        assert any(path in step.rest for step in build), f"the build leaves nothing at {path}"
