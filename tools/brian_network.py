"""The untrained network of `geometric_spiking` in Brian2, spike for spike, to time it beside ours.

The same edges, latencies and weights, the same sums, thresholds and refractory times at the same
steps. Rows follow each other in one long run, so that starting it is not counted again and again.
Needs brian2; its version 2.9 needs a NumPy below 2.3.
"""

import importlib
import importlib.util
import math
import time
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.part import F32, Place
from streamlearn.rules.geometric_spiking import GeometricSpikingOptions as Options
from streamlearn.rules.geometric_spiking.start import new_net, window_of

_SUMS: Final = """
df/dt = -f / tau_fast : 1
ds/dt = -s / tau_slow : 1
a : 1
"""
_ARRIVES: Final = """
a_post += w * int(not_refractory_post)
f_post += w * int(not_refractory_post)
s_post += w * int(not_refractory_post)
"""
_ORDER: Final = ["start", "groups", "synapses", "thresholds", "resets", "end"]
"""What arrives in a step counts in it, as in ours; Brian2's own order would make it one later."""


def missing() -> str:
    """What keeps it from running here, or nothing."""
    return "" if importlib.util.find_spec("brian2") else "needs brian2; pip install brian2"


class Run(NamedTuple):
    """What came of some rows."""

    seconds: float
    """Of simulation alone, for all rows."""
    counts: NDArray[np.int64]
    """[B, H] spikes of each unit in each row's window."""


class BrianNetwork:
    """One network, built once.

    Parameters
    ----------
    options, place
        Of ours: `coding = "latency"`, no clocks, no plasticity, 1 ms a step, reset by subtraction.

    """

    def __init__(self, options: Options, place: Place) -> None:
        self.brian: Any = importlib.import_module("brian2")
        self.brian.prefs.core.default_float_dtype = np.float32
        self._options, self._inputs = options, place.width_in
        self._steps = window_of(options)
        ms = self.brian.ms
        self.brian.defaultclock.dt = 1 * ms
        self._source = self.brian.SpikeGeneratorGroup(place.width_in, [], [] * ms)
        self._units = self._group(options)
        self._edges = self._wired(new_net(options, place)[0])
        self._monitor = self.brian.SpikeMonitor(self._units)
        anew = self._units.run_regularly("f = 0; s = 0", dt=self._steps * ms, when="start")
        heard = self._units.run_regularly("a = 0", when="start")
        parts = (self._source, self._units, self._edges, self._monitor, anew, heard)
        self._net = self.brian.Network(*parts)
        self._net.schedule = _ORDER

    def version(self) -> str:
        """Name, version, and what makes its code."""
        return f"Brian2 {self.brian.__version__}, {self.brian.prefs.codegen.target}"

    def run(self, x: F32) -> Run:
        """Simulate rows x [B, D], from nothing."""
        ms, begin = self.brian.ms, round(self._net.t / self.brian.defaultclock.dt)
        row, node = np.nonzero(x > 0)
        late = np.floor(self._options.coding_ms * (1 - np.minimum(x[row, node], 1)))
        self._source.set_spikes(node, (begin + row * self._steps + late) * ms)
        known = len(self._monitor.i)
        began = time.perf_counter()
        self._net.run(len(x) * self._steps * ms)
        seconds = time.perf_counter() - began
        counts = np.zeros((len(x), self._options.units), np.int64)
        step = np.rint(np.asarray(self._monitor.t)[known:] * 1e3).astype(np.int64) - begin
        np.add.at(counts, (step // self._steps, np.asarray(self._monitor.i)[known:]), 1)
        return Run(seconds, counts)

    def _group(self, options: Options) -> Any:
        slow, fast = (-math.expm1(-1 / t) for t in (options.tau_slow_ms, options.tau_fast_ms))
        ms = self.brian.ms
        space = {
            "tau_fast": options.tau_fast_ms * ms,
            "tau_slow": options.tau_slow_ms * ms,
            "b": options.balance * slow / fast,
            "theta": options.threshold,
        }
        return self.brian.NeuronGroup(
            options.units,
            _SUMS,
            threshold="a != 0 and f - b * s >= theta",
            reset="f -= theta",
            refractory=options.refractory_ms * ms,
            method="exact",
            namespace=space,
        )

    def _wired(self, net: Any) -> Any:
        H = self._options.units
        edges = self.brian.Synapses(self._source, self._units, "w : 1", on_pre=_ARRIVES)
        source = np.repeat(np.arange(len(net.first) - 1), np.diff(net.first))
        from_inputs = source < self._inputs
        cells = net.cells[from_inputs].astype(np.int64)
        edges.connect(i=source[from_inputs], j=cells % H)
        edges.w = net.weights[from_inputs]
        edges.delay = (cells // H) * self.brian.ms
        return edges
