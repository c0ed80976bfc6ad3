"""Export of captioning models as two ONNX graphs, and the two files under the face of the model that they came from.

    captions.onnx       image (batch, C, H, W) float32, normalised
                        -> memory_*, state_*: the tensors that `begin` gives, each (batch, ...)
    captions.step.onnx  memory_*, state_*, tokens (batch,) int64
                        -> logits (batch, V), next_state_*, attention (batch, h, w) of a model with attention

The batch is free; images have the model's own size. A tensor is named after its field: `memory_places`, `state_h`.
The step repeats no work of the encoder, and any search can drive it: feed <start>, then each chosen token together with
the next state of its row. The metadata `foveate.graph` of either file is a `Signature`.

Shapes: B images, N rows of sentences, V in the vocabulary, a grid of h x w places.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from foveate.errors import ModelError
from foveate.onnx import Graph, Graphs, OnnxFile, prepared, require_same_shape, worst
from foveate.ops.search.shared import each

if TYPE_CHECKING:
    from foveate.tasks.base import Task

GRAPH, SEARCH = "graph", "search"  # keys of the signature and of the rules of the search in the metadata
ENCODER, STEP = "encoder", "step"
STEP_SUFFIX = f".{STEP}"
NEXT = "next_"  # prefix of a state's name after the step

CHECKED_STEPS = 6  # tokens of each sentence that the check decodes
CHECKED_BATCHES = (1, 3)  # numbers of images that the check encodes; the export has seen 2

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class Signature:
    """Description of the two files of one export.

    graph: 'encoder' or 'step'. pair: the same in the two files of one export, and in no others.
    attention: 'soft', 'hard', or 'none' of a model without attention.
    memory, state: (name, rank) of each tensor, in the order in which the encoder gives them.
    """

    graph: str
    pair: str
    attention: str
    memory: tuple[tuple[str, int], ...]
    state: tuple[tuple[str, int], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""
        tensors = {"memory": [list(x) for x in self.memory], "state": [list(x) for x in self.state]}
        return {"graph": self.graph, "pair": self.pair, "attention": self.attention} | tensors

    @classmethod
    def read(cls, file: OnnxFile) -> Signature:
        """The signature in a file's metadata. Raises ModelError."""
        data = file.value(GRAPH)
        try:
            memory, state = (tuple((str(name), int(rank)) for name, rank in data[key]) for key in ("memory", "state"))
            return cls(str(data["graph"]), str(data["pair"]), str(data["attention"]), memory, state)
        except (TypeError, KeyError, ValueError) as error:
            raise file.unreadable(GRAPH, error) from None


# Writing


def graphs(task: Task, model: nn.Module) -> Graphs:
    """The encoder and the step of a model."""
    ready: Any = prepared(model)
    channels, size = len(task.preprocessing.mean), tuple(task.preprocessing.size)
    image = torch.zeros(2, channels, *size)
    with torch.no_grad():
        features = ready.encode(image)
        memory, state = ready.begin(features)
        tokens = torch.zeros(2, dtype=torch.int64)
        attends = ready.step(memory, state, tokens)[2] is not None
    attention = str(getattr(ready, "attention", "soft")) if attends else "none"
    memory_names, state_names = (
        tuple((name, x.ndim) for name, x in _named(tree)) for tree in (("memory", memory), ("state", state))
    )
    signature = Signature(ENCODER, _digest(model), attention, memory_names, state_names)
    names = tuple(name for name, _ in memory_names + state_names)
    search = {SEARCH: task.options.search_to_json(task.tables["text"])}
    free = {0: torch.export.Dim("batch")}
    encoder = Graph(
        _Encoder(ready), (image,), (free,), ("image",), names, metadata={GRAPH: signature.to_json()} | search
    )  # fmt: skip
    step = Graph(
        _Step(ready, memory, state, features.shape[-2:]),
        ([x.contiguous() for x in _leaves((memory, state))], tokens),
        ([free] * len(names), free),
        (*names, "tokens"),
        ("logits", *(NEXT + name for name, _ in state_names), *(["attention"] if attends else [])),
        suffix=STEP_SUFFIX,
        metadata={GRAPH: dataclasses.replace(signature, graph=STEP).to_json()} | search,
    )
    height, width = size
    vocabulary = len(task.tables["text"])

    def difference(model: nn.Module, runner: nn.Module) -> float:
        return _difference(model, runner, (channels, height, width), vocabulary)

    return Graphs((encoder, step), ((height, width),), difference)


class _Encoder(nn.Module):
    """Images in, a list of tensors out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> list[Tensor]:
        memory, state = self.model.begin(self.model.encode(image))
        return _leaves((memory, state))


class _Step(nn.Module):
    """Flat lists of tensors in and out, in place of the trees of memory and state that the model takes."""

    def __init__(self, model: Any, memory: Any, state: Any, grid: Sequence[int]) -> None:
        super().__init__()
        self.model, self.grid = model, tuple(grid)
        self.trees = each((memory, state), lambda x: x.new_empty(0))

    def forward(self, tensors: list[Tensor], tokens: Tensor) -> list[Tensor]:
        upcoming = iter(tensors)
        memory, state = each(self.trees, lambda _: next(upcoming))
        logits, after, attention = self.model.step(memory, state, tokens)
        return [logits, *_leaves(after), *([] if attention is None else [attention.unflatten(1, self.grid)])]


def _difference(model: nn.Module, runner: nn.Module, image_shape: tuple[int, int, int], vocabulary: int) -> float:
    """The largest difference of two logits, as a share of the largest one, over whole sentences of random tokens.

    Each side continues from its own features and states, so their differences are counted with all that follows from
    them. Attention, which sums to 1, counts as it is.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    differences = []
    for batch in CHECKED_BATCHES:
        image = torch.randn(batch, *image_shape, generator=generator)
        sentences = torch.randint(vocabulary, (CHECKED_STEPS, batch), generator=generator)
        with torch.inference_mode():
            expected = list(_run(model, image.to(device), sentences.to(device)))
            exported = list(_run(runner, image, sentences))
        largest = max(max(float(logits.abs().max()) for logits, _ in expected), 1e-6)
        for ours, theirs in zip(expected, exported, strict=True):
            for mine, other, scale in zip(ours, theirs, (largest, 1.0), strict=True):
                require_same_shape(other, mine)
                if mine is not None and other is not None:
                    differences.append(float((mine - other).abs().max()) / scale)
    return worst(differences)


def _run(model: Any, image: Tensor, sentences: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The logits and the attention of each step, for sentences (steps, B), on the CPU."""
    memory, state = model.begin(model.encode(image))
    for tokens in sentences:
        logits, state, attention = model.step(memory, state, tokens)
        yield logits.float().cpu(), None if attention is None else attention.float().cpu()


def _leaves(tree: Any) -> list[Tensor]:
    """The tensors of a tree, in the order of `each`."""
    tensors: list[Tensor] = []
    each(tree, lambda x: tensors.append(x) or x)  # type: ignore[func-returns-value]
    return tensors


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


# Running


class Encoded(NamedTuple):
    """The encoder's outputs for B images, in place of a model's features."""

    memory: Tensors
    state: Tensors
    shape: tuple[int, ...]  # (B, h, w); without attention there is no grid, (B,)


class ExportedCaptioner(nn.Module):
    """The two files under the face of a captioning model: `encode`, `begin` and `step`.

    attention: 'soft', 'hard' or 'none'. attends: False for 'none'.
    """

    def __init__(self, encoder: OnnxFile, decoder: OnnxFile, signature: Signature) -> None:
        super().__init__()
        self.encoder, self.decoder, self.signature = encoder, decoder, signature
        self.attention = signature.attention
        self.attends = self.attention != "none"
        self.names = [name for name, _ in signature.memory + signature.state]
        self.image = encoder.session.get_inputs()[0].name
        shapes = {output.name: output.shape for output in decoder.session.get_outputs()}
        self.grid = tuple(shapes["attention"][1:]) if self.attends else ()
        self.outputs = ["logits", *(NEXT + name for name, _ in signature.state)]
        self.outputs += ["attention"] if self.attends else []

    def encode(self, image: Tensor) -> Encoded:
        """(B, C, H, W) float32, normalised, of the size that the model takes."""
        tensors = tuple(self.encoder.run(self.names, {self.image: image}))
        count = len(self.signature.memory)
        return Encoded(tensors[:count], tensors[count:], (image.shape[0], *self.grid))

    def begin(self, features: Encoded) -> tuple[Tensors, Tensors]:
        """Memory and state at the start of a search, B rows each."""
        return features.memory, features.state

    def step(self, memory: Tensors, state: Tensors, tokens: Tensor) -> tuple[Tensor, Tensors, Tensor | None]:
        """The last tokens (N,) -> logits of the next (N, V), the state, and attention (N, h w) or None."""
        inputs = dict(zip(self.names, (*memory, *state), strict=True)) | {"tokens": tokens}
        logits, *rest = self.decoder.run(self.outputs, inputs)
        attention = rest.pop().flatten(1) if self.attends else None
        return logits, tuple(rest), attention


def open_runner(task: Task, file: OnnxFile) -> ExportedCaptioner:
    """The encoder's file and the step beside it as a captioning model.

    Raises ModelError for a step that is missing, damaged or of another export.
    """
    signature = Signature.read(file)
    if signature.graph != ENCODER:
        raise ModelError(
            f"{file.path} is the {signature.graph} of an exported captioner; give the file of its encoder, which was "
            "written beside it"
        )
    step = file.sibling(STEP_SUFFIX)
    if Signature.read(step) != dataclasses.replace(signature, graph=STEP):
        raise ModelError(
            f"{step.path} is not the step of {file.path.name}, but of another export; export the model again"
        )
    tensors = {*signature.memory, *signature.state}
    outputs = {("logits", 2), *((NEXT + name, rank) for name, rank in signature.state)}
    if signature.attention != "none":
        outputs.add(("attention", 3))
    for path, existing, expected in (
        (file.path, file.session.get_outputs(), tensors),
        (step.path, step.session.get_inputs(), tensors | {("tokens", 1)}),
        (step.path, step.session.get_outputs(), outputs),
    ):
        missing = sorted(name for name, rank in expected - {(x.name, len(x.shape)) for x in existing})
        if missing:
            raise ModelError(f"{path} has no {', '.join(missing)} of the kind its metadata names; export it again")
    return ExportedCaptioner(file, step, signature)
