"""Text -> words, and the four ids that every table of tokens begins with."""

from __future__ import annotations

import re
import unicodedata

from foveate.errors import ConfigError

PAD, START, END, UNKNOWN = 0, 1, 2, 3
SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")  # what they are called, by id

_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ´`", "'") | {"‐": "-", "‑": "-"})
_RUNS = re.compile(r"['-]{2,}")
_NO_NUMBER = re.compile(r"(?<!\d)[.,]+|[.,]+(?!\d)")
_CUT_OFF = re.compile(r"(?<=[^\s'-])\s+(?='(?:s|re|ve|ll|d|m)(?!\S))")
_EDGES = re.compile(r"(?<!\S)['-]+|['-]+(?!\S)")


class _Kept(dict[int, int | None]):
    """Code point -> itself, a blank, or None (left out); filled as characters are met."""

    def __missing__(self, code: int) -> int | None:
        kind = unicodedata.category(chr(code))
        value: int | None = code if kind[0] in "LN" or kind in ("Mn", "Mc") or chr(code) in "'-.," else ord(" ")
        if 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF:  # variation selectors: how an emoji looks
            value = None
        self[code] = value
        return value


_KEPT = _Kept()


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation: what scores are computed on and vocabularies made of.

    A word is a run of letters, marks and digits of any script. Between two of them an apostrophe and a hyphen belong to
    the word (man's, don't, t-shirt, 10-year-old), and so do a point and a comma between digits (3.5, 1,000).
    Everything else parts words and is dropped. A contraction that stands apart, as in files that were split before
    (dog 's), is put back. Compatibility characters (ﬁ, full width) and curly apostrophes are made plain (NFKC).

    The Penn Treebank tokenizer, which coco-caption runs in Java, differs: it splits contractions (do n't, man 's),
    keeps abbreviations with their points (u.s.), and makes tokens of signs ($ 5, 50 %).
    Text of a script without blanks between words comes out whole: `Pairs` serves it better.
    """
    plain = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).lower()
    # Once more, as what is left out may have stood between a letter and its mark.
    plain = unicodedata.normalize("NFC", plain.translate(_KEPT))
    for pattern, by in ((_RUNS, " "), (_NO_NUMBER, " "), (_CUT_OFF, ""), (_EDGES, " ")):
        plain = pattern.sub(by, plain)
    return [word for word in plain.split() if word.isalnum() or any(c.isalnum() for c in word)]


def check_specials(names: tuple[str, ...]) -> None:
    """Raises ConfigError unless the names of a table begin with the four specials and all differ."""
    if names[: len(SPECIALS)] != SPECIALS:
        raise ConfigError(
            f"a table of tokens begins with {', '.join(SPECIALS)}; this one with {', '.join(names[:4]) or 'nothing'}"
        )
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ConfigError(f"tokens must differ; repeated: {', '.join(twice[:5])}")


def check_id(token: int, names: tuple[str, ...]) -> None:
    """Raises ConfigError for an id that a table does not have."""
    if not 0 <= token < len(names):
        raise ConfigError(
            f"token {token} is not in a table of {len(names)} (0 to {len(names) - 1}); "
            "decode with the table that the model was trained with"
        )
