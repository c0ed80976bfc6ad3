"""Models that write a sequence, as two ONNX graphs: what is computed once for an input, and one step of the decoder.

    NAME.onnx       the inputs -> memory_*, state_*: the tensors that the decoder begins with, each (batch, ...)
    NAME.step.onnx  memory_*, state_*, tokens (batch,) int64
                    -> logits (batch, V), next_state_*, attention (batch, ...) of a model with attention

A tensor is named after its field: `memory_places`, `state_h`. The step repeats no work of the encoder, and any search
can drive it: feed <start>, then each chosen token together with the next state of its row. The metadata `foveate.graph`
of either file is a `Signature`.

Shapes: B inputs, N rows of sentences, V in the vocabulary.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from foveate.errors import ModelError
from foveate.onnx.file import OnnxFile
from foveate.onnx.graphs import Graph, require_same_shape, worst
from foveate.ops.search.shared import each

GRAPH, SEARCH = "graph", "search"  # keys of the signature and of the rules of the search in the metadata
ENCODER, STEP = "encoder", "step"
STEP_SUFFIX = f".{STEP}"
NEXT = "next_"  # prefix of a state's name after the step

Tensors = tuple[Tensor, ...]
# The model and its inputs -> memory and state, as the model's `step` takes them.
Start = Callable[..., tuple[Any, Any]]
# Logits of a step, and attention of a model with it.
StepResult = tuple[Tensor, Tensor | None]


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


def stepwise_graphs(
    model: Any,
    ready: Any,
    start: Start,
    inputs: Mapping[str, Tensor],
    other: Mapping[str, Tensor] | None,
    search: Mapping[str, Any],
    grid: Sequence[int] = (),
) -> tuple[Graph, Graph]:
    """The encoder and the step of a model.

    model: as it was trained; ready: as `prepared` gives it. start: computes memory and state. inputs: by name, as the
    graph is traced with them, at least two. other: inputs of another length, by which it is found which axes vary; None
    where the batch alone does. search: rules of the search for the metadata. grid: the shape (h, w) of the attention.
    """
    with torch.no_grad():
        memory, state = start(ready, *inputs.values())
        tokens = torch.zeros(len(next(iter(inputs.values()))), dtype=torch.int64)
        attends = ready.step(memory, state, tokens)[2] is not None
        longer = inputs if other is None else other
        others = leaves(start(ready, *longer.values()))
    attention = str(getattr(ready, "attention", "soft")) if attends else "none"
    memory_names, state_names = (
        tuple((name, x.ndim) for name, x in named(tree)) for tree in (("memory", memory), ("state", state))
    )
    signature = Signature(ENCODER, digest_of(model), attention, memory_names, state_names)
    names = tuple(name for name, _ in memory_names + state_names)
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", min=1)

    def free(x: Tensor, y: Tensor) -> dict[int, Any]:
        return {0: batch} | {d: length for d in range(1, x.ndim) if x.shape[d] != y.shape[d]}

    encoder = Graph(
        _Encoder(ready, start),
        (list(inputs.values()),),
        ([free(x, y) for x, y in zip(inputs.values(), longer.values(), strict=True)],),
        tuple(inputs),
        names,
        metadata={GRAPH: signature.to_json(), SEARCH: dict(search)},
    )
    tensors = [x.contiguous() for x in leaves((memory, state))]
    step = Graph(
        _Step(ready, memory, state, grid),
        (tensors, tokens),
        ([free(x, y) for x, y in zip(tensors, others, strict=True)], {0: batch}),
        (*names, "tokens"),
        ("logits", *(NEXT + name for name, _ in state_names), *(["attention"] if attends else [])),
        suffix=STEP_SUFFIX,
        metadata={GRAPH: dataclasses.replace(signature, graph=STEP).to_json(), SEARCH: dict(search)},
    )
    return encoder, step


class _Encoder(nn.Module):
    """A list of inputs in, a list of tensors out."""

    def __init__(self, model: Any, start: Start) -> None:
        super().__init__()
        self.model, self.start = model, start

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        return leaves(self.start(self.model, *inputs))


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
        if attention is not None and self.grid:
            attention = attention.unflatten(1, self.grid)
        return [logits, *leaves(after), *([] if attention is None else [attention])]


def leaves(tree: Any) -> list[Tensor]:
    """The tensors of a tree, in the order of `each`."""
    tensors: list[Tensor] = []
    each(tree, lambda x: tensors.append(x) or x)  # type: ignore[func-returns-value]
    return tensors


def named(place: tuple[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """(name, tree) -> each tensor with a name after its fields, keys and positions, in the order of `each`."""
    name, tree = place
    if isinstance(tree, Tensor):
        yield name, tree
    elif isinstance(tree, dict):
        for key, part in tree.items():
            yield from named((f"{name}_{key}", part))
    elif isinstance(tree, (tuple, list)):
        for key, part in zip(getattr(tree, "_fields", range(len(tree))), tree, strict=True):
            yield from named((f"{name}_{key}", part))


def digest_of(model: nn.Module) -> str:
    """Return a digest of a model's weights, by which the two files of one export are known to belong together."""
    digest = hashlib.blake2b(digest_size=12)
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


# Checking


def stepwise_difference(
    model: nn.Module, runner: nn.Module, start: tuple[Start, Start], inputs: Sequence[Tensor], tokens: Tensor
) -> list[float]:
    """The differences of logits, as shares of the largest one, and of attention, over sentences (steps, B) of tokens.

    start: computes memory and state of the model, and of the runner. Each side continues from its own memory and
    states, so their differences are counted with all that follows from them.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with torch.inference_mode():
        expected = list(_run(model, start[0], [x.to(device) for x in inputs], tokens.to(device)))
        exported = list(_run(runner, start[1], inputs, tokens))
    return step_differences(expected, exported) or [worst([])]


def step_differences(expected: Sequence[StepResult], exported: Sequence[StepResult]) -> list[float]:
    """Return the differences of each step's logits, as shares of the largest one, and of its attention as it is.

    expected: logits and attention of each step by PyTorch. exported: the same by the exported files.
    """
    largest = max(max(float(logits.abs().max()) for logits, _ in expected), 1e-6)
    differences = []
    for ours, theirs in zip(expected, exported, strict=True):
        for mine, other, scale in zip(ours, theirs, (largest, 1.0), strict=True):
            require_same_shape(other, mine)
            if mine is not None and other is not None:
                differences.append(float((mine - other).abs().max()) / scale)
    return differences


def _run(model: Any, start: Start, inputs: Sequence[Tensor], sentences: Tensor) -> Iterator[StepResult]:
    """The logits and the attention of each step, for sentences (steps, B), on the CPU."""
    memory, state = start(model, *inputs)
    for tokens in sentences:
        logits, state, attention = model.step(memory, state, tokens)
        yield logits.float().cpu(), None if attention is None else attention.float().cpu()


# Running


class Encoded(NamedTuple):
    """The encoder's outputs for B inputs, in place of a model's memory."""

    memory: Tensors
    state: Tensors


class ExportedDecoder(nn.Module):
    """The two files with the interface of a model that writes sequences: `encode` and `step`.

    attention: 'soft', 'hard' or 'none'. attends: False for 'none'.
    """

    def __init__(self, encoder: OnnxFile, decoder: OnnxFile, signature: Signature) -> None:
        super().__init__()
        self.encoder, self.decoder, self.signature = encoder, decoder, signature
        self.attention = signature.attention
        self.attends = self.attention != "none"
        self.names = [name for name, _ in signature.memory + signature.state]
        self.inputs = [one.name for one in encoder.session.get_inputs()]
        self.outputs = ["logits", *(NEXT + name for name, _ in signature.state)]
        self.outputs += ["attention"] if self.attends else []

    def start(self, *inputs: Tensor) -> Encoded:
        """Run the encoder."""
        tensors = tuple(self.encoder.run(self.names, dict(zip(self.inputs, inputs, strict=True))))
        count = len(self.signature.memory)
        return Encoded(tensors[:count], tensors[count:])

    def step(self, memory: Tensors, state: Tensors, tokens: Tensor) -> tuple[Tensor, Tensors, Tensor | None]:
        """The last tokens (N,) -> logits of the next (N, V), the state, and attention (N, ...) or None."""
        inputs = dict(zip(self.names, (*memory, *state), strict=True)) | {"tokens": tokens}
        logits, *rest = self.decoder.run(self.outputs, inputs)
        attention = rest.pop().flatten(1) if self.attends else None
        return logits, tuple(rest), attention


def step_beside(file: OnnxFile, signature: Any, noun: str) -> OnnxFile:
    """Return the step's file beside an encoder's file.

    signature: the encoder's, a frozen dataclass with `graph` and a class method `read`. noun: a model of its kind, for
    messages. Raises ModelError for the file of a step, and for a step that is missing or of another export.
    """
    if signature.graph != ENCODER:
        raise ModelError(
            f"{file.path} is the {signature.graph} of an exported {noun}; give the file of its encoder, which was "
            "written beside it"
        )
    step = file.sibling(STEP_SUFFIX)
    if type(signature).read(step) != dataclasses.replace(signature, graph=STEP):
        raise ModelError(
            f"{step.path} is not the step of {file.path.name}, but of another export; export the model again"
        )
    return step


def open_stepwise(file: OnnxFile, noun: str, attention_rank: int) -> tuple[OnnxFile, Signature]:
    """The step beside an encoder's file, and the signature of both.

    noun: a model of its kind, for messages: captioner. attention_rank: axes of the attention, the batch among them.
    Raises ModelError for a step that is missing, damaged or of another export.
    """
    signature = Signature.read(file)
    step = step_beside(file, signature, noun)
    tensors = {*signature.memory, *signature.state}
    outputs = {("logits", 2), *((NEXT + name, rank) for name, rank in signature.state)}
    if signature.attention != "none":
        outputs.add(("attention", attention_rank))
    for path, existing, expected in (
        (file.path, file.session.get_outputs(), tensors),
        (step.path, step.session.get_inputs(), tensors | {("tokens", 1)}),
        (step.path, step.session.get_outputs(), outputs),
    ):
        missing = sorted(name for name, rank in expected - {(x.name, len(x.shape)) for x in existing})
        if missing:
            raise ModelError(f"{path} has no {', '.join(missing)} of the kind its metadata names; export it again")
    return step, signature
