"""Draw what `geometric_reproduce` measured against the number of nodes and the time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from geometric_networks import FIRST, MAIN, PUBLISHED_SIZES, SIZES, TIMES, TIMES_MS, Variant
from results import RESULTS, kept

from streamlearn.bench.report import Row

OURS: Final = "#3b6ea5"
RODS: Final = "#b5651d"
THEIRS: Final = "#98a1ab"


def _value(found: Mapping[str, Row], variant: Variant, look: int) -> float | None:
    name = f"C, {[*variant.looks()][look]}; {FIRST[0]}"
    return found[name].ours if name in found else None


def _measured(values: Mapping[int, float | None]) -> dict[int, float]:
    return {x: value for x, value in sorted(values.items()) if value is not None}


def _by_nodes(found: Mapping[str, Row], kind: str, whole: str, look: int) -> dict[int, float]:
    named = {int(k.removeprefix(kind)): v for k, v in SIZES.items() if k.startswith(kind)}
    named |= {200: MAIN[whole]} if whole else {}
    return _measured({n: _value(found, variant, look) for n, variant in named.items()})


def curves(found: Mapping[str, Row]) -> tuple[dict[int, float], ...]:
    """Percent right by nodes: free network, rods, rods all to all; by time: free network."""
    times = {int(t): _value(found, TIMES["times"], i) for i, t in enumerate(TIMES_MS)}
    return (
        _by_nodes(found, "size", "free", 0),
        _by_nodes(found, "rods", "rods", 1),
        _by_nodes(found, "both", "", 0),
        _measured(times),
    )


def draw(path: Path, folder: Path = RESULTS) -> bool:
    """Draw both curves; False where nothing was measured yet."""
    found = kept("reproduce-geometric", folder)
    sizes, rods, both, times = curves(found)
    if not sizes or not times:
        return False
    import matplotlib as mpl  # noqa: PLC0415  a picture is drawn at the end of a long run

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
    left.semilogx([*sizes], [*sizes.values()], "o-", color=OURS, label="free network")
    left.semilogx([*rods], [*rods.values()], "s-", color=RODS, label="rods")
    left.semilogx([*both], [*both.values()], "^--", color=RODS, label="rods, all to all")
    left.plot([*PUBLISHED_SIZES], [*PUBLISHED_SIZES.values()], "x", color="black", label="article")
    right.plot([*times], [*times.values()], "o-", color=OURS, label="free network, 200 nodes")
    right.plot([300], [PUBLISHED_SIZES[200]], "x", color="black", label="article")
    pixels = _value(found, MAIN["pixels"], 0)
    for axes in (left, right):
        if pixels is not None:
            axes.axhline(pixels, color=THEIRS, linestyle=":", label="raw pixels")
        axes.legend(frameon=False, loc="lower right")
    ticks = [n for n in sizes if n != 300]
    left.set(xlabel="nodes", ylabel="% right", xticks=ticks, xticklabels=ticks, ylim=(70, 100))
    left.minorticks_off()
    right.set(xlabel="weights read at, ms")
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True
