"""What a geometric spiking network can be told."""

from typing import Annotated, Literal

from msgspec import Meta

from streamlearn.config import LayerOptions

Milliseconds = Annotated[float, Meta(gt=0.0, le=1e5)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class GeometricSpikingOptions(LayerOptions, frozen=True, kw_only=True):
    """Geometric spiking network (Silva 2019): distance makes delay, and timing is the code."""

    units: Annotated[int, Meta(ge=1, le=65536, description="Recurrent nodes, H.")] = 200

    # Geometry
    layout: Annotated[
        Literal["plane", "front", "strips", "rods", "blocks"],
        Meta(
            description="plane: units lie among the inputs, latency by distance; front: each lies "
            "far off and sees a plane front along its own direction; strips: as front, evenly in "
            "all directions, without chance; rods: units are straight rods under the plane; "
            "blocks: as plane, with edges by a stochastic block model."
        ),
    ] = "front"
    directions: Annotated[
        int,
        Meta(ge=1, le=65536, description="Directions, in each units / directions strips (strips)."),
    ] = 20
    spacing: Annotated[
        float,
        Meta(
            gt=0.0,
            le=1e6,
            description="From strip to strip (strips).",
            extra={"unit": "grid steps"},
        ),
    ] = 2.5
    rod: Annotated[
        float,
        Meta(ge=0.0, le=1e6, description="Length of a rod (rods).", extra={"unit": "grid steps"}),
    ] = 16.0
    depth: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1e6,
            description="How far below the inputs rods lie (rods).",
            extra={"unit": "grid steps"},
        ),
    ] = 0.5
    deep: Annotated[
        int,
        Meta(
            ge=0,
            le=65536,
            description="How many units, the last ones, lie deeper, under the middle (rods).",
        ),
    ] = 0
    deep_to: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1e6,
            description="Depth of the deepest; they go down evenly (deep).",
            extra={"unit": "grid steps"},
        ),
    ] = 14.0
    deep_threshold: Annotated[
        float, Meta(gt=0.0, le=1e6, description="At which these fire (deep).")
    ] = 0.5
    deep_refractory_ms: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1e5,
            description="Refractory time of these (deep).",
            extra={"unit": "ms"},
        ),
    ] = 300.0
    blocks: Annotated[
        int, Meta(ge=1, le=65536, description="Blocks of units beside that of inputs (blocks).")
    ] = 1
    p_within: Annotated[
        float, Meta(ge=0.0, le=1.0, description="Chance of an edge in a block (blocks).")
    ] = 0.0
    p_between: Annotated[
        float, Meta(gt=0.0, le=1.0, description="Chance of an edge from block to block (blocks).")
    ] = 1.0
    p_input: Annotated[
        float, Meta(gt=0.0, le=1.0, description="Chance of an edge from input to unit.")
    ] = 1.0
    p_recurrent: Annotated[
        float, Meta(ge=0.0, le=1.0, description="Chance of an edge from unit to unit.")
    ] = 0.0
    recurrent_from: Annotated[
        Literal["all", "deep"], Meta(description="Which units have edges to other units.")
    ] = "all"
    speed: Annotated[
        float,
        Meta(
            gt=0.0,
            le=1e6,
            description="Conduction speed from inputs.",
            extra={"unit": "grid steps/ms"},
        ),
    ] = 0.1
    recurrent_speed: Annotated[
        float,
        Meta(
            gt=0.0,
            le=1e6,
            description="Conduction speed between units.",
            extra={"unit": "grid steps/ms"},
        ),
    ] = 1.0
    latency_ms: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1e5,
            description="Added to every latency from inputs.",
            extra={"unit": "ms"},
        ),
    ] = 120.0
    jitter_ms: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1e4,
            description="Latencies vary by up to this either way.",
            extra={"unit": "ms"},
        ),
    ] = 0.5
    sigma: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1e6,
            description="Width of the Gaussian around a unit by which input weights fall off; 0: "
            "they do not.",
            extra={"unit": "grid steps"},
        ),
    ] = 4.5
    sigma_along: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1e6,
            description="Its width along the unit's direction (front, strips); 0: sigma.",
            extra={"unit": "grid steps"},
        ),
    ] = 0.0
    cutoff: Annotated[
        float,
        Meta(
            ge=0.0,
            lt=1.0,
            description="Edges from inputs that it makes weaker than this share are left out.",
        ),
    ] = 1e-3
    input_weights: Annotated[
        Literal["signed", "positive"],
        Meta(
            description="signed: uniform, excitatory_share of them above zero; positive: around "
            "input_weight by input_spread."
        ),
    ] = "positive"
    input_weight: Annotated[float, Meta(ge=0.0, le=1e4, description="Size of input weights.")] = 1.0
    input_spread: Annotated[
        float, Meta(ge=0.0, le=1.0, description="How far they vary, as a share (positive).")
    ] = 0.2
    recurrent_weight: Annotated[
        float, Meta(ge=0.0, le=1e4, description="Size of weights between units.")
    ] = 0.05
    excitatory_share: Annotated[
        float, Meta(ge=0.0, le=1.0, description="Share of signed weights above zero.")
    ] = 0.7
    clocks: Annotated[
        int, Meta(ge=0, le=65536, description="Nodes that fire at set times, whatever the row.")
    ] = 0
    clock_from_ms: Annotated[
        float,
        Meta(ge=0.0, le=1e5, description="When the first clock fires.", extra={"unit": "ms"}),
    ] = 20.0
    clock_to_ms: Annotated[
        float,
        Meta(ge=0.0, le=1e5, description="When the last clock fires.", extra={"unit": "ms"}),
    ] = 260.0
    clock_latency_ms: Annotated[
        float,
        Meta(
            gt=0.0,
            le=1e5,
            description="Longest latency from a clock; they are uniform up to it.",
            extra={"unit": "ms"},
        ),
    ] = 40.0
    clock_weight: Annotated[
        float, Meta(ge=0.0, le=1e4, description="Size of weights from clocks.")
    ] = 0.05

    # Dynamics
    window_ms: Annotated[
        float,
        Meta(gt=0.0, le=1e5, description="Simulated time for a row.", extra={"unit": "ms"}),
    ] = 300.0
    step_ms: Annotated[
        float, Meta(gt=0.0, le=100.0, description="One step of time.", extra={"unit": "ms"})
    ] = 1.0
    tau_fast_ms: Annotated[
        float,
        Meta(gt=0.0, le=1e5, description="Decay of what has arrived.", extra={"unit": "ms"}),
    ] = 3.0
    tau_slow_ms: Annotated[
        float,
        Meta(
            gt=0.0,
            le=1e5,
            description="Decay of the inhibition that follows it (balance).",
            extra={"unit": "ms"},
        ),
    ] = 16.0
    balance: Annotated[
        float,
        Meta(
            ge=0.0,
            le=10.0,
            description="Inhibition that follows an excitation, by its area; 0: plain leaky sum.",
        ),
    ] = 1.0
    threshold: Annotated[float, Meta(gt=0.0, le=1e6, description="At which a unit fires.")] = 0.6
    refractory_ms: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1e5,
            description="How long a unit that fired ignores what arrives; at least a step.",
            extra={"unit": "ms"},
        ),
    ] = 1.0
    reset: Annotated[
        Literal["zero", "subtract", "none"],
        Meta(
            description="What a spike does to a unit's sums: none are left, the threshold is taken "
            "off, or they go on."
        ),
    ] = "none"
    max_spikes: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Spikes of units after which a window is cut, as the network runs away.",
            extra={"unit": "spikes"},
        ),
    ] = 10_000
    target_spikes: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1e4,
            description="Spikes of each unit a row towards which its threshold moves; 0: all "
            "stand.",
            extra={"unit": "spikes"},
        ),
    ] = 0.0
    threshold_rate: Annotated[
        float,
        Meta(gt=0.0, le=1.0, description="Share by which a spike too many moves a threshold."),
    ] = 0.01
    between: Annotated[
        Literal["reset", "carry"],
        Meta(
            description="Between rows: begin anew, or go on where the last window of the row's own "
            "stream ended."
        ),
    ] = "reset"

    # Coding of a row
    coding: Annotated[
        Literal["active", "latency", "signed", "population"],
        Meta(
            description="active: what is above low fires at once; latency: larger is earlier; "
            "signed: a node for above and one for below zero; population: bumps over the range."
        ),
    ] = "latency"
    low: Annotated[
        float, Meta(ge=-1e9, le=1e9, description="Where the range of values begins.")
    ] = 0.0
    high: Annotated[float, Meta(ge=-1e9, le=1e9, description="Where it ends; more is clipped.")] = (
        1.0
    )
    coding_ms: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1e5,
            description="When the smallest value fires; the largest fires at once.",
            extra={"unit": "ms"},
        ),
    ] = 24.0
    bumps: Annotated[int, Meta(ge=2, le=256, description="Nodes for each number (population).")] = 8

    # Plasticity
    stdp: Annotated[
        Literal["off", "row", "kept"],
        Meta(
            description="Plasticity of edges from clocks and units: off, within each row and then "
            "back to the start, or kept."
        ),
    ] = "off"
    a_plus: Annotated[
        float, Meta(ge=0.0, le=100.0, description="Gain of a signal before a spike.")
    ] = 1e-4
    a_minus: Annotated[
        float, Meta(ge=0.0, le=100.0, description="Loss of a signal after a spike.")
    ] = 0.0
    tau_plus_ms: Annotated[
        float,
        Meta(gt=0.0, le=1e5, description="How long before counts (a_plus).", extra={"unit": "ms"}),
    ] = 45.0
    tau_minus_ms: Annotated[
        float,
        Meta(gt=0.0, le=1e5, description="How long after counts (a_minus).", extra={"unit": "ms"}),
    ] = 20.0
    bounds: Annotated[
        Literal["none", "additive", "multiplicative"],
        Meta(description="none; a wall at weight_limit; or ever smaller steps towards it."),
    ] = "none"
    weight_limit: Annotated[
        float, Meta(gt=0.0, le=1e4, description="Largest weight of a plastic edge, either way.")
    ] = 1.0
    turns: Annotated[
        bool, Meta(description="Whether a plastic edge may change from exciting to inhibiting.")
    ] = True

    # What is written
    gives: Annotated[
        Literal["counts", "first_spikes", "path", "weights"],
        Meta(
            description="counts: spikes of each unit; first_spikes: 1 - t / window, 0 where "
            "silent; path: spikes in bins; weights: how plastic weights moved (stdp)."
        ),
    ] = "counts"
    bin_ms: Annotated[
        float, Meta(gt=0.0, le=1e5, description="Length of a bin (path).", extra={"unit": "ms"})
    ] = 10.0
    smooth_ms: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1e5,
            description="Decay from bin to bin (path); 0: none goes on.",
            extra={"unit": "ms"},
        ),
    ] = 45.0
    every_bins: Annotated[
        int, Meta(ge=1, le=1 << 20, description="Only every so manieth bin goes out (path).")
    ] = 1
    sample_ms: Annotated[
        tuple[Annotated[float, Meta(gt=0.0, le=1e5)], ...],
        Meta(max_length=64, description="When weights are read; []: at the end (weights)."),
    ] = ()
    power: Annotated[
        float, Meta(gt=0.0, le=10.0, description="sign(x) |x|^power of every number written.")
    ] = 1.0
    compress_to: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 20,
            description="Fold so many numbers out of all, each added or taken off at a random "
            "place; 0: write all.",
        ),
    ] = 0
    unit_norm: Annotated[bool, Meta(description="Write rows of length 1.")] = False
