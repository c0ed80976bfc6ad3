"""Sentences as numbers: how text is divided into words, and the tables that turn text into token ids and back.

A table has `names` (id -> token), `encode`, `decode`, `words` and `to_json`. It is learned by a setting that stands in
a recipe, `Words` or `Pairs`. Ids 0 to 3 mean the same in every table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from foveate.errors import ConfigError, unknown
from foveate.text.byte_pairs import BytePairs as BytePairs
from foveate.text.byte_pairs import Pairs as Pairs
from foveate.text.splitting import END as END
from foveate.text.splitting import PAD as PAD
from foveate.text.splitting import SPECIALS as SPECIALS
from foveate.text.splitting import START as START
from foveate.text.splitting import UNKNOWN as UNKNOWN
from foveate.text.splitting import split_words as split_words
from foveate.text.words import Vocabulary as Vocabulary
from foveate.text.words import Words as Words

Table: TypeAlias = Vocabulary | BytePairs


def table_from_json(data: Mapping[str, Any]) -> Table:
    """The table that `to_json` wrote. Raises ConfigError: an unknown kind, or contents that make no table."""
    kind = data.get("kind")
    if kind == Vocabulary.kind:
        return Vocabulary.from_json(data)
    if kind == BytePairs.kind:
        return BytePairs.from_json(data)
    raise ConfigError(unknown("kind of text table", str(kind), (Vocabulary.kind, BytePairs.kind)))
