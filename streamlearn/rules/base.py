"""What a learning rule promises beyond `Part`: nothing it learns needs another layer's answer."""

from streamlearn.part import Part


class Rule(Part):
    """A layer's learning rule.

    `learn` writes each row's activity [H] from the weights as they are, then changes them; labels
    are welcome and may be missing (-1) on any row. `gauges` should show what fails silently: dead
    units, weight norms, goodness.
    """
