"""Room for one row at work; holds nothing between rows, so that questions can have their own."""

from typing import Any, Final, NamedTuple

import numpy as np

from streamlearn.part import F32
from streamlearn.rules.forward_forward_top_down.learning import Errors, Loss
from streamlearn.rules.forward_forward_top_down.net import ACTIVE, I64, NORMAL, SIZE, Lanes, Run
from streamlearn.rules.forward_forward_top_down.options import (
    ForwardForwardTopDownOptions,
    levels_of,
)

_LANES: Final = 4
Plain = tuple[Any, ...]


class Room(NamedTuple):
    """Arrays and settings as the kernels take them; plain tuples of what their names say."""

    row: F32
    """[D]"""
    windows: F32
    """[3, F * D] the window, the same backwards, a negative."""
    p: F32
    """[K] beliefs."""
    sums: F32
    """[N]"""
    z: F32
    """[A, S + 1, N] of the lanes."""
    h: F32
    """[A, S + 1, N] of the lanes."""
    goodness: F32
    """[A, S + 1, L] of the lanes."""
    lanes: Plain
    errors: Plain
    net: I64
    run: Plain
    loss: Plain


def new_room(options: ForwardForwardTopDownOptions, net: I64, inputs: int, classes: int) -> Room:
    """Room of the right sizes."""
    units, levels = sum(levels_of(options)), len(levels_of(options))
    shape, widest = (_LANES, options.steps + 1, units), int(net[SIZE].max())
    lanes = Lanes(
        lowest=np.zeros((_LANES, levels_of(options)[0]), np.float32),
        acts=np.zeros((3, *shape), np.float32),
        goodness=np.zeros((*shape[:2], levels), np.float32),
        current=np.zeros(units, np.float32),
        inputs=np.zeros(widest + 1, np.uint32),
        value=np.zeros(widest + 1, np.float32),
    )
    errors = Errors(
        e=np.zeros((2, *shape[1:]), np.float32),
        total=np.zeros((2, units), np.float32),
        sums=np.zeros(units, np.float32),
    )
    return Room(
        row=np.zeros(inputs, np.float32),
        windows=np.zeros((3, inputs * options.frames), np.float32),
        p=np.zeros(classes, np.float32),
        sums=errors.sums,
        z=lanes.acts[NORMAL],
        h=lanes.acts[ACTIVE],
        goodness=lanes.goodness,
        lanes=tuple(lanes),
        errors=tuple(errors),
        net=net,
        run=tuple(_run_of(options)),
        loss=tuple(_loss_of(options)),
    )


def _run_of(options: ForwardForwardTopDownOptions) -> Run:
    return Run(
        damping=options.damping,
        alternating=int(options.update == "alternating"),
        strength=options.label_strength,
        carry=int(options.carry),
    )


def _loss_of(options: ForwardForwardTopDownOptions) -> Loss:
    pair = options.loss == "pair"
    return Loss(
        pair=int(pair),
        target=options.margin if pair else options.threshold,
        scale=options.scale,
        first=options.learn_from,
        peer=options.peer,
    )
