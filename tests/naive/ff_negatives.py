"""Slow twin of `streamlearn.rules.forward_forward.negatives`: input by input, in float64."""

import math
from typing import Any

import numpy as np

from streamlearn.kernels.random import generator, uniform
from streamlearn.part import Arrays, Place

SALT = 0x6D61736B
BLOB = 0.1
RATE = 0.1
SLOT, PARTNER, MASK, DOWN, ACROSS, HALF = range(1 << 20, (1 << 20) + 6)
STEPS = 1 << 21


def grid(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Planes, height, width and channels of a row of this shape."""
    if len(shape) == 2:
        return 1, *shape, 1
    if len(shape) == 3:
        return (*shape, 1) if shape[0] < shape[2] else (1, *shape)
    return 1, 1, math.prod(shape), 1


def masks(height: int, width: int, seed: int, count: int = 32) -> Any:
    """Noise that is blurred as often as the axes' lengths ask for, cut at its median [M, R, C]."""
    noise = generator(seed ^ SALT).standard_normal((count, height, width))
    for axis in (1, 2):
        for _ in range(round(2 * (BLOB * noise.shape[axis]) ** 2)):
            before, after = np.roll(noise, 1, axis), np.roll(noise, -1, axis)
            noise = before / 4 + noise / 2 + after / 4
    return np.array([each > np.median(each) for each in noise])


class Negatives:
    """A reservoir, and whatever a kind of negative needs beside it."""

    def __init__(self, options: Any, place: Place) -> None:
        self.kind, self.place = options.negatives, place
        self.rows = options.reservoir_rows
        self.grid = grid(place.shape_in)
        self.masks = masks(*self.grid[1:3], place.seed)
        generated = self.kind == "generated"
        self.kept = np.zeros((self.rows, options.units if generated else place.width_in))
        self.kept_rows = np.zeros(1, np.int64)
        self.generative = np.zeros((options.units, place.width_in))

    def below(self, row: int, draw: int, count: int) -> int:
        """One of 0 … count - 1."""
        return int(uniform(self.place.seed, row, draw) * count)

    def mask(self, row: int) -> Any:
        """Where the row keeps its own inputs [D]."""
        planes, height, width, channels = self.grid
        mask = self.masks[self.below(row, MASK, len(self.masks))]
        shift = self.below(row, DOWN, height), self.below(row, ACROSS, width)
        moved = np.roll(mask, (-shift[0], -shift[1]), (0, 1)) == self.below(row, HALF, 2)
        return np.tile(np.repeat(moved.ravel(), channels), planes)

    def order(self, row: int) -> list[int]:
        """Time steps in the order that they come in."""
        order = list(range(self.place.shape_in[0]))
        for t in range(len(order) - 1, 0, -1):
            other = self.below(row, STEPS + t, t)
            order[t], order[other] = order[other], order[t]
        return order

    def coins(self, row: int, count: int) -> Any:
        """Heads or tails for each unit [H], 32 of a draw."""
        draws = [self.below(row, STEPS + n, 1 << 32) for n in range(-(-count // 32))]
        return np.array([draws[h // 32] >> (h % 32) & 1 for h in range(count)], bool)

    def make(self, x: Any, activity: Any, row: int) -> Any:
        """The negative [D] of a row, or None."""
        x, activity = np.asarray(x, float), np.asarray(activity, float)
        if self.kind == "shuffled":
            return x.reshape(self.place.shape_in)[self.order(row)].ravel()
        held = min(int(self.kept_rows[0]), self.rows)
        if held == 0:
            return None
        other = self.kept[self.below(row, PARTNER, held)]
        if self.kind == "hybrid":
            return np.where(self.mask(row), x, other)
        if self.kind == "pairing":
            return (x + other) / 2
        mixed = np.where(self.coins(row, len(activity)), activity, other)
        return mixed @ self.generative

    def remember(self, x: Any, activity: Any, row: int) -> None:
        """Put the row where there is room, or in the place of a random one."""
        x, activity = np.asarray(x, float), np.asarray(activity, float)
        if self.kind == "generated" and activity.any():
            error = x - activity @ self.generative
            self.generative += RATE * np.outer(activity, error) / (activity @ activity)
        held = int(self.kept_rows[0])
        slot = held if held < self.rows else self.below(row, SLOT, self.rows)
        self.kept[slot] = activity if self.kind == "generated" else x
        self.kept_rows += 1

    def arrays(self) -> Arrays:
        """What the fast one keeps, by the same names."""
        state: Arrays = {"kept": self.kept, "kept_rows": self.kept_rows}
        return state | ({"generative": self.generative} if self.kind == "generated" else {})
