"""Equal digests mean equal learners."""

import numpy as np
import pytest

from streamlearn.store.digest import digest

W = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_layout_in_memory_does_not_matter() -> None:
    """Order of names, strides and byte order change nothing."""
    expected = digest({"a": W, "b": W[0]}, 5)
    assert digest({"b": W[0].copy(), "a": np.asfortranarray(W)}, 5) == expected
    assert digest({"a": W.astype(">f4"), "b": W[0]}, 5) == expected


@pytest.mark.parametrize(
    "other",
    [
        {"a": W, "c": W[0]},
        {"a": W},
        {"a": W.reshape(4, 3), "b": W[0]},
        {"a": W.view(np.int32), "b": W[0]},
        {"a": np.where(W == 11, 12, W).astype(np.float32), "b": W[0]},
        {"a": W, "b": W[0], "empty": W[:0]},
    ],
    ids=["name", "missing", "shape", "type", "value", "empty"],
)
def test_everything_else_matters(other: dict[str, np.ndarray]) -> None:
    """Name, number, shape, type or one value: each makes another digest."""
    assert digest(other, 5) != digest({"a": W, "b": W[0]}, 5)


def test_the_count_of_rows_matters() -> None:
    """The same weights after more rows are another learner."""
    assert digest({"a": W}, 5) != digest({"a": W}, 6)


def test_it_never_changes() -> None:
    """Digests in old checkpoints and results stay comparable: this one is fixed for ever."""
    arrays = {"w": W, "none": np.zeros((0, 2), np.uint8), "n": np.array(7, np.uint64)}
    assert digest(arrays, 5) == "ead78e0a1525dc0283d992ca98fa42a23589130125e8fd12476d606f29c18f2b"
