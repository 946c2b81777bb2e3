"""Competing hidden units: the fast rule of Krotov & Hopfield, one example at a time.

Units compete for each row. The winner's weights move towards it, those of the k-th move away, all
others stay, so learning costs two columns of weights and responding is nearly all the time there
is. Labels are never looked at.

D. Krotov & J. Hopfield, Unsupervised learning by competing hidden units, PNAS 116 (2019),
arXiv 1806.10181. With their signs:

    z   = x / |x|_p                                      the row on the p-sphere
    I_h = sum_i sign(W_ih) |W_ih|^(p-1) z_i              current, in [-1, 1] (Hölder)
    W_1 <- W_1 + eta_1/(1 - eta_1) z                     rank 1
    W_k <- W_k - delta eta_k/(1 + delta eta_k I_k) z     rank k
    W   <- W / |W|_p                                     for these two

which is eq. 2 with g = (1, -delta), carried to the p-sphere to which eq. 2 converges. From weights
N(0, 1) the published step overshoots to NaN for p > 2; this one cannot, whatever the start.

What the paper takes from a schedule, a stream must find for itself:

- the rate of a unit falls with its own moves, eta = max(rate_floor, rate / (1 + moves)): with
  rate 1 it would be the mean of its rows. It stays at the floor, so that drift is followed;
- ranks are taken from I_h - conscience (load_h - 1), where load is a fading share of the wins and
  1 is the fair share (DeSieno, Adding a conscience to competitive learning, 1988);
- each row looks at one unit in turn; one that has not won for `patience` times H rows takes the
  row for its weights. At the start no unit has won: the first H rows become the units.

The activity is relu(I - mean I)^power (or relu(I)^power, the paper's), divided by the row's root
mean square over the units that have weights, so that what reads it need not know them.
"""

from streamlearn.rules.hebbian.layer import Hebbian, HebbianOptions

__all__ = ["Hebbian", "HebbianOptions"]
