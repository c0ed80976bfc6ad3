"""Omniglot's drawn characters as class folders, divided by writer, to train a classifier on.

    python benchmarks/omniglot_folders.py IMAGES.npz OUT
    foveate train inception_v4_omniglot --data OUT

IMAGES.npz (Lake, Salakhutdinov and Tenenbaum 2015; MIT) holds N drawings:

    bits     (N, B) uint8, rows of packed bits, the first height * width of which are the pixels; 1 is ink
    size     (2,): height and width
    label    (N,): 'ALPHABET/characterNN'
    ids      (N,): 'CHARACTER_WRITER', two numbers; each of the writers 1 to 20 of an alphabet drew each of its characters

Writers 1 to 14 of each alphabet are the train split, 15 to 17 val, 18 to 20 test: no hand is in two splits. Ink is white
(255) on black, so that what a rotation uncovers looks like paper.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

# The last writer of each split.
SPLITS = {"train": 14, "val": 17, "test": 20}


def main(argv: Sequence[str]) -> int:
    """Write the folders."""
    if len(argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    archive, out = Path(argv[0]), Path(argv[1])
    if out.exists():
        print(f"omniglot_folders: {out} exists; name a folder that does not", file=sys.stderr)
        return 1
    counts = write(archive, out)
    print(f"{out}: " + ", ".join(f"{counts[split]} {split}" for split in SPLITS))
    return 0


def write(archive: Path, out: Path) -> Counter[str]:
    """OUT/SPLIT/ALPHABET_characterNN/WRITER.png of every drawing; the number of each split."""
    with np.load(archive) as data:
        height, width = data["size"].tolist()
        pixels = np.unpackbits(data["bits"], axis=1)[:, : height * width].reshape(-1, height, width)
        labels, ids = data["label"].tolist(), data["ids"].tolist()
    counts: Counter[str] = Counter()
    for image, label, identity in zip(255 * pixels, labels, ids, strict=True):
        writer = identity.partition("_")[2]
        split = next(name for name, last in SPLITS.items() if int(writer) <= last)
        folder = out / split / label.replace("/", "_")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{writer}.png")
        counts[split] += 1
    return counts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
