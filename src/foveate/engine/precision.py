"""The precision that a training computes in, and what `auto` means on a machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder

# Flags of x86 processors that multiply in bf16; without one torch computes in float32 and rounds, which is slower.
NATIVE = ("avx512_bf16", "amx_bf16")
# Recipe -> flags of CPUs on which its steps were measured as faster in bf16 (benchmarks/training_steps.py), and its
# score as equal within the spread of its seeds. In bf16 the backward pass of depthwise convolutions takes longer.
MEASURED: Mapping[str, tuple[str, ...]] = {}
PLUGINS: Mapping[str, Any] = {"float32": "32-true", "bf16": "bf16-mixed", "float16": "16-mixed"}  # Lightning's names


def cpu_flags() -> frozenset[str]:
    """The instruction sets of the processor, by Linux's names; none where they are not known."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


def resolve_precision(recipe: Recipe) -> Recipe:
    """The recipe with what `auto` means here: bf16 on GPUs that have it and where it was measured, else float32."""
    if recipe.precision != "auto":
        return recipe
    if torch.cuda.is_available():
        chosen = "bf16" if torch.cuda.is_bf16_supported() else "float32"
    else:
        chosen = "bf16" if cpu_flags() & set(MEASURED.get(recipe.name, ())) else "float32"
    return dataclasses.replace(recipe, precision=chosen)  # type: ignore[arg-type]


def with_earlier_precision(recipe: Recipe, run: RunFolder) -> Recipe:
    """The recipe of a resumed run, in which `auto` is what it meant where the run was started."""
    if recipe.precision != "auto" or not run.recipe_file.is_file():
        return recipe
    return dataclasses.replace(recipe, precision=run.recipe().precision)


def remark(recipe: Recipe, device: torch.device) -> str:
    """A sentence on a precision that the CPU only emulates; '' for none. recipe: resolved."""
    if device.type != "cpu" or recipe.precision == "float32":
        return ""
    if recipe.precision == "bf16" and cpu_flags() & set(NATIVE):
        return ""
    return f"this CPU does not compute in {recipe.precision}: float32 is rounded to it, which takes longer"
