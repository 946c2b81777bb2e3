"""The tool that times the other repository's module calls it as it says."""

import sys
from pathlib import Path

import infomax_peer
import numpy as np
import pytest

from streamlearn.bench.report import Row
from streamlearn.rules.greedy_infomax import GreedyInfomaxOptions

STAND_IN = """
import matplotlib.pyplot as plt
from sklearn.manifold import TSNE
import torch

class IndependentModule(torch.nn.Module):
    seen = []

    def __init__(self, opt, enc_hidden, enc_input, **rest):
        super().__init__()
        self.told, self.rest = opt, rest
        self.encoder = torch.nn.Conv1d(enc_input, enc_hidden, 1)

    def forward(self, x):
        self.seen.append(x.detach().numpy().copy())
        z = self.encoder(x)
        return z.square().mean().unsqueeze(0), torch.zeros(1), z, z
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch) -> Path:
    """A folder that has a module where the repository has its own."""
    file = tmp_path / infomax_peer._PATH
    file.parent.mkdir(parents=True)
    for folder in file.relative_to(tmp_path).parents[:-1]:
        (tmp_path / folder / "__init__.py").write_text("")
    file.write_text(STAND_IN)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [name for name in sys.modules if name.startswith("GreedyInfoMax")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def test_their_module_gets_our_rows_and_learns(checkout: Path) -> None:
    """One recording at a time, the newest rows at every row or one stretch after the other."""
    torch = pytest.importorskip("torch")
    options = GreedyInfomaxOptions(rule="greedy_infomax", units=5, steps=3, negatives=4)
    peer = infomax_peer.Peer(checkout, 2, options)
    module = sys.modules["GreedyInfoMax.audio.models.independent_module"]
    seen = module.IndependentModule.seen
    rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    spent, first = peer.learn(rows, 8, 1)
    assert spent > 0
    assert [x.shape for x in seen] == [(1, 2, 8)] * 13
    assert np.array_equal(seen[-1][0].T, rows[-8:])
    del seen[:]
    assert peer.learn(rows, 8, 8)[1] < first
    assert [x[0, 0, 0] for x in seen] == [0.0, 16.0]
    told = peer._module.told
    assert (told.prediction_step, told.negative_samples, told.batch_size) == (3, 4, 1)
    assert torch.get_num_threads() == 1


def test_rows_of_the_table() -> None:
    """Ratios are of what was measured in the same turn."""
    times = infomax_peer.Times([10.0, 20.0, 10.0], [300.0, 400.0, 200.0], [5.0, 5.0, 5.0])
    first = Row(name="x", ours=1.0, unit="µs")
    rows = infomax_peer.rows_of("watch", times, first)
    assert rows[0] is first
    assert [row.ours for row in rows[1:]] == [20.0, 0.5]
    assert rows[2].note.startswith("peer: 5 µs a step")


def test_what_is_missing_is_named(monkeypatch, tmp_path: Path) -> None:
    """Without PyTorch, or with a folder that is something else, it says what to give it."""
    monkeypatch.setattr(sys, "argv", ["infomax_peer", "--checkout", str(tmp_path)])
    monkeypatch.setattr(infomax_peer.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match="pip install torch"):
        infomax_peer.main()
    monkeypatch.setattr(infomax_peer.importlib.util, "find_spec", lambda _: object())
    with pytest.raises(SystemExit, match=r"has no GreedyInfoMax.*independent_module\.py"):
        infomax_peer.main()
