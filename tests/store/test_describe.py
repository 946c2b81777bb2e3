"""What `inspect` tells of a state folder."""

import json
from pathlib import Path

import pytest
from store.helpers import snapshot

from streamlearn.errors import UsageError
from streamlearn.store.checkpoint import ARRAYS, Checkpoints
from streamlearn.store.describe import describe


def test_it_tells_the_newest_whole_checkpoint(tmp_path: Path) -> None:
    """Rows, digest, configuration hash, positions and age, and every checkpoint with its state."""
    store = Checkpoints(tmp_path)
    for rows in (10, 20, 30):
        store.save(snapshot(rows))
    (tmp_path / "checkpoint-00000003" / ARRAYS).write_bytes(b"")
    with store.lock():
        told = json.loads(json.dumps(describe(tmp_path)))
        assert told["process"]
    assert told["rows_learned"] == 20
    assert told["digest"] == snapshot(20).digest
    assert told["config_hash"] == "c0ffee"
    assert told["meta"]["next_seq"][0] == 20
    assert 0 <= told["age_s"] < 60
    assert [one.get("rows_learned") for one in told["checkpoints"]] == [None, 20, 10]
    assert "0 bytes, and" in told["checkpoints"][0]["error"]
    assert describe(tmp_path)["process"] is None


def test_an_empty_folder_and_none(tmp_path: Path) -> None:
    """A folder without checkpoints holds no rows; one that is not there is a wrong call."""
    assert describe(tmp_path)["checkpoint"] is None
    assert describe(tmp_path)["checkpoints"] == []
    with pytest.raises(UsageError, match="no such folder"):
        describe(tmp_path / "none")
    assert not list(tmp_path.iterdir())
