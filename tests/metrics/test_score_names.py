"""Keys of scores as they are written in headings."""

from __future__ import annotations

import pytest

from foveate.metrics import score_name


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("mean_iou", "mean IoU"), ("ap50", "AP50"), ("box_ap", "box AP"), ("bleu4", "BLEU-4"), ("bleu", "BLEU"),
        ("cider_d", "CIDEr-D"), ("wer", "WER"), ("error_percent", "error percent"), ("top1", "top-1"), ("nats", "nats"),
        ("proposals_recall50", "proposals recall50"),
    ],
)  # fmt: skip
def test_a_key_is_written_as_in_papers(key: str, name: str) -> None:
    assert score_name(key) == name
