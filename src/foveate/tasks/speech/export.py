"""Export of speech models as two ONNX graphs, and the two files with the interface of the model.

    speech.onnx        audio (1, samples) float32, or (1, frames, D) of a model of features
                       -> cells (1, U, E), keys (1, U, A): log-mel features and the listener are inside
    speech.step.onnx   cells (rows, U, E), keys (rows, U, A), mask (rows, U) bool, state_* (rows, ...), tokens (rows,)
                       -> logits (rows, V), next_state_*, attention (rows, U)

One recording is encoded at a time, at its own length, so that none is padded; rows are hypotheses of a search, or
several recordings whose cells are filled up, with `mask` False there. The state starts as zeros. Any search can drive
the step: feed <start>, then each chosen token together with the next state of its row. The metadata `foveate.graph` of
either file is a `Signature`, and `foveate.search` has the rules of the search.

Shapes: B recordings, N rows, U cells, V tokens.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from foveate.errors import ModelError
from foveate.onnx import Graph, Graphs, OnnxFile, prepared, worst
from foveate.onnx.stepwise import (
    ENCODER,
    GRAPH,
    NEXT,
    SEARCH,
    STEP,
    STEP_SUFFIX,
    digest_of,
    leaves,
    step_beside,
    step_differences,
)
from foveate.ops.padding import pad, valid_mask
from foveate.ops.search.shared import each
from foveate.tasks.parts import device_of

if TYPE_CHECKING:
    from foveate.tasks.base import Task

CHECKED_STEPS = 6  # tokens that the check feeds
CHECKED_LENGTHS = (1.0, 2.3, 4.1)  # of the shortest recording, which the check encodes; the export has seen 3


@dataclass(frozen=True)
class Signature:
    """Description of the two files of one export.

    graph: 'encoder' or 'step'. pair: the same in the two files of one export, and in no others.
    state: (name, size) of each tensor (rows, size) of the state. shortest: samples or frames that the encoder needs.
    cell_step, cell_first: seconds from one cell to the next, and of the middle of the first.
    """

    graph: str
    pair: str
    state: tuple[tuple[str, int], ...]
    shortest: int
    cell_step: float
    cell_first: float

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""
        return dataclasses.asdict(self) | {"state": [list(one) for one in self.state]}

    @classmethod
    def read(cls, file: OnnxFile) -> Signature:
        """The signature in a file's metadata. Raises ModelError."""
        data = file.value(GRAPH)
        try:
            state = tuple((str(name), int(size)) for name, size in data["state"])
            numbers = float(data["cell_step"]), float(data["cell_first"])
            return cls(str(data["graph"]), str(data["pair"]), state, int(data["shortest"]), *numbers)
        except (TypeError, KeyError, ValueError) as error:
            raise file.unreadable(GRAPH, error) from None


# Writing


def graphs(task: Task, model: nn.Module) -> Graphs:
    """The encoder and the step of a model."""
    ready: Any = prepared(model)
    form = ready.preprocessing
    shape = (1, 3 * form.shortest, form.features) if form.features else (1, 3 * form.shortest)
    audio = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        memory, state = ready.begin(audio)
    states = leaves(state)
    names = tuple(f"state_{i}" for i in range(len(states)))
    sizes = tuple((name, int(x.shape[1])) for name, x in zip(names, states, strict=True))
    signature = Signature(ENCODER, digest_of(model), sizes, form.shortest, ready.cell_step, ready.cell_first)
    options: Any = task.options
    search = {SEARCH: options.search_to_json()}
    samples = torch.export.Dim("samples", min=form.shortest)
    encoder = Graph(
        _Encoder(ready), (audio,), ({1: samples},), ("audio",), ("cells", "keys"),
        metadata={GRAPH: signature.to_json()} | search,
    )  # fmt: skip
    rows, cells = torch.export.Dim("rows"), torch.export.Dim("cells")
    wide = [x.repeat(2, *(1 for _ in x.shape[1:])) for x in (memory.cells, memory.keys, memory.mask, *states)]
    step = Graph(
        _Step(ready, state),
        (wide[0], wide[1], wide[2], wide[3:], torch.zeros(2, dtype=torch.int64)),
        ({0: rows, 1: cells}, {0: rows, 1: cells}, {0: rows, 1: cells}, [{0: rows}] * len(states), {0: rows}),
        ("cells", "keys", "mask", *names, "tokens"),
        ("logits", *(NEXT + name for name in names), "attention"),
        suffix=STEP_SUFFIX,
        metadata={GRAPH: dataclasses.replace(signature, graph=STEP).to_json()} | search,
    )
    vocabulary = len(task.tables["text"])

    def difference(model: nn.Module, runner: nn.Module) -> float:
        return _difference(model, runner, vocabulary)

    return Graphs((encoder, step), (), difference)


class _Encoder(nn.Module):
    """A recording in, cells and keys out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        memory, _ = self.model.begin(audio)
        return memory.cells, memory.keys


class _Step(nn.Module):
    """Flat lists of tensors in and out, in place of the trees that the model takes."""

    def __init__(self, model: Any, state: Any) -> None:
        super().__init__()
        self.model = model
        self.tree = each(state, lambda x: x.new_empty(0))

    def forward(self, cells: Tensor, keys: Tensor, mask: Tensor, state: list[Tensor], tokens: Tensor) -> list[Tensor]:
        upcoming = iter(state)
        tree = each(self.tree, lambda _: next(upcoming))
        logits, after, attention = self.model.step(ExportedMemory(cells, keys, mask), tree, tokens)
        return [logits, *leaves(after), attention]


def _difference(model: Any, runner: nn.Module, vocabulary: int) -> float:
    """The largest difference of two logits, as a share of the largest one, over recordings of several lengths together.

    Each side continues from its own cells and states. Attention, which sums to 1, counts as it is.
    """
    form = model.preprocessing
    generator = torch.Generator().manual_seed(0)
    shape = (form.features,) if form.features else ()
    recordings = [torch.randn(round(share * form.shortest), *shape, generator=generator) for share in CHECKED_LENGTHS]
    lengths = torch.tensor([len(one) for one in recordings])
    tokens = torch.randint(vocabulary, (CHECKED_STEPS, len(recordings)), generator=generator)
    device = device_of(model)
    with torch.inference_mode():
        expected = list(_run(model, pad(recordings).to(device), lengths.to(device), tokens.to(device)))
        exported = list(_run(runner, pad(recordings), lengths, tokens))
    return worst(step_differences(expected, exported))


def _run(model: Any, audio: Tensor, lengths: Tensor, tokens: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The logits and the attention of each step, on the CPU."""
    memory, state = model.begin(audio, lengths)
    for last in tokens:
        logits, state, attention = model.step(memory, state, last)
        yield logits.float().cpu(), attention.float().cpu()


# Running


class ExportedMemory(NamedTuple):
    """The inputs of the step that belong to B recordings."""

    cells: Tensor  # (B, U, E)
    keys: Tensor  # (B, U, A)
    mask: Tensor  # (B, U) bool


class ExportedSpeaker(nn.Module):
    """The two files with the interface of a speech model: `begin` and `step`."""

    def __init__(self, encoder: OnnxFile, step: OnnxFile, signature: Signature) -> None:
        super().__init__()
        self.encoder, self.stepper, self.signature = encoder, step, signature
        self.cell_step, self.cell_first = signature.cell_step, signature.cell_first
        self.names = [name for name, _ in signature.state]

    def begin(self, audio: Tensor, lengths: Tensor | None = None) -> tuple[ExportedMemory, tuple[Tensor, ...]]:
        """(B, T) or (B, T, D) and their lengths (B,) -> what the step reads, and its initial state."""
        counts = [audio.shape[1]] * len(audio) if lengths is None else lengths.tolist()
        found = [
            self.encoder.run(["cells", "keys"], {"audio": one[None, :count]})
            for one, count in zip(audio, counts, strict=True)
        ]
        cells, keys = pad([cells[0] for cells, _ in found]), pad([keys[0] for _, keys in found])
        mask = valid_mask(torch.tensor([cells.shape[1] for cells, _ in found]), cells.shape[1])
        return ExportedMemory(cells, keys, mask), tuple(torch.zeros(len(audio), n) for _, n in self.signature.state)

    def step(
        self, memory: ExportedMemory, state: tuple[Tensor, ...], tokens: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        """The last tokens (N,) -> logits of the next (N, V), the state, and attention (N, U)."""
        inputs = memory._asdict() | dict(zip(self.names, state, strict=True)) | {"tokens": tokens}
        outputs = ["logits", *(NEXT + name for name in self.names), "attention"]
        logits, *after, attention = self.stepper.run(outputs, inputs)
        return logits, tuple(after), attention


def open_runner(task: Task, file: OnnxFile) -> ExportedSpeaker:
    """The encoder's file and the step beside it as a speech model.

    Raises ModelError for a step that is missing, damaged or of another export.
    """
    signature = Signature.read(file)
    step = step_beside(file, signature, "speech model")
    inputs = {"cells", "keys", "mask", "tokens", *(name for name, _ in signature.state)}
    outputs = {"logits", "attention", *(NEXT + name for name, _ in signature.state)}
    for path, existing, expected in (
        (file.path, file.session.get_outputs(), {"cells", "keys"}),
        (step.path, step.session.get_inputs(), inputs),
        (step.path, step.session.get_outputs(), outputs),
    ):
        if missing := sorted(expected - {one.name for one in existing}):
            raise ModelError(f"{path} has no {', '.join(missing)}, which its metadata names; export it again")
    return ExportedSpeaker(file, step, signature)
