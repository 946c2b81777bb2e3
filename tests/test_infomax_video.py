"""The tools that measure Greedy InfoMax on video and its speed, in short, on made-up samples."""

import infomax_speed
import infomax_video
import msgspec
import numpy as np
import pytest
from video_alarm import Fading

from streamlearn.bench.report import Row
from streamlearn.bench.torch_greedy_infomax import Shape, TorchInfomax

HAND = infomax_video.HAND


def film(frames: int, seed: int, hand: int | None = None) -> np.ndarray:
    """A square that walks over a noisy picture; a large dark patch comes in at frame `hand`."""
    random = np.random.default_rng(seed)
    still = random.integers(60, 200, infomax_video.SIZE)
    seen = np.clip(still + random.normal(0, 4, (frames, *still.shape)), 0, 255).astype(np.uint8)
    for t in range(frames):
        at = 2 * t % 80
        seen[t, 40:52, at : at + 12] = 230
    if hand is not None:
        seen[hand:, 0:60, 20:90] = 5
    return seen


def test_alarms_are_counted_as_events() -> None:
    """What is close together is one alarm; a bound keeps what it promises; delays count frames."""
    level = np.zeros(600)
    level[[10, 11, 25, 100, 300]] = [3, 4, 5, 2, 1]
    assert infomax_video.alarms(level, 0.5) == 3
    assert infomax_video.alarms(level, 4.5) == 1
    assert infomax_video.a_minute(level, 0.5) == 3
    assert infomax_video.a_minute(level, infomax_video.bound_on(level, 1.0)) <= 1
    assert infomax_video.alarms(infomax_video.held(level), 0.5) == 1
    assert np.flatnonzero(infomax_video.held(level)).tolist() == [11]
    tree = np.zeros(68)
    assert infomax_video.delay(tree, 0.5) is None
    tree[[HAND - 1, HAND + 2]] = 1
    assert infomax_video.delay(tree, 0.5) == 2


def test_an_unusual_change_stands_out() -> None:
    """The rule without a net sees a large patch come in at once."""
    level = infomax_video.changes(film(68, 1, HAND), Fading(100))
    assert len(level) == 68
    assert level[HAND] == level.max() > 10


@pytest.mark.parametrize("differences", [False, True])
def test_the_never_learned_net_is_the_same_net(differences) -> None:
    """Both nets differ in the rate alone, and both take what the configuration's frames are."""
    learned, never = (
        infomax_video.configured(3, net, differences=differences) for net in infomax_video.NETS
    )
    assert never.layer[0].rate == 0 < learned.layer[0].rate
    assert msgspec.structs.replace(never, layer=learned.layer) == learned
    assert learned.layer[0].positions
    assert learned.prepare[0].step == ("scale" if differences else "standardize")


def test_the_video_is_measured(tmp_path, monkeypatch) -> None:
    """Every row is there, with the notes that name false alarms; a picture is drawn."""
    monkeypatch.setattr(infomax_video, "WARM", 20)
    films = {"clip": film(100, 0), "tree": film(68, 1, HAND)}
    rows, drawn = infomax_video.measured(films, 1)
    assert len({row.name for row in rows}) == len(rows) == 19
    shares = {row.name: row.ours for row in rows if row.unit == "% of positions"}
    assert len(shares) == 4
    assert all(0 <= share <= 100 for share in shares.values())
    assert all("false alarms" in row.note for row in rows if "hand" in row.name)
    assert all(len(level) == 68 for level in drawn.values())
    infomax_video.draw(drawn, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_a_stream_is_timed(monkeypatch) -> None:
    """Rates, shares and the module alone are figures above 0; state and memory are told."""
    monkeypatch.setattr(infomax_speed, "REPEATS", 2)
    small = infomax_speed.STREAMS["watch"]._replace(units=16)
    monkeypatch.setitem(infomax_speed.STREAMS, "watch", small)
    samples = np.random.default_rng(0).standard_normal((2000, 6), np.float32)
    rows = infomax_speed.speed_rows("watch", samples, 200)
    assert [row.unit for row in rows[:3]] == ["steps/s", "% of a core", "µs a step"]
    assert all(row.ours > 0 for row in rows)
    two, six = infomax_speed.state_rows()
    stored = 1024 * (small.units + 2) * 4
    assert f"1,024 past rows {stored:,}" in six.note
    assert (six.ours - two.ours) % 4 == 0
    assert 1 < (six.ours - two.ours) / 4 / stored < 1.3
    memory = infomax_speed.memory_row(samples, 2000)
    assert isinstance(memory, Row)
    assert memory.ours < 20


def test_every_stream_is_a_configuration() -> None:
    """What is timed passes the checks; a step of each stream is made of its own samples."""
    for stream in infomax_speed.STREAMS.values():
        config = infomax_speed.config_of(stream)
        assert config.layer[0].positions == (stream.positions > 1)
        assert config.layer[0].steps == 2
        assert config.layer[0].negatives == 16


def test_the_peer_learns() -> None:
    """The module in PyTorch starts from the same loss, and lowers it on a stream that repeats."""
    torch = pytest.importorskip("torch")
    peer = TorchInfomax.made(Shape(8, 16, 2, 4, 64))
    assert peer is not None
    t = np.arange(600)[:, None]
    rows = np.sin(t * np.linspace(0.05, 0.4, 8) + np.arange(8)).astype(np.float32)
    rows += 0.1
    row, past, negatives = (torch.from_numpy(rows[part]) for part in (2, [1, 0], [40, 90, 7, 300]))
    before = float(peer.loss(row, past, negatives).detach())
    assert 0 < before < np.log(5) + 1
    assert peer.learn(rows) > 0
    assert peer.rows == 600
    assert float(peer.loss(row, past, negatives).detach()) < before
