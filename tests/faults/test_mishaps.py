"""Clocks, stops, cut connections, a disk that fails, a bad network, damage: all is learned, once.

Each mishap falls into a stream, which must end as if nobody had interrupted it; memory stays in
bounds, and the daemon's figures, pages or log tell (tools/havoc.py holds that). The long version is
tools/mishaps.py.
"""

from collections.abc import Callable
from pathlib import Path

import mishaps
import pytest
from damage import damages, killed
from havoc import HOUR_S
from lossy_link import MissingError, Weather
from mishaps import Found, wrong

from streamlearn.config import learner_part
from streamlearn.config import load as load_config
from streamlearn.errors import DamagedError
from streamlearn.plan import CATALOGUE
from streamlearn.store.checkpoint import Checkpoints

SCRIPT = mishaps.SCRIPT
Play = Callable[..., None]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What everything befalls."""
    path = tmp_path_factory.mktemp("mishaps") / "digits.toml"
    path.write_text(mishaps.CONFIG, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def quiet(config: Path) -> Found:
    """The stream without a mishap."""
    return mishaps.undisturbed(config, config.parent / "undisturbed", SCRIPT)


@pytest.fixture
def ends_as_undisturbed(config: Path, quiet: Found, tmp_path: Path) -> Play:
    """Let something befall a stream, and compare the ends; skip by name what is not to be had."""

    def play(mishap: Callable[..., Found], *how: object) -> None:
        try:
            found = mishap(config, tmp_path / "mishap", SCRIPT, *how)
        except MissingError as error:
            pytest.skip(f"needs {error}")
        assert found.ledgers.learned == SCRIPT.rows
        assert not wrong(found, quiet)

    return play


def test_a_clock_that_jumps_an_hour_changes_nothing(ends_as_undisturbed: Play) -> None:
    """Forwards and back, with a checkpoint after each jump and a kill where it went back."""
    ends_as_undisturbed(mishaps.clock_jumps, (HOUR_S, -HOUR_S), 0.0)


def test_a_daemon_that_is_stopped_goes_on(ends_as_undisturbed: Play) -> None:
    """SIGSTOP under a stream, SIGCONT some seconds later."""
    ends_as_undisturbed(mishaps.is_stopped, 2.0)


def test_a_message_that_breaks_off_is_as_if_never_sent(ends_as_undisturbed: Play) -> None:
    """Connections closed, reset or silent within a message; descriptors come back, too."""
    ends_as_undisturbed(mishaps.is_cut_off, 12)


def test_a_disk_that_becomes_read_only_is_a_clear_stop(ends_as_undisturbed: Play) -> None:
    """A checkpoint fails and is counted; rows: exit 1 with the file named; mended, all is there."""
    ends_as_undisturbed(mishaps.becomes_read_only)


def test_a_bad_network_loses_nothing(config: Path, tmp_path: Path) -> None:
    """30 % of packets lost, the others late, between `send --ack` and the daemon."""
    script = mishaps.PLAIN._replace(rows=70)
    try:
        found = mishaps.bad_network(config, tmp_path / "far", script, Weather(0.3, 0.02))
    except MissingError as error:
        pytest.skip(f"needs {error}")
    assert not wrong(found, mishaps.undisturbed(config, tmp_path / "undisturbed", script))


def test_a_damaged_checkpoint_costs_nothing_wherever_it_is(
    config: Path, quiet: Found, tmp_path: Path
) -> None:
    """Bits flipped and ends cut off: the checkpoint before and the journal end as undisturbed."""
    assert not wrong(mishaps.is_damaged(config, tmp_path / "damage", 2, quiet), quiet)


def test_damage_at_every_64th_of_a_checkpoint_is_seen(config: Path, tmp_path: Path) -> None:
    """Of arrays and of manifest: the one before is taken, a line says why, none is missed."""
    _, state = killed(config, tmp_path / "whole")
    store, part = Checkpoints(state), learner_part(load_config(config, CATALOGUE))
    newest, older = store.names()
    sound = {
        file: (state / newest / file).read_bytes()
        for file in ("arrays.safetensors", "manifest.json")
    }
    for damage in damages(64):
        damage.do(state / newest)
        with pytest.raises(DamagedError):
            store.check(newest)
        found = store.newest(part)
        assert found is not None, damage
        assert found.rows_learned == store.read(older).rows_learned
        assert len(store.notes) == 1, damage
        (state / newest / damage.file).write_bytes(sound[damage.file])
    assert store.newest(part).rows_learned > found.rows_learned
