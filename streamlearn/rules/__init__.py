"""The learning rules by name; running one never imports another."""

from typing import Final

RULES: Final[dict[str, str]] = {
    "hebbian": "streamlearn.rules.hebbian:Hebbian",
    "forward_forward": "streamlearn.rules.forward_forward:ForwardForward",
    "forward_forward_fields": "streamlearn.rules.forward_forward_fields:ForwardForwardFields",
    "forward_forward_top_down": "streamlearn.rules.forward_forward_top_down:ForwardForwardTopDown",
    "pool": "streamlearn.rules.pool:Pool",
    "greedy_infomax": "streamlearn.rules.greedy_infomax:GreedyInfomax",
    "geometric_spiking": "streamlearn.rules.geometric_spiking:GeometricSpiking",
    "black_box": "streamlearn.rules.black_box:BlackBox",
}
