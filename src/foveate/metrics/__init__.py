"""Metrics of predictions, one file a task: small objects with `update` and `compute`."""

from __future__ import annotations

import re

# Words of keys that are written otherwise in headings.
_WRITTEN = {
    "ap": "AP", "bleu": "BLEU", "cer": "CER", "chrf": "chrF", "cider_d": "CIDEr-D", "corloc": "CorLoc", "iou": "IoU",
    "kl": "KL", "pq": "PQ", "rouge_l": "ROUGE-L", "sse": "SSE", "ter": "TER", "top1": "top-1", "top5": "top-5",
    "wer": "WER",
}  # fmt: skip


def score_name(key: str) -> str:
    """Write the key of a score as in a heading: mean_iou -> mean IoU, ap50 -> AP50, bleu4 -> BLEU-4."""
    if key in _WRITTEN:
        return _WRITTEN[key]
    if found := re.fullmatch(r"(ap|bleu)(\d+)", key):
        return f"{_WRITTEN[found[1]]}{'-' if found[1] == 'bleu' else ''}{found[2]}"
    return " ".join(_WRITTEN.get(word, word) for word in key.split("_"))
