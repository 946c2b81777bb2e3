"""Folders of idx files, the format of MNIST and its kin.

A file is two zero bytes, a type byte, the count of dimensions, each dimension as a big-endian
32-bit number, then the values (LeCun, Cortes & Burges, "The MNIST database"); it may be gzipped.
Images and labels belong together by name: `train-images-idx3-ubyte.gz` and
`train-labels-idx1-ubyte.gz`. Rows of a file whose name says `t10k` or `test` are held out.
"""

import gzip
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamlearn.data.dataset import Dataset, checked
from streamlearn.errors import UsageError

_DTYPES: Final = {0x08: "|u1", 0x09: "|i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

_MOST_SIDES: Final = 32


def read_idx(path: Path) -> NDArray[Any]:
    """Read one idx file, gzipped or not.

    Raises
    ------
    UsageError
        When the file is damaged or is no idx file.

    """
    try:
        raw = path.read_bytes()
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path}: cannot be read: {error}; get the file again") from None
    return _decoded(path, raw)


def _decoded(path: Path, raw: bytes) -> NDArray[Any]:
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _DTYPES:
        raise UsageError(f"{path}: not an idx file: it starts with {raw[:4].hex(' ') or 'nothing'}")
    start = 4 + 4 * raw[3]
    if len(raw) < start:
        raise UsageError(f"{path}: ends inside its head, at byte {len(raw)}; get the file again")
    shape = struct.unpack_from(f">{raw[3]}I", raw, 4)
    if not 1 <= len(shape) <= _MOST_SIDES or 0 in shape:
        # Rows of nothing could be billions in a file of a few bytes.
        raise UsageError(f"{path}: shape {list(shape)}; expected rows of some numbers")
    dtype = np.dtype(_DTYPES[raw[2]])
    size = start + dtype.itemsize * int(np.prod(shape, dtype=object))
    if len(raw) != size:
        raise UsageError(
            f"{path}: {len(raw)} bytes, but its head says {size} for shape {list(shape)}; "
            "get the file again"
        )
    return np.frombuffer(raw, dtype, offset=start).reshape(shape)


def _images_in(folder: Path) -> list[Path]:
    """The image files, those held out last, else by name."""
    found = [p for p in folder.iterdir() if "images" in p.name and "idx" in p.name]
    plain = {p for p in found if p.suffix != ".gz"}
    once = [p for p in found if p in plain or p.with_suffix("") not in plain]
    return sorted(once, key=lambda p: (_held_out(p), p.name))


def _held_out(path: Path) -> bool:
    return "t10k" in path.name or "test" in path.name


def _labels_of(images: Path) -> Path | None:
    name = images.name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
    choices = [images.with_name(name), images.with_name(name + ".gz")]
    return next((path for path in choices if path.exists()), None)


def load_idx(folder: Path, name: str | None = None) -> Dataset:
    """Read a folder of idx files: training rows first, then those held out.

    Raises
    ------
    UsageError
        When there are no image files, one is damaged, or labels do not fit their images.

    """
    name = name or str(folder)
    paths = _images_in(folder)
    if not paths:
        raise UsageError(f"{folder}: no idx files; expected some like train-images-idx3-ubyte.gz")
    images = [read_idx(path) for path in paths]
    if len({array.shape[1:] for array in images}) > 1:
        shapes = ", ".join(f"{p.name} {list(a.shape)}" for p, a in zip(paths, images, strict=True))
        raise UsageError(f"{folder}: images of different shapes: {shapes}")
    is_test = np.repeat([_held_out(path) for path in paths], [len(array) for array in images])
    X = images[0] if len(images) == 1 else np.concatenate(images)
    return checked(name, X, _labels(paths, images), is_test if is_test.any() else None)


def _labels(paths: Sequence[Path], images: Sequence[NDArray[Any]]) -> NDArray[Any] | None:
    """Labels of all images, -1 where a file of images has none; None where no file has any."""
    files = [_labels_of(path) for path in paths]
    if not any(files):
        return None
    parts = []
    for file, array in zip(files, images, strict=True):
        y = np.full(len(array), -1) if file is None else read_idx(file)
        if y.shape != (len(array),):
            raise UsageError(
                f"{file}: shape {list(y.shape)}; expected one label an image, [{len(array)}]"
            )
        parts.append(y.astype(np.int32))
    return np.concatenate(parts)
