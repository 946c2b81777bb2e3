"""Backprop in eager PyTorch, one example at a time: the peer of layers that learn locally.

One hidden layer, or two of which the second also sees the input, as local projection has them:

    h1 = relu(W1 x + b1),  h2 = relu(W2 [h1 / rms(h1), x] + b2),  scores = M h

Cross-entropy, plain SGD, written as one would in PyTorch: a module, `backward`, an optimizer.
"""

import importlib
import time
from typing import Any, Final, NamedTuple, Self

import numpy as np

from streamlearn.part import F32, I32

MISSING: Final = "PyTorch is not installed; pip install torch"


class Learned(NamedTuple):
    """What learning some rows gave."""

    seconds: float
    """An example."""
    predicted: I32
    """[n] class of each row before it was learned."""


class TorchBackprop:
    """A network with a backward pass; `made` builds it where PyTorch is installed.

    Parameters
    ----------
    torch
        The module.
    widths
        Inputs, units of each hidden layer, classes.
    rate
        Step of SGD.
    seed
        Of the first weights, which are PyTorch's own choice.

    """

    def __init__(self, torch: Any, widths: tuple[int, ...], rate: float, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.torch, self.rate = torch, rate
        inputs, *hidden, classes = widths
        linear = torch.nn.Linear
        self.first = linear(inputs, hidden[0])
        self.second = linear(hidden[0] + inputs, hidden[1]) if len(hidden) > 1 else None
        self.read_out = linear(hidden[-1], classes)
        layers = [self.first, *([self.second] if self.second else []), self.read_out]
        self.weights = [weight for layer in layers for weight in layer.parameters()]
        self.optimizer = torch.optim.SGD(self.weights, lr=rate)

    @classmethod
    def made(cls, widths: tuple[int, ...], rate: float, seed: int = 0) -> Self | None:
        """Build it, on one thread; None where PyTorch is not installed."""
        try:
            torch = importlib.import_module("torch")
        except ImportError:
            return None
        torch.set_num_threads(1)
        return cls(torch, widths, rate, seed)

    @staticmethod
    def version() -> str:
        """Name and version of the peer."""
        return f"PyTorch {importlib.import_module('torch').__version__}"

    def scores(self, x: Any) -> Any:
        """Scores [n, K] of rows [n, D]."""
        h = self.first(x).relu()
        if self.second is not None:
            rms = (h.square().mean(dim=-1, keepdim=True) + 1e-12).sqrt()
            h = self.second(self.torch.cat((h / rms, x), dim=-1)).relu()
        return self.read_out(h)

    def learn(self, x: F32, y: I32, decay: F32 | None = None) -> Learned:
        """Learn the rows x [n, D] of classes y [n] in order, each step times `decay` [n]."""
        rows = self.torch.from_numpy(x).unsqueeze(1)
        labels = self.torch.from_numpy(y.astype(np.int64)).unsqueeze(1)
        predicted = np.zeros(len(x), np.int32)
        began = time.perf_counter()
        for i, (row, label) in enumerate(zip(rows, labels, strict=True)):
            if decay is not None:
                self.optimizer.param_groups[0]["lr"] = self.rate * float(decay[i])
            predicted[i] = self._learn_one(row, label)
        return Learned((time.perf_counter() - began) / len(x), predicted)

    def _learn_one(self, row: Any, label: Any) -> int:
        self.optimizer.zero_grad()
        scores = self.scores(row)
        self.torch.nn.functional.cross_entropy(scores, label).backward()
        self.optimizer.step()
        return int(scores.argmax())

    def answers(self, x: F32) -> I32:
        """Likeliest classes [n] of rows x [n, D]."""
        with self.torch.inference_mode():
            said: I32 = self.scores(self.torch.from_numpy(x)).argmax(dim=1).numpy().astype(np.int32)
        return said
