"""Splitting of text into words, and the four special token ids that every table begins with.

Thai, Lao, Khmer, Burmese, Chinese and Japanese are written without blanks between words. There each character, with
the marks that belong to it, counts as a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from foveate.errors import ConfigError

PAD, START, END, UNKNOWN = 0, 1, 2, 3
SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")  # names, by id

_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ´`", "'") | {"‐": "-", "‑": "-"})
_REPEATED = re.compile(r"['-]{2,}")
_NOT_IN_NUMBER = re.compile(r"(?<!\d)[.,]+|[.,]+(?!\d)")
_BEFORE_CONTRACTION = re.compile(r"(?<=[^\s'-])\s+(?='(?:s|re|ve|ll|d|m)(?!\S))")
_EDGES = re.compile(r"(?<!\S)['-]+|['-]+(?!\S)")

# Blocks of scripts that are written without blanks: those with marks, and those without (dakuten are composed by NFC).
_WITH_MARKS = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F))
_WITHOUT_MARKS = (
    r"\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f"
    r"\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
)


def _characters(kind: str) -> str:
    """The characters of a kind, the first letter of a Unicode category, in the blocks with marks."""
    codes = (code for first, last in _WITH_MARKS for code in range(first, last + 1))
    return "".join(chr(code) for code in codes if unicodedata.category(chr(code))[0] == kind)


# A character of such a script with its marks; marks alone, as in damaged text, are one character, too.
_MARKS = _characters("M") + "\u3099\u309a"
_UNSPACED = re.compile(rf"[{_characters('L')}{_characters('N')}{_WITHOUT_MARKS}][{_MARKS}]*|[{_MARKS}]+")


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
    In scripts that are written without blanks, as Thai, Chinese and Japanese, each character with its marks is a word.
    """
    normalized = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).lower()
    # Normalized again, since a deleted character may have stood between a letter and its mark.
    normalized = unicodedata.normalize("NFC", normalized.translate(_WORD_CHARACTERS))
    normalized = _UNSPACED.sub(r" \g<0> ", normalized)
    for pattern, by in ((_REPEATED, " "), (_NOT_IN_NUMBER, " "), (_BEFORE_CONTRACTION, ""), (_EDGES, " ")):
        normalized = pattern.sub(by, normalized)
    return [word for word in normalized.split() if word.isalnum() or any(c.isalnum() for c in word)]


def is_unspaced(word: str) -> bool:
    """True if a word is one character of a script that is written without blanks."""
    return _UNSPACED.fullmatch(word) is not None


def mostly_unspaced(words: Iterable[str] | Counter[str]) -> bool:
    """True if more than half of the words, as `split_words` gives them, are characters of scripts without blanks."""
    counts = Counter(words)
    return sum(n for word, n in counts.items() if is_unspaced(word)) * 2 > counts.total()


def clean(text: str) -> str:
    """The text in Unicode's composed form (NFC), runs of blanks as one; case and punctuation stay."""
    valid = text.encode("utf-8", "replace").decode()  # replaces single surrogates, which JSON can hold
    return " ".join(unicodedata.normalize("NFC", valid).split())


def last_two(text: str, blank: str) -> tuple[str, str]:
    """Return the last word that ends with a blank, and what follows that blank; '' for a part that is missing."""
    before, _, current = text.rpartition(blank)
    return before.rstrip(blank).rpartition(blank)[2], current


def stored_names(data: Mapping[str, Any], noun: str) -> tuple[str, ...]:
    """Return the tokens of a vocabulary in JSON, 'words' or 'characters'. Raises ConfigError unless they are texts."""
    names = data.get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"a vocabulary's 'names' are a list of {noun}; got {str(names)[:40]}")
    return tuple(names)


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
