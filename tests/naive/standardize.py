"""Slow twin of `streamlearn.prepare.standardize`: one input of one row at a time."""

import math
from typing import Any

import numpy as np

from streamlearn.part import F32, Arrays, Place, Rows, alone


class Input:
    """What is known of one input: mean, variance, how many values; and the values since a look."""

    def __init__(self, options: Any) -> None:
        self.options = options
        self.mean = self.variance = 0.0
        self.reach = math.inf
        self.rows = self.far = 0
        self.newest: list[float] = []

    def varies(self) -> bool:
        """Whether its deviation is more than rounding."""
        return math.sqrt(self.variance) > 2.0**-24 * abs(self.mean)

    def out(self, value: float) -> float:
        """The value, standardised."""
        z = (value - self.mean) / math.sqrt(self.variance) if self.varies() else 0.0
        return float(np.clip(z, -self.options.clip, self.options.clip))

    def add(self, value: float) -> None:
        """Take a value in, if it is believed; look whether the newest say something else."""
        options = self.options
        if abs(value - self.mean) > self.reach:
            self.far += 1
        else:
            self.rows += 1
            rate = 1 / self.rows
            if options.memory_rows:
                rate = max(rate, 1 / options.memory_rows)
            deviation = value - self.mean
            self.mean += rate * deviation
            self.variance = (1 - rate) * (self.variance + rate * deviation**2)
        if options.limit > 0:
            self.newest.append(value)
        if len(self.newest) == options.patience_rows:
            self.look()

    def look(self) -> None:
        """Believe the newest values where most were not, or where they are far smaller."""
        options, new = self.options, Input(self.options)
        new.mean, new.variance = float(np.mean(self.newest)), float(np.var(self.newest))
        new.rows = len(self.newest)
        smaller = new.variance < self.variance / 1e6 and new.varies()
        if self.far > 0.5 * new.rows or smaller:
            self.mean, self.variance, self.rows = new.mean, new.variance, new.rows
        doubts = options.memory_rows == 0 or options.memory_rows >= options.patience_rows
        spread = options.limit * math.sqrt(self.variance)
        self.reach = spread if doubts and self.varies() else math.inf
        self.newest, self.far = [], 0


class Standardize:
    """Each input by those before it; of all streams, or of each by itself."""

    def __init__(self, options: Any, place: Place) -> None:
        self.options, self.width = options, place.width_in
        self.all = self.fresh()
        self.streams: dict[int, tuple[int, list[Input]]] = {}
        """Slot → the stream's number, and its inputs."""

    def fresh(self) -> list[Input]:
        """Of nothing yet."""
        return [Input(self.options) for _ in range(self.width)]

    def learn(self, rows: Rows) -> None:
        """Transform a row, then take it in."""
        origin = rows.origin or alone(len(rows.x))
        for b, x in enumerate(rows.x.tolist()):
            slot, stream = int(origin.slot[b]), int(origin.stream[b])
            inputs = self.all
            if self.options.per == "stream":
                if self.streams.get(slot, (None,))[0] != stream:
                    self.streams[slot] = stream, self.fresh()
                inputs = self.streams[slot][1]
            self._write(inputs, x, rows.out[b])
            for known in [inputs] if inputs is self.all else [inputs, self.all]:
                for one, value in zip(known, x, strict=True):
                    one.add(value)

    def follow(self, rows: Rows) -> None:
        """Transform a row by its stream's statistics, or by those of all."""
        assert rows.origin is not None
        known = dict(self.streams.values())
        for b, x in enumerate(rows.x.tolist()):
            self._write(known.get(int(rows.origin.stream[b]), self.all), x, rows.out[b])

    def _write(self, inputs: list[Input], x: list[float], out: F32) -> None:
        out[:] = [one.out(value) for one, value in zip(inputs, x, strict=True)]

    def arrays(self) -> Arrays:
        """The state under the names of the fast version; of slots that are in use, and of all."""
        places = [inputs for _, (_, inputs) in sorted(self.streams.items())] + [self.all]
        return {
            "mean": np.array([[one.mean for one in inputs] for inputs in places]),
            "variance": np.array([[one.variance for one in inputs] for inputs in places]),
            "rows": np.array([[one.rows for one in inputs] for inputs in places]),
            "new_far": np.array([[one.far for one in inputs] for inputs in places]),
            "new_rows": np.array([len(inputs[0].newest) for inputs in places]),
        }
