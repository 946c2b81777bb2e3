"""Slow twin of `geometric_spiking`: every step of time, every edge, in float64.

It takes the network that the seed draws, as edges with a source, a target and a latency. Sums and
traces decay at every step, whether anything arrives or not; there is no calendar but a list of
edges for every step to come.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlearn.part import F32, Arrays, Place, Rows, alone
from streamlearn.rules.geometric_spiking.start import new_net

Vector = NDArray[np.float64]

FIGURE_ROWS = 1000


class Past:
    """What is going on in one stream; time is counted from where it began."""

    def __init__(self, units: int, edges: int) -> None:
        self.t = 0
        self.f, self.s, self.y = np.zeros(units), np.zeros(units), np.zeros(units)
        self.x = np.zeros(edges)
        self.free = np.zeros(units, np.int64)
        self.arriving: dict[int, list[int]] = {}


class GeometricSpiking:
    """A network as its equations have it."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options, self.place = options, place
        net, _ = new_net(options, place)
        H, E = options.units, len(net.weights)
        self.w = net.weights.astype(np.float64)
        self.born = self.w.copy()
        self.target = (net.cells % H).astype(np.int64)
        self.delay = (net.cells // H).astype(np.int64)
        self.source = np.repeat(np.arange(len(net.first) - 1), np.diff(net.first))
        self.theta = net.thresholds.astype(np.float64)
        self.refractory = net.refractory
        self.buckets = net.buckets
        self.units, self.edges = H, E
        self.inputs = len(net.first) - 1 - H - options.clocks
        plastic = np.flatnonzero(self.source >= self.inputs)
        by_target = plastic[np.argsort(self.target[plastic], kind="stable")]
        self.plastic = by_target if options.stdp != "off" else []
        self.past: dict[int, Past] = {}
        self.counts, self.figures = np.zeros(3), np.zeros(3)
        self.usage = np.ones(H)
        self.spikes: list[tuple[int, int]] = []

    def steps(self, time_ms: float) -> int:
        """A time in steps."""
        return round(time_ms / self.options.step_ms)

    def learn(self, rows: Rows) -> None:
        """Simulate each row's window, write what it is encoded as, keep what it taught."""
        origin = rows.origin or alone(len(rows.x), begin=False)
        for b, x in enumerate(rows.x):
            slot = int(origin.slot[b])
            if origin.begins[b] or self.options.between == "reset" or slot not in self.past:
                self.past[slot] = Past(self.units, self.edges)
            before = self.w.copy()
            cut, sampled = self.simulate(x, self.past[slot])
            if cut:
                del self.past[slot]
            rows.out[b] = self.encode(sampled)
            if cut or self.options.stdp != "kept":
                self.w = before
            self.note(cut)

    def simulate(self, x: F32, past: Past) -> tuple[bool, list[Vector]]:
        """One window, step by step; returns whether it was cut, and weights as they moved."""
        T, start = self.steps(self.options.window_ms), self.w.copy()
        sources: dict[int, list[int]] = {}
        for node, t in self.input_spikes(x):
            sources.setdefault(t, []).append(node)
        clocks = np.linspace(
            self.options.clock_from_ms, self.options.clock_to_ms, self.options.clocks
        )
        for c, t in enumerate(np.rint(clocks / self.options.step_ms).astype(int).tolist()):
            sources.setdefault(t, []).append(self.inputs + c)
        times = [self.steps(t) for t in sorted(self.options.sample_ms)] or [T]
        sampled: list[Vector] = []
        self.spikes = []
        for t in range(T):
            sampled += [self.w - start for time in times if time == t]
            for node in sources.get(t, []):
                self.send(past, node)
            if self.step(past, t):
                sampled += [self.w - start] * (len(times) - len(sampled))
                return True, sampled
        return False, sampled + [self.w - start for time in times if time == T]

    def step(self, past: Past, t: int) -> bool:
        """One step of the network; True where there are too many spikes."""
        options, arriving = self.options, past.arriving.pop(past.t, [])
        total = np.zeros(self.units)
        for e in arriving:
            total[self.target[e]] += self.w[e]
            if e in self.plastic:
                self.move(e, -options.a_minus * past.y[self.target[e]])
                past.x[e] += 1
        total[past.free > past.t] = 0
        total[np.abs(total) < 1e-12] = 0
        past.f += total
        past.s += total
        fast, slow = self.decay(options.tau_fast_ms), self.decay(options.tau_slow_ms)
        v = past.f - options.balance * (1 - slow) / (1 - fast) * past.s
        for j in np.flatnonzero((total != 0) & (v >= self.theta)):
            if len(self.spikes) == options.max_spikes:
                return True
            self.fire(past, int(j), t)
        past.t += 1
        past.f *= fast
        past.s *= slow
        past.x *= self.decay(options.tau_plus_ms)
        past.y *= self.decay(options.tau_minus_ms)
        return False

    def fire(self, past: Past, j: int, t: int) -> None:
        """Unit j fires."""
        self.spikes.append((t, j))
        past.free[j] = past.t + self.refractory[j]
        if self.options.reset == "subtract":
            past.f[j] -= self.theta[j]
        elif self.options.reset == "zero":
            past.f[j] = past.s[j] = 0
        for e in self.plastic:
            if self.target[e] == j and past.x[e] > 0:
                self.move(e, self.options.a_plus * past.x[e])
        if self.options.stdp != "off":
            past.y[j] += 1
        self.send(past, self.inputs + self.options.clocks + j)

    def send(self, past: Past, source: int) -> None:
        """A spike goes out along all edges of its source."""
        for e in np.flatnonzero(self.source == source):
            past.arriving.setdefault(past.t + int(self.delay[e]), []).append(int(e))

    def move(self, e: int, step: float) -> None:
        """Move a weight as its bounds allow."""
        options, w = self.options, self.w[e]
        limit = math.inf if options.bounds == "none" else options.weight_limit
        low, high = -limit, limit
        if not options.turns:
            low, high = (0, limit) if self.born[e] >= 0 else (-limit, 0)
        if options.bounds == "multiplicative":
            step *= abs((high if step > 0 else low) - w) / limit
        self.w[e] = min(max(w + step, low), high)

    def decay(self, tau_ms: float) -> float:
        """What is left after a step."""
        return math.exp(-self.options.step_ms / tau_ms)

    def input_spikes(self, x: F32) -> list[tuple[int, int]]:
        """Input nodes that fire for a row, and when."""
        options, found = self.options, []
        width = options.high - options.low
        strengths: list[float] = []
        for value in x.astype(np.float64).tolist():
            if options.coding == "population":
                u = min(max((value - options.low) * (1 / width), 0), 1) * (options.bumps - 1)
                bumps = [math.exp(-0.5 * ((u - k) * 1.5) ** 2) for k in range(options.bumps)]
                strengths += [r if r >= 0.1 else 0.0 for r in bumps]
            else:
                both = (value, -value) if options.coding == "signed" else (value,)
                strengths += [min(max((v - options.low) * (1 / width), 0), 1) for v in both]
        for node, u in enumerate(strengths):
            if u > 0 and options.coding == "active":
                found.append((node, 0))
            elif u > 0:
                steps = options.coding_ms / options.step_ms
                found.append((node, math.floor(steps * (1 - u))))
        return found

    def encode(self, sampled: list[Vector]) -> Vector:
        """What the window is written as."""
        options, H, T = self.options, self.units, self.steps(self.options.window_ms)
        code: Vector = np.zeros(H)
        if options.gives == "counts":
            for _, j in self.spikes:
                code[j] += 1
        elif options.gives == "first_spikes":
            for t, j in reversed(self.spikes):
                code[j] = 1 - t / T
        elif options.gives == "weights":
            code = np.concatenate([moved[self.plastic] for moved in sampled])
        else:
            code = self.path()
        code = np.sign(code) * np.abs(code) ** options.power
        if options.compress_to:
            folded = np.zeros(options.compress_to)
            for z, bucket in zip(code, self.buckets, strict=False):
                folded[abs(bucket) - 1] += z * np.sign(bucket)
            code = folded
        length = float(np.linalg.norm(code))
        return code / length if options.unit_norm and length else code

    def path(self) -> Vector:
        """Spikes of units in smoothed bins."""
        options = self.options
        bins = math.ceil(options.window_ms / options.bin_ms - 1e-9)
        raster = np.zeros((bins, self.units))
        for t, j in self.spikes:
            raster[int((t + 1e-6) * options.step_ms / options.bin_ms), j] += 1
        keep = math.exp(-options.bin_ms / options.smooth_ms) if options.smooth_ms else 0.0
        for k in range(1, bins):
            raster[k] += keep * raster[k - 1]
        return raster[options.every_bins - 1 :: options.every_bins].ravel()

    def note(self, cut: bool) -> None:  # noqa: FBT001
        """Bring figures and thresholds up to date."""
        count = np.bincount([j for _, j in self.spikes], minlength=self.units)
        share = max(1 / (self.counts[0] + 1), 1 / FIGURE_ROWS)
        now = np.array([count.sum() / self.units, not self.spikes, cut])
        self.counts += [1, not self.spikes, cut]
        self.figures += share * (now - self.figures)
        self.usage += share * ((count > 0) - self.usage)
        if self.options.target_spikes:
            change = self.options.threshold_rate * (count - self.options.target_spikes)
            self.theta = self.theta * np.exp(np.clip(change, -1, 1))
            self.theta = np.maximum(self.theta, 1e-3 * self.options.threshold)

    def arrays(self) -> Arrays:
        """Weights, thresholds, figures, and the sums of streams that go on."""
        arrays: Arrays = {
            "weights": self.w,
            "thresholds": self.theta,
            "counts": self.counts,
            "figures": self.figures,
            "usage": self.usage,
        }
        if self.options.between == "carry":
            slots = self.place.live + 1
            kept = {name: np.zeros((slots, self.units)) for name in ("fast", "slow", "free")}
            for slot, past in self.past.items():
                kept["fast"][slot], kept["slow"][slot] = past.f, past.s
                kept["free"][slot] = np.maximum(past.free - past.t, 0)
            arrays |= {f"past_{name}": array for name, array in kept.items()}
        return arrays
