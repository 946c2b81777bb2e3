"""Data sets from files: what is read comes out as it was written, and what is wrong is named."""

import gzip
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamlearn.data import load
from streamlearn.data.dataset import WIRE_DTYPES, checked
from streamlearn.data.idx import read_idx
from streamlearn.errors import UsageError

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file and give its path."""

    def one(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return one


def idx(array: np.ndarray) -> bytes:
    """An array of bytes as an idx file."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def npz(folder: Path, **arrays: Any) -> str:
    """Arrays as an npz file."""
    path = folder / "set.npz"
    np.savez(path, **arrays)
    return str(path)


IMAGES = np.arange(5 * 3 * 2, dtype=np.uint8).reshape(5, 3, 2)
LABELS = np.array([1, 0, 2, 2, 1], np.uint8)


def test_idx_folder_joins_training_and_held_out_rows(write: Write) -> None:
    """Training rows come first, `t10k` rows last and held out, gzipped or not."""
    write("d/t10k-images-idx3-ubyte.gz", gzip.compress(idx(IMAGES[:2] + 100), mtime=0))
    write("d/t10k-labels-idx1-ubyte.gz", gzip.compress(idx(LABELS[:2]), mtime=0))
    write("d/train-labels-idx1-ubyte", idx(LABELS))
    folder = Path(write("d/train-images-idx3-ubyte", idx(IMAGES))).parent
    data = load(str(folder))
    assert (data.rows, data.shape, data.classes, data.X.dtype) == (7, (3, 2), 3, np.uint8)
    np.testing.assert_array_equal(data.train.X, IMAGES)
    assert data.train.y is not None
    assert data.train.y.tolist() == LABELS.tolist()
    assert data.test is not None
    np.testing.assert_array_equal(data.test.X, IMAGES[:2] + 100)


def test_idx_images_without_labels_have_none(write: Write) -> None:
    """A folder of images alone is a data set without labels."""
    folder = Path(write("d/train-images-idx3-ubyte", idx(IMAGES))).parent
    data = load(str(folder))
    assert (data.y, data.classes, data.test) == (None, 0, None)


@given(
    cut=st.integers(0, len(idx(IMAGES)) - 1),
)
def test_idx_cut_anywhere_is_an_error_that_names_the_file(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    """A file that ends too early is never read as less data."""
    path = tmp_path_factory.getbasetemp() / "cut-images-idx3-ubyte"
    path.write_bytes(idx(IMAGES)[:cut])
    with pytest.raises(UsageError, match="cut-images-idx3-ubyte"):
        read_idx(path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("train-images-idx3-ubyte.gz", b"no gzip", "cannot be read"),
        ("train-images-idx3-ubyte.gz", gzip.compress(idx(IMAGES), mtime=0)[:-9], "cannot be read"),
        ("train-images-idx3-ubyte", b"<html>404</html>", "not an idx file: it starts with 3c 68"),
        ("train-images-idx3-ubyte", idx(IMAGES) + b"x", "47 bytes, but its head says 46"),
        ("readme.txt", b"", "no idx files; expected some like train-images-idx3-ubyte.gz"),
    ],
)
def test_idx_damage_is_named(write: Write, name: str, content: bytes, says: str) -> None:
    """What is wrong with a file, or a folder, stands in one line."""
    folder = Path(write(f"d/{name}", content)).parent
    with pytest.raises(UsageError) as caught:
        load(str(folder))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_idx_labels_must_fit_their_images(write: Write) -> None:
    """A label too few is an error, not a shift of all that follow."""
    write("d/train-labels-idx1-ubyte", idx(LABELS[:4]))
    folder = Path(write("d/train-images-idx3-ubyte", idx(IMAGES))).parent
    with pytest.raises(UsageError, match=r"shape \[4\]; expected one label an image, \[5\]"):
        load(str(folder))


@pytest.mark.parametrize("dtype", WIRE_DTYPES)
def test_npz_keeps_the_types_of_the_wire(tmp_path: Path, dtype: str) -> None:
    """Rows go out as they are stored where the wire has their type."""
    X = np.arange(12).reshape(4, 3).astype(dtype)
    data = load(npz(tmp_path, X=X, y=[0, 1, -1, 3], is_test=[0, 0, 0, 1]))
    assert data.X.dtype.str == dtype
    np.testing.assert_array_equal(data.X, X)
    assert (data.classes, data.train.rows, data.test and data.test.rows) == (4, 3, 1)


@pytest.mark.parametrize("dtype", [">f4", ">i2", "<i8", "<u4", "|b1"])
def test_npz_of_other_types_becomes_one_of_the_wire(tmp_path: Path, dtype: str) -> None:
    """Big-endian, 64-bit and boolean rows keep their values in a type that can be sent."""
    X = np.array([[0, 1], [1, 0]]).astype(dtype)
    data = load(npz(tmp_path, X=X))
    assert data.X.dtype.str in WIRE_DTYPES
    np.testing.assert_array_equal(data.X, X)


def test_npz_never_unpickles(tmp_path: Path) -> None:
    """An object array is refused before anything in it can run."""
    bait = tmp_path / "bait"

    class Bait:
        def __reduce__(self) -> tuple[Any, ...]:
            return (bait.touch, ())

    X = np.empty(1, object)
    X[0] = Bait()
    np.savez(tmp_path / "set.npz", X=X, allow_pickle=True)
    with pytest.raises(UsageError, match=r"set\.npz: not a readable \.npz file"):
        load(str(tmp_path / "set.npz"))
    assert not bait.exists()


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"pictures": np.zeros((2, 2))}, "holds pictures; expected X"),
        ({"X": np.zeros(3)}, "X has shape [3]; expected [rows, …]"),
        ({"X": np.zeros((0, 3))}, "X has shape [0, 3]; expected [rows, …] with some rows"),
        ({"X": np.array([["a"]])}, "X holds <U1; expected numbers"),
        ({"X": np.array([[1.0], [np.nan]])}, "row 1 of X is not finite in float32"),
        ({"X": np.array([[1.0], [1e39]])}, "row 1 of X is not finite in float32"),
        ({"X": np.ones((2, 1)), "y": [0]}, "y has shape [1]; expected one label a row, [2]"),
        ({"X": np.ones((2, 1)), "y": [0, -2]}, "y[1] is -2; expected -1…9999"),
        ({"X": np.ones((2, 1)), "y": [0, 10**6]}, "y[1] is 1000000; expected -1…9999"),
        ({"X": np.ones((2, 1)), "y": [0.5, 1.0]}, "expected whole numbers from 0"),
        ({"X": np.ones((2, 1)), "y": ["a", "b"]}, "expected whole numbers from 0"),
        ({"X": np.ones((2, 1)), "y": [np.nan, 1.0]}, "expected whole numbers from 0"),
        ({"X": np.ones((2, 1)), "is_test": [1]}, "is_test has shape [1]"),
        ({"X": np.ones((2, 1)), "is_test": [0, 2]}, "is_test holds more than 0 and 1"),
    ],
)
def test_npz_that_makes_no_sense_is_named(
    tmp_path: Path, arrays: dict[str, Any], says: str
) -> None:
    """Each error names the file, the array, the value and what is expected."""
    with pytest.raises(UsageError) as caught:
        load(npz(tmp_path, **arrays))
    assert str(caught.value).startswith(f"{tmp_path / 'set.npz'}: ")
    assert says in str(caught.value)


def test_npz_damaged_is_named(tmp_path: Path, write: Write) -> None:
    """Any cut or flipped byte range is an error, never other data."""
    whole = Path(npz(tmp_path, X=np.random.default_rng(1).normal(size=(40, 3)))).read_bytes()
    broken = bytearray(whole)
    broken[400] ^= 255
    for content in (b"", b"PK", whole[:300], bytes(broken)):
        with pytest.raises(UsageError, match="not a readable"):
            load(write("broken.npz", content))
    plain = tmp_path / "plain.npz"
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("X.npy", "not an array")
    with pytest.raises(UsageError, match="expected numbers"):
        load(str(plain))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_reads_named_columns(write: Write, delimiter: str) -> None:
    """Inputs, label and hold-out come from the columns' names, whatever the order and delimiter."""
    lines = ['"a",Label,b,is_test', "1,0,2.5,0", "3,2,-4e2,0", "5,-1,6,1"]
    data = load(write("t.csv", "\r\n".join(lines).replace(",", delimiter)))
    np.testing.assert_array_equal(data.X, np.array([[1, 2.5], [3, -400], [5, 6]], np.float32))
    assert data.y is not None
    assert data.y.tolist() == [0, 2, -1]
    assert (data.classes, data.train.rows, data.X.dtype.str) == (3, 2, "<f4")


def test_csv_without_names_is_all_inputs(write: Write) -> None:
    """Numbers alone say nothing of labels."""
    data = load(write("t.csv", "1,2\n3,4\n"))
    np.testing.assert_array_equal(data.X, [[1, 2], [3, 4]])
    assert data.y is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n3,x\n", "could not convert string 'x'"),
        ("a,b\n1,2\n3,\n", "could not convert string ''"),
        ("a,b\n1,2\n3\n", "columns changed"),
        ("a,b,c\n1,2\n", "3 column names over 2 columns"),
        ("y,label,a\n1,1,2\n", "more than one column of labels: y, label"),
        ("y\n1\n", "X has shape [1, 0]"),
        ("a,b\n1,nan\n", "row 0 of X is not finite"),
        ("a,y\n1,0.5\n", "expected whole numbers"),
        (b"\xff\xfe1,2", "expected numbers, one row a line"),
    ],
)
def test_csv_errors_name_the_place(write: Write, text: str | bytes, says: str) -> None:
    """A field that is no number is found by its row, in one line."""
    with pytest.raises(UsageError) as caught:
        load(write("t.csv", text))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "a,b\n"])
def test_csv_without_rows_is_an_error(write: Write, text: str) -> None:
    """A table without rows is no data."""
    with pytest.raises(UsageError, match="no rows"):
        load(write("t.csv", text))


@given(
    mask=hnp.arrays(np.bool_, st.integers(1, 30)),
    y=st.data(),
)
def test_train_and_test_part_the_rows_in_order(mask: np.ndarray, y: st.DataObject) -> None:
    """Every row is in exactly one of train and test, with its label, in its order."""
    labels = y.draw(hnp.arrays(np.int64, len(mask), elements=st.integers(-1, 5)))
    data = checked("set", np.arange(len(mask), dtype=np.float32)[:, None], labels, mask)
    parts = [data.train] + ([data.test] if data.test else [])
    assert data.train.X[:, 0].tolist() == np.flatnonzero(~mask).tolist()
    assert sum(part.rows for part in parts) == len(mask)
    for part in parts:
        assert part.y is not None
        assert part.y.tolist() == labels[part.X[:, 0].astype(int)].tolist()
        assert part.classes == data.classes


def test_parts_that_lie_together_are_views() -> None:
    """Holding out the last rows copies nothing, as with MNIST."""
    data = checked("set", np.zeros((10, 4)), None, np.arange(10) >= 7)
    assert data.train.X.base is not None
    assert np.shares_memory(data.train.X, data.X)
    assert np.shares_memory(data.first(3).X, data.X)


def test_shaped_gives_rows_the_configured_shape() -> None:
    """Flat rows fit an image of as many numbers, and nothing else."""
    data = checked("set", np.zeros((3, 12)))
    assert data.shaped((3, 4)).X.shape == (3, 3, 4)
    with pytest.raises(UsageError, match=r"set: rows of shape \[12\] do not fit stream.shape \[5"):
        data.shaped((5,))
