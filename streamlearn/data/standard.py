"""The standard sets by name: where they are looked for, and where they are downloaded from."""

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple, Protocol

from streamlearn.config import Environment
from streamlearn.data.archive import unpack
from streamlearn.data.cifar import TEST, TRAIN
from streamlearn.errors import UsageError


class Download(NamedTuple):
    """Files of a set and the addresses of folders that hold them, tried in order."""

    mirrors: tuple[str, ...]
    sha256: dict[str, str]
    """Each file that is fetched, and its hash."""
    members: tuple[str, ...] = ()
    """The set's files, where what is fetched is a tar of them, with their folder in it."""

    @property
    def files(self) -> list[str]:
        """Names of the files of which the set consists."""
        return [PurePosixPath(member).name for member in self.members] or list(self.sha256)

    @property
    def folders(self) -> list[str]:
        """Folders within the set's own that may hold them: itself, or the tar's."""
        return [".", *{str(PurePosixPath(member).parent) for member in self.members}]


class Bar(Protocol):
    """What a download's progress is shown with; tqdm has the same methods."""

    total: int

    def update(self, n: int) -> None:
        """More bytes are here."""

    def reset(self) -> None:
        """Start again from nothing."""

    def close(self) -> None:
        """The file is here, or will not come."""


SETS: Final[dict[str, Download | None]] = {
    "optdigits": None,  # in the package
    "mnist": Download(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        {
            "train-images-idx3-ubyte.gz": (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
            ),
            "train-labels-idx1-ubyte.gz": (
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
            ),
        },
    ),
    "fashion-mnist": Download(
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        {
            "train-images-idx3-ubyte.gz": (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
            ),
            "train-labels-idx1-ubyte.gz": (
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
            ),
        },
    ),
    "cifar10": Download(
        ("https://www.cs.toronto.edu/~kriz/",),
        {
            "cifar-10-binary.tar.gz": (
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
            ),
        },
        tuple(f"cifar-10-batches-bin/{file}" for file in (*TRAIN, *TEST)),
    ),
}


def folder_of(
    name: str,
    download: Download,
    environment: Environment,
    new_bar: Callable[[str], Bar] | None = None,
) -> Path:
    """Find the folder of a standard set, or download it into the cache.

    Files under `$STREAMLEARN_DATA` are taken as they are; a download must have the published hash.

    Raises
    ------
    UsageError
        When the set is nowhere and cannot be downloaded; says where it was looked for.

    """
    cached = environment.cache / "data" / name
    places = [cached] if environment.data is None else [environment.data / name, cached]
    for place in places:
        folder = _fullest(place, download)
        if not _missing(folder, download):
            return folder
    looked = f"{_where(environment, name, download)} nor in {cached}"
    _download(f"{name}: not in {looked}", download, cached, new_bar)
    return cached


def _where(environment: Environment, name: str, download: Download) -> str:
    if environment.data is None:
        return "$STREAMLEARN_DATA (not set)"
    folder = _fullest(environment.data / name, download)
    missing = _missing(folder, download)
    some = len(missing) < len(download.files)
    return f"$STREAMLEARN_DATA ({folder}{' without ' + ', '.join(missing) if some else ''})"


def _fullest(place: Path, download: Download) -> Path:
    """The folder that holds most of the set's files."""
    folders = [place / inner for inner in download.folders]
    return min(folders, key=lambda folder: len(_missing(folder, download)))


def _missing(folder: Path, download: Download) -> list[str]:
    """Files of the set that are not there, neither as they are named nor unzipped."""
    return [
        file
        for file in download.files
        if not any((folder / name).exists() for name in (file, file.removesuffix(".gz")))
    ]


def _download(
    why: str, download: Download, folder: Path, new_bar: Callable[[str], Bar] | None
) -> None:
    try:
        import pooch  # noqa: PLC0415  an extra; nobody else pays for it
    except ImportError:
        raise UsageError(
            f"{why}; to download it, pip install 'streamlearn[data]', or put "
            f"{', '.join(download.files)} there"
        ) from None
    pooch.get_logger().setLevel("WARNING")
    for file, sha256 in download.sha256.items():
        bar = new_bar(file) if new_bar else None
        try:
            _retrieve(pooch, file, sha256, folder, download.mirrors, bar, why)
        finally:
            if bar:
                bar.close()
        if download.members:
            unpack(folder / file, download.members, folder)
            (folder / file).unlink(missing_ok=True)


def _retrieve(
    pooch: Any,
    file: str,
    sha256: str,
    folder: Path,
    mirrors: Sequence[str],
    bar: Bar | None,
    why: str,
) -> None:
    """Fetch one file from the first mirror that has it unharmed."""
    tried = []
    for mirror in mirrors:
        downloader = pooch.HTTPDownloader(progressbar=bar or False, timeout=30)
        try:
            pooch.retrieve(mirror + file, f"sha256:{sha256}", file, folder, downloader=downloader)
        except (OSError, ValueError) as error:
            tried.append(f"{mirror}: {_short(error)}")
        else:
            return
    reasons = "; ".join(tried)
    raise UsageError(
        f"{why}; {file} cannot be downloaded ({reasons}): put the files into one of these folders"
    )


def _short(error: Exception) -> str:
    """The innermost reason of a network error, else the first sentence."""
    while error.__context__ is not None:
        error = error.__context__  # type: ignore[assignment]
    return str(error).split(". ", maxsplit=1)[0] or type(error).__name__
