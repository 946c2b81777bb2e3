"""`labels = "projection"`: every layer has a softmax of its own, and learns by its cross-entropy.

No negatives, one pass, nothing from above (Belilovsky et al. 2019, decoupled greedy learning; as a
goodness: Mono-Forward, arXiv 2501.09238). For a row z (the input at mean square 1, then a 1):

    h = relu(W' z),   p = softmax(M h),   e = q - p,   a = [h > 0] M' e
    W += rate f(t) v a',   M += read_rate f(t) e h'
    f(t) = max((1 + t / decay_rows)^-1/2, rate_floor)         t labelled rows so far

q is 1 - smoothing for the class and shared out for the rest; v = z, or with `decorrelate` z divided
by what inputs have in common (see `decorrelate`). Neither step changes a row's own evidence by more
than 64 times its error, which ends what would else run away. With `step = "adagrad"` every weight
has its own step (see `streamlearn.heads.softmax`), and f is not needed.

Answers come from averages A of W and M with polynomial decay (Shamir & Zhang 2013, eta = 4), moved
often at first and at last after every 100 labelled rows, gap of them, so that rates need not fall
for answers to settle:

    A += max(5 gap / (t + 4 gap), gap / memory_rows) (W - A)

A row without a label still teaches what inputs have in common. With `unlabelled` it is also learned
from, by a step that much smaller, as the class in which the layer itself believes, if it does so
by .95 of what labels teach it to.
"""

from typing import Any

from streamlearn.part import Place
from streamlearn.rules.forward_forward.local import Local


class Projection(Local):
    """A layer with a softmax of its own.

    Parameters
    ----------
    options
        Units, steps, averages; see `ForwardForwardOptions`.
    place
        Widths, classes and seed.

    Raises
    ------
    ConfigError
        Where there are fewer than two classes, or both ways to size a step are asked for.

    """

    def __init__(self, options: Any, place: Place) -> None:
        super().__init__(options, place, blocks=False)
