"""Time an example of loeweX/Forward-Forward (PyTorch) beside ours, into docs/results/ff-peer.json.

Give the folder of a checkout of that repository; its own configuration, model and training loop run
as they are, on one thread of the processor, with two layers of 2000. Only its data loader is left
out, in its favour: batches are made by its own code beforehand. Ours is the same supervised net
(label in the input, hard wrong labels), with its read-out and running figures, on one thread.
Needs PyTorch, hydra-core and omegaconf.
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
import statistics
import sys
import time
import types
from pathlib import Path
from typing import Any, Final

from results import write

from streamlearn import data
from streamlearn.bench.report import Report, Row, report
from streamlearn.config import Config, parse
from streamlearn.data import Dataset
from streamlearn.evaluate import evaluate
from streamlearn.plan import CATALOGUE

UNITS: Final = 2000
LAYERS: Final = 2
BATCHES: Final = {1: 60, 100: 6}
"""Rows of a batch → batches of a measurement; 100 is the repository's own choice."""
OUR_ROWS: Final = 1000
REPEATS: Final = 5


class Peer:
    """The other repository's training loop on batches that are ready.

    Parameters
    ----------
    checkout
        Its folder.
    units
        Units of a layer.

    """

    def __init__(self, checkout: Path, units: int) -> None:
        if importlib.util.find_spec("torchvision") is None:  # only its loader would use it
            sys.modules["torchvision"] = types.ModuleType("torchvision")
        sys.path.insert(0, str(checkout))
        self.torch: Any = importlib.import_module("torch")
        self.torch.set_num_threads(1)
        self._main: Any = importlib.import_module("main")
        self._omega: Any = importlib.import_module("omegaconf").OmegaConf
        self._checkout, self._units = checkout, units

    def version(self) -> str:
        """Name and version of what it runs on."""
        return f"PyTorch {self.torch.__version__}"

    def seconds(self, dataset: Dataset, batch: int, batches: int) -> float:
        """Train on some batches; seconds an example, after one batch to warm up."""
        options = self._options(batch)
        utils = self._main.utils
        loaded = self._batches(options, dataset, batch, batches)
        with contextlib.redirect_stdout(io.StringIO()):
            model, optimizer = utils.get_model_and_optimizer(utils.parse_args(options))
            utils.get_data = lambda *_: loaded[:1]
            self._main.train(options, model, optimizer)
            utils.get_data = lambda *_: loaded
            began = time.perf_counter()
            self._main.train(options, model, optimizer)
        return (time.perf_counter() - began) / (batch * batches)

    def _options(self, batch: int) -> Any:
        own = self._omega.load(self._checkout / "config.yaml")
        ours = {
            "device": "cpu",
            "input": {"batch_size": batch},
            "model": {"hidden_dim": self._units, "num_layers": LAYERS},
            "training": {"epochs": 1},
        }
        return self._omega.merge(own, ours)

    def _batches(self, options: Any, dataset: Dataset, batch: int, batches: int) -> list[Any]:
        """Batches as its data set makes them out of our rows, wrong labels included."""
        assert dataset.y is not None
        pixels = self.torch.from_numpy(dataset.X.reshape(-1, 1, 28, 28)).float() / 255
        rows = list(zip(pixels, dataset.y.tolist(), strict=True))[: batch * batches]
        self._main.utils.get_MNIST_partition = lambda *_: rows
        made = importlib.import_module("src.ff_mnist").FF_MNIST(options, "train")
        collate = self.torch.utils.data.default_collate
        return [collate([made[i + j] for j in range(batch)]) for i in range(0, len(rows), batch)]


def ours(units: int) -> Config:
    """The same net: labels in the input, hard wrong ones, peer normalisation, a softmax head."""
    layer = {"rule": "forward_forward", "units": units, "labels": "overlay", "peer": 0.03}
    raw = {
        "stream": {"shape": [28, 28], "dtype": "|u1", "classes": 10},
        "layer": [dict(layer) for _ in range(LAYERS)],
        "head": [{"kind": "softmax", "reads": [f"layer{i + 1}" for i in range(1, LAYERS)]}],
        "pipeline": {"threads": 1},
    }
    return parse(raw, CATALOGUE)


def measured(checkout: Path, units: int = UNITS, repeats: int = REPEATS) -> Report:
    """Ours and theirs in turn, so that a machine whose speed drifts is fair to both."""
    dataset = data.load("mnist").train
    peer, config = Peer(checkout, units), ours(units)
    our_us: list[float] = []
    their_us: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    for repeat in range(repeats):
        print(f"repeat {repeat + 1} of {repeats}", file=sys.stderr, flush=True)
        our_us.append(1e6 / evaluate(config, dataset, limit=OUR_ROWS)["samples_per_s"])
        for batch, batches in BATCHES.items():
            their_us[batch].append(1e6 * peer.seconds(dataset, batch, batches))
    shape = "-".join(map(str, (784, *[units] * LAYERS)))
    rows = [_row(shape, batch, our_us, us, peer.version()) for batch, us in their_us.items()]
    return report("ff-peer", "python tools/ff_peer.py --checkout DIR", rows)


def _row(shape: str, batch: int, our_us: list[float], their_us: list[float], version: str) -> Row:
    theirs = statistics.median(their_us)
    mine = statistics.median(our_us)
    times = f"{theirs / mine:.1f} times"
    return Row(
        name=f"{shape}, labels in the input, against batches of {batch}",
        ours=round(mine, 1),
        unit="µs an example",
        peer=round(theirs, 1),
        seeds=len(our_us),
        spread=round(max(our_us) - min(our_us), 1),
        note=f"peer: loeweX/Forward-Forward, {version}, one thread, takes {times} as long; "
        f"spread of it {max(their_us) - min(their_us):.0f}; ours row by row",
    )


def main() -> None:
    """Measure against a checkout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, required=True, help="folder of the repository")
    arguments = parser.parse_args()
    checkout = arguments.checkout.resolve()
    missing = [m for m in ("torch", "hydra", "omegaconf") if not importlib.util.find_spec(m)]
    if missing:
        sys.exit(f"ff_peer: needs {', '.join(missing)}; pip install torch hydra-core")
    if not (checkout / "src" / "ff_model.py").exists():
        sys.exit(f"ff_peer: {checkout} has no src/ff_model.py; name a checkout of that repository")
    result = measured(checkout)
    for row in result.rows:
        print(f"{row.name}: {row.ours} against {row.peer} {row.unit} ({row.note})")
    print(write(result))


if __name__ == "__main__":
    main()
