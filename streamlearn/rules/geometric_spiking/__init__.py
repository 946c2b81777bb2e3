"""Geometric spiking networks: nodes in space, distance makes delay, and timing is the code.

G. Silva, The effect of signaling latencies and node refractory states on the dynamics of networks,
Neural Computation 31(12), 2019, arXiv 1804.07609. Nodes have places. A signal from node i reaches
node j after the latency

    tau_ij = d_ij / s_ij,   the length of the edge over its conduction speed,

and a node that has just fired ignores what arrives for its refractory time R_j. Their ratio
Lambda_ij = R_j / tau_ij, the *refraction ratio*, says whether a signal finds the node ready; the
article expects efficient signalling where it tends to 1.

A unit is a *geometric dynamic perceptron*: it sums what arrives over time, with decay, and fires at
a threshold; the first effective arrival wins. With a the sum of what arrives at step t, 0 where the
unit is refractory, and dt the steps since the last arrival:

    f <- f exp(-dt / tau_fast) + a,   s <- s exp(-dt / tau_slow) + a,   v = f - balance r s,
    r = (1 - exp(-1 / tau_slow)) / (1 - exp(-1 / tau_fast)),

so that at balance = 1 excitation and the inhibition that follows it have the same area
(feed-forward inhibition), and at 0 it is the plain leaky sum. A unit is looked at only when
something arrives at it (a != 0): it then fires where v >= theta and t - (its last spike) >= R
(`dynamics`).

A row drives a window of simulated time. Its numbers are turned into times of spikes of the input
nodes (`coding`); clocks are nodes that fire at set times, whatever the row. Spikes are put into a
calendar of arrivals, of which only steps with arrivals are worked out. What happened is written as
counts, times of first spikes, the path of activity, or how weights moved (`encoding`).

With spike-timing-dependent plasticity edges from clocks and units learn where signals meet spikes
(`stdp`), for a row only ("row": the weights' trajectory is the code) or for good ("kept").
"""

from streamlearn.rules.geometric_spiking.options import GeometricSpikingOptions
from streamlearn.rules.geometric_spiking.rule import GeometricSpiking

__all__ = ["GeometricSpiking", "GeometricSpikingOptions"]
