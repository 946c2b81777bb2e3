"""Encodings of rows by a geometric network, and what their nearest neighbours say.

For `geometric_reproduce`: the protocols of George et al., arXiv 2103.08878. The head `neighbours`
answers the same, row by row; here many splits share one matrix of distances.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.part import F32, I32, UNLABELLED, Place, Rows
from streamlearn.rules.geometric_spiking import GeometricSpiking

K: Final = 5
"""Neighbours that vote."""
SPLITS: Final = 10
_LEAST_DISTANCE: Final = 1e-6
_BLOCK: Final = 1000
"""Rows at a time."""


class Digits(NamedTuple):
    """Labelled images."""

    x: F32
    """[n, D]"""
    y: I32
    """[n]"""
    shape: tuple[int, ...]
    """Of an image."""


class Reading(NamedTuple):
    """What is done with the numbers of an encoding before they are compared."""

    title: str
    power: float = 1.0
    unit: bool = False
    """Of length 1."""
    scaled: bool = False
    """Each number over its standard deviation in all rows."""


class Encoded(NamedTuple):
    """What a network made of rows."""

    code: F32
    """[n, W]"""
    gauges: dict[str, float]


def network(options: Mapping[str, Any], digits: Digits, seed: int = 0) -> GeometricSpiking:
    """The network that the seed draws for such images."""
    made = GeometricSpiking.Options(rule="geometric_spiking", **options)
    classes = int(digits.y.max()) + 1
    return GeometricSpiking(made, Place(digits.x.shape[1], digits.shape, classes, seed))


def played(part: GeometricSpiking, x: F32) -> F32:
    """Learn rows [n, D] in order; returns their encodings [n, W]."""
    out = np.empty((len(x), part.width_out), np.float32)
    for begin in range(0, len(x), _BLOCK):
        rows = slice(begin, begin + _BLOCK)
        labels = np.full(len(x[rows]), UNLABELLED, np.int32)
        part.learn(Rows(x[rows], out[rows], labels, begin))
    return out


def encoded(options: Mapping[str, Any], digits: Digits, seed: int = 0) -> Encoded:
    """Encode images; those themselves without any options."""
    if not options:
        return Encoded(digits.x, {})
    part = network(options, digits, seed)
    return Encoded(played(part, digits.x), part.gauges())


def read(code: F32, reading: Reading) -> F32:
    """The numbers [n, W] as they are compared."""
    if reading.scaled:
        code = code / np.maximum(code.std(axis=0), np.float32(1e-30))
    if reading.power != 1.0:
        code = np.sign(code) * np.abs(code) ** np.float32(reading.power)
    if reading.unit:
        length = np.linalg.norm(code, axis=1, keepdims=True)
        code = code / np.maximum(length, np.float32(1e-30))
    return np.ascontiguousarray(code, np.float32)


def squared_distances(code: F32) -> F32:
    """Squared Euclidean distances [n, n] of rows, with room for rounding near zero.

    Rows are brought to about size 1 around their mean first, so that no squares get lost.
    """
    centred = code - code.mean(axis=0)
    centred /= max(float(np.sqrt((centred**2).sum(axis=1).mean())), 1e-30)
    products: F32 = centred @ centred.T
    squares = products.diagonal().copy()
    products *= -2
    products += squares[:, None]
    products += squares
    return products


def split_scores(distances: F32, y: I32, splits: int = SPLITS) -> list[float]:
    """Percent right, split by split: of n rows in a random order the first tenth is asked about.

    Parameters
    ----------
    distances
        Squared, [n, n].
    y
        Classes [n].
    splits
        How many; split s is `default_rng(s).permutation(n)`.

    """
    scores = []
    for split in range(splits):
        order = np.random.default_rng(split).permutation(len(y))
        asked, kept = order[: len(y) // 10], order[len(y) // 10 :]
        there = distances[np.ix_(asked, kept)]
        near = np.argpartition(there, K, axis=1)[:, :K]
        length = np.sqrt(np.maximum(np.take_along_axis(there, near, axis=1), 0))
        weight = 1 / np.maximum(length, _LEAST_DISTANCE)
        scores.append(percent(voted(y[kept][near], weight), y[asked]))
    return scores


def voted(labels: I32, weight: NDArray[np.floating]) -> I32:
    """The class with the largest sum of weights, of neighbours [n, k]."""
    votes = [(weight * (labels == c)).sum(axis=1) for c in range(int(labels.max()) + 1)]
    return np.argmax(votes, axis=0).astype(np.int32)


def percent(said: I32, y: I32) -> float:
    """Share of right answers, in percent."""
    return 100 * float((said == y).mean())


def most_alike(blocks: Iterator[tuple[F32, I32]], asked: F32) -> I32:
    """Classes [m] by the majority of the k of all remembered rows with the largest cosine.

    Parameters
    ----------
    blocks
        Remembered rows [b, W] of length 1, and their classes [b].
    asked
        Rows [m, W] of length 1.

    """
    best = np.full((len(asked), K), -np.inf, np.float32)
    labels = np.zeros((len(asked), K), np.int32)
    for code, y in blocks:
        alike = asked @ code.T
        near = np.argpartition(-alike, K - 1, axis=1)[:, :K]
        best = np.hstack([best, np.take_along_axis(alike, near, axis=1)])
        labels = np.hstack([labels, y[near]])
        order = np.argsort(-best, axis=1, kind="stable")[:, :K]
        best = np.take_along_axis(best, order, axis=1)
        labels = np.take_along_axis(labels, order, axis=1)
    nearest_first = 1 + 1e-6 * np.arange(K, 0, -1)
    return voted(labels, np.broadcast_to(nearest_first, labels.shape))
