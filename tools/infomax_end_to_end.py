"""Modules that learn as one, end to end, in PyTorch: what gradient isolation is held against.

The stack stands in the pipeline in the place of the modules: it sees the same rows in the same
order, begins with their weights, and is held against the very negatives that the last of them would
draw. Only the last contrast is learned, and its gradient goes through all encoders. With one module
there is nothing to isolate, and it learns what `greedy_infomax` does.
"""

import importlib
from typing import Any, Final

import msgspec
import numpy as np

from streamlearn.config import Config
from streamlearn.part import F32, Arrays, Part, Rows
from streamlearn.plan import Plan
from streamlearn.rules.greedy_infomax import GreedyInfomax
from streamlearn.rules.greedy_infomax.state import STEPS

MISSING: Final = "PyTorch is not installed; pip install torch"
_LARGEST_RMS: Final = 10.0
_MARK: Final = 2.0**-17
"""Of a row's number, so that a float32 holds it exactly."""


class Drawer:
    """Says which past rows a module would learn a row from, by asking one.

    Parameters
    ----------
    part
        The module; it is not touched.

    """

    def __init__(self, part: GreedyInfomax) -> None:
        options = dict(units=1, rate=0.0, **_kept(part))
        place = part.place._replace(width_in=2, shape_in=(2,))
        self._part = GreedyInfomax(GreedyInfomax.Options(rule="greedy_infomax", **options), place)

    def ask(self, varies: bool, rows: Rows) -> tuple[list[int], list[int], list[int]] | None:  # noqa: FBT001  of the row
        """What the one row of `rows` is told from, None for nothing.

        Returns the steps ahead (from 0), the numbers of the rows so many steps ago, and those of
        the negatives.
        """
        mark = [1.0, rows.first * _MARK] if varies else [1.0, 1.0]
        before = int(self._part.arrays()["clock"][STEPS])
        self._part.learn(rows._replace(x=np.array([mark], np.float32), out=_one()))
        if self._part.arrays()["clock"][STEPS] == before:
            return None
        room = self._part._scratch  # noqa: SLF001  it says what was drawn
        numbers = np.rint(room.x[1:, 1] / _MARK).astype(int).tolist()
        steps = np.flatnonzero(room.told).tolist()
        return steps, [numbers[k] for k in steps], numbers[len(room.told) :]


def _one() -> F32:
    return np.zeros((1, 1), np.float32)


def _kept(part: GreedyInfomax) -> dict[str, Any]:
    names = "steps", "negatives", "negatives_from", "reservoir_rows", "warm_rows"
    return {name: getattr(part.options, name) for name in names}


class EndToEnd(Part):
    """Dense modules with InfoNCE on the last alone, whose gradient goes through all of them.

    Parameters
    ----------
    parts
        The modules that it begins as, from the first on; they are not touched.

    Raises
    ------
    ImportError
        Where PyTorch is not installed.

    """

    def __init__(self, parts: list[GreedyInfomax]) -> None:
        super().__init__(parts[-1].options, parts[0].place)
        torch: Any = importlib.import_module("torch")
        torch.set_num_threads(1)
        self._torch, self._drawer = torch, Drawer(parts[-1])
        self._weights = [self._own(part.arrays()["weights"]) for part in parts]
        self._biases = [self._own(part.arrays()["bias"]) for part in parts]
        self._predict = self._own(parts[-1].arrays()["predict"])
        moved = [*self._weights, *self._biases, self._predict]
        self._optimizer = torch.optim.Adam(moved, lr=self.options.rate, eps=1e-6, fused=True)
        self._seen = np.zeros((1024, self.place.width_in), np.float32)

    def _own(self, array: F32) -> Any:
        return self._torch.nn.Parameter(self._torch.from_numpy(array.copy()))

    @property
    def width_out(self) -> int:
        """H of the last module."""
        return int(self.options.units)

    @property
    def follows(self) -> bool:
        """Whether the stream of a row matters."""
        return True

    def codes(self, x: Any) -> Any:
        """Codes [n, H] of rows [n, D]: relu(x W + b) at a mean square of 1, module upon module."""
        for weights, bias in zip(self._weights, self._biases, strict=True):
            z = (x @ weights + bias).relu()
            x = z * (z.square().mean(dim=-1, keepdim=True) + 1e-4).rsqrt()
        return x

    def infer(self, x: F32, out: F32) -> None:
        """Write the codes [B, H] of the rows [B, D]."""
        with self._torch.no_grad():
            out[...] = self.codes(self._torch.from_numpy(_scaled(x))).numpy()

    def learn(self, rows: Rows) -> None:
        """Write each row's code, then learn it; rows of no stream only warm up."""
        for b in range(len(rows.x)):
            x = rows.x[b : b + 1]
            self.infer(x, rows.out[b : b + 1])
            if rows.origin is not None:
                origin = rows.origin.between(b, b + 1)
                one = Rows(x, rows.out[b : b + 1], rows.y[b : b + 1], rows.first + b, None, origin)
                self._learn_one(one)

    def _learn_one(self, row: Rows) -> None:
        t = row.first
        if t >= len(self._seen):
            self._seen = np.concatenate((self._seen, np.zeros_like(self._seen)))
        self._seen[t] = _scaled(row.x)[0]
        told = self._drawer.ask(bool(np.ptp(row.x)), row)
        if told is None:
            return
        steps, past, negatives = told
        rows = self._torch.from_numpy(self._seen[[t, *negatives, *past]])
        self._optimizer.zero_grad()
        self._loss(rows, steps).backward()
        self._optimizer.step()

    def _loss(self, rows: Any, steps: list[int]) -> Any:
        """Mean over steps; rows [1 + N + k, D]: itself, negatives, and those so many steps ago."""
        torch = self._torch
        codes = self.codes(rows)
        told = len(steps)
        queries = torch.einsum("kc,kch->kh", codes[-told:], self._predict[steps])
        right = torch.zeros(told, dtype=torch.long)
        scores = queries @ codes[:-told].T / self.width_out
        return torch.nn.functional.cross_entropy(scores, right)

    def arrays(self) -> Arrays:
        """Weights, as views."""
        named = {f"weights{i + 1}": one for i, one in enumerate(self._weights)}
        named |= {f"bias{i + 1}": one for i, one in enumerate(self._biases)}
        return {n: one.detach().numpy() for n, one in (named | {"predict": self._predict}).items()}


def _scaled(x: F32) -> F32:
    """Rows [B, D] at a root mean square of at most 10, as modules read them."""
    rms = np.sqrt(np.square(x, dtype=np.float64).mean(axis=1, keepdims=True))
    factor = np.where(rms > _LARGEST_RMS, _LARGEST_RMS / np.maximum(rms, _LARGEST_RMS), 1.0)
    return np.float32(x * factor)


def planned(config: Config) -> Plan:
    """The plan of modules and a pool, the modules made one part, which learns end to end."""
    modules = [part for part, _ in Plan(config).parts if isinstance(part, GreedyInfomax)]
    one = msgspec.structs.replace(config, layer=(config.layer[0], config.layer[-1]))
    plan = Plan(one)
    plan.parts = [
        (EndToEnd(modules) if isinstance(part, GreedyInfomax) else part, wires)
        for part, wires in plan.parts
    ]
    return plan
