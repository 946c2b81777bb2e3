"""Data sets by name, and from idx, npz and csv files."""

from streamlearn.data.dataset import Dataset
from streamlearn.data.source import load
from streamlearn.data.standard import SETS

__all__ = ["SETS", "Dataset", "load"]
