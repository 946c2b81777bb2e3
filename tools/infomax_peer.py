"""Time a module of loeweX/Greedy_InfoMax beside ours, into docs/results/infomax-peer.json.

    python tools/infomax_peer.py --checkout DIR

Give the folder of a checkout of that repository; its own module of the audio model runs as it is,
with its own loss, sampling and step of Adam, on one thread of the processor, a batch of one
recording. Its encoder gets a kernel of one step, so that it sees our prepared rows; units, steps
ahead and number of negatives are ours. It draws negatives out of the recording in its hands, so it
is called in two ways: at every new step with as many steps as ours encodes, and tells all of them,
which is what learning a live stream takes; and once for 128 steps, which is how it was made. Only
imports for drawing and loading are left out. Ours learns step by step. Needs PyTorch.
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
import sys
import time
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from infomax_speed import REPEATS, STREAMS, alone, prepared, samples_of
from results import write

from streamlearn.bench.report import Report, Row, median_row, report
from streamlearn.config import environment
from streamlearn.part import F32
from streamlearn.rules.greedy_infomax import GreedyInfomaxOptions

NAMES: Final = ("watch", "voices")
"""Streams whose rows are one position: its module of the audio model sees a sequence of vectors."""
WHOLE: Final = 128
"""Steps of a call, as its own loss takes out of a recording."""
CALLS: Final = 60
STEPS: Final = 2000
_UNUSED: Final = (
    "matplotlib",
    "matplotlib.pyplot",
    "seaborn",
    "sklearn",
    "sklearn.manifold",
    "torchaudio",
)
_RATE: Final = 2e-4
_PATH: Final = Path("GreedyInfoMax") / "audio" / "models" / "independent_module.py"


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    """Empty modules, while its own are imported, for what it would draw and load with."""
    missing = [name for name in _UNUSED if importlib.util.find_spec(name.split(".")[0]) is None]
    for name in missing:
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name])["TSNE"] = None
    yield
    for name in missing:
        del sys.modules[name]


class Peer:
    """One module of the other repository, and its step of Adam.

    Parameters
    ----------
    checkout
        Its folder.
    width
        D: inputs.
    options
        Units, steps ahead and negatives.

    """

    def __init__(self, checkout: Path, width: int, options: GreedyInfomaxOptions) -> None:
        if str(checkout) not in sys.path:
            sys.path.insert(0, str(checkout))
        self.torch: Any = importlib.import_module("torch")
        self.torch.set_num_threads(1)
        with _stand_ins(), contextlib.redirect_stdout(io.StringIO()):
            self._module = self._made(width, options)
        self._optimizer = self.torch.optim.Adam(self._module.parameters(), lr=_RATE)

    def _made(self, width: int, options: GreedyInfomaxOptions) -> Any:
        name = ".".join(_PATH.with_suffix("").parts)
        told = types.SimpleNamespace(
            loss=0,
            negative_samples=options.negatives,
            prediction_step=options.steps,
            sampling_method=1,
            subsample=False,
            batch_size=1,
            remove_BPTT=False,
            device=self.torch.device("cpu"),
        )
        return importlib.import_module(name).IndependentModule(
            told,
            enc_kernel_sizes=[1],
            enc_strides=[1],
            enc_padding=[0],
            enc_hidden=options.units,
            reg_hidden=options.units,
            enc_input=width,
            use_autoregressive=False,
        )

    def learn(self, rows: F32, length: int, every: int) -> tuple[float, float]:
        """Learn from the last `length` of the rows [n, D] at every so many of them.

        Returns seconds of processor time a row, and the mean loss.
        """
        x = self.torch.from_numpy(np.ascontiguousarray(rows.T))[None]
        ends = range(length, len(rows) + 1, every)
        losses, began = [], time.process_time()
        for end in ends:
            loss, *_ = self._module(x[:, :, end - length : end])
            self._module.zero_grad()
            loss.sum().backward()
            self._optimizer.step()
            losses.append(float(loss.detach().sum()))
        spent = time.process_time() - began
        return spent / (len(ends) * every), float(np.mean(losses))


class Times(NamedTuple):
    """Microseconds of processor time a step, of each repeat."""

    ours: list[float]
    live: list[float]
    whole: list[float]


def timed(name: str, samples: Any, checkout: Path, steps: int, calls: int) -> tuple[Times, Row]:
    """Both in turn, so that a machine whose speed drifts is fair to both; and a row of ours."""
    rows, part = prepared(STREAMS[name], samples, steps)
    options = part.options
    peer = Peer(checkout, rows.shape[1], options)
    length = 1 + options.steps + options.negatives
    times = Times([], [], [])
    alone(part, rows, 0)
    peer.learn(rows[: length + 5], length, 1)
    for repeat in range(REPEATS):
        times.ours.append(1e6 * alone(part, rows, (repeat + 1) * len(rows)))
        times.live.append(1e6 * peer.learn(rows[: length + calls], length, 1)[0])
        times.whole.append(1e6 * peer.learn(rows[: WHOLE * (calls // 6)], WHOLE, WHOLE)[0])
    note = f"{rows.shape[1]} inputs, {options.units} units, {options.steps} steps ahead, "
    note += f"{options.negatives} negatives; peer: loeweX/Greedy_InfoMax, PyTorch "
    note += f"{peer.torch.__version__}, one thread, batch of one, called at every step with the "
    note += f"newest {length}"
    title = f"{name}: a module, one step at a time"
    live = float(np.median(times.live))
    return times, median_row(title, times.ours, "µs a step", peer=live, note=note)


def rows_of(name: str, times: Times, first: Row) -> list[Row]:
    """Our time beside theirs, and two ratios."""
    live = [b / a for a, b in zip(times.ours, times.live, strict=True)]
    whole = [b / a for a, b in zip(times.ours, times.whole, strict=True)]
    us = float(np.median(times.whole))
    return [
        first,
        median_row(f"{name}: against a call at every step", live, "times as fast"),
        median_row(
            f"{name}: against one call for {WHOLE} steps",
            whole,
            "times as fast",
            note=f"peer: {us:.0f} µs a step; it learns once in {WHOLE} steps",
        ),
    ]


def measured(checkout: Path, names: Sequence[str], folder: Path) -> Report:
    """All rows."""
    rows: list[Row] = []
    for name in names:
        rows += rows_of(name, *timed(name, samples_of(name, folder), checkout, STEPS, CALLS))
        print(*rows[-3:], sep="\n", file=sys.stderr, flush=True)
    return report("infomax-peer", "python tools/infomax_peer.py --checkout DIR", rows)


def main() -> None:
    """Measure against a checkout."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkout", type=Path, required=True, help="folder of the repository")
    checkout = parser.parse_args().checkout.resolve()
    if not importlib.util.find_spec("torch"):
        sys.exit("infomax_peer: needs PyTorch; pip install torch")
    if not (checkout / _PATH).exists():
        sys.exit(f"infomax_peer: {checkout} has no {_PATH}; name a checkout of that repository")
    folder = environment().data
    assert folder is not None, "set $STREAMLEARN_DATA"
    print(write(measured(checkout, NAMES, folder)))


if __name__ == "__main__":
    main()
