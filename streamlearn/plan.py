"""The plan of a learner: its parts, built in order, and the columns that connect them."""

import math
from collections.abc import Sequence
from typing import Any, Final

from streamlearn.config import Config, HeadOptions, LayerOptions
from streamlearn.errors import ConfigError
from streamlearn.heads import HEADS
from streamlearn.kernels.random import stage_seed
from streamlearn.part import Part, Place
from streamlearn.pipeline.stage import Wires
from streamlearn.prepare import CUTS, STEPS
from streamlearn.prepare.window import Window
from streamlearn.rules import RULES
from streamlearn.schema import Catalogue, resolve

CATALOGUE: Final[Catalogue] = {
    "prepare": ("step", CUTS | STEPS),
    "layer": ("rule", RULES),
    "head": ("kind", HEADS),
}
"""Everything that a configuration can name; a fifth rule is one line in `RULES`."""

_SEED_OF: Final = {"prepare": 0, "layer": 1000, "head": 2000}


class Plan:
    """Builds every part of a configuration and says which columns it reads and writes.

    Parameters
    ----------
    config
        A configuration whose keys are checked one by one.

    Raises
    ------
    ConfigError
        Where a part cannot stand where it is: one line, as for a wrong key.

    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.parts: list[tuple[Part, Wires]] = []
        self.window = _window(config)
        """What cuts the stream into rows at ingest; None where every sample is a row."""
        shape = self.window.shape_out(config.stream.shape) if self.window else config.stream.shape
        self.prepared = "x"
        """The column of the prepared row."""
        self.widths = {"x": math.prod(shape)}
        """Column → numbers a row."""
        self._shapes: dict[str, tuple[int, ...]] = {"x": shape}
        self._lanes: dict[str, int] = {}
        for i, step in enumerate(config.prepare):
            if i == 0 and self.window:
                continue
            self._add("prepare", i, step, (self.prepared,), f"{i + 1}")
            self.prepared = f"prepare/{i + 1}"
        below = self.prepared
        for i, layer in enumerate(config.layer):
            self._add("layer", i, layer, self._columns(layer, below), layer.name)
            below = f"layer/{layer.name}"
        for i, head in enumerate(config.head):
            self._add("head", i, head, self._head_columns(i, head), head.name)
        self.reach = 1 + sum(part.reach - 1 for part, _ in self.parts)
        """Rows of a stream that an answer looks back on, the newest among them."""
        if self.reach > config.pipeline.ring_rows:
            rows = config.pipeline.ring_rows
            raise ConfigError(
                [
                    (
                        f"pipeline.ring_rows: expected at least {self.reach}, as many as an answer "
                        f"looks back on, got {rows}; make it larger"
                    )
                ]
            )

    def _columns(self, options: LayerOptions | HeadOptions, *unless_told: str) -> tuple[str, ...]:
        named = [self.prepared if name == "input" else f"layer/{name}" for name in options.reads]
        return tuple(named or unless_told)

    def _head_columns(self, i: int, head: HeadOptions) -> tuple[str, ...]:
        layers = [f"layer/{layer.name}" for layer in self.config.layer] or [self.prepared]
        if not resolve(HEADS[head.kind]).READS_SCORES:
            return self._columns(head, *layers)
        scoring = [column for column in layers if f"{column}/scores" in self.widths]
        wanted = self._columns(head, *scoring)
        silent = [column.rpartition("/")[2] for column in wanted if column not in scoring]
        if silent or not wanted:
            able = ", ".join(column.rpartition("/")[2] for column in scoring) or "none here"
            raise ConfigError(
                [
                    (
                        f"head[{i}].reads: expected layers that give evidence for classes "
                        f"({able}), got {', '.join(silent) or 'none'}; use another head or labels"
                    )
                ]
            )
        return tuple(f"{column}/scores" for column in wanted)

    def _add(self, list_name: str, i: int, options: Any, reads: Sequence[str], name: str) -> None:
        shapes = [self._shapes[read] for read in reads]
        width = sum(math.prod(shape) for shape in shapes)
        place = Place(
            width_in=width,
            shape_in=shapes[0] if len(shapes) == 1 else (width,),
            classes=self.config.stream.classes,
            seed=stage_seed(self.config.seed, _SEED_OF[list_name] + i),
            lanes_in=self._lanes_of(f"{list_name}[{i}]", reads) if list_name == "layer" else 0,
            live=self.config.stream.live,
        )
        part = _built(options, place, list_name, i)
        lanes = tuple(
            f"{read}/lanes" if place.lanes_in and self._lanes.get(read) else "" for read in reads
        )
        wires = Wires(tuple(reads), lanes, f"{list_name}/{name}")
        self.parts.append((part, wires))
        self.widths |= wires.owned(part)
        self._shapes[wires.writes] = tuple(part.shape_out)
        self._shapes[f"{wires.writes}/scores"] = (place.classes,)
        self._lanes[wires.writes] = part.lanes_out

    def _lanes_of(self, where: str, reads: Sequence[str]) -> int:
        counts = {self._lanes.get(read, 0) for read in reads} - {0}
        if len(counts) > 1:
            raise ConfigError(
                [
                    (
                        f"{where}.reads: layers that learn by contrast in different ways cannot be "
                        "read together; name layers with the same labels and candidates"
                    )
                ]
            )
        return counts.pop() if counts else 0


def check(config: Config, origin: str) -> Plan:
    """Build every part once, as what a part cannot do shows only where it stands.

    Raises
    ------
    ConfigError
        With one line that begins with the origin, for example the file.

    """
    try:
        return Plan(config)
    except ConfigError as error:
        raise ConfigError([f"{origin}: {line}" for line in error.lines]) from None


def _window(config: Config) -> Window.Options | None:
    """The window that the first prepare step asks for."""
    late = [(i, one.step) for i, one in enumerate(config.prepare) if one.step in CUTS and i > 0]
    if late:
        place, step = late[0]
        raise ConfigError(
            [
                (
                    f"prepare[{place}].step: {step!r} cuts the stream itself and must be the first "
                    "step; move it up"
                )
            ]
        )
    first = config.prepare[0] if config.prepare else None
    return first if isinstance(first, Window.Options) else None


def _built(options: Any, place: Place, list_name: str, i: int) -> Part:
    chooser, names = CATALOGUE[list_name]
    try:
        part: Part = resolve(names[getattr(options, chooser)])(options, place)
    except ConfigError as error:
        raise ConfigError([f"{list_name}[{i}].{line}" for line in error.lines]) from None
    return part
