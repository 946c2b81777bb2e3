"""From what a person types to a data set: a known name, a folder, a file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from streamlearn import config
from streamlearn.data.cifar import load_cifar
from streamlearn.data.dataset import Dataset
from streamlearn.data.files import load_csv, load_npz
from streamlearn.data.idx import load_idx
from streamlearn.data.standard import SETS, Bar, folder_of
from streamlearn.data.video import SUFFIXES, load_video, resized
from streamlearn.errors import UsageError
from streamlearn.schema import nearest


def load(
    src: str,
    environment: config.Environment | None = None,
    new_bar: Callable[[str], Bar] | None = None,
    size: tuple[int, int] | None = None,
) -> Dataset:
    """Load a data set into memory.

    Parameters
    ----------
    src
        The name of a standard set (`optdigits`, `mnist`, `fashion-mnist`, `cifar10`), a folder of
        idx files, a `.npz`, `.csv` or video file. A folder that has a set's name is `./mnist`.
    environment
        Where standard sets are looked for; left out, as the process's environment says.
    new_bar
        Makes the progress bar of a file that is downloaded, given its name.
    size
        Height and width that images are brought to; None leaves them as they are.

    Raises
    ------
    UsageError
        When there is no such source, or it cannot be read; says what would do.

    """
    if src in SETS:
        found = _standard(src, environment or config.environment(), new_bar)
    else:
        found = _somewhere(src, size)
    return found if size is None else replace(found, X=resized(found.X, size))


def _somewhere(src: str, size: tuple[int, int] | None) -> Dataset:
    """What a folder or a file holds; videos come in their size, as whole they may not fit."""
    path = Path(src)
    if not path.exists():
        known = ", ".join(SETS)
        raise UsageError(
            f"{src}: no such file or folder, and not a known data set ({known}){nearest(src, SETS)}"
        )
    if path.is_dir():
        return _voices(path) if any(path.glob("*.npz")) else load_idx(path)
    if path.suffix.lower() in SUFFIXES:
        return load_video(path, size)
    return _file(path)


def _standard(
    name: str, environment: config.Environment, new_bar: Callable[[str], Bar] | None
) -> Dataset:
    download = SETS[name]
    if download is None:
        bundled = load_npz(Path(__file__).parent / f"{name}.npz", name)
        return bundled.shaped((8, 8))
    folder = folder_of(name, download, environment, new_bar)
    return (load_cifar if name == "cifar10" else load_idx)(folder, name)


def _voices(folder: Path) -> Dataset:
    """Read a folder of .npz files with `audio` or `X`, a class each, in the order of their names.

    Raises
    ------
    UsageError
        When a file cannot be read, or their samples have different shapes.

    """
    parts = [load_npz(path) for path in sorted(folder.glob("*.npz"))]
    shapes = {(part.shape, part.X.dtype) for part in parts}
    if len(shapes) > 1:
        found = ", ".join(f"{Path(part.name).name} {list(part.shape)}" for part in parts)
        raise UsageError(f"{folder}: files of different samples ({found}); put them apart")
    names: list[str] = []
    series, labels = [], []
    for k, part in enumerate(parts):
        own = np.zeros(part.rows, np.int32) if part.series is None else part.series
        series.append(np.add(own, len(names), dtype=np.int32))
        names += part.names or (str(k),)
        labels.append(np.full(part.rows, k, np.int32))
    whole = np.concatenate([part.X for part in parts])
    joined = Dataset(str(folder), whole, np.concatenate(labels), None, len(parts))
    return replace(joined, series=np.concatenate(series), names=tuple(names))


def _file(path: Path) -> Dataset:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return load_npz(path)
    if suffix == ".csv":
        return load_csv(path)
    raise UsageError(
        f"{path}: cannot tell what it is by its name; expected .npz, .csv, a video file such as "
        ".mp4, or a folder of idx files"
    )
