"""The learning rules by name; running one never imports another."""

from typing import Final

RULES: Final[dict[str, str]] = {
    "hebbian": "streamlearn.rules.hebbian:Hebbian",
}
