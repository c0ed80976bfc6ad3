"""Sequence search with any model that scores the next token: beam search, greedy search and sampling.

Shapes: B inputs, K sequences decoded for each in parallel (beams or samples), N = B K rows; V tokens; t decoded so far.

A model is passed as a step function and two trees (tuples, named tuples, lists and dicts of tensors, or None) with B
rows each:

    step(memory, state, tokens (N,) int64) -> (logits (N, V), state, attention (N, ...) or None)

Rows are dimension 0 of every tensor, of any shape behind it: the states of a network of several layers are a tuple of
(h, c), or tensors (N, layers, H), where `nn.LSTM` has (layers, N, H).

memory is what is computed once per input: features, projected keys. Its rows are repeated K times at the start and do
not change afterwards. state is what each sequence carries along; its rows follow the sequences they belong to. One call
of `step` serves all N rows. Rows whose search is finished are still computed, with the end token as input; their
results are ignored.

A token's log-probability is the model's own, whatever the rules forbid: forbidden tokens are left out, and the others
are not renormalised. So scoring a sequence again token by token gives the numbers that are reported with it.
"""

from foveate.ops.search.beam import beam_search, greedy
from foveate.ops.search.sampling import sample
from foveate.ops.search.shared import Fusion, Hypothesis, Step

__all__ = ["Fusion", "Hypothesis", "Step", "beam_search", "greedy", "sample"]
