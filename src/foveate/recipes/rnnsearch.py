"""Translation with RNNsearch: your own parallel text, Multi30k, and the paper's sizes and schedule.

What each cost and reached stands in results/<recipe>.json.
"""

from __future__ import annotations

from foveate.datasets.parallel_text import ParallelText
from foveate.engine import Optim, Recipe
from foveate.models.translation.rnnsearch import PAPER, Config
from foveate.registry import recipe
from foveate.tasks.translation.options import TranslationOptions
from foveate.text import TokenPair, Tokens


@recipe("rnnsearch")
def rnnsearch() -> Recipe:
    """Bahdanau et al. (2015), RNNsearch, on your own parallel text.

    foveate train rnnsearch --data PATH
    """
    return _small(lower=False, epochs=12)


@recipe("rnnsearch_multi30k")
def rnnsearch_multi30k() -> Recipe:
    """Bahdanau et al. (2015), RNNsearch, on Multi30k, from English to German in lower case.

    foveate train rnnsearch_multi30k --data MULTI30K

    --data.source de --data.target en reverses it.
    """
    return _small(lower=True, epochs=8, data=ParallelText(source="en", target="de"))


def _small(lower: bool, epochs: int, data: ParallelText | None = None) -> Recipe:
    tokens = Tokens("byte_pairs", size=5000, lower=lower)
    return Recipe(
        model="rnnsearch",
        config=Config(),
        data=data,
        text=TokenPair(True, tokens, tokens),
        options=TranslationOptions(),
        optim=Optim(lr=2e-3, weight_decay=0.01, clip=1.0),
        epochs=epochs,
        batch_size=64,
        ema=0.999,
        validate_every=2,  # by beam search over the whole split
    )


@recipe("rnnsearch_paper")
def rnnsearch_paper() -> Recipe:
    """Bahdanau et al. (2015), RNNsearch-50, with the paper's sizes and schedule, on your own parallel text.

    foveate train rnnsearch_paper --data PATH

    The paper: sentences of at most 50 words, the 30,000 most frequent words of each language, AdaDelta (rho 0.95, eps
    1e-6), 80 sentences a batch, of similar length within 20 batches, the gradient's norm at most 1.
    """
    words = Tokens("words_and_marks", least=1, size=30000)
    return Recipe(
        model="rnnsearch",
        config=PAPER,
        text=TokenPair(False, words, words),
        options=TranslationOptions(beams=10, length_penalty=0.0, max_length=51),
        optim=Optim("adadelta", lr=1.0, weight_decay=0.0, schedule="constant", warmup=0.0, clip=1.0),
        epochs=5,
        batch_size=80,
    )
