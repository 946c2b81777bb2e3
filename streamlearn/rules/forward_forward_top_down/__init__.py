"""Forward-Forward with top-down connections: a net whose levels see each other, for video.

Every level sees the normalised activity of the level below and of the level above at the step
before, so what is above can tell what is below what to expect. All learn at once, each from its own
goodness, nothing is propagated backwards, and a stream goes through without a stop. As activity
also flows down, the levels cannot be stages of a pipeline: the whole net is one layer of the
learner.

- A still image (`carry = false`) is shown for `steps` steps, from one way up without top-down
  input; with `labels = "overlay"` the label is the level on top, and a wrong one makes the
  negative. Scores are the goodness, summed over levels and averaged over steps, under each label
  in turn, or those of a softmax of the net's own, which also says which wrong labels are hard.
- Video (`carry = true`) makes a step or a few a frame and goes on from the frame before. The lowest
  level sees the last `frames` rows, so that it can see them move; the negative is the same window
  in a wrong order of time. Nothing needs a label. All lanes begin a row where the last one ended:
  the same past, a wrong present.

A row that is only asked about, and every row while the layer is frozen, is answered from the state
as it stands and leaves no trace; `rate = 0` keeps time going without learning.

G. Hinton, The forward-forward algorithm, arXiv 2212.13345, section 3.4 and figure 3. There: 8
synchronous steps, damping 0.3, scores from steps 3 to 5, 1.31 % of MNIST wrong after 60 passes.
"""

from streamlearn.rules.forward_forward_top_down.layer import ForwardForwardTopDown
from streamlearn.rules.forward_forward_top_down.options import ForwardForwardTopDownOptions

__all__ = ["ForwardForwardTopDown", "ForwardForwardTopDownOptions"]
