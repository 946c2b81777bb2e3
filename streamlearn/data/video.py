"""Video files as rows: grey frames in order, in the size that a stream takes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamlearn.data.dataset import Dataset, checked
from streamlearn.errors import UsageError

SUFFIXES: Final = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")

U8 = NDArray[np.uint8]


def load_video(path: Path, size: tuple[int, int] | None = None) -> Dataset:
    """Read the frames [N, h, w] of a video file as grey bytes.

    Parameters
    ----------
    path
        Anything that FFmpeg can read.
    size
        Height and width that frames are brought to, each number the mean of what it covers; None
        leaves them as they are.

    Raises
    ------
    UsageError
        When `av` is not installed, or the file is no video, or is damaged.

    """
    try:
        import av  # noqa: PLC0415  an extra; nobody else pays for it
    except ImportError:
        raise UsageError(
            f"{path}: to play a video file, pip install 'streamlearn[video]', or make an .npz of "
            "its frames [frames, height, width]"
        ) from None
    try:
        frames = list(_frames(av, path, size))
        film = np.stack(frames) if frames else np.empty((0, 1, 1), np.uint8)
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise UsageError(f"{path}: not a readable video file: {error}") from None
    if not frames:
        raise UsageError(f"{path}: a video without frames; expected some")
    return checked(str(path), film)


def _frames(av: Any, path: Path, size: tuple[int, int] | None) -> Iterator[U8]:
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError("it has no pictures")
        for frame in container.decode(video=0):
            grey = frame.to_ndarray(format="gray")
            yield grey if size is None else resized(grey[None], size)[0]


def resized(frames: NDArray[Any], size: tuple[int, int]) -> U8:
    """Bring frames [N, h, w] to another height and width.

    Each number is the mean of the area that it covers, whole numbers or not, so that nothing
    between the lines is lost and large pictures do not flicker.

    Raises
    ------
    UsageError
        When there are no frames of two sides.

    """
    if frames.ndim != 3:
        raise UsageError(f"size: expected frames [n, height, width], got {list(frames.shape)}")
    if frames.shape[1:] == size:
        return np.ascontiguousarray(frames)
    down, across = (_shares(of, to) for of, to in zip(frames.shape[1:], size, strict=True))
    small = np.empty((len(frames), *size), frames.dtype)
    for i, frame in enumerate(frames):  # one at a time: a film in float32 would not fit
        mean = down @ frame.astype(np.float32) @ across.T
        small[i] = np.rint(mean) if frames.dtype.kind in "ui" else mean
    return small


def _shares(of: int, to: int) -> NDArray[np.float32]:
    """Shares [to, of] that each of the old numbers has in each of the new ones."""
    edges = np.arange(to + 1) * (of / to)
    begin, end = edges[:-1, None], edges[1:, None]
    old = np.arange(of)
    covered = np.clip(np.minimum(end, old + 1) - np.maximum(begin, old), 0, None)
    shares: NDArray[np.float32] = (covered / (end - begin)).astype(np.float32)
    return shares
