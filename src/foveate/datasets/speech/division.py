"""Division of recordings into train and val, by speaker where there are enough, so that voices of val are not in train.

Source of the draw: `splits.draw_share`; it is kept in splits.json, so that recordings added later move no others.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foveate.datasets.drawn import Drawn
from foveate.datasets.splits import SPLITS_FILE, draw_share, read_splits
from foveate.errors import DataError

if TYPE_CHECKING:
    from foveate.datasets.speech import Utterance

VAL_SHARE = 0.2
FEW_SPEAKERS = 3  # below which recordings are divided, not speakers


def divided(
    utterances: Sequence[Utterance], folder: Path, seed: int, what: str = "split"
) -> tuple[dict[str, list[Utterance]], Drawn]:
    """Divide recordings as `folder`/splits.json says, else by a draw; -> (split -> recordings, how).

    what: the thing that is drawn, for `describe`. Raises DataError for a single recording, or a damaged splits.json.
    """
    file = folder / SPLITS_FILE
    written = read_splits(file) if file.is_file() else {}
    by_speaker = all(one.speaker for one in utterances) and len({one.speaker for one in utterances}) >= FEW_SPEAKERS
    unit = "by speaker" if by_speaker else "by recording"
    known = {name: split for split, names in written.items() for name in names}
    units = {one.speaker if by_speaker else one.name for one in utterances}
    if len(units) < 2:
        raise DataError(f"{folder}: one recording; expected at least two, to train on and to validate on")
    ranked = sorted(sorted(units), key=lambda name: draw_share(name, seed))
    chosen = set(ranked[: max(1, round(VAL_SHARE * len(ranked)))])
    pairs: dict[str, list[Utterance]] = {"train": [], "val": []}
    for one in utterances:
        split = known.get(one.name) or ("val" if (one.speaker if by_speaker else one.name) in chosen else "train")
        pairs.setdefault(split, []).append(one)
    pairs = {split: group for split, group in pairs.items() if group}
    fresh = any(one.name not in known for one in utterances)
    clause = f"{what} as {SPLITS_FILE} says" if written else f"{what} drawn {unit} from seed {seed}"
    names = {split: [one.name for one in group] for split, group in pairs.items()}
    return pairs, Drawn(clause, file, names if fresh else {}, seed)


def with_distinct_names(found: Mapping[str, Sequence[Utterance]], folder: Path) -> dict[str, list[Utterance]]:
    """Return the recordings of each split with their paths for names, as from `folder`, where several share a name."""
    counts = Counter(one.name for group in found.values() for one in group if one.frames is None)

    def named(one: Utterance) -> Utterance:
        if counts[one.name] < 2:
            return one
        return one._replace(name=Path(os.path.relpath(one.file, folder)).as_posix())

    return {split: [named(one) for one in group] for split, group in found.items()}
