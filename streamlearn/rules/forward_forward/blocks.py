"""`labels = "blocks"`: units belong to classes, and a class's block should be the most active.

No negatives, one pass (channel-wise competition, Papachristodoulou et al., AAAI 2024). For a row z:

    h = relu(W' z),   G_k = mean over block k of h²,   p = softmax(scale G),   e = q - p
    a_i = e_k scale 2 h_i / units of the block k of i,   W += rate f(t) v a'

Units that are left over go to the first blocks. Everything else is as in `projection`.
"""

from typing import Any

from streamlearn.part import Place
from streamlearn.rules.forward_forward.local import Local


class Blocks(Local):
    """A layer whose units belong to classes.

    Parameters
    ----------
    options
        Units, steps, averages; see `ForwardForwardOptions`.
    place
        Widths, classes and seed.

    Raises
    ------
    ConfigError
        Where there are fewer than two classes, or fewer units than classes, or both ways to size a
        step are asked for.

    """

    def __init__(self, options: Any, place: Place) -> None:
        super().__init__(options, place, blocks=True)
