"""What the net keeps between rows, and where each block of weights lies."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels.random import generator
from streamlearn.part import F32, Arrays, Place
from streamlearn.rules.forward_forward_top_down.net import BEGIN, BIAS, DOWN, I64, SIZE, UP
from streamlearn.rules.forward_forward_top_down.options import (
    ForwardForwardTopDownOptions,
    levels_of,
)
from streamlearn.rules.forward_forward_top_down.window import Frames

_FIRST_GAIN: Final = 10.0


class State(NamedTuple):
    """What rows change; L levels, N units, P weights, K classes (0 without labels)."""

    weights: F32
    """[P] raw weights."""
    average: F32
    """[P] what answers are made with; the raw weights themselves where nothing is averaged."""
    gains: F32
    """[P]"""
    readout: F32
    """[K, N] the net's own softmax, which chooses wrong labels."""
    readout_gains: F32
    """[K, N]"""
    h: F32
    """[N] activities at the end of the row before."""
    z: F32
    """[N] the same, normalised."""
    usual: F32
    """[L] fading mean of the goodness."""
    peers: F32
    """[N] fading means of the positive lane's activities."""
    tally: F32
    """[2, L] fading means of the goodness of the lanes learned from, for the gauges."""
    clock: I64
    """[2] rows, and rows learned from."""


class Block(NamedTuple):
    """The weights from one level to another, [inputs, units]."""

    name: str
    """up, down or bias, and the level that it leads to."""
    begin: int
    inputs: int
    units: int

    @property
    def end(self) -> int:
        """Where the next block begins."""
        return self.begin + self.inputs * self.units

    def of(self, flat: F32) -> F32:
        """Its part of all weights, as a view."""
        return flat[self.begin : self.end].reshape(self.inputs, self.units)


def blocks(units: tuple[int, ...], width: int, labels: int) -> Iterator[Block]:
    """Every block of weights, in the order in which they lie."""
    sizes, begin = [width, *units, labels], 0
    for level in range(1, len(sizes) - 1):
        below, here, above = sizes[level - 1 : level + 2]
        for name, inputs in (("up", below), ("down", above), ("bias", 1)):
            block = Block(f"{name}{level}", begin, inputs, here)
            begin = block.end
            yield block


def new_net(units: tuple[int, ...], width: int, labels: int) -> I64:
    """Make the table that tells the kernels where everything lies."""
    net = np.zeros((5, len(units) + 2), np.int64)
    net[SIZE] = [width, *units, labels]
    net[BEGIN, 2:] = np.cumsum(net[SIZE, 1:-1])
    lines = {"up": UP, "down": DOWN, "bias": BIAS}
    for block in blocks(units, width, labels):
        name = block.name.rstrip("0123456789")
        net[lines[name], int(block.name.removeprefix(name))] = block.begin
    return net


def new_state(options: Any, width: int, labels: int, seed: int) -> State:
    """Gaussian weights of variance 1 over a block's inputs, no biases, nothing learned."""
    every = list(blocks(levels_of(options), width, labels))
    units, levels, random = sum(levels_of(options)), len(levels_of(options)), generator(seed)
    weights = np.zeros(every[-1].end, np.float32)
    for block in every:
        if block.inputs and not block.name.startswith("bias"):
            values = random.standard_normal((block.inputs, block.units), np.float32)
            block.of(weights)[...] = values / np.float32(np.sqrt(block.inputs))
    readout = np.zeros((labels, units), np.float32)
    return State(
        weights=weights,
        average=weights.copy() if options.average else weights,
        gains=np.full_like(weights, _FIRST_GAIN),
        readout=readout,
        readout_gains=np.full_like(readout, _FIRST_GAIN),
        h=np.zeros(units, np.float32),
        z=np.zeros(units, np.float32),
        usual=np.zeros(levels, np.float32),
        peers=np.zeros(units, np.float32),
        tally=np.zeros((2, levels), np.float32),
        clock=np.zeros(2, np.int64),
    )


def new_frames(options: ForwardForwardTopDownOptions, inputs: int) -> Frames:
    """No past rows."""
    stores = options.labels == "none" and options.negatives in ("stored", "mixed")
    return Frames(
        past=np.zeros((options.frames - 1, inputs), np.float32),
        background=np.zeros(inputs, np.float32),
        stored=np.zeros((options.stored_rows if stores else 0, inputs), np.float32),
    )


def arrays_of(state: State, frames: Frames, every: list[Block], *, averaged: bool) -> Arrays:
    """Weights, gains and averages by block, and all that is kept of rows, without what is empty."""
    flat: dict[str, NDArray[Any]] = {"": state.weights, "_gain": state.gains}
    if averaged:
        flat["_average"] = state.average
    arrays: Arrays = {
        f"{block.name}{suffix}": block.of(values)
        for suffix, values in flat.items()
        for block in every
    }
    rest = ("readout", "readout_gains", "h", "z", "usual", "peers", "tally", "clock")
    arrays |= {name: getattr(state, name) for name in rest} | frames._asdict()
    return {name: array for name, array in arrays.items() if array.size}


def width_of(place: Place, options: ForwardForwardTopDownOptions) -> int:
    """D: inputs of one row after shrinking."""
    return int(place.width_in) // int(options.shrink) ** 2
