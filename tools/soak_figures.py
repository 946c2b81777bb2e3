"""The figures of the soak: what was lost, what grew, what was left over."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from faults import Ledgers
from soak_faults import Event
from soak_looks import KIB, Look, settled, slope

from streamlearn.bench.report import Row

SENSOR_HZ: Final = 10.0


class Plan(NamedTuple):
    """How long, and how hard."""

    quiet_s: float
    """Time without kills of the daemon."""
    kills_s: float
    """Time with them, after that."""
    rate_hz: float = 400.0
    """Rows a second of all producers together."""
    pause_s: float = 3.0
    """Mean time between two faults."""
    seed: int = 1
    checkpoint_s: float = 1.0
    """Time between checkpoints."""


class Outcome(NamedTuple):
    """What came of it."""

    plan: Plan
    looks: list[Look]
    """Of the first part."""
    later: list[Look]
    """Of the part with kills."""
    idle: tuple[Look, Look]
    """Without any client: before the first part and after it."""
    events: list[Event]
    ledgers: tuple[Ledgers, Ledgers]
    """After the first part and at the end, of the acknowledged streams, since the beginning."""
    counts: dict[str, int]
    """Of the first part."""


def wrong(of: Ledgers) -> int:
    """Rows by which the ledgers differ."""
    return abs(of.issued - of.acknowledged) + abs(of.learned - of.acknowledged)


def told(of: Ledgers) -> str:
    """The ledgers in words."""
    if wrong(of) == 0:
        return f"{of.issued:,} rows issued, acknowledged and learned"
    return f"{of.issued:,} rows issued, {of.acknowledged:,} acknowledged, {of.learned:,} learned"


def rounded(value: float) -> float:
    """Three digits."""
    return float(f"{value:.3g}")


def growth(name: str, looks: Sequence[Look], field: str) -> list[Row]:
    """Rows about what grows, by the hour and by the row; the limit is twice the standard error."""
    y = [getattr(one, field) for one in looks]
    hours = slope([one.t / 3600 for one in looks], y)
    rows = slope([one.rows / 1e6 for one in looks], y)
    found = []
    for (value, error), unit in ((hours, "an hour"), (rows, "a million rows")):
        note = f"± {rounded(error):g} standard error; limit: two of them"
        limit, ours = rounded(2 * error), rounded(value)
        found.append(
            Row(name=f"{name}, growth {unit}", ours=ours, unit="KiB", limit=limit, note=note)
        )
    return found


def spread(name: str, found: Outcome, field: str) -> list[Row]:
    """Rows about what shall be flat: with nobody there, and while everybody comes and goes."""
    before, after = (int(getattr(one, field)) for one in found.idle)
    looks = settled(found.looks)
    values = [int(getattr(one, field)) for one in looks]
    drift = slope([one.t / 3600 for one in looks], values)
    note = f"{min(values)} to {max(values)} in the second half; ± {rounded(drift.error):g}"
    return [
        Row(name=f"{name} left over", ours=after - before, unit=name, limit=0,
            note=f"{before} before the first producer came, {after} after the last one left"),
        Row(name=f"{name}, growth an hour", ours=rounded(drift.value), unit=name,
            limit=rounded(2 * drift.error), note=f"{note} standard error; limit: two of them"),
    ]  # fmt: skip


def figures(found: Outcome) -> list[Row]:
    """All rows of the report."""
    counts, (first, last) = found.counts, found.ledgers
    looks, half = found.looks, settled(found.looks)
    learned = max(one.rows for one in looks)
    hours = (looks[-1].t - looks[0].t) / 3600
    names = Counter(event.name for event in found.events)
    most = max(one.rss_kib for one in looks) / KIB
    disk = max(one.journal_kib for one in looks + found.later) / KIB
    lost = counts["plain issued"] - counts["plain learned"] - counts["plain missed"]
    unheard = counts["unheard messages"]
    twice = counts["learned twice"] + (0 if unheard else counts["never heard"])
    heard = f"; {unheard} of them were dropped, so never is not judged" if unheard else ""
    plain = ("{plain issued:,} issued, {plain learned:,} learned, {plain missed:,} missed").format(
        **counts
    )
    return [
        Row(name="first part", ours=rounded(hours * 60), unit="minutes",
            note=f"{learned:,.0f} rows: {learned / SENSOR_HZ / 3600:.1f} h of a sensor of "
            f"{SENSOR_HZ:g} rows/s; {counts['checkpoints']:,} checkpoints"),
        Row(name="faults", ours=len(found.events), unit="faults",
            note=", ".join(f"{name} {n}" for name, n in names.most_common())),
        *growth("resident memory", half, "rss_kib"),
        *growth("heaps and stacks", half, "anonymous_kib"),
        Row(name="resident memory, most", ours=rounded(most), unit="MiB"),
        *spread("descriptors", found, "descriptors"),
        *spread("threads", found, "threads"),
        Row(name="journal on the disk, most", ours=rounded(disk), unit="MiB", limit=8 + 16 + 8,
            note="limit: journal.max_bytes, its log, and as much again for what SQLite adds"),
        Row(name="ledgers, first part", ours=wrong(first), unit="rows", limit=0, note=told(first)),
        Row(name="rows learned twice or never", ours=twice, unit="rows", limit=0,
            note=f"by the numbers of every prediction published{heard}"),
        Row(name="rows of PULL unaccounted for", ours=abs(lost), unit="rows", limit=0, note=plain),
        Row(name="dead letters", ours=counts["dead letters"] - counts["never learnable"],
            unit="messages", limit=0,
            note=f"{counts['never learnable']:,} that can never be learned were sent"),
        Row(name="ledgers, with kills", ours=wrong(last), unit="rows", limit=0,
            note=f"{last.kills} times kill -9; {told(last)}, first part included"),
    ]  # fmt: skip
