"""The heads by name: what turns the layers' activities into scores a class."""

from typing import Final

HEADS: Final[dict[str, str]] = {
    "softmax": "streamlearn.heads.softmax:Softmax",
    "least_squares": "streamlearn.heads.least_squares:LeastSquares",
    "power_loss": "streamlearn.heads.power_loss:PowerLoss",
    "goodness": "streamlearn.heads.goodness:Goodness",
    "neighbours": "streamlearn.heads.neighbours:Neighbours",
}
