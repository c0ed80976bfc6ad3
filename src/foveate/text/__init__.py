"""Tokenization: splitting of text into words, and the tables that encode text as token ids and decode them.

A table has `names` (id -> token), `encode`, `segments`, `decode`, `words`, `repeating`, `max_tokens`, `lower` and
`to_json`. It is learned by a recipe setting: `Tokens`, which chooses, or one of `Words`, `Pieces`, `Characters` and
`Pairs`; `TokenPair` learns the two of a source and its target. Ids 0 to 3 are the same special tokens in every table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foveate.errors import ConfigError, unknown
from foveate.text.byte_pairs import BytePairs as BytePairs
from foveate.text.byte_pairs import Pairs as Pairs
from foveate.text.characters import Characters as Characters
from foveate.text.characters import CharacterTable as CharacterTable
from foveate.text.pieces import Pieces as Pieces
from foveate.text.pieces import PieceTable as PieceTable
from foveate.text.splitting import END as END
from foveate.text.splitting import PAD as PAD
from foveate.text.splitting import SPECIALS as SPECIALS
from foveate.text.splitting import START as START
from foveate.text.splitting import UNKNOWN as UNKNOWN
from foveate.text.splitting import is_unspaced as is_unspaced
from foveate.text.splitting import mostly_unspaced as mostly_unspaced
from foveate.text.splitting import split_words as split_words
from foveate.text.tokens import TextTable as TextTable
from foveate.text.tokens import TokenPair as TokenPair
from foveate.text.tokens import Tokens as Tokens
from foveate.text.words import Vocabulary as Vocabulary
from foveate.text.words import Words as Words

_KINDS: dict[str, type[TextTable]] = {cls.kind: cls for cls in (Vocabulary, PieceTable, CharacterTable, BytePairs)}


def table_from_json(data: Mapping[str, Any]) -> TextTable:
    """Rebuild a table from the output of its `to_json`. Raises ConfigError for an unknown kind or invalid contents."""
    kind = data.get("kind")
    if kind not in _KINDS:
        raise ConfigError(unknown("kind of text table", str(kind), _KINDS))
    return _KINDS[kind].from_json(data)
