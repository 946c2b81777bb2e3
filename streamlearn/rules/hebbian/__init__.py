"""Competing hidden units: Krotov & Hopfield's rule, one example at a time, without labels.

D. Krotov & J. Hopfield, Unsupervised learning by competing hidden units, PNAS 116 (2019),
arXiv 1806.10181. With <X, Y> = sum_i |W_i|^(p-2) X_i Y_i and a row z on the p-sphere, unit m has
the current I_m = <W_m, z>, and

    dW_m = rate g_m (R^p z - I_m W_m)                                                   (eq. 2)

brings its weights to the p-sphere of radius R. Who learns how strongly, g, is the competition's:

- `ranking`, the paper's fast version: 1 for the highest current, -delta for the k-th;
- `dynamics`, its biology: the steady state of units that inhibit each other (`dynamics`);
- `soft`: a softmax, SoftHebb (`soft_kernels`);
- `none`: g is the unit's own overlap; with p = 2 this is Oja's rule.

`plasticity = "equation"` takes steps of eq. 2 as it is written, a minibatch at a time where wanted,
on the paper's annealed schedule where its end is known (`equation_kernels`). A stream wants
`plasticity = "sphere"`, the same step carried to the sphere:

    W_1 <- W_1 + eta_1/(1 - eta_1) z                     drawn to the row
    W_k <- W_k - delta eta_k/(1 + delta eta_k I_k) z     pushed away
    W   <- W / |W|_p                                     for these

From weights N(0, 1) the published step overshoots to NaN for p > 2; this one cannot, whatever the
start. What the paper takes from a schedule, it finds for itself:

- the rate of a unit falls with its own moves, eta = max(rate_floor, rate / (1 + moves)): with
  rate 1 it would be the mean of its rows. It stays at the floor, so that drift is followed;
- competition is by I_m - conscience (load_m - 1), where load is a fading share of the wins and
  1 is the fair share (DeSieno, Adding a conscience to competitive learning, 1988);
- each row looks at one unit in turn; one that has not won for `patience` times H rows takes the
  row for its weights. At the start no unit has won: the first H rows become the units.

The activity is relu(I - mean I)^power, or relu(I)^power, the paper's, divided by the row's root
mean square over the units that have weights, so that what reads it need not know them. With
`field` the units look at every patch of an image (`patches`).
"""

from streamlearn.rules.hebbian.layer import Hebbian
from streamlearn.rules.hebbian.options import HebbianOptions

__all__ = ["Hebbian", "HebbianOptions"]
