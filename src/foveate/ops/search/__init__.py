"""Writing a sentence with any model that scores the next token: beam search, greedy, sampling.

Shapes: B inputs, K sentences written for each at a time (beams or samples), N = B K rows; V tokens; t written so far.

A model comes as a step and two trees (tuples, named tuples, lists and dicts of tensors, or None) with B rows each:

    step(memory, state, tokens (N,) int64) -> (logits (N, V), state, attention (N, ...) or None)

memory is what was computed once an input: features, projected keys. Its rows are repeated K times at the start and then
never touched. state is what each sentence carries along; its rows follow the sentences they belong to. One call of
`step` serves all N rows. Rows whose search is over are still computed, and fed END; nothing of them is used.

A token's log-probability is the model's own, whatever the rules forbid: what is barred is left out, and the rest is not
scaled up. So scoring a sentence again word by word gives the numbers that are reported with it.
"""

from foveate.ops.search.beam import beam_search, greedy
from foveate.ops.search.sampling import sample
from foveate.ops.search.shared import Hypothesis, Step

__all__ = ["Hypothesis", "Step", "beam_search", "greedy", "sample"]
