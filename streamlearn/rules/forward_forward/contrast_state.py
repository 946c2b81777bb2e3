"""What a layer that learns by contrast keeps, and what its kernels are told.

D inputs, E label inputs (K where the layer writes labels into its input, else 0), H units,
K classes, V rows at work at once, N kept rows, M stored negatives, as many as one sleep can need.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels.random import generator
from streamlearn.part import F32, I32, Place
from streamlearn.rules.forward_forward.goodness import CHOICES, CONSTANTS, goal_of
from streamlearn.rules.forward_forward.start import first_weights

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
Plain = tuple[Any, ...]
"""Plain tuples are handed to a kernel in half the time of named ones."""

LEARNED, LABELLED, STORED, DREAMT, AWAKE = range(5)
"""Places of `Layer.counts`: rows learned, labelled ones among them, negatives stored, negatives
learned asleep, rows learned since the last sleep."""
GOOD, WRONG, SEEN = 0, 2, 3
"""Places of `Layer.figures`: fading means of z+ and z-, of z- >= z+, and of 1."""

NONE, PAIR, CANDIDATES = range(3)
"""Ways: no labels; a right and a wrong label; all labels."""
LEARN, LOOK, DREAM = range(3)
"""What a call is for."""
FRESH, KEPT, STALE, FLUSH, DONE = range(5)
"""What one visit is about: the row, a kept row, a stored negative, only what is pending."""

_OPTIONS = range(CHOICES, CHOICES + 10)
WAY, FIRST, GENERATED, AVERAGED, HARD, APART, CLASSES, REVISITS, WAKE_ROWS, SEED = _OPTIONS
"""Places of `Layer.choices` after those of the goal. FIRST: the layer makes lanes itself;
GENERATED: negatives are made from what it answers; the others are options."""
STRENGTH, PEER, RATE, DECAY_ROWS, RATE_FLOOR = range(CONSTANTS, CONSTANTS + 5)
MEMORY_ROWS, UNLABELLED, GAIN_RATE, GROWTH, LARGEST = range(CONSTANTS + 5, CONSTANTS + 10)
"""Places of `Layer.numbers` after those of the goal; the last three are adagrad's, see `sweep`."""

COUNT, WANTED, AT = range(3)
"""Rows of `Layer.work`: how many active inputs each row at work has, whether it is to be answered,
room for how far it is. The last column: how many inputs are pending, and how many are done."""

LARGEST_GAIN: Final = 30.0
"""Of adagrad: one over the root of the squared gradients that a weight begins with, 1e-3."""
_FIRST_MEAN: Final = 0.5


class Layer(NamedTuple):
    """All that a visit to a row needs: the state, the options, and room that holds nothing."""

    weights: F32
    """W [D + E, H]; the first D are inputs, the others labels."""
    average: F32
    """A [D + E, H] what is answered with; W itself where nothing is averaged."""
    gains: F32
    """G [D + E, H] of adagrad, or [0, H]."""
    means: F32
    """[H] fading mean activity for real rows."""
    figures: F64
    """[4] see above."""
    counts: I64
    """[5] see above."""
    visited: F32
    """[N + 1, R, D] the last labelled rows, in R forms each."""
    visited_y: I32
    """[N + 1] their labels."""
    stored: F32
    """[M, D + E] negatives of the waking phase, labels included."""

    choices: I64
    """Options that are whole numbers, see above."""
    numbers: F64
    """The others."""

    rows: F32
    """[V + 3, D] rows at work: the row itself, then a negative of it or the lanes below; then a
    negative as it was made, and the inputs p and m that are pending."""
    active: U32
    """[V + 1, D] numbers of the inputs that are not zero; last those that are pending."""
    work: I64
    """[3, V + 1] see above."""
    units: F32
    """[2 V + 7, H] v of the rows at work under W, then under A (if that is another); then current
    and activity of a positive and a negative, both their steps, and the answer."""
    label: F32
    """[2, E] labels of the positive and the negative, times their strength."""
    score: F32
    """[K] log odds of each label, or [0]."""
    negatives: Plain
    """See `negatives.Negatives.plain`."""


STATE: Final = Layer._fields[:9]
"""What is saved."""


class Block(NamedTuple):
    """Rows of a block; lanes and scores may be none."""

    x: F32
    """[B, D]"""
    y: I32
    """[B]"""
    out: F32
    """[B, H]"""
    lanes_in: F32
    """[B, L, D]"""
    lanes: F32
    """[B, L', H]"""
    scores: F32
    """[B, K]"""


class Case(NamedTuple):
    """One visit to a row."""

    kind: int
    y: int
    """Its label, or -1."""
    key: int
    """Number of the row: what its random choices hang on."""
    draw: int
    """Counts the visits to a row, so that each chooses anew."""
    share: float
    """Size of the step: 1, less without a label, 0 for none."""
    alone: bool
    """Whether it needs a negative that is made of real rows."""


def way_of(options: Any) -> int:
    """Whether labels take part, and in how many lanes."""
    if options.labels == "none":
        return NONE
    return CANDIDATES if options.candidates else PAIR


def lanes_of(way: int, classes: int) -> int:
    """How many lanes go from layer to layer."""
    return {NONE: 1, PAIR: 2, CANDIDATES: classes + 1}[way]


def choices_of(options: Any, place: Place) -> I64:
    """Give `Layer.choices`."""
    way = way_of(options)
    given = [
        way,
        place.lanes_in == 0,
        options.negatives == "generated",
        options.average,
        options.wrong_label == "hard",
        options.phases == "apart",
        place.classes,
        options.revisits if way != NONE else 0,
        options.wake_rows,
        place.seed,
    ]
    return np.array(goal_of(options)[0] + given, np.int64)


def numbers_of(options: Any, place: Place) -> F64:
    """Give `Layer.numbers`."""
    adagrad = options.step == "adagrad"
    given = [
        options.label_strength,
        options.peer,
        options.rate,
        options.decay_rows,
        options.rate_floor,
        options.memory_rows,
        options.unlabelled,
        options.rate / np.sqrt(place.width_in),
        1 + (1 / options.memory_rows if options.memory_rows else 0),
        LARGEST_GAIN if adagrad else 0,
    ]
    return np.array(goal_of(options)[1] + given, np.float64)


def new_state(options: Any, place: Place, choices: I64) -> tuple[Any, ...]:
    """Give the nine arrays of the state; weights N(0, 1/D), so that currents begin as N(0, 1)."""
    H, D, first = options.units, place.width_in, place.lanes_in == 0
    way = choices[WAY]
    labels = place.classes if way != NONE and first else 0
    weights = np.empty((D + labels, H), np.float32)
    generator(place.seed).standard_normal(out=weights, dtype=np.float32)
    weights *= np.float32(1 / np.sqrt(D))
    if options.start == "local":
        weights[:D] = first_weights("local", H, place)
    ring = options.kept_rows + 1 if choices[REVISITS] else 0
    forms = 1 if first else {PAIR: 2, CANDIDATES: place.classes, NONE: 0}[way]
    # The last row before a sleep may be visited again, and puts a negative by each time.
    asleep = options.wake_rows + choices[REVISITS] if choices[APART] else 0
    gains = len(weights) if options.step == "adagrad" else 0
    return (
        weights,
        weights.copy() if options.average else weights,
        np.full((gains, H), LARGEST_GAIN, np.float32),
        np.full(H, _FIRST_MEAN, np.float32),
        np.zeros(4, np.float64),
        np.zeros(5, np.int64),
        np.zeros((ring, forms, D), np.float32),
        np.zeros(ring, np.int32),
        np.zeros((asleep, D + labels), np.float32),
    )


def new_room(options: Any, place: Place, labels: int) -> tuple[Any, ...]:
    """Give the room for one row and what it is told from."""
    D, H = place.width_in, options.units
    V = 1 + max(place.lanes_in, 1)
    way = way_of(options)
    scored = way == CANDIDATES or (way == PAIR and place.lanes_in == 0)
    return (
        np.zeros((V + 3, D), np.float32),
        np.zeros((V + 1, D), np.uint32),
        np.zeros((3, V + 1), np.int64),
        np.zeros((2 * V + 7, H), np.float32),
        np.zeros((2, labels), np.float32),
        np.zeros(place.classes if scored else 0, np.float32),
    )
