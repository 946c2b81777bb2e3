"""The learners that are measured, and rows for them.

`digits` and `mnist` are the shipped configurations; `tiny` has 16 inputs and 32 units, so that
what it takes to bring a row to it is nearly all the time there is.
"""

from pathlib import Path
from typing import Final

import numpy as np

from streamlearn import data
from streamlearn.config import Config, environment, load
from streamlearn.data.dataset import Dataset, checked
from streamlearn.demo import config_of
from streamlearn.plan import CATALOGUE

ACTIVE_SHARE: Final = 0.19
"""Share of MNIST's pixels that are not zero."""

TINY: Final = """
[stream]
shape = [16]
dtype = "<f4"
classes = 4
[[layer]]
rule = "hebbian"
units = 32
[[head]]
kind = "softmax"
"""

_SHIPPED: Final = {"digits": "optdigits", "mnist": "mnist"}


def file(name: str, folder: Path) -> Path:
    """A learner's configuration file: a shipped one, or the tiny one, written to `folder`."""
    if name in _SHIPPED:
        return config_of(_SHIPPED[name])
    path = folder / f"{name}.toml"
    path.write_text(TINY, encoding="utf-8")
    return path


def config(name: str, folder: Path) -> Config:
    """A learner's configuration, read as the daemon reads it."""
    return load(file(name, folder), CATALOGUE)


def rows(name: str) -> Dataset:
    """Labelled rows for a learner: digits for the digit learners, random ones for the tiny one.

    Where MNIST is not on this machine its place is taken by random rows that are as sparse.
    """
    folder = environment().data
    if name == "digits":
        return data.load("optdigits").train
    if name == "mnist" and folder is not None and (folder / "mnist").is_dir():
        return data.load("mnist").train
    random = np.random.default_rng(1)
    if name == "mnist":
        bright = random.random((4096, 28, 28)) < ACTIVE_SHARE
        pixels = np.where(bright, random.integers(1, 256, bright.shape), 0).astype(np.uint8)
        return checked("random", pixels, random.integers(0, 10, len(pixels)))
    x = random.random((4096, 16), np.float32)
    return checked("random", x, (x[:, 0] * 4).astype(np.int32))
