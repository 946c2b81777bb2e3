"""Places of nodes, and edges between them with latencies and weights, drawn by the seed.

Every kind of edge draws from a generator of its own: more clocks leave the input weights alone.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlearn.kernels.random import generator
from streamlearn.part import Place
from streamlearn.rules.geometric_spiking.options import GeometricSpikingOptions as Options

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

_MARGIN: Final = 0.07
"""Share of the plane along each border in which no unit lies."""
_DEEP_SPREAD: Final = 0.11
"""Share of the plane around its middle, either way, under which deep units lie."""


class Nodes(NamedTuple):
    """Where nodes are."""

    inputs: F64
    """[N, 2] row and column."""
    units: F64
    """[H, 2]"""
    directions: F64
    """[H, 2] from where a unit sees fronts come, or along which its rod lies, of length 1."""
    depths: F64
    """[H] below the plane of inputs."""
    block: I64
    """[H] which block of units, 0 … blocks - 1."""


class Edges(NamedTuple):
    """Edges of one kind, or of all."""

    source: I64
    """[E] inputs, then clocks, then units."""
    target: I64
    """[E] unit"""
    latency_ms: F64
    """[E]"""
    weight: F64
    """[E]"""


def chosen(drawn: Edges, mask: NDArray[np.bool_]) -> Edges:
    """Those of the edges [E] that the mask [E] names."""
    columns: Any = [column[mask] for column in drawn]
    return Edges(*columns)


def nodes_a_number(options: Options) -> int:
    """How many input nodes each number of a row has."""
    return {"signed": 2, "population": options.bumps}.get(options.coding, 1)


def grid_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns in space: of [h, w], [h, w, c] and [f, h, w, c] h and w, of [n] one line.

    Numbers that differ in c or f alone lie at the same place.
    """
    if len(shape) == 1:
        return 1, shape[0]
    return (shape[0], shape[1]) if len(shape) < 4 else (shape[1], shape[2])


def places(options: Options, place: Place) -> Nodes:
    """Inputs at the points of their grid, units anywhere between them, or where the layout says."""
    random = generator(place.seed)
    rows, columns = grid_of(place.shape_in)
    channels = place.shape_in[-1] if len(place.shape_in) > 2 else 1
    at = np.arange(place.width_in) // channels % (rows * columns)
    inputs = np.stack([at // columns, at % columns], axis=1).astype(np.float64)
    extent = np.array([rows - 1.0, columns - 1.0])
    H = options.units
    units = extent * random.uniform(_MARGIN, 1 - _MARGIN, (H, 2))
    angle = random.uniform(0.0, 2 * np.pi, H)
    directions = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    depths = np.zeros(H)
    if options.layout == "strips":
        units, directions = _strips(options, extent / 2)
    if options.layout == "rods":
        depths[:] = options.depth
        below = slice(H - options.deep, H)
        depths[below] = np.linspace(options.depth, options.deep_to, options.deep)
        units[below] = extent * random.uniform(
            0.5 - _DEEP_SPREAD, 0.5 + _DEEP_SPREAD, (options.deep, 2)
        )
    return Nodes(
        inputs=np.repeat(inputs, nodes_a_number(options), axis=0),
        units=units,
        directions=directions,
        depths=depths,
        block=np.arange(H) * options.blocks // H,
    )


def _strips(options: Options, middle: F64) -> tuple[F64, F64]:
    """Centres and directions [H, 2]: strips side by side across each of the directions."""
    K, each = options.directions, options.units // options.directions
    angle = np.repeat(2 * np.pi * (np.arange(K) + 0.5) / K, each)
    offset = np.tile((np.arange(each) - (each - 1) / 2) * options.spacing, K)
    directions = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return middle + offset[:, None] * _across(directions), directions


def _across(directions: F64) -> F64:
    """Directions turned by a right angle."""
    return np.stack([-directions[:, 1], directions[:, 0]], axis=1)


def pairs_of(options: Options, place: Place) -> int:
    """How many pairs of nodes may have an edge."""
    H, N = options.units, place.width_in * nodes_a_number(options)
    return H * (N + options.clocks + H * _recurs(options))


def _recurs(options: Options) -> bool:
    """Whether there may be edges between units."""
    if options.layout != "blocks":
        return options.p_recurrent > 0
    return options.p_within > 0 or options.blocks > 1


def edges(options: Options, place: Place, nodes: Nodes) -> Edges:
    """All edges: from inputs, from clocks, between units."""
    kinds = (
        _from_inputs(options, place.seed, nodes),
        _from_clocks(options, place.seed, nodes),
        _between_units(options, place.seed, nodes),
    )
    return Edges(*(np.concatenate(columns) for columns in zip(*kinds, strict=True)))


def _from_inputs(options: Options, seed: int, nodes: Nodes) -> Edges:
    random = generator(seed ^ 1)
    p = options.p_between if options.layout == "blocks" else options.p_input
    N, H = len(nodes.inputs), options.units
    there = random.random((N, H)) < p
    length, factor = _reach(options, nodes)
    if options.sigma > 0:
        there &= factor >= options.cutoff
    if options.input_weights == "signed":
        weight = _signed(random, options, (N, H))
    else:
        weight = random.uniform(1 - options.input_spread, 1 + options.input_spread, (N, H))
    latency = options.latency_ms + length / options.speed + _jitter(random, options, (N, H))
    source, target = np.nonzero(there)
    return Edges(source, target, latency[there], (options.input_weight * factor * weight)[there])


def _reach(options: Options, nodes: Nodes) -> tuple[F64, F64]:
    """Length of the way from each input to each unit [N, H], and what the Gaussian leaves of it."""
    away = nodes.inputs[:, None] - nodes.units
    along = (away * nodes.directions).sum(axis=2)
    across = (away * _across(nodes.directions)).sum(axis=2)
    factor = np.ones(along.shape)
    if options.sigma > 0:
        wide = options.sigma_along or options.sigma
        factor = np.exp(-(across**2) / (2 * options.sigma**2) - along**2 / (2 * wide**2))
    if options.layout in {"front", "strips"}:
        return along, factor
    rod = options.rod if options.layout == "rods" else 0.0
    beyond = np.maximum(np.abs(along) - rod / 2, 0.0)
    return np.sqrt(beyond**2 + across**2 + nodes.depths**2), factor


def _from_clocks(options: Options, seed: int, nodes: Nodes) -> Edges:
    random, shape = generator(seed ^ 2), (options.clocks, options.units)
    least = min(options.step_ms, options.clock_latency_ms)
    latency = random.uniform(least, options.clock_latency_ms, shape)
    weight = options.clock_weight * _signed(random, options, shape)
    source, target = np.indices(shape)
    N = len(nodes.inputs)
    return Edges(source.ravel() + N, target.ravel(), latency.ravel(), weight.ravel())


def _between_units(options: Options, seed: int, nodes: Nodes) -> Edges:
    random, shape = generator(seed ^ 3), (options.units, options.units)
    if not _recurs(options):
        none = np.zeros(0, np.int64)
        return Edges(none, none, np.zeros(0), np.zeros(0))
    chance = np.full(shape, options.p_recurrent)
    if options.layout == "blocks":
        same = nodes.block[:, None] == nodes.block
        chance = np.where(same, options.p_within, options.p_between)
    there = (random.random(shape) < chance) & ~np.eye(options.units, dtype=bool)
    if options.recurrent_from == "deep":
        there[: options.units - options.deep] = False
        there[:, options.units - options.deep :] = False
    at = np.column_stack([nodes.units, nodes.depths])
    length = np.sqrt(((at[:, None] - at) ** 2).sum(axis=2))
    latency = length / options.recurrent_speed + _jitter(random, options, shape)
    weight = options.recurrent_weight * _signed(random, options, shape)
    source, target = np.nonzero(there)
    source = source + len(nodes.inputs) + options.clocks
    return Edges(source, target, latency[there], weight[there])


def _signed(random: np.random.Generator, options: Options, shape: tuple[int, int]) -> F64:
    """One uniform draw of width 1, of which `excitatory_share` lies above zero."""
    share = options.excitatory_share
    return random.uniform(share - 1, share, shape)


def _jitter(random: np.random.Generator, options: Options, shape: tuple[int, int]) -> F64:
    return random.uniform(-options.jitter_ms, options.jitter_ms, shape)
