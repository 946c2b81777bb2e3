"""CIFAR-10: records come out as pictures, and what is wrong with a file is named."""

import hashlib
import io
import json
import re
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from streamlearn import config
from streamlearn.cli import main
from streamlearn.config import Environment
from streamlearn.data import SETS, load
from streamlearn.data.dataset import Dataset
from streamlearn.errors import UsageError
from streamlearn.evaluate import evaluate
from streamlearn.plan import CATALOGUE
from streamlearn.wire.message import Sample, Schema, decode

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "hebbian_cifar10.toml"
FILES = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
INNER = "cifar-10-batches-bin"
ARCHIVE = "cifar-10-binary.tar.gz"
RECORDS = 50
"""In each of the made-up files; published ones have 10,000."""
DEADLINE_MS = 20_000
COLOURS = np.array(
    [
        *([200, 40, 40], [40, 200, 40], [40, 40, 200], [200, 200, 40], [200, 40, 200]),
        *([40, 200, 200], [200, 120, 40], [40, 120, 200], [120, 40, 200], [120, 120, 120]),
    ]
)
"""Red, green and blue of each class."""


def records(y: np.ndarray, planes: np.ndarray) -> bytes:
    """Labels [N] and planes [N, 3, 32, 32] as a file."""
    flat = np.ascontiguousarray(planes, np.uint8).reshape(len(y), -1)
    return np.hstack([np.asarray(y, np.uint8)[:, None], flat]).tobytes()


def coloured(seed: int, count: int = RECORDS) -> tuple[np.ndarray, bytes]:
    """Labels, and a file of noise around the colour of each label."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 10, count)
    noise = random.integers(-40, 56, (count, 3, 32, 32))
    return y, records(y, COLOURS[y][:, :, None, None] + noise)


def written(folder: Path, **instead: bytes | None) -> Path:
    """A folder with the six files; `test_batch=…` instead of a good one, None for none."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, file in enumerate(FILES):
        content = instead.get(file.removesuffix(".bin"), coloured(seed)[1])
        if content is not None:
            (folder / file).write_bytes(content)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Environment:
    """$STREAMLEARN_DATA and a cache, both empty."""
    return Environment(tmp_path / "home", tmp_path / "cache")


def in_home(home: Environment, **instead: bytes | None) -> Environment:
    """The same, with CIFAR-10 in $STREAMLEARN_DATA."""
    assert home.data
    written(home.data / "cifar10", **instead)
    return home


def test_rows_are_pictures_in_the_published_order(home: Environment) -> None:
    """Five files to learn from, one held out; a row is [32, 32, 3] bytes."""
    data = load("cifar10", in_home(home))
    assert (data.name, data.shape, data.classes) == ("cifar10", (32, 32, 3), 10)
    assert (data.train.rows, data.X.dtype) == (5 * RECORDS, np.uint8)
    assert data.X.flags.c_contiguous
    assert data.test is not None
    assert data.test.rows == RECORDS
    assert data.y is not None
    assert data.y.tolist() == np.concatenate([coloured(seed)[0] for seed in range(6)]).tolist()


def test_planes_become_channels(home: Environment) -> None:
    """The red, green and blue of one pixel stand side by side, rows stay rows."""
    planes = np.zeros((3, 3, 32, 32), np.uint8)
    planes[0, 0] = 255
    planes[1, 1, 2, 5] = 7
    planes[2, 2, 31, 0] = 9
    data = load("cifar10", in_home(home, data_batch_1=records(np.array([9, 0, 1]), planes)))
    assert (data.X[0, ..., 0] == 255).all()
    assert not data.X[0, ..., 1:].any()
    assert np.argwhere(data.X[1]).tolist() == [[2, 5, 1]]
    assert np.argwhere(data.X[2]).tolist() == [[31, 0, 2]]
    assert data.y is not None
    assert data.y[:4].tolist() == [9, 0, 1, coloured(1)[0][0]]


def test_any_whole_number_of_records_is_read(home: Environment) -> None:
    """Parts of the published files will do, each of its own size."""
    data = load("cifar10", in_home(home, data_batch_3=coloured(3, 1)[1]))
    assert data.train.rows == 4 * RECORDS + 1


def test_it_is_looked_for_flat_and_as_unpacked(home: Environment) -> None:
    """$STREAMLEARN_DATA comes before the cache, in each the files or the folder of the archive."""
    assert home.data
    cached = home.cache / "data" / "cifar10"
    for count, folder in enumerate(
        (cached / INNER, cached, home.data / "cifar10" / INNER, home.data / "cifar10"), 1
    ):
        written(folder, data_batch_1=coloured(0, count)[1])
        assert load("cifar10", home).train.rows == count + 4 * RECORDS


LAST = coloured(5)[1]
LABEL_10 = records(np.array([3, 10, 12]), np.zeros((3, 3, 32, 32)))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (LAST[:-1], "test_batch.bin: 153649 bytes; expected whole records of 3073"),
        (LAST[:3072], "test_batch.bin: 3072 bytes; expected whole records of 3073"),
        (b"", "test_batch.bin: 0 bytes; expected whole records of 3073"),
        (LABEL_10, "test_batch.bin: record 1 has label 10; expected 0…9"),
    ],
    ids=["truncated", "without labels", "empty", "label 10"],
)
def test_damage_is_named(home: Environment, content: bytes, says: str) -> None:
    """The file, the value found and the way out, in one line."""
    with pytest.raises(UsageError) as caught:
        load("cifar10", in_home(home, test_batch=content))
    text = str(caught.value)
    assert says in text
    assert "; get the file again" in text
    assert "\n" not in text


def test_what_cannot_be_read_is_named(home: Environment) -> None:
    """A folder in a file's place is no file."""
    in_home(home, test_batch=None)
    assert home.data
    (home.data / "cifar10" / "test_batch.bin").mkdir()
    with pytest.raises(UsageError, match=r"test_batch\.bin: cannot be read: Is a directory; get"):
        load("cifar10", home)


def test_a_missing_file_is_named(home: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five of six are no data set; where none can be fetched, the error says which is missing."""
    offer(monkeypatch, "http://127.0.0.1:9/", b"")
    with pytest.raises(UsageError) as caught:
        load("cifar10", in_home(home, data_batch_4=None))
    text = str(caught.value)
    assert f"{home.data}/cifar10 without data_batch_4.bin) nor in {home.cache}" in text
    assert "put the files into one of these folders" in text


def test_without_pooch_the_files_are_named(
    home: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who cannot download is told what goes where: the six files, not the archive."""
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(UsageError, match=r"or put data_batch_1\.bin, .*, test_batch\.bin there"):
        load("cifar10", home)


def archive(members: dict[str, bytes | None]) -> bytes:
    """A tar.gz of files; None is a link to somewhere else."""
    room = io.BytesIO()
    with tarfile.open(fileobj=room, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content or b"")
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
            tar.addfile(info, io.BytesIO(content or b""))
    return room.getvalue()


WHOLE: dict[str, bytes | None] = {
    "../outside.bin": b"no",
    f"{INNER}/readme.html": b"no",
    **{f"{INNER}/{file}": coloured(seed)[1] for seed, file in enumerate(FILES)},
}


def offer(monkeypatch: pytest.MonkeyPatch, address: str, content: bytes) -> None:
    """Let the set's archive be this content, at this address."""
    published = SETS["cifar10"]
    assert published
    digest = hashlib.sha256(content).hexdigest()
    here = published._replace(mirrors=(address,), sha256={ARCHIVE: digest})
    monkeypatch.setitem(SETS, "cifar10", here)


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


Serve = Callable[[bytes], Path]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serve an archive over real HTTP as the set's; gives its path on the server."""
    folder = tmp_path / "mirror"
    folder.mkdir()

    def one(content: bytes) -> Path:
        (folder / ARCHIVE).write_bytes(content)
        offer(monkeypatch, f"http://127.0.0.1:{server.server_port}/", content)
        return folder / ARCHIVE

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield one
        server.shutdown()
        thread.join()


def names_below(folder: Path) -> list[str]:
    """Every file and folder below, by its path from there."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_download_leaves_the_six_files(home: Environment, serve: Serve) -> None:
    """Fetched once, unpacked into the cache: what is wanted, nothing from or to elsewhere."""
    served = serve(archive(WHOLE))
    assert load("cifar10", home).rows == 6 * RECORDS
    assert names_below(home.cache) == sorted(
        ["data", "data/cifar10", *(f"data/cifar10/{file}" for file in FILES)]
    )
    served.unlink()
    assert load("cifar10", home).rows == 6 * RECORDS


def test_an_archive_with_another_hash_is_not_opened(home: Environment, serve: Serve) -> None:
    """What is not the published archive never reaches the cache."""
    serve(archive(WHOLE)).write_bytes(archive({**WHOLE, "more": b"more"}))
    with pytest.raises(UsageError, match="hash"):
        load("cifar10", home)
    assert names_below(home.cache) == ["data", "data/cifar10"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (archive(WHOLE)[:-100_000], "ended before the end-of-stream marker"),
        (b"no tar", "not a gzip file|file could not be opened"),
        (
            archive({f"{INNER}/data_batch_1.bin": b"1"}),
            "'cifar-10-batches-bin/data_batch_2.bin' no",
        ),
        (archive({**WHOLE, f"{INNER}/test_batch.bin": None}), "test_batch.bin is no plain file"),
    ],
    ids=["truncated", "no tar", "member missing", "link"],
)
def test_a_bad_archive_is_named(home: Environment, serve: Serve, content: bytes, says: str) -> None:
    """Which archive, why, and the way out; nothing half written stays, no link is followed."""
    serve(content)
    with pytest.raises(UsageError, match=says) as caught:
        load("cifar10", home)
    assert f"{home.cache}/data/cifar10/{ARCHIVE}: cannot be unpacked" in str(caught.value)
    assert "remove the archive and try again" in str(caught.value)
    left = set(names_below(home.cache / "data" / "cifar10"))
    assert left < {ARCHIVE, *FILES}


def test_the_configuration_learns_colours(home: Environment) -> None:
    """One pass of the shipped configuration over made-up rows; chance is 90 % wrong."""
    more = {Path(file).stem: coloured(seed, 100)[1] for seed, file in enumerate(FILES)}
    result = evaluate(config.load(CONFIG, CATALOGUE), load("cifar10", in_home(home, **more)))
    assert (result["samples"], result["test"]["samples"]) == (500, 100)
    assert result["test"]["error"] < 0.3
    assert result["prequential"]["error"] < 0.6


@pytest.fixture
def in_environment(home: Environment, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """What the process's environment gives by the set's name."""
    monkeypatch.setenv("STREAMLEARN_DATA", str(in_home(home).data))
    return load("cifar10")


def called(*words: str) -> object:
    """The exit code of the command line in this process."""
    with pytest.raises(SystemExit) as end:
        main(list(words))
    return end.value.code


@pytest.mark.usefixtures("in_environment")
def test_evaluate_knows_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    """`streamlearn evaluate FILE --data cifar10` learns the training rows, and tests the others."""
    small = ("--set", "layer.0.units=8", "--limit", "20", "--json")
    assert called("evaluate", str(CONFIG), "--data", "cifar10", *small) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["samples"], report["test"]["samples"]) == (20, RECORDS)


def test_send_knows_the_name(in_environment: Dataset, endpoint: Callable[[], str]) -> None:
    """`streamlearn send cifar10` plays the training rows as the configuration takes them."""
    stream = config.load(CONFIG, CATALOGUE).stream
    schema = Schema(shape=stream.shape, dtype=stream.dtype, classes=stream.classes)
    address = endpoint()
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        socket.bind(address)
        assert called("send", "cifar10", "--to", address, "--limit", "9", "--rows", "9") == 0
        assert socket.poll(DEADLINE_MS)
        message = decode(socket.recv_multipart(), schema)
    assert isinstance(message, Sample)
    first = in_environment.train.first(9)
    assert first.y is not None
    assert message.y is not None
    assert np.array_equal(message.x, first.X.reshape(9, -1))
    assert np.array_equal(message.y, first.y)


@pytest.mark.parametrize("verb", ["send", "evaluate"])
def test_help_names_every_set(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` lists what SRC can be; none that `load` knows is left out."""
    assert called(verb, "--help") == 0
    listed = re.search(r"a set's name \(([^)]*)\)", " ".join(capsys.readouterr().out.split()))
    assert listed
    assert listed[1].split(", ") == list(SETS)


@pytest.mark.needs_data("cifar10")
def test_cifar10_is_the_standard_split() -> None:
    """50,000 + 10,000 pictures in the published order, 5,000 and 1,000 of each class."""
    data = load("cifar10")
    assert (data.train.rows, data.shape, data.classes) == (50_000, (32, 32, 3), 10)
    assert data.test is not None
    assert data.train.y is not None
    assert data.test.y is not None
    assert data.train.y[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert data.test.y[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert np.bincount(data.train.y).tolist() == [5000] * 10
    assert np.bincount(data.test.y).tolist() == [1000] * 10
