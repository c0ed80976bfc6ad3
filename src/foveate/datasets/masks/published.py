"""Classes of a published corpus, for sets in its layout whose labels are its own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from foveate.datasets.classes import ClassList
from foveate.datasets.masks.layers import pack_color
from foveate.datasets.masks.tally import Tally

_MOST_NAMES = 0.9  # of the files bear names as the corpus gives them


@dataclass(frozen=True)
class Published:
    """A corpus: its name, its classes with their colours and unscored values, and a pattern of its files' stems."""

    title: str
    classes: ClassList
    stems: str

    def evidence(self, found: Tally, values: frozenset[int]) -> str:
        """The reason to take a set's labels for the corpus's own: 'names', 'colours' or 'values'; '' if there is none.

        'names': the files are called as the corpus's, and at least half of them hold its values alone.
        'colours': all colours are the corpus's, each at its own index if they are a palette's.
        'values': the values are the corpus's, among them the unscored one and half of the classes.
        """
        labels = dict.fromkeys(self.classes.label_values()) | dict.fromkeys(self.classes.ignored)
        colors = {pack_color(c) for c in (*self.classes.colors, *self.classes.ignore_colors)}
        if found.colors:
            return "colours" if found.colors <= colors else ""
        named = sum(bool(re.fullmatch(self.stems, f.path.stem)) for f in found.files)
        proper = sum(f.values <= labels.keys() for f in found.files)
        if named >= _MOST_NAMES * len(found.files) and 2 * proper >= len(found.files):
            return "names"
        if not values <= labels.keys():
            return ""
        if found.palettes:
            own = dict(zip(self.classes.label_values(), map(pack_color, self.classes.colors), strict=True))
            alike = all(colors_of == {own[i]} for i, colors_of in found.palette_colors().items() if i in own)
            return "colours" if alike and all(f.palette for f in found.files) else ""
        many = 2 * len(values & set(self.classes.label_values())) >= len(self.classes.names)
        return "values" if many and values & set(self.classes.ignored) else ""
