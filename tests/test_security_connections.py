"""So many connections of a socket for each key, wherever it comes from: others find room."""

from pathlib import Path

import pytest
from keyring import Keyring
from visitors import ALL, serving, wait


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    """Make two clients who may do everything."""
    return Keyring(tmp_path / "keys", honest=ALL, former=ALL)


@pytest.mark.parametrize("where", ["tcp", "ipc"])
def test_a_key_has_so_many_connections(keys: Keyring, tmp_path: Path, where: str) -> None:
    """From wherever, silent or not: one more is refused and counted, another key's comes in.

    When one ends, the one that waits comes in.
    """
    address = "tcp://127.0.0.1:0" if where == "tcp" else f"ipc://{tmp_path}/socket"
    with serving(keys, "pull", address, max_connections_each=3, handshake_s=0.5) as one:
        server, visit = one
        former = [visit("former", place) for place in (2, 3, 4)]
        former[0].speak()
        server.hear_more(1)
        assert server.gate.refused == 0
        waiting = visit("former", 5, inside=False)
        wait(lambda: server.gate.refused > 0)
        visit("honest").speak()
        server.hear_more(1)
        assert not waiting.inside
        former[1].leave()
        wait(lambda: waiting.inside)


def test_who_comes_and_goes_is_not_counted_on(keys: Keyring) -> None:
    """A client that connects again and again, saying nothing or something, is let in each time."""
    with serving(keys, max_connections_each=3) as (server, visit):
        visit("former")
        for i in range(8):
            one = visit("former")
            if i % 2:
                one.speak()
                server.hear_more(1)
            one.leave()
        assert server.gate.refused == 0


def test_one_key_with_many_addresses_leaves_room(keys: Keyring) -> None:
    """It holds no more than its share of the socket, whatever it asks for; others come in."""
    bounds = {"max_connections": 8, "max_connections_each": 3, "handshake_s": 0.3}
    with serving(keys, **bounds) as (server, visit):
        greedy = [visit("former", 2 + i, inside=False) for i in range(6)]
        wait(lambda: sum(one.inside for one in greedy) == 3 and server.gate.refused >= 3)
        visit("honest")
        assert sum(one.inside for one in greedy) == 3
