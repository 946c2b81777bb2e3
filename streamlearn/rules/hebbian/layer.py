"""The layer around the units: who computes what it was told to, on rows or on patches of them."""

import numpy as np

from streamlearn.part import F32, Arrays, Place, Rows
from streamlearn.rules.base import Rule
from streamlearn.rules.hebbian.equation import Equation
from streamlearn.rules.hebbian.machine import Machine
from streamlearn.rules.hebbian.options import HebbianOptions, check
from streamlearn.rules.hebbian.patches import Patches
from streamlearn.rules.hebbian.soft import Soft
from streamlearn.rules.hebbian.sphere import Dynamics, Sphere


def _kind(options: HebbianOptions) -> type[Machine]:
    if options.competition == "soft":
        return Soft
    if options.plasticity == "equation":
        return Equation
    return Dynamics if options.competition == "dynamics" else Sphere


def _machine(options: HebbianOptions, place: Place) -> Machine | Patches:
    kind = _kind(options)
    return Patches(options, place, kind) if options.field else kind(options, place)


class Hebbian(Rule):
    """A layer of competing hidden units.

    Parameters
    ----------
    options
        Units, norm, competition, rates; see `HebbianOptions`.
    place
        Widths and seed; see `streamlearn.part.Place`.

    Raises
    ------
    ConfigError
        Where options contradict each other, or the rows are no image for a field.

    Notes
    -----
    One row costs a reading of its active inputs' weights; see the module for the equations.

    """

    Options = HebbianOptions
    GAUGES = (
        "winner_entropy",
        "dead_share",
        "norm_mean",
        "norm_min",
        "norm_max",
        "rate_mean",
        "lyapunov",
        "cut_short_share",
    )
    options: HebbianOptions

    def __init__(self, options: HebbianOptions, place: Place) -> None:
        super().__init__(options, place)
        check(options)
        self._machine = _machine(options, place)

    @property
    def width_out(self) -> int:
        """H: one activity a unit, at each place where there is a field."""
        return int(np.prod(self.shape_out))

    @property
    def shape_out(self) -> tuple[int, ...]:
        """[H], or rows, columns and H of an image of patches."""
        machine = self._machine
        return machine.shape_out if isinstance(machine, Patches) else (self.options.units,)

    def learn(self, rows: Rows) -> None:
        """Write each row's activity, then let the units compete for it, whatever its label."""
        self._machine.learn(rows.x, rows.out)

    def infer(self, x: F32, out: F32) -> None:
        """Write the activities [B, H] of the rows [B, D]; change nothing."""
        self._machine.infer(x, out)

    def arrays(self) -> Arrays:
        """Every array of the machine's state that does not follow from the others."""
        return self._machine.arrays()

    def restored(self) -> None:
        """Rebuild what follows from the state."""
        self._machine.restored()

    def receptive_fields(self) -> F32:
        """Weights W [H, *shape], a copy for pictures; zeros: no weights yet."""
        machine = self._machine
        shape = machine.shape_field if isinstance(machine, Patches) else self.place.shape_in
        return np.ascontiguousarray(machine.fields().reshape(-1, *shape))

    def gauges(self) -> dict[str, float]:
        """Winners' entropy (1: all win alike), dead share, extremes of the p-norm, mean rate.

        `lyapunov` is a fading mean over rows of eq. 3, the sum over units of G(Q), in soft
        competition of log-sum-exp of the currents, with `anti` too; `cut_short_share` one of how
        often a row's dynamics hit the bound on steps.
        """
        return self._machine.gauges()

    def cost(self) -> int:
        """Reads the weights once; the two units that change hardly count."""
        machine = self._machine
        looks = machine.looks if isinstance(machine, Patches) else self.place.width_in
        return 4 * looks * self.options.units
