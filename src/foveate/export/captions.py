"""Models that write sentences, as two ONNX graphs: one looks at pictures, one writes a token.

    encoder   image (batch, C, H, W) float32, normalised -> memory_*, state_*: what `begin` gives, each (batch, ...)
    step      memory_*, state_*, tokens (batch,) int64
              -> logits (batch, V), next_state_*, attention (batch, h, w) of a model that attends

The batch is free; pictures have the model's own size. A tensor is called after its field: `memory_places`, `state_h`.
The step repeats no work of the encoder, and any search can drive it: feed <start>, then each token that was chosen,
with the next state of the row it was chosen in. `predictor.exported_captions` is such a runner.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foveate.errors import ModelError
from foveate.export.graph import about, prepared, write_graph
from foveate.ops.search.shared import each
from foveate.predictor import Predictor
from foveate.predictor.exported_captions import ENCODER, NEXT, STEP, Signature, open_captioner, step_file

STEPS = 6  # that the check writes of each sentence
BATCHES = (1, 3)  # of pictures that the check looks at; the export saw 2


def files(path: Path) -> tuple[Path, ...]:
    """The encoder, at `path`, and its step."""
    return path, step_file(path)


def checked_sizes(predictor: Predictor) -> tuple[tuple[int, int], ...]:
    """The model's own (height, width)."""
    height, width = predictor.preprocessing.size
    return ((height, width),)


class _Encoder(nn.Module):
    """Pictures in, a list of tensors out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> list[Tensor]:
        memory, state = self.model.begin(self.model.encode(image))
        return _leaves((memory, state))


class _Step(nn.Module):
    """Tensors of memory and state, one after the other, in and out: they stand for the trees that the model knows."""

    def __init__(self, model: Any, memory: Any, state: Any, grid: Sequence[int]) -> None:
        super().__init__()
        self.model, self.grid = model, tuple(grid)
        self.trees = each((memory, state), lambda x: x.new_empty(0))

    def forward(self, tensors: list[Tensor], tokens: Tensor) -> list[Tensor]:
        upcoming = iter(tensors)
        memory, state = each(self.trees, lambda _: next(upcoming))
        logits, after, attention = self.model.step(memory, state, tokens)
        return [logits, *_leaves(after), *([] if attention is None else [attention.unflatten(1, self.grid)])]


def write(predictor: Predictor, model: nn.Module, paths: Sequence[Path]) -> None:
    """Write both graphs. Raises ModelError for a model that cannot be exported."""
    ready: Any = prepared(model)
    image = torch.zeros(2, predictor.channels, *predictor.preprocessing.size)
    with torch.no_grad():
        features = ready.encode(image)
        memory, state = ready.begin(features)
        tokens = torch.zeros(2, dtype=torch.int64)
        attends = ready.step(memory, state, tokens)[2] is not None
    attention = str(getattr(ready.config, "attention", "soft")) if attends else "none"
    named = [[(name, x.ndim) for name, x in _named(tree)] for tree in (("memory", memory), ("state", state))]
    known, carried = (tuple(part) for part in named)
    names = [name for name, _ in known + carried]
    encoder = Signature(ENCODER, _digest(model), attention, known, carried)
    free = {0: torch.export.Dim("batch")}
    write_graph(
        _Encoder(ready),
        (image,),
        (free,),
        ["image"],
        names,
        about(predictor, graph=encoder.to_json()),
        predictor.name,
        paths[0],
    )
    write_graph(
        _Step(ready, memory, state, features.shape[-2:]),
        ([x.contiguous() for x in _leaves((memory, state))], tokens),
        ([free] * len(names), free),
        [*names, "tokens"],
        ["logits", *(NEXT + name for name, _ in carried), *["attention"][:attends]],
        about(predictor, graph=dataclasses.replace(encoder, graph=STEP).to_json()),
        predictor.name,
        paths[1],
    )


def disagreement(predictor: Predictor, model: nn.Module, paths: Sequence[Path]) -> float:
    """The largest difference of two logits, as a share of the largest one, over whole sentences of any tokens.

    Each side goes its own way from the picture on, so what differs in the features or a state is counted with all that
    comes of it. Attention, which sums to 1, counts as it is.
    """
    exported = open_captioner(paths[0], "cpu", step=paths[1])
    captioner: Any = model
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for batch in BATCHES:
        image = torch.randn(batch, predictor.channels, *predictor.preprocessing.size, generator=generator)
        written = torch.randint(len(predictor.classes), (STEPS, batch), generator=generator)
        with torch.inference_mode():
            expected = list(_run(captioner, image.to(predictor.device), written.to(predictor.device)))
            got = list(_run(exported, image, written))
        largest = max(max(float(logits.abs().max()) for logits, _ in expected), 1e-6)
        for (logits, look), (logits_got, look_got) in zip(expected, got, strict=True):
            if logits.shape != logits_got.shape or (look is None) != (look_got is None):
                raise ModelError(
                    f"the exported {predictor.name} answers {tuple(logits_got.shape)}, PyTorch {tuple(logits.shape)}; "
                    "nothing was written: please report this model"
                )
            worst = max(worst, float((logits - logits_got).abs().max()) / largest)
            if look is not None and look_got is not None:
                worst = max(worst, float((look - look_got).abs().max()))
    return worst


def _run(model: Any, image: Tensor, written: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The logits and attention of each step, of sentences (steps, B), on the CPU."""
    memory, state = model.begin(model.encode(image))
    for tokens in written:
        logits, state, look = model.step(memory, state, tokens)
        yield logits.float().cpu(), None if look is None else look.float().cpu()


def _leaves(tree: Any) -> list[Tensor]:
    """The tensors of a tree, in the order of `each`."""
    found: list[Tensor] = []
    each(tree, lambda x: found.append(x) or x)  # type: ignore[func-returns-value]
    return found


def _named(place: tuple[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """(name, tree) -> each tensor with a name after its fields, keys and positions, in the order of `each`."""
    name, tree = place
    if isinstance(tree, Tensor):
        yield name, tree
    elif isinstance(tree, dict):
        for key, part in tree.items():
            yield from _named((f"{name}_{key}", part))
    elif isinstance(tree, (tuple, list)):
        for key, part in zip(getattr(tree, "_fields", range(len(tree))), tree, strict=True):
            yield from _named((f"{name}_{key}", part))


def _digest(model: nn.Module) -> str:
    """A name for these weights."""
    digest = hashlib.blake2b(digest_size=12)
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
