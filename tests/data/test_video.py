"""Films as data: frames in order, grey, in the size asked for, and a clear word where it fails."""

import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from streamlearn.cli import main
from streamlearn.data import load
from streamlearn.data.video import resized
from streamlearn.errors import UsageError

FRAMES, HEIGHT, WIDTH = 6, 32, 48


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A film without loss: frame t is grey 20 t, with a white square that moves to the right."""
    av = pytest.importorskip("av")
    path = tmp_path / "film.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray"
        for picture in pictures():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        container.mux(stream.encode(None))
    return path


def pictures() -> np.ndarray:
    """The frames [T, h, w] of the film."""
    frames = np.repeat(20 * np.arange(FRAMES, dtype=np.uint8), HEIGHT * WIDTH)
    frames = frames.reshape(FRAMES, HEIGHT, WIDTH)
    for t, frame in enumerate(frames):
        frame[8:16, 8 * t : 8 * t + 8] = 255
    return frames


def test_a_film_comes_out_as_it_was_written(film: Path) -> None:
    """Every frame, in order, as grey bytes."""
    data = load(str(film))
    assert data.y is None
    assert data.X.dtype == np.uint8
    np.testing.assert_array_equal(data.X, pictures())


def test_a_film_is_brought_to_a_size(film: Path) -> None:
    """The same as resizing the whole; the white square is where it was."""
    small = load(str(film), size=(4, 6)).X
    np.testing.assert_array_equal(small, resized(pictures(), (4, 6)))
    assert [int(frame[1].argmax()) for frame in small] == list(range(FRAMES))
    assert small[2, 0, 0] == 40


def test_npz_of_frames_is_a_film(tmp_path: Path) -> None:
    """What is called `frames` in an .npz is its rows; other keys do not disturb."""
    np.savez(tmp_path / "film.npz", frames=pictures(), fps=10, source="a camera")
    data = load(str(tmp_path / "film.npz"))
    np.testing.assert_array_equal(data.X, pictures())
    assert load(str(tmp_path / "film.npz"), size=(8, 12)).shape == (8, 12)


@given(st.integers(1, 9), st.integers(1, 9), st.tuples(st.integers(1, 12), st.integers(1, 12)))
def test_resizing_keeps_light(height: int, width: int, size: tuple[int, int]) -> None:
    """The mean stays, whatever the sizes, and so does a frame of one grey."""
    rng = np.random.default_rng(height * 10 + width)
    frames = rng.random((2, height, width)).astype(np.float32)
    small = resized(frames, size)
    assert small.shape == (2, *size)
    np.testing.assert_allclose(small.mean(axis=(1, 2)), frames.mean(axis=(1, 2)), rtol=1e-4)
    even = np.full((1, height, width), 77, np.uint8)
    np.testing.assert_array_equal(resized(even, size), 77)


def test_rows_without_two_sides_have_no_size(tmp_path: Path) -> None:
    """Numbers in a row are no image."""
    np.savez(tmp_path / "rows.npz", X=np.ones((3, 5)))
    with pytest.raises(UsageError, match=r"expected frames \[n, height, width\], got \[3, 5\]"):
        load(str(tmp_path / "rows.npz"), size=(2, 2))


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the file, the extra, and the way without it."""
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "film.mp4"
    path.write_bytes(b"\0")
    with pytest.raises(UsageError, match=r"film\.mp4: .*pip install 'streamlearn\[video\]'.*npz"):
        load(str(path))


@pytest.mark.parametrize("content", [b"", b"no film at all", bytes(1000)])
def test_a_damaged_film_is_named(tmp_path: Path, content: bytes) -> None:
    """Rubbish under a video's name is an error with the file's name, not a crash."""
    pytest.importorskip("av")
    path = tmp_path / "film.mkv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"film\.mkv: not a readable video file"):
        load(str(path))


def test_sound_alone_is_no_film(tmp_path: Path) -> None:
    """A file that FFmpeg can read but that has no pictures says so."""
    av = pytest.importorskip("av")
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(UsageError, match="it has no pictures"):
        load(str(path))


@pytest.mark.parametrize("size", ["72", "0x4", "-3x4", "axb", "1.5x2"])
def test_send_refuses_a_size_that_is_none(size: str) -> None:
    """The option says what it expects."""
    done = CliRunner().invoke(main, ["send", "optdigits", "--to", "tcp://x:1", "--size", size])
    assert done.exit_code != 0
    assert "expected height x width in pixels" in done.output + str(done.exception)
