"""Data sets by name, and from idx, npz, csv and video files; recordings as streams."""

from streamlearn.data.dataset import Dataset
from streamlearn.data.series import interleaved, messages
from streamlearn.data.source import load
from streamlearn.data.standard import SETS

__all__ = ["SETS", "Dataset", "interleaved", "load", "messages"]
