"""The Diehl & Cook network of a checkout of BindsNET/bindsnet, one digit at a time.

Its own model, encoder, learning rule and labelling run as they are, with the constants of its
example `eth_mnist.py` (100 neurons, 250 ms, batch 1) on one thread. Only its data sets and plots
are left out, as they need torchvision. Needs PyTorch, SciPy and scikit-learn.
"""

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NEURONS: Final = 100
WINDOW_MS: Final = 250
RELABEL_ROWS: Final = 250
"""Rows after which it tells anew which neuron stands for which class."""
_INTENSITY: Final = 128.0
_CONSTANTS: Final = {"exc": 22.5, "inh": 120, "dt": 1.0, "norm": 78.4, "theta_plus": 0.05}


def missing(checkout: Path) -> str:
    """What keeps it from running here, or nothing."""
    needed = ("torch", "scipy", "sklearn")
    absent = [name for name in needed if not importlib.util.find_spec(name)]
    if absent:
        return f"needs {', '.join(absent)}; pip install torch scipy scikit-learn"
    if not (checkout / "bindsnet" / "models" / "models.py").exists():
        return f"{checkout} has no bindsnet/models/models.py; name a checkout of that repository"
    return ""


class DiehlCook:
    """One network that learns each digit once, and its guesses before it does.

    Parameters
    ----------
    checkout
        The repository's folder.
    classes
        K.
    seed
        Of its weights and its input's spikes.
    neurons
        Excitatory neurons; as many inhibitory ones stand beside them.

    """

    def __init__(self, checkout: Path, classes: int, seed: int, neurons: int = NEURONS) -> None:
        _without_its_init(checkout)
        self.torch: Any = importlib.import_module("torch")
        self.torch.set_num_threads(1)
        self.torch.manual_seed(seed)
        monitors = importlib.import_module("bindsnet.network.monitors")
        models = importlib.import_module("bindsnet.models.models")
        self._poisson: Any = importlib.import_module("bindsnet.encoding.encodings").poisson
        self._evaluation: Any = importlib.import_module("bindsnet.evaluation.evaluation")
        self._net: Any = models.DiehlAndCook2015(
            n_inpt=784, n_neurons=neurons, inpt_shape=(1, 28, 28), **_CONSTANTS
        )
        self._spikes: Any = monitors.Monitor(self._net.layers["Ae"], ["s"], time=WINDOW_MS)
        self._net.add_monitor(self._spikes, name="spikes")
        self._record = self.torch.zeros((RELABEL_ROWS, WINDOW_MS, neurons))
        self._labels = self.torch.zeros(RELABEL_ROWS, dtype=self.torch.long)
        self._assigned = -self.torch.ones(neurons)
        self._share = self.torch.zeros((neurons, classes))
        self._rates = self.torch.zeros((neurons, classes))
        self._classes, self._rows = classes, 0

    def version(self) -> str:
        """Name and version of what it runs on."""
        return f"PyTorch {self.torch.__version__}"

    def told(self, image: NDArray[np.uint8], y: int) -> tuple[int, int]:
        """Show one digit [28, 28], learning on.

        Returns
        -------
        tuple
            The class by activity and the class by weighted shares, from labels of blocks before.

        """
        at = self._rows % RELABEL_ROWS
        if at == 0 and self._rows:
            self._relabel()
        datum = self.torch.from_numpy(image.astype(np.float32) / 255 * _INTENSITY)
        spikes = self._poisson(datum.reshape(1, 28, 28), time=WINDOW_MS, dt=1.0)
        self._net.run(inputs={"X": spikes.view(WINDOW_MS, 1, 1, 28, 28)}, time=WINDOW_MS)
        self._record[at] = self._spikes.get("s").squeeze()
        self._labels[at] = y
        self._net.reset_state_variables()
        self._rows += 1
        one, tell = self._record[at : at + 1], self._evaluation
        by_activity = tell.all_activity(one, self._assigned, self._classes)
        by_share = tell.proportion_weighting(one, self._assigned, self._share, self._classes)
        return int(by_activity[0]), int(by_share[0])

    def _relabel(self) -> None:
        self._assigned, self._share, self._rates = self._evaluation.assign_labels(
            spikes=self._record,
            labels=self._labels,
            n_labels=self._classes,
            rates=self._rates,
        )


def _without_its_init(checkout: Path) -> None:
    """Make its package importable without running its `__init__`, which wants everything."""
    if "bindsnet" not in sys.modules:
        package = types.ModuleType("bindsnet")
        package.__path__ = [str(checkout / "bindsnet")]
        sys.modules["bindsnet"] = package
