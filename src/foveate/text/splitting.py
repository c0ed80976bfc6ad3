"""Splitting of text into words, and the four special token ids that every table begins with."""

from __future__ import annotations

import re
import unicodedata

from foveate.errors import ConfigError

PAD, START, END, UNKNOWN = 0, 1, 2, 3
SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")  # names, by id

_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ´`", "'") | {"‐": "-", "‑": "-"})
_REPEATED = re.compile(r"['-]{2,}")
_NOT_IN_NUMBER = re.compile(r"(?<!\d)[.,]+|[.,]+(?!\d)")
_BEFORE_CONTRACTION = re.compile(r"(?<=[^\s'-])\s+(?='(?:s|re|ve|ll|d|m)(?!\S))")
_EDGES = re.compile(r"(?<!\S)['-]+|['-]+(?!\S)")


class _WordCharacters(dict[int, int | None]):
    """Translation table: code point -> itself, a space, or None (deleted); filled as characters are met."""

    def __missing__(self, code: int) -> int | None:
        category = unicodedata.category(chr(code))
        keep = category[0] in "LN" or category in ("Mn", "Mc") or chr(code) in "'-.,"
        value: int | None = code if keep else ord(" ")
        if 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF:  # variation selectors, as in emoji
            value = None
        self[code] = value
        return value


_WORD_CHARACTERS = _WordCharacters()


def split_words(text: str) -> list[str]:
    """Split a text into words in lower case, without punctuation, for scores and for vocabularies.

    A word is a run of letters, marks and digits of any script. An apostrophe or a hyphen between two of them belongs to
    the word (man's, don't, t-shirt, 10-year-old), and so does a point or a comma between digits (3.5, 1,000).
    Every other character separates words and is dropped. A contraction that is separated from its word, as in text
    that is already tokenized (dog 's), is joined to it. Compatibility characters (ﬁ, full width) are normalized (NFKC),
    and curly apostrophes become plain ones.

    The Penn Treebank tokenizer, which coco-caption runs in Java, differs: it splits contractions (do n't, man 's),
    keeps the points of abbreviations (u.s.), and makes tokens of symbols ($ 5, 50 %).
    Text of a script without spaces between words is not split: `Pairs` is a better choice for it.
    """
    normalized = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).lower()
    # Normalized again, since a deleted character may have stood between a letter and its mark.
    normalized = unicodedata.normalize("NFC", normalized.translate(_WORD_CHARACTERS))
    for pattern, by in ((_REPEATED, " "), (_NOT_IN_NUMBER, " "), (_BEFORE_CONTRACTION, ""), (_EDGES, " ")):
        normalized = pattern.sub(by, normalized)
    return [word for word in normalized.split() if word.isalnum() or any(c.isalnum() for c in word)]


def check_specials(names: tuple[str, ...]) -> None:
    """Raise ConfigError unless a table's names begin with the four special tokens and all names differ."""
    if names[: len(SPECIALS)] != SPECIALS:
        raise ConfigError(
            f"a table of tokens begins with {', '.join(SPECIALS)}; this one with {', '.join(names[:4]) or 'nothing'}"
        )
    if len(set(names)) != len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise ConfigError(f"tokens must differ; repeated: {', '.join(repeated[:5])}")


def check_id(token: int, names: tuple[str, ...]) -> None:
    """Raise ConfigError for a token id that is not in a table."""
    if not 0 <= token < len(names):
        raise ConfigError(
            f"token {token} is not in a table of {len(names)} (0 to {len(names) - 1}); "
            "decode with the table that the model was trained with"
        )
