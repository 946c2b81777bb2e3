"""Competing units beside backprop of the same size, clean and disturbed, into docs/results.

Needs PyTorch, and the units and read-out that `make reproduce-kh` keeps in --state. The net is
784-2000-10 with ReLU and cross-entropy, learned by Adam in minibatches of 100; its images are unit
vectors, too. Both are then asked about images with Gaussian noise, and about images that were moved
by epsilon a pixel along the sign of the gradient of their own cross-entropy (FGSM, Goodfellow et
al. 2015). Pixels lie between 0 and 1 and stay there.

Our read-out is written out again so that it has a gradient. The bounds that `read_row` puts on what
it reads are left out: a row of more than four times the usual size would there be brought back.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from kh_paper import MNIST, STATE, Digits, digits, keep

from streamlearn import data
from streamlearn.bench.report import Row

try:
    import torch
except ImportError:
    sys.exit("kh_backprop: needs PyTorch (pip install torch)")

NOISE: Final = (0.1, 0.2, 0.3, 0.4, 0.5)
EPSILON: Final = (0.01, 0.02, 0.05, 0.1, 0.2)
PASSES: Final = 30
Net = Callable[[torch.Tensor], torch.Tensor]
"""From images [B, D] to logits [B, K]."""


def unit(x: torch.Tensor) -> torch.Tensor:
    """Images at length 1."""
    return x / x.norm(dim=1, keepdim=True).clamp_min(1e-9)


def competing(state: Path) -> Net:
    """The units and the read-out that were kept, as one differentiable function.

    Raises
    ------
    SystemExit
        Where nothing was kept.

    """
    files = (state / "kh-mnist.npz", state / "kh-mnist-readout.npz")
    if not all(file.exists() for file in files):
        sys.exit(f"kh_backprop: no {files[1]}; run `make reproduce-kh ARGS='units readout'` first")
    weights = torch.from_numpy(np.load(files[0])["weights"])
    kept = np.load(files[1])
    matrix = torch.from_numpy(kept["average"])
    scale = float(np.exp(-0.5 * kept["size"][0]))

    def net(x: torch.Tensor) -> torch.Tensor:
        seen = (unit(x) @ weights.T).clamp_min(0) ** MNIST.power * scale
        return seen @ matrix[:, :-1].T + matrix[:, -1]

    return net


def learned(train: Digits, test: Digits, seed: int) -> tuple[Net, Row]:
    """End-to-end backprop, and its row."""
    torch.manual_seed(seed)
    layers = torch.nn.Sequential(
        torch.nn.Linear(784, MNIST.units), torch.nn.ReLU(), torch.nn.Linear(MNIST.units, 10)
    )
    optimiser = torch.optim.Adam(layers.parameters(), lr=1e-3)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, PASSES)
    x, y = unit(torch.from_numpy(train.x)) * 28, torch.from_numpy(train.y).long()
    began = time.perf_counter()
    for number in range(1, PASSES + 1):
        for batch in torch.randperm(len(x)).split(100):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(layers(x[batch]), y[batch]).backward()
            optimiser.step()
        falling.step()
        if number % 5 == 0:
            spent = time.perf_counter() - began
            print(f"backprop, pass {number}: {spent:.0f} s", file=sys.stderr, flush=True)

    def net(images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = layers(unit(images) * 28)
        return logits

    row = Row(
        name="end-to-end backprop, test error",
        ours=round(wrong(net, torch.from_numpy(test.x), test), 3),
        unit="%",
        published=MNIST.published["backprop"],
        note=f"784-2000-10, Adam, {PASSES} passes, rate from 1e-3 along a cosine; training error "
        f"{wrong(net, torch.from_numpy(train.x), train):.2f} %",
    )
    return net, row


def wrong(net: Net, x: torch.Tensor, rows: Digits) -> float:
    """Percent of images that the net gets wrong."""
    with torch.no_grad():
        said = torch.cat([net(part).argmax(dim=1) for part in x.split(2000)])
    return 100 * float((said.numpy() != rows.y).mean())


def noisy(_: Net, rows: Digits, sigma: float) -> torch.Tensor:
    """Images with Gaussian noise."""
    noise = np.random.default_rng(5).standard_normal(rows.x.shape, np.float32)
    return torch.from_numpy(np.clip(rows.x + sigma * noise, 0, 1))


def attacked(net: Net, rows: Digits, epsilon: float) -> torch.Tensor:
    """Images moved by epsilon a pixel to where the net's own cross-entropy rises."""
    moved = []
    for x, y in zip(torch.from_numpy(rows.x).split(2000), np.array_split(rows.y, 5), strict=True):
        images = x.clone().requires_grad_()
        logits = net(images)
        loss = torch.nn.functional.cross_entropy(logits / logits.detach().std(), _long(y))
        (gradient,) = torch.autograd.grad(loss, images)
        moved.append((x + epsilon * gradient.sign()).clamp(0, 1))
    return torch.cat(moved)


def _long(y: Any) -> torch.Tensor:
    return torch.from_numpy(y).long()


def disturbed(nets: dict[str, Net], test: Digits) -> list[Row]:
    """Both nets under noise and attack."""
    rows = []
    for what, sizes, disturb in (
        ("noise of sigma", NOISE, noisy),
        ("FGSM, epsilon", EPSILON, attacked),
    ):
        for size in sizes:
            ours, peer = (wrong(net, disturb(net, test, size), test) for net in nets.values())
            name = f"test error under {what} {size:g}"
            rows.append(
                Row(name=name, ours=round(ours, 2), unit="%", peer=round(peer, 2), note="backprop")
            )
            print(f"{name}: {ours:.2f} %, backprop {peer:.2f} %", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Learn by backprop, then disturb both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state", type=Path, default=STATE, help="where units and read-out are")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    ours = competing(arguments.state)
    whole = data.load("mnist")
    assert whole.test is not None
    train, test = digits(whole.train, whole.shape), digits(whole.test, whole.shape)
    print(f"ours: {wrong(ours, torch.from_numpy(test.x), test):.2f} %", file=sys.stderr)
    peer, row = learned(train, test, arguments.seed)
    rows = [row, *disturbed({"ours": ours, "backprop": peer}, test)]
    print(keep(rows))


if __name__ == "__main__":
    main()
