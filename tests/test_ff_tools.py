"""The tools that compare Forward-Forward: backprop is backprop, and every experiment can be run."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import ff_backprop
import ff_backprop_net
import ff_global
import ff_one_pass
import ff_peer
import ff_questions
import ff_reproduce
import numpy as np
import pytest

from streamlearn.bench import forward_forward as bench
from streamlearn.bench.report import Row, report
from streamlearn.bench.torch_forward_forward import TorchBackprop
from streamlearn.config import Config, load
from streamlearn.kernels.random import uniform
from streamlearn.plan import CATALOGUE
from streamlearn.rules.forward_forward import options as dense
from streamlearn.rules.forward_forward_fields import options as fields
from streamlearn.rules.forward_forward_top_down import options as top_down
from streamlearn.rules.only import idle


@pytest.fixture(scope="module")
def fonts() -> None:
    """Draw once: matplotlib keeps the font files that it has opened."""
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure  # noqa: PLC0415  optional

    figure = Figure()
    figure.add_subplot().set_title("x", weight="bold")
    figure.savefig(io.BytesIO())


def rows(n: int, inputs: int, classes: int):
    """Sparse rows divided by their root mean square, in classes."""
    random = np.random.default_rng(0)
    x = random.random((n, inputs)) * (random.random((n, inputs)) < 0.6)
    x[:, 0] += 0.1
    x /= np.sqrt(np.square(x).mean(axis=1, keepdims=True))
    return x.astype(np.float32), random.integers(0, classes, n).astype(np.int32)


def naive(net, x, y, *, backward: bool):
    """The equations of `ff_backprop_net`, one row at a time, in float64; the layers' W, b, M."""
    layers = [[np.array(a, np.float64) for a in layer[:3]] for layer in net.layers]
    averaged = [[a.copy() for a in layer] for layer in layers]
    sums, inverses, due, seen = [0.0, 0.0], [None, None], [50, 50], []
    for t in range(len(x)):
        seen.append(learned(layers, averaged, inverses, (x[t], y[t], t), backward))
        if (t + 1) % 25 == 0:
            for i in (0, 1):
                sums[i] = sums[i] + sum(np.outer(z[i], z[i]) for z in seen)
                if t + 1 >= due[i]:
                    due[i] = t + 1 + (t + 1) // 2
                    mean = sums[i] / (t + 1)
                    inverses[i] = np.linalg.inv(
                        mean + 3 * np.trace(mean) / len(mean) * np.eye(len(mean))
                    )
            seen = []
        if (t + 1) % 100 == 0:
            for layer, mean in zip(layers, averaged, strict=True):
                for i in range(3):
                    mean[i] += 5 / ((t + 1) // 100 + 4) * (layer[i] - mean[i])
    return layers


def learned(layers, averaged, inverses, row, backward):
    """One row; the inputs of both layers."""
    x, y, t = row
    rates = (0.06 / np.sqrt(1 + t / 2000), 0.006 / np.sqrt(1 + t / 2000))
    h1 = np.maximum(x @ layers[0][0] + layers[0][1], 0)
    below = h1 if backward else np.maximum(x @ averaged[0][0] + averaged[0][1], 0)
    rms = np.sqrt(np.square(below).mean() + 1e-12)
    z = np.concatenate([below / rms, x])
    h2 = np.maximum(z @ layers[1][0] + layers[1][1], 0)
    e2, a2 = credit(layers[1][2], h2, y)
    e1, a1 = credit(layers[0][2], h1, y)
    if backward:
        g = layers[1][0][: len(h1)] @ a2
        unit = h1 / rms
        a1 = (h1 > 0) * (g - unit * (g * unit).mean()) / rms
    steps = [(layers[0], x, h1, e1, a1, inverses[0]), (layers[1], z, h2, e2, a2, inverses[1])]
    for i, (layer, inputs, h, e, a, inverse) in enumerate(steps):
        v = inputs if inverse is None else inverse @ inputs
        v = v * (inputs @ inputs) / (inputs @ v)
        layer[0] += rates[0] * np.outer(v, a)
        layer[1] += rates[0] * a
        if not (backward and i == 0):
            layer[2] += rates[1] * np.outer(e, h)
    return x, z


def credit(m, h, y):
    """The read-out's error, and what it asks of the units."""
    p = np.exp(m @ h - (m @ h).max())
    q = np.full(len(m), 0.1 / (len(m) - 1))
    q[y] = 0.9
    e = q - p / p.sum()
    return e, (h > 0) * (e @ m)


@pytest.mark.parametrize("backward", [True, False])
def test_both_ways_of_learning_follow_their_equations(*, backward: bool) -> None:
    """The compiled nets, that put off writing W, end where plain sequential equations end."""
    net = ff_backprop_net.Net((12, 16, 3), backward=backward, rates=(0.06, 0.006))
    x, y = rows(225, 12, 3)
    expected = naive(net, x, y, backward=backward)
    net.learn(x, y)
    for layer, wanted in zip(net.layers, expected, strict=True):
        for got, want in zip(layer[:3], wanted, strict=True):
            np.testing.assert_allclose(got, want, atol=2e-3)


def test_the_credit_below_is_the_gradient() -> None:
    """One small step of backprop changes the lower weights along the loss's own slope."""
    net = ff_backprop_net.Net((12, 16, 3), backward=True, rates=(1e-3, 1e-12))
    x, y = rows(1, 12, 3)
    before = [[np.array(a, np.float64) for a in layer[:3]] for layer in net.layers]
    net.learn(x, y)
    moved = net.layers[0].w.astype(np.float64) - before[0][0]
    i, j = np.unravel_index(np.abs(moved).argmax(), moved.shape)

    def loss(shift: float) -> float:
        w = before[0][0].copy()
        w[i, j] += shift
        h1 = np.maximum(x[0] @ w + before[0][1], 0)
        z = np.concatenate([h1 / np.sqrt(np.square(h1).mean() + 1e-12), x[0]])
        scores = before[1][2] @ np.maximum(z @ before[1][0] + before[1][1], 0)
        q = np.full(3, 0.05)
        q[y[0]] = 0.9
        return float(np.log(np.exp(scores).sum()) - q @ scores)

    slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
    assert moved[i, j] == pytest.approx(-1e-3 * slope, rel=2e-2)


@pytest.mark.parametrize("together", [True, False])
def test_goodness_is_judged_as_told(*, together: bool) -> None:
    """Nets of `ff_global` end where their equations end, one row at a time, in float64."""
    net = ff_global.GlobalNet((12, 16, 3), together=together, rate=0.3, seed=5)
    w1, labels, w2 = (np.array(a, np.float64) for a in net.weights)
    x, y = rows(60, 12, 3)
    for t in range(60):
        h1 = np.maximum(x[t] @ w1 + 28 * labels, 0)
        beliefs = np.exp(8 * np.square(h1).mean(axis=1)) * (np.arange(3) != y[t])
        dice = uniform(5, t, 0) * beliefs.sum()
        wrong = next(k for k in range(3) if k != y[t] and dice <= beliefs[: k + 1].sum())
        h1 = h1[[y[t], wrong]]
        u = h1 / np.sqrt(np.square(h1).mean(axis=1, keepdims=True))
        h2 = np.maximum(u @ w2, 0)
        d = np.array([8 * (np.square(h).mean(axis=1) @ [1, -1]) - 1 for h in (h1, h2)])
        d = d.sum().repeat(2) if together else d
        c = 0.3 / np.sqrt(1 + t / 2000) / (1 + np.exp(d))
        for lane, label in ((0, y[t]), (1, wrong)):
            up = (1 - 2 * lane) * c[0] / (12 + 28**2)
            w1 += up * np.outer(x[t], h1[lane])
            labels[label] += 28 * up * h1[lane]
            w2 += (1 - 2 * lane) * c[1] / 16 * np.outer(u[lane], h2[lane])
    net.learn(x, y)
    for got, want in zip(net.weights, (w1, labels, w2), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-3)
    assert len(net.answers(x)) == 60


def test_backprop_without_pytorch_says_how_to_go_on(monkeypatch) -> None:
    """PyTorch is optional: where it is missing one is told, and what works without it."""
    monkeypatch.setattr(TorchBackprop, "made", classmethod(lambda *_: None))
    few = ff_backprop.Rows(np.zeros((1, 784), np.float32), np.zeros(1, np.int32))
    with pytest.raises(SystemExit, match=r"pip install torch.*--only trimmed"):
        ff_backprop.plain(few, few, 0)


@pytest.mark.parametrize("widths", [(12, 30, 3), (12, 20, 20, 3)])
def test_the_peer_learns(widths: tuple[int, ...]) -> None:
    """Where PyTorch is installed: the nets that ours are compared with learn."""
    pytest.importorskip("torch")
    x, y = rows(600, 12, 3)
    y = (x[:, 1:4].argmax(axis=1)).astype(np.int32)
    peer = TorchBackprop.made(widths, 0.05)
    assert peer is not None
    learned = peer.learn(x, y, np.linspace(1, 0, 600, dtype=np.float32))
    assert learned.seconds > 0
    assert np.mean(learned.predicted[-200:] != y[-200:]) < 0.25
    assert np.mean(peer.answers(x) != y) < 0.2


def test_the_other_repository_must_be_named(monkeypatch, tmp_path: Path) -> None:
    """A folder that is no checkout, or a missing package, ends in one line that says what to do."""
    monkeypatch.setattr(sys, "argv", ["ff_peer.py", "--checkout", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"name a checkout|pip install"):
        ff_peer.main()


def test_every_row_of_the_paper_is_a_configuration() -> None:
    """Each experiment, whole and short, passes the checks of a configuration."""
    for experiment in ff_reproduce.EXPERIMENTS.values():
        for short, shape in ((False, (28, 28)), (True, (8, 8))):
            assert ff_reproduce.configured(experiment, shape, 0, short=short).layer
            if experiment.labels_tried:
                reader = ff_reproduce.reader(experiment)
                assert ff_reproduce.configured(reader, shape, 0, short=short).layer
    assert ff_peer.ours(20).layer


@pytest.mark.parametrize("name", ["supervised", "unsupervised", "fields", "top_down"])
def test_the_paper_in_short(name: str) -> None:
    """Small versions learn digits, and a run that is stopped between two passes goes on."""
    ff_reproduce.short(name)


def test_a_row_says_how_far_it_is() -> None:
    """The passes so far, of how many, and how long they took."""
    done = [ff_reproduce.Pass(0.04, 0.1, 1800.0), ff_reproduce.Pass(0.03, 0.08, 1800.0)]
    row = ff_reproduce.row(ff_reproduce.EXPERIMENTS["fields"], done, 0)
    assert (row.ours, row.published) == (3.0, 1.16)
    assert "2 of 60 passes, 1.0 h" in row.note


def test_every_answer_is_a_configuration(capsys, monkeypatch) -> None:
    """Each answer to an open question is a command that anyone can run, and is not another one."""
    sets = ff_questions.Sets.of("optdigits", 500)
    made = [ff_questions.configured(a, sets, 0.02, 0) for a in ff_questions.ANSWERS]
    assert all(len(config.layer) == ff_questions.LAYERS for config in made)
    assert len({a.title for a in ff_questions.ANSWERS}) == len(ff_questions.ANSWERS)
    monkeypatch.setattr(sys, "argv", ["ff_questions.py", "--list"])
    ff_questions.main()
    said = capsys.readouterr().out
    assert said.count("streamlearn evaluate configs/forward_forward_questions.toml") == len(made)


@pytest.mark.usefixtures("fonts")
def test_an_answer_is_measured_and_drawn(monkeypatch, tmp_path: Path) -> None:
    """One answer on the bundled digits: far better than chance; the picture holds it."""
    monkeypatch.setattr(ff_questions, "RATES", ff_questions.RATES[:1])
    answer = next(a for a in ff_questions.ANSWERS if a.change == {"goodness": "squares"})
    row = ff_questions.measured(answer, ff_questions.Sets.of("optdigits", 1500), 1)
    assert row.ours < 30
    other = Row(name="Goodness: untrained", ours=50.0, unit="%")
    ff_questions.draw(report("ff-questions", "x", [row, other]), tmp_path / "bars.png")
    assert (tmp_path / "bars.png").stat().st_size > 5000


@pytest.mark.parametrize("how", bench.CONTRASTS.values(), ids=bench.CONTRASTS)
def test_a_chain_of_layers_is_timed(how) -> None:
    """Layers take each other's lanes, and learning them takes time."""
    x = np.random.default_rng(0).random((128, 20)).astype(np.float32)
    chain = bench.Chain((20, 10, 10), how, x)
    before = chain.weights()
    assert chain.learn() > 0
    assert all(np.any(a != b) for a, b in zip(before, chain.weights(), strict=True))


def test_what_is_promised_is_a_configuration() -> None:
    """The measured nets pass the checks of a configuration."""
    for layers, _ in bench.PROMISED_SPEEDS.values():
        assert bench.config(layers, {"kind": "goodness"}, 1).layer


def every_config() -> Iterator[Config]:
    """Configurations of all experiments, answers, lines and measured nets."""
    for experiment in ff_reproduce.EXPERIMENTS.values():
        for one in (experiment, ff_reproduce.reader(experiment))[: 1 + experiment.labels_tried]:
            yield from (
                ff_reproduce.configured(one, (8, 8), 0, short=short) for short in (True, False)
            )
    for answer in ff_questions.ANSWERS:
        yield load(ff_questions.BASE, CATALOGUE, answer.settings(0.1))
    for line in ff_one_pass.LINES.values():
        yield load(ff_one_pass.CONFIGS / line.file, CATALOGUE, line.settings)
    for layers, _ in bench.PROMISED_SPEEDS.values():
        yield bench.config(layers, {"kind": "goodness"}, 1)
    yield ff_peer.ours(20)


def test_no_tool_sets_what_would_be_ignored() -> None:
    """Whatever is measured, each option that is set means something where it stands."""
    tables = {
        "forward_forward": dense.ONLY,
        "forward_forward_fields": fields.ONLY,
        "forward_forward_top_down": top_down.ONLY,
    }
    seen = set()
    for config in every_config():
        for layer in config.layer:
            seen.add(layer.rule)
            assert not idle(layer, tables.get(layer.rule, ())), layer
    assert seen >= {*tables}
