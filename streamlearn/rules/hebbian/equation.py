"""Units that follow eq. 2 as it is written: state, settings, figures."""

from typing import Final

import numpy as np

from streamlearn.part import F32
from streamlearn.rules.hebbian import equation_kernels
from streamlearn.rules.hebbian.equation_state import (
    ALONE,
    DYNAMICS,
    F64,
    RANKING,
    TOGETHER,
    Scratch,
    Settings,
    Units,
)
from streamlearn.rules.hebbian.machine import (
    Kernels,
    Machine,
    first_weights,
    settings_for,
    units_for,
)
from streamlearn.rules.hebbian.rates import fallen

_COMPETITIONS: Final = {"ranking": RANKING, "dynamics": DYNAMICS, "none": ALONE}


class Equation(Machine):
    """Units that follow eq. 2, one step a minibatch."""

    KERNELS = Kernels(equation_kernels.learn, equation_kernels.infer)
    DERIVED = ("powered", "alive")

    def _new_settings(self) -> Settings:
        options = self.options
        # A unit that learns for itself is never compared, so it is never late either.
        conscience = options.conscience if options.competition != "none" else 0.0
        competition = _COMPETITIONS[options.competition]
        return settings_for(Settings, options, competition=competition, conscience=conscience)

    def _new_units(self) -> Units:
        D, H = self.place.width_in, self.options.units
        return units_for(
            Units,
            self.options,
            first_weights(self.options, self.place),
            alive=np.zeros(H, np.float32),
            gathered=np.zeros((H, D), np.float32),
            decay=np.zeros(H),
            drawn=np.zeros(H),
            pending=np.zeros(1, np.int64),
        )

    def _new_scratch(self) -> Scratch:
        """Room for as many rows as are answered together."""
        D, H = self.place.width_in, self.options.units
        return Scratch(
            active=np.zeros((TOGETHER, D), np.uint32),
            z=np.zeros((TOGETHER, D), np.float32),
            counts=np.zeros(TOGETHER, np.int64),
            current=np.zeros((TOGETHER, H), np.float32),
            plain=np.zeros((TOGETHER, H), np.float32),
            base=np.zeros(H, np.float32),
            g=np.zeros(H, np.float32),
            room=np.zeros((4, H), np.float32),
            key=np.zeros(H, np.int32),
            moved=np.zeros(H, np.int64),
            size=np.zeros(H),
            change=np.zeros(H),
        )

    def restored(self) -> None:
        """Rebuild the powers, and who has weights."""
        equation_kernels.derive(self._plain[0], self._settings.p)

    def fields(self) -> F32:
        """Weights W [H, D], a copy; zeros: no weights yet."""
        return np.array(self._units.weights.T, order="C")

    def norms(self) -> F64:
        """The p-norms [H] of W; R where learning has come to rest."""
        return np.asarray(self._units.size ** (1.0 / self.options.p))

    def rates(self) -> F64:
        """Rates [H] of the schedule, or that have fallen with the units' own moves."""
        units, options = self._units, self.options
        if options.anneal_rows:
            left = max(0.0, 1.0 - float(units.clock[0]) / options.anneal_rows)
            return np.full(options.units, options.rate * left)
        return fallen(units.moves, options.rate, options.rate_floor)
