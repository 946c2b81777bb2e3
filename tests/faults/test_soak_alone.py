"""One kind of disturbance alone: it is met, and what a daemon holds is seen from inside."""

from pathlib import Path

from probed import Inside
from soak_alone import Found, alone, pause, row
from soak_looks import Look


def test_a_daemon_tells_what_it_holds(tmp_path: Path) -> None:
    """While figures are asked for: memory of malloc, of SQLite, of Python.

    What is there for good, kernels and modules, is set aside from the search for garbage.
    """
    found = alone(tmp_path, "scrapes", 4.0)
    assert found.events > 10
    for inside in (found.middle, found.end):
        assert inside.arenas_bytes >= inside.used_bytes > inside.sqlite_bytes > 0
        assert inside.blocks > 100_000
        assert inside.objects < 20_000
    assert {look.pid for look in found.looks} != {0}


def test_a_leak_is_told_in_bytes_each() -> None:
    """A kibibyte a fault is seen as one, beside pages that come and go."""
    looks = [
        Look(float(i), 1, 0.0, 1000.0 + 10 * i + 4 * (i % 3), 0.0, 0.0, 0.0, 0.0, 10.0 * i)
        for i in range(100)
    ]
    held = Inside(1 << 20, 1 << 19, 1 << 18, 1000, 1000, 0.0)
    found = row("visitors", Found(looks, 990, held, held._replace(blocks=1990)))
    assert abs(found.ours - 1024) < 10
    assert found.limit is not None
    assert found.limit < 20
    assert "+990 pieces" in found.note


def test_a_look_for_garbage_is_short(tmp_path: Path) -> None:
    """A ready daemon looks through a hundredth of its objects; no thread goes on meanwhile."""
    found = pause(tmp_path)
    assert found.peer is not None
    assert found.ours < found.peer / 10
