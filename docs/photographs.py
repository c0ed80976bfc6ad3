"""Attention on photographs, from results/attention/photographs.json: the section of the results page, and ratios."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markdown_tables import number, table
from provenance import origins

from foveate.metrics.captioning.attention import MAX_OBJECT_SHARE

FILE = Path(__file__).resolve().parent.parent / "results" / "attention" / "photographs.json"
FOLDS = 5
HEAD = (
    "Attention", "words named in captions", "hit", "by chance", "times", "words of reference captions", "hit",
    "by chance", "times", "BLEU-4", "entropy, of the largest",
)  # fmt: skip


def read_photographs(file: Path = FILE) -> dict[str, Any]:
    """Kind of attention -> its folds and their total, as benchmarks/coco_attention.py wrote them; whole ones alone."""
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {kind: entry for kind, entry in found.get("baseline", {}).items() if entry["total"]["folds"] == FOLDS}


def ratios(found: Mapping[str, Any]) -> dict[str, float]:
    """Kind of attention -> how many times as often as by chance it hits what the word of a reference caption names."""
    return {kind: entry["total"]["reference"]["times"] for kind, entry in found.items()}


def photographs_section(found: Mapping[str, Any]) -> str:
    """The section of the results page; '' if nothing is recorded."""
    if not found:
        return ""
    lines, records = [], []
    for kind, entry in found.items():
        total = entry["total"]
        shares = (
            text
            for of in ("generated", "reference")
            for text in (
                number(total[of]["words"], 0),
                f"{100 * total[of]['hit']:.1f} %",
                f"{100 * total[of]['chance']:.1f} %",
                number(total[of]["times"], 2),
            )
        )
        lines.append((kind, *shares, number(total["bleu4"]), number(total["entropy_share"], 2)))
        records += [(f"{kind}, fold {fold}", record) for fold, record in entry["folds"].items()]
    photographs = sum(record["photographs"] for record in next(iter(found.values()))["folds"].values())
    return (
        "## Attention on photographs\n\n"
        f"`python benchmarks/coco_attention.py FOLDER` trains the recipe `show_attend_tell` on {photographs} "
        f"photographs of COCO with five captions each, in {FOLDS} folds, and asks whether the largest weight of a "
        f"word's map lies on an annotated object that the word names, where these cover less than "
        f"{100 * MAX_OBJECT_SHARE:.0f} % of the picture. "
        "With so few photographs the captions are poor, and few of their words name such an object; so the reference "
        "captions are scored, too, each word given the true ones before it. One seed.\n\n"
        f"{table(HEAD, lines)}\n{origins(records)}"
    )
