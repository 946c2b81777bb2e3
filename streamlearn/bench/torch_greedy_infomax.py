"""A module of Greedy InfoMax in eager PyTorch, one step at a time: the peer of the rule's kernels.

The same dense encoder, InfoNCE with W_k for each step ahead, negatives out of a reservoir of past
rows, encoded anew, and Adam, written as one would in PyTorch: parameters, `backward`, an optimizer.
What comes in has no gradient, as of a module above others.
"""

import importlib
import time
from typing import Any, Final, NamedTuple, Self

import numpy as np

from streamlearn.part import F32

MISSING: Final = "PyTorch is not installed; pip install torch"
RATE: Final = 1e-3


class Shape(NamedTuple):
    """Sizes of a module."""

    width: int
    """D: inputs."""
    units: int
    """H"""
    steps: int
    """K"""
    negatives: int
    """N"""
    reservoir_rows: int
    """M"""


class TorchInfomax:
    """A module with a backward pass; `made` builds it where PyTorch is installed.

    Parameters
    ----------
    torch
        The module.
    shape
        Sizes.
    positions
        Places of a picture in turn, each of which foretells itself.
    seed
        Of the first weights and of what is drawn.

    """

    def __init__(self, torch: Any, shape: Shape, positions: int = 1, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.torch, self.shape = torch, shape
        self.encoder = torch.nn.Linear(shape.width, shape.units)
        with torch.no_grad():
            self.encoder.weight.normal_(0.0, shape.width**-0.5)
            self.encoder.bias.zero_()
        eyes = torch.eye(shape.units).repeat(shape.steps, 1, 1)
        self.predict = torch.nn.Parameter(eyes)
        self.optimizer = torch.optim.Adam([*self.encoder.parameters(), self.predict], lr=RATE)
        self.reservoir = torch.zeros(shape.reservoir_rows, shape.width)
        self.past = torch.zeros(positions, shape.steps, shape.width)
        self.rows, self._random = 0, np.random.default_rng(seed)

    @classmethod
    def made(cls, shape: Shape, positions: int = 1, seed: int = 0) -> Self | None:
        """Build it, on one thread; None where PyTorch is not installed."""
        try:
            torch = importlib.import_module("torch")
        except ImportError:
            return None
        torch.set_num_threads(1)
        return cls(torch, shape, positions, seed)

    def codes(self, x: Any) -> Any:
        """Codes [n, H] of rows [n, D]: relu(W x + b) at a mean square of 1."""
        z = self.encoder(x).relu()
        return z * (z.square().mean(dim=-1, keepdim=True) + 1e-4).rsqrt()

    def loss(self, x: Any, past: Any, negatives: Any) -> Any:
        """InfoNCE of a row [D] told from those before [K, D] and from negatives [N, D]."""
        torch, (_, H, K, _, _) = self.torch, self.shape
        codes = self.codes(torch.cat((x.unsqueeze(0), past, negatives)))
        candidates = torch.cat((codes[:1], codes[1 + K :]))
        queries = torch.einsum("kc,kch->kh", codes[1 : 1 + K], self.predict) / H
        right = torch.zeros(K, dtype=torch.long)
        return torch.nn.functional.cross_entropy(queries @ candidates.T, right)

    def learn(self, x: F32) -> float:
        """Learn positions [n, D], one after the other; seconds of processor time of each."""
        began = time.process_time()
        for row in self.torch.from_numpy(x):
            self._learn_one(row)
        return (time.process_time() - began) / len(x)

    def _learn_one(self, x: Any) -> None:
        M, N = self.shape.reservoir_rows, self.shape.negatives
        past = self.past[self.rows % len(self.past)]
        if self.rows > N:
            drawn = self._random.integers(0, min(self.rows, M), N)
            self.optimizer.zero_grad()
            self.loss(x, past, self.reservoir[drawn]).backward()
            self.optimizer.step()
        place = self.rows if self.rows < M else int(self._random.integers(0, M))
        self.reservoir[place] = x
        past[:] = self.torch.cat((x.unsqueeze(0), past[:-1]))
        self.rows += 1
