"""Data sets as streams, in an order of a seed's own, for the tools that play them."""

from dataclasses import replace

import numpy as np

from streamlearn.data import Dataset


def ordered(dataset: Dataset, seed: int | tuple[int, ...], passes: int = 1) -> Dataset:
    """So many passes over the rows, each in an order of its own; as they are for seed 0."""
    given, random = np.arange(dataset.rows), np.random.default_rng(seed)
    orders = [given if seed == 0 else random.permutation(dataset.rows) for _ in range(passes)]
    order = np.concatenate(orders)
    assert dataset.y is not None
    return replace(dataset, X=dataset.X[order], y=dataset.y[order])
