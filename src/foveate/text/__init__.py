"""Tokenization: splitting of text into words, and the tables that encode text as token ids and decode them.

A table has `names` (id -> token), `encode`, `decode`, `words` and `to_json`. It is learned by a recipe setting, `Words`
or `Pairs`. Ids 0 to 3 are the same special tokens in every table.
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
    """Rebuild a table from the output of its `to_json`. Raises ConfigError for an unknown kind or invalid contents."""
    kind = data.get("kind")
    if kind == Vocabulary.kind:
        return Vocabulary.from_json(data)
    if kind == BytePairs.kind:
        return BytePairs.from_json(data)
    raise ConfigError(unknown("kind of text table", str(kind), (Vocabulary.kind, BytePairs.kind)))
