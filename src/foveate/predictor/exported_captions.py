"""An exported captioner: two ONNX files under the face of the module that they came from.

    captions.onnx       image (batch, C, H, W) -> what is known of a picture, and the state of an empty sentence
    captions.step.onnx  all that, tokens (batch,) -> logits (batch, V), the next state, attention (batch, h, w)

Shapes: B pictures, N rows of sentences, V in the vocabulary, a grid of h x w places. Metadata `foveate.graph` of either
file says which of the two it is, the id of the export they share, how the model looks, and the names and ranks of what
the encoder hands to the step.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from foveate.errors import ModelError
from foveate.predictor.sessions import open_session, read_metadata

GRAPH = "foveate.graph"  # the metadata's key
ENCODER, STEP = "encoder", "step"
NEXT = "next_"  # before a state's name: what it is after the step

Tensors = tuple[Tensor, ...]


def step_file(path: Path) -> Path:
    """Where the step of the encoder at `path` is: captions.onnx -> captions.step.onnx."""
    return path.with_suffix(f".{STEP}{path.suffix}")


@dataclass(frozen=True)
class Signature:
    """What `foveate.graph` says.

    graph: 'encoder' or 'step'. pair: the same in the two files of one export, and in no others.
    attention: 'soft', 'hard', or 'none' of a model that looks once.
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
    def from_json(cls, data: Any, path: Path) -> Signature:
        """The inverse of `to_json`. path: of the file, for messages. Raises ModelError."""
        try:
            memory, state = (tuple((str(name), int(rank)) for name, rank in data[key]) for key in ("memory", "state"))
            return cls(str(data["graph"]), str(data["pair"]), str(data["attention"]), memory, state)
        except (TypeError, KeyError, ValueError) as error:
            raise ModelError(
                f"{path} has a '{GRAPH}' in its metadata that cannot be read ({type(error).__name__}: {error}); "
                "export it again"
            ) from None


class Encoded(NamedTuple):
    """What the encoder made of B pictures; it stands where a model's features stand."""

    memory: Tensors
    state: Tensors
    shape: tuple[int, ...]  # (B, h, w); without attention there is no grid, (B,)


class ExportedCaptioner(nn.Module):
    """What `tasks.captioning.describe` asks of a model, answered by ONNX Runtime."""

    def __init__(self, encoder: Any, step: Any, signature: Signature) -> None:
        super().__init__()
        self.encoder, self.stepper, self.signature = encoder, step, signature
        self.attends = signature.attention != "none"
        self.names = [name for name, _ in signature.memory + signature.state]
        self.image = encoder.get_inputs()[0].name
        shapes = {output.name: output.shape for output in step.get_outputs()}
        self.grid = tuple(shapes["attention"][1:]) if self.attends else ()
        self.answers = ["logits", *(NEXT + name for name, _ in signature.state), *["attention"][: self.attends]]

    def encode(self, image: Tensor) -> Encoded:
        """(B, C, H, W) float32, normalised, of the size that the model takes."""
        found = self.encoder.run(self.names, {self.image: _array(image)})
        tensors = tuple(torch.from_numpy(x) for x in found)
        known = len(self.signature.memory)
        return Encoded(tensors[:known], tensors[known:], (image.shape[0], *self.grid))

    def begin(self, features: Encoded) -> tuple[Tensors, Tensors]:
        """What a search starts from: memory and state, B rows each."""
        return features.memory, features.state

    def step(self, memory: Tensors, state: Tensors, tokens: Tensor) -> tuple[Tensor, Tensors, Tensor | None]:
        """The last tokens (N,) -> logits of the next (N, V), the state, and attention (N, h w) or None."""
        feeds = {name: _array(x) for name, x in zip(self.names, (*memory, *state), strict=True)}
        logits, *rest = (
            torch.from_numpy(x) for x in self.stepper.run(self.answers, feeds | {"tokens": _array(tokens)})
        )
        attention = rest.pop().flatten(1) if self.attends else None
        return logits, tuple(rest), attention


def open_captioner(path: Path, device: str, encoder: Any = None, step: Path | None = None) -> ExportedCaptioner:
    """The two files of an exported captioner.

    path: the encoder; encoder: its session, if it is open. step: its step, by default the file beside it.
    Raises ModelError for a step that is missing, damaged or of another export, ConfigError for a device that is not
    here.
    """
    encoder = encoder if encoder is not None else open_session(path, device)
    signature = Signature.from_json(read_metadata(path, encoder, (GRAPH,))[GRAPH], path)
    if signature.graph != ENCODER:
        raise ModelError(
            f"{path} is the {signature.graph} of an exported captioner; give the file that looks at pictures, which "
            "was written beside it"
        )
    step = step or step_file(path)
    if not step.is_file():
        raise ModelError(
            f"{path} writes no sentences without {step.name}, which is not beside it; "
            "copy both files that `foveate export` wrote"
        )
    stepper = open_session(step, device)
    other = Signature.from_json(read_metadata(step, stepper, (GRAPH,))[GRAPH], step)
    if other != dataclasses.replace(signature, graph=STEP):
        raise ModelError(f"{step} is not the step of {path.name}, but of another export; export the model again")
    looks = {("attention", 3)} if signature.attention != "none" else set()
    for file, session, needed in (
        (path, encoder.get_outputs(), {*signature.memory, *signature.state}),
        (step, stepper.get_inputs(), {*signature.memory, *signature.state, ("tokens", 1)}),
        (
            step,
            stepper.get_outputs(),
            {("logits", 2), *((NEXT + name, rank) for name, rank in signature.state), *looks},
        ),
    ):
        lacking = sorted(name for name, rank in needed - {(x.name, len(x.shape)) for x in session})
        if lacking:
            raise ModelError(f"{file} has no {', '.join(lacking)} of the kind its metadata names; export it again")
    return ExportedCaptioner(encoder, stepper, signature)


def _array(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.cpu().numpy())
