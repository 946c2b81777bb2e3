"""Targets of the fuzzer that people write or fetch: configuration, keys, data sets."""

import gzip
import zipfile
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from fuzz_input import Target, joined, several

from streamlearn.config import config_hash, learner_part, load
from streamlearn.data.dataset import Dataset
from streamlearn.data.files import load_csv, load_npz
from streamlearn.data.idx import load_idx
from streamlearn.errors import UsageError
from streamlearn.observe.access import Access
from streamlearn.options_outside import ObserveOptions
from streamlearn.plan import CATALOGUE
from streamlearn.wire.allowed import client_file, read_allowed
from streamlearn.wire.keys import KeyPair, read_pair, read_public, write_pair

CONFIGS: Final = Path(__file__).resolve().parent.parent / "configs"
STARTS: Final = ("digits.toml", "mnist.toml", "hebbian_cifar10.toml")


def config(data: bytes, folder: Path) -> None:
    """A configuration file; its second frame is what `--set` says beside it."""
    text, setting = several(data, 2)
    path = folder / "my.toml"
    path.write_bytes(text)
    settings = [setting.decode("utf-8", "surrogateescape")] if setting else []
    found = load(path, CATALOGUE, settings)
    learner_part(found)
    assert config_hash(found) == config_hash(load(path, CATALOGUE, settings))


def _configs(_: Path) -> list[bytes]:
    texts = [(CONFIGS / name).read_bytes() for name in STARTS]
    return [joined([text]) for text in texts] + [joined([texts[0], b"layer[0].units=7"])]


def keys(data: bytes, folder: Path) -> None:
    """Both halves of a key, as files."""
    secret, public = several(data, 2)
    path = _secret(folder / "client.key_secret", secret)
    (folder / "client.key").write_bytes(public)
    read_public(folder / "client.key")
    read_pair(path)


def _secret(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


@cache
def _pair() -> KeyPair:
    return KeyPair.new()


def _keys(folder: Path) -> list[bytes]:
    names = [folder / "one.key_secret", folder / "one.key"]
    for path in names:
        path.unlink(missing_ok=True)
    write_pair(folder, "one", _pair())
    return [joined([path.read_bytes() for path in names])]


def allowed(data: bytes, folder: Path) -> None:
    """A file of the list of allowed clients."""
    place = folder / "allowed"
    place.mkdir(mode=0o755, exist_ok=True)
    (place / "cam0.toml").write_bytes(data)
    found = read_allowed(place)
    if found.errors:
        raise UsageError(found.errors[0])
    (client,) = found.clients.values()
    client.may_send("cam0")
    (place / "cam0.toml").write_text(client_file(client.key.encode(), client.rights), "utf-8")
    (again,) = read_allowed(place).clients.values()
    assert (again.key, again.rights) == (client.key, client.rights)


def _alloweds(_: Path) -> list[bytes]:
    text = client_file(_pair().public, ("producer", "control"))
    closer = f'{text}streams = ["cam0", "lab/*"]\nmax_rows_per_s = 1000\nmax_streams = 16\n'
    return [text.encode(), closer.encode()]


def token(data: bytes, folder: Path) -> None:
    """The file with the token of the HTTP address, and a header that may hold it."""
    content, said = several(data, 2)
    file = _secret(folder / "token", content)
    access = Access(ObserveOptions(token_file=str(file)), lambda _: None)
    access.may("/metrics", said.decode("latin-1"))


def _tokens(_: Path) -> list[bytes]:
    word = b"0123456789abcdef"
    return [joined([word + b"\n", b"Bearer " + word]), joined([word, b"Basic OjAxMjM="])]


# Data sets.


def _whole(found: Dataset) -> None:
    assert found.rows
    assert np.isfinite(found.X.astype(np.float64)).all()
    assert found.y is None or int(found.y.max()) < found.classes or found.classes == 0


def npz(data: bytes, folder: Path) -> None:
    """An .npz of rows and labels, or of recordings end to end."""
    path = folder / "set.npz"
    path.write_bytes(data)
    _whole(load_npz(path))


def _npzs(folder: Path) -> list[bytes]:
    X, y = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([0, 1, -1])
    sets: list[dict[str, Any]] = [
        {"X": X, "y": y, "is_test": np.array([False, False, True])},
        {"X": X, "y": y[:2], "offsets": np.array([0, 1, 3]), "subject": np.array(["a", "b"])},
        {"audio": X[:, 0], "offsets": np.array([0, 3]), "speaker": np.array("a")},
        {"frames": X.astype(np.uint8).reshape(1, 2, 3)},
    ]
    path, found = folder / "seed.npz", []
    for one in sets:
        np.savez(path, **one)
        found.append(path.read_bytes())
    np.savez_compressed(path, **sets[0])
    return [*found, path.read_bytes()]


def npy(data: bytes, folder: Path) -> None:
    """The array in an .npz, with the sums that zip keeps of it made right."""
    path = folder / "set.npz"
    with zipfile.ZipFile(path, "w") as whole:
        for name, content in zip(("X.npy", "y.npy", "offsets.npy"), several(data, 3), strict=True):
            if content:
                whole.writestr(name, content)
    _whole(load_npz(path))


def _npys(folder: Path) -> list[bytes]:
    path, found = folder / "seed.npy", []
    for one in (np.arange(6, dtype="<f4").reshape(3, 2), np.array([0, 1, -1]), np.array([0, 1, 3])):
        np.save(path, one)
        found.append(path.read_bytes())
    return [joined(found[:1]), joined(found[:2]), joined([found[0], b"", found[2]]), joined(found)]


def table(data: bytes, folder: Path) -> None:
    """A .csv."""
    path = folder / "set.csv"
    path.write_bytes(data)
    _whole(load_csv(path))


def _tables(_: Path) -> list[bytes]:
    named = b"a,b,y,is_test\n1,2.5,0,0\n-3e2,4,1,1\n"
    return [named, b"1;2\n3;4\n", b'"a"\t"label"\n1\t-1\n0.5\t2\n']


def idx(data: bytes, folder: Path) -> None:
    """A folder of images and labels, the labels gzipped."""
    images, labels = several(data, 2)
    place = folder / "idx"
    place.mkdir(exist_ok=True)
    (place / "train-images-idx3-ubyte").write_bytes(images)
    (place / "train-labels-idx1-ubyte.gz").write_bytes(labels)
    _whole(load_idx(place))


def _idxs(_: Path) -> list[bytes]:
    images = bytes((0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1, 1, 2, 3, 4))
    labels = bytes((0, 0, 8, 1, 0, 0, 0, 2, 1, 0))
    return [joined([images, gzip.compress(labels, mtime=0)])]


TARGETS: Final = {
    "config": Target(config, _configs, framed=True, most_bytes=8192),
    "keys": Target(keys, _keys, framed=True),
    "allowed": Target(allowed, _alloweds),
    "token": Target(token, _tokens, framed=True),
    "npz": Target(npz, _npzs),
    "npy": Target(npy, _npys, framed=True),
    "csv": Target(table, _tables, most_bytes=1024),
    "idx": Target(idx, _idxs, framed=True, most_bytes=1024),
}
