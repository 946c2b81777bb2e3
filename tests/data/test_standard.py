"""The standard sets: found by name, in order, or downloaded unharmed."""

import gzip
import hashlib
import struct
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlearn.config import Environment
from streamlearn.data import SETS, load
from streamlearn.data.standard import Download, folder_of
from streamlearn.errors import UsageError

FILE = "train-images-idx3-ubyte.gz"
CONTENT = gzip.compress(struct.pack(">HBBIII", 0, 8, 3, 2, 2, 2) + bytes(8))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """Serve a folder with the file over real HTTP; its address."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / FILE).write_bytes(CONTENT)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class Bar:
    """A progress bar that remembers."""

    def __init__(self) -> None:
        self.total, self.seen, self.closed = 0, 0, False

    def update(self, n: int) -> None:
        """Count."""
        self.seen += n

    def reset(self) -> None:
        """Start again."""
        self.seen = 0

    def close(self) -> None:
        """End."""
        self.closed = True


def nowhere(tmp_path: Path) -> Environment:
    """An environment without data."""
    return Environment(None, tmp_path / "cache")


def test_optdigits_is_bundled_whole(tmp_path: Path) -> None:
    """3,823 training digits and 1,797 of other writers, 8 by 8 bytes 0…16, offline, always."""
    data = load("optdigits", nowhere(tmp_path))
    assert (data.train.rows, data.shape, data.classes) == (3823, (8, 8), 10)
    assert data.test is not None
    assert data.test.rows == 1797
    assert (data.X.dtype, data.X.min(), data.X.max()) == (np.uint8, 0, 16)
    assert data.y is not None
    assert data.y[:8].tolist() == [0, 0, 7, 4, 6, 2, 5, 5]


def test_optdigits_names_its_authors() -> None:
    """CC BY 4.0 asks for the authors, the licence and the changes; they travel with the data."""
    import streamlearn.data  # noqa: PLC0415  only its folder is wanted

    text = (Path(streamlearn.data.__file__).parent / "optdigits.LICENSE.md").read_text("utf-8")
    for word in (
        "Alpaydin",
        "Kaynak",
        "creativecommons.org/licenses/by/4.0",
        "Changes",
        "10.24432",
    ):
        assert word in text


def test_data_home_wins_over_the_cache(tmp_path: Path) -> None:
    """$STREAMLEARN_DATA is looked in first, then the cache; plain or gzipped files."""
    home, cache = tmp_path / "home", tmp_path / "cache" / "data" / "mnist"
    download = Download((), {FILE: SHA256})
    cache.mkdir(parents=True)
    (cache / FILE).write_bytes(CONTENT)
    environment = Environment(home, tmp_path / "cache")
    assert folder_of("mnist", download, environment) == cache
    (home / "mnist").mkdir(parents=True)
    (home / "mnist" / FILE.removesuffix(".gz")).write_bytes(gzip.decompress(CONTENT))
    assert folder_of("mnist", download, environment) == home / "mnist"


def test_download_goes_to_the_cache_with_a_bar(tmp_path: Path, mirror: str) -> None:
    """A missing set is fetched once, from the first mirror that has it, and the bar sees it all."""
    download = Download((mirror + "gone/", mirror), {FILE: SHA256})
    environment, bars = nowhere(tmp_path), [Bar(), Bar()]
    folder = folder_of("mnist", download, environment, lambda _: bars[0])
    assert (folder / FILE).read_bytes() == CONTENT
    assert bars[0].closed
    assert bars[0].total == len(CONTENT)
    assert folder_of("mnist", download, environment, lambda _: bars[1]) == folder
    assert not bars[1].closed


def test_download_with_a_wrong_hash_is_not_kept(tmp_path: Path, mirror: str) -> None:
    """A file that is not the published one never reaches the cache."""
    download = Download((mirror,), {FILE: "0" * 64})
    with pytest.raises(UsageError, match="hash") as caught:
        folder_of("mnist", download, nowhere(tmp_path))
    assert "$STREAMLEARN_DATA (not set)" in str(caught.value)
    assert not list((tmp_path / "cache" / "data" / "mnist").glob("*"))


def test_no_network_says_where_it_looked(tmp_path: Path) -> None:
    """Offline, the error names both folders and each mirror's reason, in one line."""
    download = Download(("http://127.0.0.1:9/",), {FILE: SHA256})
    environment = Environment(tmp_path / "home", tmp_path / "cache")
    with pytest.raises(UsageError) as caught:
        folder_of("mnist", download, environment)
    text = str(caught.value)
    for part in (
        str(tmp_path / "home" / "mnist"),
        str(tmp_path / "cache"),
        "127.0.0.1:9",
        "refused",
    ):
        assert part in text
    assert "\n" not in text


def test_without_the_extra_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without pooch, the error says what to install, or which files to put where."""
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(UsageError, match=r"pip install 'streamlearn\[data\]', or put train-images"):
        load("mnist", nowhere(tmp_path))


@pytest.mark.parametrize(
    ("src", "says"),
    [
        ("mnits", "did you mean 'mnist'"),
        ("nothing.npz", "no such file or folder, and not a known data set (optdigits, mnist, fa"),
        ("clip.mp4", "clip.mp4: not a readable video file"),
        ("notes.txt", "expected .npz, .csv, a video file such as .mp4, or a folder of idx files"),
    ],
)
def test_unknown_sources_get_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, src: str, says: str
) -> None:
    """What is no source says so, with the nearest that would be."""
    monkeypatch.chdir(tmp_path)
    for name in ("clip.mp4", "notes.txt"):
        Path(name).touch()
    with pytest.raises(UsageError) as caught:
        load(src, nowhere(tmp_path))
    assert says in str(caught.value)


def test_every_download_pins_its_hashes() -> None:
    """No file of a standard set is taken without its SHA-256."""
    for download in SETS.values():
        for digest in download.sha256.values() if download else ():
            assert len(bytes.fromhex(digest)) == 32


@pytest.mark.needs_data("mnist")
def test_mnist_is_the_standard_split() -> None:
    """60,000 + 10,000 images of 28 by 28 bytes in the published order."""
    data = load("mnist")
    assert (data.train.rows, data.shape, data.classes) == (60_000, (28, 28), 10)
    assert data.test is not None
    assert data.test.rows == 10_000
    digest = hashlib.sha256(struct.pack(">IIII", 2051, 60_000, 28, 28) + data.train.X.tobytes())
    assert digest.hexdigest().startswith("ba891046e6505d7aadcbbe25680a0738")
