"""The hebbian layer in eager PyTorch, batch 1: the peer of the kernels' benchmark.

The same update as `streamlearn.rules.hebbian` with its default options, written as one would in
PyTorch: the response is a matrix-vector product with kept powers (for p = 2 they are the weights),
the two units that move are updated in place. It recruits no units, which spares it work.
"""

import importlib
import time
from typing import Any, Final, Self

from streamlearn.part import F32
from streamlearn.rules.hebbian import Hebbian

OPTIONS: Final = Hebbian.Options(rule="hebbian", units=1)


class TorchHebbian:
    """H units on D inputs; `made` builds it where PyTorch is installed.

    Parameters
    ----------
    torch
        The module.
    weights
        [H, D] first weights, one row a unit.

    """

    def __init__(self, torch: Any, weights: F32) -> None:
        self.torch = torch
        self.weights = torch.from_numpy(weights.copy())
        self.weights /= self.weights.norm(dim=1, keepdim=True)
        self.load = torch.ones(len(weights))
        self.moves = [1] * len(weights)
        self.fade = 1.0 - 1.0 / len(weights)

    @classmethod
    def made(cls, weights: F32) -> Self | None:
        """Build it, on one thread; None where PyTorch is not installed."""
        try:
            torch = importlib.import_module("torch")
        except ImportError:
            return None
        torch.set_num_threads(1)
        return cls(torch, weights)

    @staticmethod
    def version() -> str:
        """Name and version of the peer."""
        return f"PyTorch {importlib.import_module('torch').__version__}"

    def learn(self, x: F32) -> float:
        """Learn the rows [n, D] in order; seconds an example."""
        rows = self.torch.from_numpy(x)
        with self.torch.inference_mode():
            began = time.perf_counter()
            for row in rows:
                self.learn_one(row)
            return (time.perf_counter() - began) / len(rows)

    def learn_one(self, row: Any) -> Any:
        """Respond to one row [D], then learn from it; the activity [H]."""
        z = row / row.norm()
        current = self.torch.mv(self.weights, z)
        out = (current - current.mean()).clamp_(min=0).pow_(OPTIONS.power)
        out *= out.square().mean().rsqrt()
        score = current - OPTIONS.conscience * (self.load - 1)
        self.load *= self.fade
        winner, *_, loser = self.torch.topk(score, OPTIONS.k).indices.tolist()
        rate = self._rate(winner)
        self._pull(winner, z, rate / (1 - rate))
        rate = OPTIONS.delta * self._rate(loser)
        self._pull(loser, z, -rate / (1 + rate * float(current[loser])))
        self.load[winner] += 1
        self.moves[winner] += 1
        self.moves[loser] += 1
        return out

    def _rate(self, unit: int) -> float:
        return max(OPTIONS.rate / (1 + self.moves[unit]), OPTIONS.rate_floor)

    def _pull(self, unit: int, z: Any, step: float) -> None:
        weights = self.weights[unit]
        weights.add_(z, alpha=step)
        weights /= weights.norm()
