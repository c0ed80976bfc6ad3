"""Lists of images, one a split, as in Flickr8k: Flickr_8k.trainImages.txt, or train.txt."""

from __future__ import annotations

import re
from pathlib import Path

from foveate.datasets.captions import NAMES_OF_SPLITS
from foveate.datasets.captions.album import nearby
from foveate.datasets.splits import SPLIT_NAMES, SPLIT_ORDER

_SPLITS = "|".join((*SPLIT_ORDER, *SPLIT_NAMES))
_NAME = re.compile(rf"(?:flickr\w*[._-])?({_SPLITS})_?(?:images)?\.txt", re.I)


def split_lists(root: Path) -> dict[str, Path]:
    """Split -> its list file, in the folder or in one of its folders; of several, the first. Train comes first."""
    found: dict[str, Path] = {}
    for path in nearby(root, "*.txt"):
        match = _NAME.fullmatch(path.name)
        if match is not None:
            split = match[1].lower()
            found.setdefault(NAMES_OF_SPLITS.get(split, split), path)
    return {split: found[split] for split in SPLIT_ORDER if split in found}
