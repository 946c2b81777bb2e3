"""What measures the geometric configurations: chance is told from knowledge."""

import geometric_starts
import numpy as np

from streamlearn.learner import Learner
from streamlearn.rules.geometric_spiking import GeometricSpiking


def test_the_next_frame_is_told_where_codes_move_slowly_alone() -> None:
    """Codes that drift along are told all the time, codes of noise once in 17 times."""
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((600, 24))
    drift = np.cumsum(noise, axis=0)
    assert geometric_starts.told(drift) > 90
    assert 2 < geometric_starts.told(noise) < 11


def test_a_moving_square_is_seen_and_a_still_one_is_not() -> None:
    """The video configuration fires for what moves, in the units that are near, and else not."""
    film = np.zeros((30, 72, 96), np.float32)
    for t in range(15):
        film[t, 30:42, 2 * t : 2 * t + 10] = 200
    film[15:] = film[14]
    config = geometric_starts.configured("video")
    codes = geometric_starts.seen(config, film.reshape(30, -1))
    assert codes[7:15].sum(axis=1).min() > 10
    assert codes[25:].sum() == 0
    (part,) = (s.part for s in Learner(config).parts if isinstance(s.part, GeometricSpiking))
    rows = part.nodes().units[codes.sum(axis=0) > 0, 0]
    assert rows.min() > 30 - 13
    assert rows.max() < 42 + 13
