"""`black_box`: a fixed function between two layers that nobody needs to differentiate.

Rules that are local to a layer never ask what stands between them (Hinton 2022, section 8): here
that is any Python function, an ONNX model, or a noisy, quantised stand-in for analog hardware,

    y = f(x)
    y <- y + noise |y| n,  n ~ Normal(0, 1)
    y <- step (n + 1/2),  n = floor(y / step) within ±2^(bits - 1),  step = 2 range |y| / 2^bits

with |y| the root mean square of y: a converter of 2^bits levels, as many above zero as below
(mid-rise). Within ±range |y| none is further off than half a step, and one bit is the sign. No
level is zero, so what is silent says half a step; only a row of zeros stays one. The noise is drawn
from the bits of the row itself, so that the same row always meets the same noise. Rows go in one at
a time, so blocks never change a result.

A row on which f throws, or gives a wrong width or numbers that are not finite, goes on as zeros,
from which no rule above learns, and is counted.
"""

import importlib
import os
from collections.abc import Callable
from typing import Annotated, Any, Final

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streamlearn.config import LayerOptions
from streamlearn.errors import ConfigError
from streamlearn.kernels import kernel
from streamlearn.kernels.random import mix, uniform
from streamlearn.part import F32, Arrays, Place, Rows
from streamlearn.rules.base import Rule
from streamlearn.rules.only import Table, above, idle, only

Function = Callable[[F32], Any]

FAULTS: Final = ("throws", "width", "nonfinite")
"""What can go wrong with one row."""
ONLY: Final[Table] = (only("range", beside=above("bits", 0)),)
"""Options that mean something only beside others."""


@kernel
def _degrade(y: F32, noise: float, bits: int, reach: float, seed: int) -> None:
    """Add noise to y [H] and round it to 2^bits levels, all in units of its root mean square."""
    H = y.shape[0]
    squares = 0.0
    word = np.uint64(seed)
    for h in range(H):
        squares += np.float64(y[h]) * np.float64(y[h])
    for h in range(H):
        word = mix(word ^ np.uint64(np.float32(y[h]).view(np.uint32)))
    size = np.sqrt(squares / H)
    key = int(np.int64(word >> np.uint64(1)))
    if noise > 0:
        for h in range(H):
            radius = np.sqrt(-2.0 * np.log(1.0 - uniform(key, h, 0)))
            y[h] += np.float32(noise * size * radius * np.cos(2.0 * np.pi * uniform(key, h, 1)))
    if bits > 0 and size > 0:
        most = 2.0 ** (bits - 1)
        step = reach * size / most
        for h in range(H):
            level = min(max(np.floor(y[h] / step), -most), most - 1.0)
            y[h] = np.float32(step * (level + 0.5))


class BlackBox(Rule):
    """A layer that learns nothing: any fixed function, or a stand-in for hardware.

    Parameters
    ----------
    options
        The function, or the model, and how its answers are spoilt.
    place
        Widths and lanes; every lane goes through the same function.

    Raises
    ------
    ConfigError
        Where the function cannot be had, or fails on a row of zeros, or an option would be ignored.

    """

    GAUGES = tuple(f"faults_{fault}" for fault in FAULTS)

    class Options(LayerOptions, frozen=True, kw_only=True):
        """`[[layer]]` with `rule = "black_box"`: a fixed function between two layers."""

        function: Annotated[
            str,
            Meta(description='Import path "package.module:name" of f([1, D]) -> [1, H]; "": none.'),
        ] = ""
        onnx: Annotated[
            str, Meta(description='File of an ONNX model instead (extra "onnx"); "": none.')
        ] = ""
        noise: Annotated[
            float,
            Meta(ge=0.0, le=100.0, description="Gaussian noise, in root mean squares of the row."),
        ] = 0.0
        bits: Annotated[
            int,
            Meta(ge=0, le=16, description="Bits of an answer: it is one of 2^bits levels; 0: all."),
        ] = 0
        range: Annotated[
            float,
            Meta(
                gt=0.0,
                le=1e3,
                description="Where the levels end, both ways, in root mean squares of the row.",
            ),
        ] = 4.0

    def __init__(self, options: Any, place: Place) -> None:
        super().__init__(options, place)
        if lines := idle(options, ONLY):
            raise ConfigError(list(lines.values()))
        self._function = _function(options, place)
        self._faults = np.zeros(len(FAULTS), np.int64)
        self._width = self._tried()

    def _tried(self) -> int:
        """The width of an answer, learned by asking once."""
        key = "onnx" if self.options.onnx else "function"
        name = self.options.onnx or self.options.function
        try:
            answer = np.asarray(self._function(np.zeros((1, self.place.width_in), np.float32)))
        except Exception as error:  # noqa: BLE001  somebody else's code may raise anything
            raise ConfigError(
                [f"{key}: {name} fails on a row of {self.place.width_in} zeros: {error!r}; mend it"]
            ) from None
        if answer.ndim != 2 or len(answer) != 1 or not answer.size:
            raise ConfigError(
                [f"{key}: {name} must turn [1, D] into [1, H], it gave {list(answer.shape)}"]
            )
        width: int = answer.shape[1]
        return width

    @property
    def width_out(self) -> int:
        """H: what the function gives."""
        return self._width

    @property
    def shape_out(self) -> tuple[int, ...]:
        """The shape that came in where the width stays, else a flat row."""
        return self.place.shape_in if self._width == self.place.width_in else (self._width,)

    @property
    def lanes_out(self) -> int:
        """As many lanes as come in."""
        return self.place.lanes_in

    def learn(self, rows: Rows) -> None:
        """Write f of each row and of its lanes, and count what went wrong."""
        self._respond(rows, self._faults)

    def respond(self, rows: Rows) -> None:
        """Write f of each row and of its lanes."""
        self._respond(rows, np.zeros_like(self._faults))

    def infer(self, x: F32, out: F32) -> None:
        """Write f [B, H] of the rows [B, D]."""
        self._all(x, out, np.zeros_like(self._faults))

    def _respond(self, rows: Rows, faults: NDArray[np.int64]) -> None:
        self._all(rows.x, rows.out, faults)
        if rows.beside is not None:
            for lane in range(rows.beside.lanes.shape[1]):
                self._all(rows.beside.lanes_in[:, lane], rows.beside.lanes[:, lane], faults)

    def _all(self, x: F32, out: F32, faults: NDArray[np.int64]) -> None:
        for row, answer in zip(x, out, strict=True):
            fault = self._one(row, answer)
            if fault is not None:
                answer[...] = 0
                faults[FAULTS.index(fault)] += 1

    def _one(self, row: F32, answer: F32) -> str | None:
        """Write the answer [H] to a row [D]; returns what went wrong."""
        given = np.array(row[None], np.float32)
        try:
            found = np.asarray(self._function(given), np.float64)
        except Exception:  # noqa: BLE001  somebody else's code may raise anything
            return "throws"
        if found.shape != (1, self._width):
            return "width"
        with np.errstate(over="ignore"):
            one = np.ascontiguousarray(found[0], np.float32)
        if np.isfinite(one).all() and (self.options.noise or self.options.bits):
            options = self.options
            _degrade(one, options.noise, options.bits, options.range, self.place.seed)
        if not np.isfinite(one).all():
            return "nonfinite"
        answer[...] = one
        return None

    def arrays(self) -> Arrays:
        """Rows that went wrong, by kind [3]."""
        return {"faults": self._faults}

    def gauges(self) -> dict[str, float]:
        """Rows that went wrong, by kind."""
        return dict(zip(self.GAUGES, self._faults.astype(float).tolist(), strict=True))


def _function(options: Any, place: Place) -> Function:
    if options.function and options.onnx:
        raise ConfigError(["onnx: expected function or onnx, got both; leave one out"])
    if options.onnx:
        return _model(options.onnx, place)
    return _imported(options.function) if options.function else _same


def _same(x: F32) -> F32:
    return x


def _imported(path: str) -> Function:
    module, _, name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # noqa: BLE001  the module's own code runs, and may raise anything
        raise ConfigError(
            [
                (
                    f'function: {path}: {error!r}; expected "package.module:name" of what Python '
                    "can import (its folder may be missing from PYTHONPATH)"
                )
            ]
        ) from None
    if not callable(function):
        raise ConfigError([f"function: {path} is a {type(function).__name__}; name a function"])
    result: Function = function
    return result


def _model(file: str, place: Place) -> Function:
    # A daemon beside somebody's hardware tells nobody what it does; read when the library loads.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime  # noqa: PLC0415  an extra, loaded only where it is used
    except ImportError:
        raise ConfigError(
            ["onnx: onnxruntime is missing; pip install 'streamlearn[onnx]', or use function"]
        ) from None
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(file, settings, ["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  the library has a class for each, none public
        raise ConfigError([f"onnx: {file} cannot be loaded: {error}; name an ONNX model"]) from None
    wanted = session.get_inputs()[0]
    shape = (1, *place.shape_in) if len(wanted.shape) == len(place.shape_in) + 1 else (1, -1)

    def run(x: F32) -> Any:
        return session.run(None, {wanted.name: x.reshape(shape)})[0].reshape(1, -1)

    return run
