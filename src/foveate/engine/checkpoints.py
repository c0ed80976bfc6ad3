"""Checkpoints: one file to resume from, replaced only by a complete one, read as tensors and plain values."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from foveate.disk import write_atomically
from foveate.engine.processes import from_first
from foveate.store import read_checkpoint


class Checkpoints(TorchCheckpointIO):
    """Lightning's reading and writing of checkpoints, made atomic."""

    def save_checkpoint(self, checkpoint: Mapping[str, Any], path: Any, storage_options: Any = None) -> None:
        """A new checkpoint takes the old one's place when it is whole and on disk. Raises OutputError."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), content.getbuffer())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: Any = None) -> dict[str, Any]:
        """All that `save_checkpoint` wrote, which the first process reads for all. Raises ModelError if damaged."""
        return from_first(lambda: read_checkpoint(Path(path)))
