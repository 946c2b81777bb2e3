"""What a network that learned says of two classes, beside itself before: for `geometric_reproduce`.

The article shows 1,000 images of ones and fives with plasticity on. Here the same images are then
encoded by the network as it was drawn and as it has become, both with plasticity off, and told
apart by cosine neighbours and a linear support vector machine: all else is equal. Plastic are the
edges between units, and from clocks; those from inputs are not.
"""

import itertools
import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from geometric_nearest import Digits, Reading, most_alike, network, percent, played, read
from geometric_networks import FREE_LEARNS, FREE_STDP, LEARNS, LEARNS_STDP, Options

from streamlearn.bench.report import Row, median_row
from streamlearn.part import F32, I32
from streamlearn.rules.geometric_spiking.rule import changes

CLASSES: Final = (1, 5)
STIMULI: Final = 1000
TOLD: Final = 1000
"""Images that are remembered, and as many that are told."""
SEEDS: Final = 3
UNIT: Final = Reading("unit length", unit=True)
ROOT: Final = Reading("power .5 and unit length", power=0.5, unit=True)
SHARES: Final = ("raised", "lowered", "turned", "unchanged")
PUBLISHED: Final[Mapping[str, float]] = {
    "neighbours, before": 61.0,
    "neighbours, after": 82.0,
    "linear SVM, before": 91.1,
    "linear SVM, after": 97.6,
    "raised": 29.0,
    "lowered": 40.0,
    "turned": 20.0,
    "unchanged": 11.0,
}


class Learning(NamedTuple):
    """A network and its plasticity."""

    title: str
    options: Options
    stdp: Options
    reading: Reading


NETWORKS: Final[Mapping[str, Learning]] = {
    "article": Learning("784 to 200, two blocks", LEARNS, LEARNS_STDP, UNIT),
    "free": Learning("free network, edges from clocks", FREE_LEARNS, FREE_STDP, ROOT),
}


class Parts(NamedTuple):
    """Images of the two classes, none twice."""

    stimuli: Digits
    known: Digits
    asked: Digits


def drawn(digits: Digits, seed: int, stimuli: int = STIMULI, told: int = TOLD) -> Parts:
    """Choose images at random."""
    of_two = np.flatnonzero(np.isin(digits.y, CLASSES))
    order = np.random.default_rng(seed).permutation(of_two)
    ends = np.cumsum([0, stimuli, told, told])
    chosen = [order[a:b] for a, b in itertools.pairwise(ends)]
    return Parts(*(Digits(digits.x[i], digits.y[i], digits.shape) for i in chosen))


def measured(network_of: Learning, parts: Parts, seed: int) -> dict[str, float]:
    """Percent right before and after, and shares of edges in percent."""
    learning = network(network_of.options | network_of.stdp, parts.stimuli, seed)
    still = network(network_of.options, parts.stimuli, seed)
    weights, birth = still.arrays()["weights"], learning.arrays()["weights"].copy()
    if not np.array_equal(weights, birth):
        sys.exit("geometric_learned: not the same network with and without plasticity")
    found = {f"{by}, before": x for by, x in _told(still, parts, network_of.reading).items()}
    played(learning, parts.stimuli.x)
    weights[:] = learning.arrays()["weights"]
    found |= {f"{by}, after": x for by, x in _told(still, parts, network_of.reading).items()}
    plastic = slice(len(birth) - _plastic(learning), None)
    moved = changes(birth[plastic], weights[plastic])
    shares = {kind: 100 * moved[f"weights_{kind}_share"] for kind in SHARES}
    return found | shares | {"cut": 100 * learning.gauges()["runaway_share"]}


def _plastic(part: Any) -> int:
    return len(part._net.birth)  # noqa: SLF001  no other way to tell the plastic edges


def _told(part: Any, parts: Parts, reading: Reading) -> dict[str, float]:
    known, asked = (read(_encoded(part, d.x), reading) for d in (parts.known, parts.asked))
    near = most_alike(iter([(known, parts.known.y)]), asked)
    return {
        "neighbours": percent(near, parts.asked.y),
        "linear SVM": percent(by_vectors(known, parts.known.y, asked), parts.asked.y),
    }


def _encoded(part: Any, x: F32) -> F32:
    out = np.empty((len(x), part.width_out), np.float32)
    part.infer(x, out)
    return out


def by_vectors(known: F32, y: I32, asked: F32) -> I32:
    """Classes that a linear support vector machine says, C = 1, rows brought to about length 1.

    Raises
    ------
    SystemExit
        Where scikit-learn is not there.

    """
    try:
        from sklearn.svm import SVC  # noqa: PLC0415  only this part needs it
    except ImportError:
        sys.exit("geometric_learned: needs scikit-learn; pip install scikit-learn")
    mean = known.mean(axis=0)
    size = max(float(np.linalg.norm(known - mean, axis=1).mean()), 1e-9)
    machine = SVC(kernel="linear", C=1.0).fit((known - mean) / size, y)
    said: I32 = machine.predict((asked - mean) / size).astype(np.int32)
    return said


def rows(name: str, found: list[dict[str, float]]) -> list[Row]:
    """Rows of the table, median of the seeds."""
    one = NETWORKS[name]
    made = []
    for key, published in PUBLISHED.items():
        told = key not in SHARES
        values = [round(x[key], 2) for x in found]
        gains = ""
        if key.endswith(", after"):
            before = [x[key.replace("after", "before")] for x in found]
            gains = f"{np.mean(values) - np.mean(before):+.2f} by plasticity, mean of seeds"
        made.append(
            median_row(
                f"B, {one.title}: {key if told else f'edges {key}'}",
                values,
                "% right" if told else "% of plastic edges",
                published=published,
                note=gains,
            )
        )
    return made
