"""Captions a second: one batched beam search, a search of one picture at a time, and transformers' generate.

    python benchmarks/beam_search.py [--rounds N] [--threads N] [--json FILE]

Show, Attend and Tell at a usual size (a grid of 14x14 places of 512 features, an LSTM of 512, 5000 words), random weights,
32 pictures whose features are given, 5 beams, eager on a CPU. One picture at a time is what captioning code usually does:
a loop in Python over pictures, their beams as its batch. It drives the same step of the same model, and that its captions
are the same as ours of one picture, word for word, is checked before anything is timed. "Keys anew" is the same loop where the features' part of
the attention's scores is computed at every word, as in much code that is copied today, instead of once a picture.

transformers has no recurrent model with attention that its generate could search. The peer is its BART: one decoder layer
of the same width, of which the number of parameters is matched, over the same 196 places as the encoder's output. It is
another network, so what is compared is what a caption costs, not the search alone. Each caption there has 20 tokens, and
no network may end it sooner. In the second table a sentence has at least 6, and ends where the model ends it: a batch lasts as
long as its longest, a loop as long as their sum.
"""

from __future__ import annotations

import importlib.util
import math
import time
from typing import Any, NamedTuple

from common import SEED, Contender, Report, Target, arguments, compare, interleave, publish

import torch  # isort: skip
from torch import Tensor

from foveate.models.captioning.show_attend_tell import Config, Memory, ShowAttendTell, State
from foveate.ops.search import beam_search
from foveate.text import END, PAD, START, UNKNOWN

PICTURES, BEAMS, VOCABULARY, WORDS = 32, 5, 5000, 20
FORBIDDEN = (PAD, START, UNKNOWN)
OURS, SINGLY, ANEW, PEER = "foveate, all at once", "one picture at a time", "... keys anew", "transformers, BART"
LEAST = 1.0  # times the loop's captions a second
GOAL = 1.5  # times the captions a second of transformers' generate


def captioner() -> ShowAttendTell:
    """Weights large enough that pictures get captions of their own."""
    torch.manual_seed(SEED)
    model = ShowAttendTell(Config(vocabulary=VOCABULARY, hidden=512)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("backbone") and parameter.ndim > 1:
                parameter.mul_(3)
    return model


class Beam(NamedTuple):
    """A sentence that is being written."""

    total: float
    tokens: list[int]


class PlainSearch:
    """Beam search as one would write it for one picture: `ops.search.beam_search`'s rules, in lists."""

    def __init__(self, model: ShowAttendTell, least: int, most: int, anew: bool = False) -> None:
        self.model, self.least, self.most, self.anew = model, least, most, anew

    def __call__(self, features: Tensor) -> list[list[int]]:
        return [self.one(features[i : i + 1]) for i in range(len(features))]

    def one(self, features: Tensor) -> list[int]:
        memory, state = self.model.begin(features)
        alive, ended = [Beam(0.0, [])], []
        for length in range(1, self.most + 1):
            count = len(alive)
            last = torch.tensor([beam.tokens[-1] if beam.tokens else START for beam in alive])
            logits, state, _ = self.model.step(self._memory(memory, count), state, last)
            log_p = torch.log_softmax(logits, 1)
            log_p[:, list(FORBIDDEN)] = -math.inf
            if length < self.least:
                log_p[:, END] = -math.inf
            totals = log_p + torch.tensor([beam.total for beam in alive])[:, None]
            best, places = totals.flatten().topk(BEAMS)
            rows, grown = [], []
            for total, place in zip(best.tolist(), places.tolist(), strict=True):
                row, token = divmod(place, VOCABULARY)
                beam = Beam(total, [*alive[row].tokens, token])
                if token == END:
                    ended.append((total / length, beam.tokens))
                else:
                    rows.append(row)
                    grown.append(beam)
            alive, state = grown, State(*(x[rows] for x in state))
            # A sum only falls, so no living sentence can come to more than this.
            if not alive or (ended and max(alive).total / self.most <= max(ended)[0]):
                break
        return max(ended)[1] if ended else max(alive).tokens

    def _memory(self, memory: Memory, count: int) -> Memory:
        places, keys = (x.expand(count, -1, -1) for x in memory)
        return Memory(places, self.model.score.project(places) if self.anew else keys)


def at_once(model: ShowAttendTell, features: Tensor, least: int, most: int) -> list[list[int]]:
    memory, state = model.begin(features)
    found = beam_search(
        model.step, memory, state,
        start=START, end=END, beams=BEAMS, min_length=least, max_length=most, forbidden=FORBIDDEN,
    )  # fmt: skip
    return [best.tokens.tolist() for (best,) in found]


def decoder_size(model: torch.nn.Module) -> float:
    """Millions of parameters beside the backbone."""
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith("backbone")) / 1e6


def bart(features: Tensor, size: float) -> tuple[Any, float] | None:
    """(a function that captions, its millions of parameters), or None where transformers is not installed."""
    if importlib.util.find_spec("transformers") is None:
        return None
    import transformers
    from transformers.modeling_outputs import BaseModelOutput

    transformers.logging.set_verbosity_error()
    width = features.shape[1]

    def build(inner: int) -> Any:
        torch.manual_seed(SEED)
        config = transformers.BartConfig(
            vocab_size=VOCABULARY, d_model=width, encoder_layers=1, decoder_layers=1, decoder_attention_heads=8,
            decoder_ffn_dim=inner, encoder_ffn_dim=1, encoder_attention_heads=1, max_position_embeddings=64,
            tie_word_embeddings=False, pad_token_id=PAD, bos_token_id=START, eos_token_id=END,
            decoder_start_token_id=START, forced_eos_token_id=None,
        )  # fmt: skip
        return transformers.BartForConditionalGeneration(config).eval()

    def parameters(model: Any) -> float:
        parts = (model.model.decoder, model.lm_head)
        return sum(p.numel() for part in parts for p in part.parameters()) / 1e6

    none = parameters(build(1))
    # One more unit of the layer in the middle costs 2 width + 1 parameters.
    model = build(max(1, round((size - none) * 1e6 / (2 * width + 1))))
    places = features.flatten(2).mT.contiguous()

    def run() -> Any:
        return model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=places),
            num_beams=BEAMS, min_new_tokens=WORDS, max_new_tokens=WORDS, do_sample=False, length_penalty=1.0,
            suppress_tokens=list(FORBIDDEN), use_cache=True,
        )  # fmt: skip

    return run, parameters(model)


def ending(model: ShowAttendTell, features: Tensor, least: int, most: int) -> None:
    """Make <end> likely enough that captions have about 11 tokens, as people's have: the bias is found by halving."""
    low, high = -20.0, 20.0
    for _ in range(8):
        middle = (low + high) / 2
        with torch.no_grad():
            model.L_o.bias[END] = middle
        lengths = [len(tokens) for tokens in at_once(model, features, least, most)]
        low, high = (middle, high) if sum(lengths) / len(lengths) > 11 else (low, middle)


def timed(run: Any) -> Contender:
    def contender() -> float:
        started = time.perf_counter()
        run()
        return PICTURES / (time.perf_counter() - started)

    return contender


@torch.inference_mode()
def main() -> None:
    options = arguments(__doc__ or "", rounds=6).parse_args()
    torch.set_num_threads(options.threads)
    model = captioner()
    # A colour of each picture's own, so that captions differ.
    features = 2 * torch.randn(PICTURES, 512, 1, 1) + torch.randn(PICTURES, 512, 14, 14)
    report = Report(
        "beam_search",
        {"rounds": options.rounds, "pictures": PICTURES, "beams": BEAMS, "vocabulary": VOCABULARY, "places": 14 * 14},
    )
    size = decoder_size(model)
    for title, least, most in (("Captions of 20 tokens", WORDS, WORDS), ("Captions of 6 to 20 tokens", 6, WORDS)):
        if least < most:
            ending(model, features, least, most)
        single = PlainSearch(model, least, most)
        captions = at_once(model, features, least, most)
        # In a batch of its own, where sums are rounded as in the loop: two sentences may have the same score.
        if [at_once(model, one, least, most)[0] for one in features.split(1)] != single(features):
            raise SystemExit(f"{title}: the searches do not agree")
        lengths = [len(tokens) for tokens in captions]
        report.notes.append(
            f"{title}: {len({tuple(c) for c in captions})} different ones of {PICTURES}, of {min(lengths)} to "
            f"{max(lengths)} tokens, {sum(lengths) / PICTURES:.1f} on average, the same from the loop and from ours of one picture"
        )
        runs: dict[str, Any] = {
            OURS: lambda least=least, most=most: at_once(model, features, least, most),
            SINGLY: lambda single=single: single(features),
        }
        notes = {}
        if least == most:
            anew = PlainSearch(model, least, most, anew=True)
            runs[ANEW] = lambda anew=anew: anew(features)
            peer = bart(features, size)
            if peer is None:
                report.notes.append("transformers is not installed and did not take part")
            else:
                runs[PEER], peer_size = peer
                notes = {PEER: f"{peer_size:.1f} M parameters", OURS: f"{size:.1f} M parameters"}
        figures = interleave({name: timed(run) for name, run in runs.items()}, options.rounds)
        table = compare(title, "captions/s", figures, SINGLY, notes=notes, higher_is_better=True)
        report.tables.append(table)
        if PEER in figures:
            quicker = table.row(OURS).relative / table.row(PEER).relative
            report.targets.append(
                Target(f"{title}: all at once is {GOAL} times as fast as transformers", quicker, quicker >= GOAL)
            )
        ratio = table.row(OURS).relative
        report.targets.append(
            Target(f"{title}: all at once is faster than one picture at a time", ratio, ratio > LEAST)
        )
    publish(report, options.json)


if __name__ == "__main__":
    main()
