"""Which checkpoint is taken, and how differences are told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlearn.errors import ChangedError, DamagedError, StateError
from streamlearn.store import recovery

VALUES = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2)
TREES = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", max_size=2), inner),
    max_leaves=8,
)
CONFIGS = st.dictionaries(st.sampled_from(["seed", "layer", "head"]), TREES)


@given(CONFIGS)
def test_nothing_differs_from_itself(config: dict[str, Any]) -> None:
    """A configuration has no differences to itself."""
    assert recovery.differences(config, config) == []
    recovery.refuse_changed("here", config, config)


@given(CONFIGS, CONFIGS)
def test_any_difference_is_told(saved: dict[str, Any], now: dict[str, Any]) -> None:
    """Two configurations without a line between them are equal, 0 and False apart."""
    if not recovery.differences(saved, now):
        assert repr(sorted(saved.items())) == repr(sorted(now.items())) or saved == now
    else:
        with pytest.raises(ChangedError):
            recovery.refuse_changed("here", saved, now)


def test_each_line_names_the_path_and_both_values() -> None:
    """Changed, added and removed keys and tables are told by their path."""
    saved = {"stream": {"shape": [8, 8]}, "layer": [{"units": 8}], "head": [{"kind": "softmax"}]}
    now = {"stream": {"shape": [4, 4]}, "layer": [{"units": 8}, {"units": 4}], "head": [{}], "n": 0}
    assert recovery.differences(saved, now) == [
        "stream.shape: saved [8, 8], now [4, 4]",
        "layer[1]: saved not set, now {'units': 4}",
        "head[0].kind: saved 'softmax', now not set",
        "n: saved not set, now 0",
    ]


@given(st.lists(st.booleans(), max_size=8))
def test_the_newest_whole_one_is_taken(whole: list[bool]) -> None:
    """Whatever is damaged, the first whole one is taken, and each one passed over is noted."""
    tried: list[str] = []

    def read(name: str) -> int:
        tried.append(name)
        if not whole[int(name)]:
            raise DamagedError(f"{name} is damaged")
        return int(name)

    names = [str(i) for i in range(len(whole))]
    if not whole:
        assert recovery.newest_whole(names, read) is None
    elif not any(whole):
        with pytest.raises(StateError, match=f"none of the {len(whole)}"):
            recovery.newest_whole(names, read)
    else:
        first = whole.index(True)
        found = recovery.newest_whole(names, read)
        assert found == (str(first), first, tuple(f"{i} is damaged" for i in range(first)))
        assert tried == names[: first + 1]
