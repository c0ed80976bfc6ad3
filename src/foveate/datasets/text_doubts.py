"""Notes on texts to learn from, and on columns beside them: what may be other than was meant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from foveate.datasets.languages import CODES, NAMES
from foveate.datasets.splits import SPLIT_ORDER, split_called
from foveate.errors import counted

_MOST_ALIKE, _FEWEST_ALIKE = 1 / 3, 3  # share and number of images from which one caption is a placeholder
_FEW = 0.01  # of the texts that hold marks, below which they are an exception
# What UTF-8 looks like where it was read as Latin-1: a letter of these before a sign that no word has.
_GARBLED = re.compile("[\u00c2-\u00f4][\u0080-\u00bf\u0152-\u0178\u02c6\u02dc\u2013-\u2122]")
_MARK = re.compile(
    r"</?[A-Za-z][^<>\n]{0,30}>|\[[A-Za-z_ -]{2,20}\]|&(?:amp|quot|apos|lt|gt|nbsp|#\d{1,6});|\w@@(?=\s|$)|\u2581"
)
_BYTES = re.compile(r"b'.*'|b\".*\"")  # as Python prints bytes
_FEWEST_WORDS = 3  # captions of an image that may be the words of one
# Names of columns that divide rows, and number of different values up to which a column does.
_DIVIDES = frozenset({
    "set", "split", "subset", "partition", "phase", "usage", "fold", "kfold", "is_train", "is_val", "is_valid",
    "is_validation", "is_test",
})  # fmt: skip
_MOST_PARTS = 20
_TRIED = 100  # rows by which most other columns are known
_LANGUAGE = frozenset({"lang", "language", "locale"})
_BEGINS = frozenset({
    "start", "begin", "offset", "start_time", "begin_time", "start_sec", "start_seconds", "start_ms", "start_s",
    "start_frame", "time_start", "t_start", "from",
})  # fmt: skip
NOT_A_TEXT = frozenset({"nan", "<na>", "#n/a"})  # an empty cell, as pandas and Excel write it


def is_missing(text: str) -> bool:
    """True for a cell that another program wrote for an empty one."""
    return text.strip().casefold() in NOT_A_TEXT


def text_notes(texts: Iterable[str], noun: str) -> list[str]:
    """Notes on texts of a wrong encoding, and on marks in them that are learned as text; `noun` names one of them."""
    garbled, lost, marks = [], [], []
    count = 0
    for text in texts:
        count += 1
        if text.isascii():
            if ("<" in text or "[" in text or "&" in text or "@" in text) and (mark := _MARK.search(text)):
                marks.append(mark[0])
            elif text.startswith("b") and _BYTES.fullmatch(text):
                marks.append(text[:2])
            continue
        if mark := _MARK.search(text):
            marks.append(mark[0])
        if "\ufffd" in text:
            lost.append(text)
        elif _GARBLED.search(text) and (meant := _repaired(text)):
            garbled.append((text, meant))
    notes = []
    if garbled:
        wrong, right = _differing(*garbled[0])
        notes.append(
            f"{counted(len(garbled), noun)} in UTF-8 that was read as Latin-1 and written again: '{wrong}' is likely "
            f"'{right}'; save the file anew from its source"
        )
    if lost:
        shown = next(word for word in lost[0].split() if "\ufffd" in word)
        notes.append(f"{counted(len(lost), noun)} with the sign for a lost letter, as in '{shown}'; save the file anew")
    if marks and len(marks) >= _FEW * count:
        kinds = ", ".join(f"'{mark}'" for mark in list(dict.fromkeys(marks))[:3])
        notes.append(
            f"{counted(len(marks), noun)} with marks ({kinds}), which are learned as text; remove them if they are none"
        )
    return notes


def caption_notes(captions: Sequence[Sequence[str]], noun: str) -> list[str]:
    """Notes on the captions of each `noun`: those of `text_notes`, and one that too many have, as a placeholder."""
    notes = text_notes((text for own in captions for text in own), "caption")
    held = Counter(text for own in captions for text in set(own))
    text, count = held.most_common(1)[0]
    if count >= _FEWEST_ALIKE and count > _MOST_ALIKE * len(captions):
        notes.append(
            f"'{text}' is a caption of {count} of {counted(len(captions), noun)}; remove it there if it says nothing "
            "about them"
        )
    if captions and all(len(own) >= _FEWEST_WORDS and not any(" " in text.strip() for text in own) for own in captions):
        shown = ", ".join(f"'{text}'" for text in captions[0][:3])
        notes.append(
            f"every caption is a single word ({shown}, ...), and every {noun} has several; join them if they are the "
            "words of one caption"
        )
    return notes + separated_note([text for own in captions for text in own], "caption")


def separated_note(texts: Sequence[str], noun: str) -> list[str]:
    """A note where most texts hold a mark that may separate several; `noun` names one of them."""
    notes = []
    for mark in "|;":
        holding = [text for text in texts if mark in text]
        if 2 * len(holding) > len(texts):
            notes.append(
                f"'{mark}' is in {len(holding)} of {counted(len(texts), noun)}, such as '{holding[0][:40]}', and part "
                'of it; write a list, as ["yes", "no"], if it separates several'
            )
    return notes


def _repaired(text: str) -> str:
    """The text that was meant where its UTF-8 was read as Latin-1 or Windows' own; '' if it was not."""
    for encoding in ("cp1252", "latin-1"):
        try:
            return text.encode(encoding).decode("utf-8")
        except ValueError:
            continue
    return ""


def _differing(text: str, other: str) -> tuple[str, str]:
    """The first words of two texts that differ."""
    pairs = zip(text.split(), other.split(), strict=False)
    return next(((one, two) for one, two in pairs if one != two), (text[:20], other[:20]))


def column_notes(
    file: str, names: Sequence[str], rows: Iterable[Sequence[str]], read: Collection[str] = ()
) -> list[str]:
    """Notes on columns of a table that are not read and divide its rows, or say several languages.

    read: names of the columns that are read.
    """
    rows = list(rows)
    notes = []
    for place, name in enumerate(names):
        plain = re.sub(r"[\s-]+", "_", name.strip().lower())
        if name in read or len(_values(rows[:_TRIED], place)) > _MOST_PARTS or len(cells := _values(rows, place)) < 2:
            continue
        shown = ", ".join(f"'{cell}'" for cell in sorted(cells)[:3]) + (", ..." if len(cells) > 3 else "")
        if all(split_called(cell) in SPLIT_ORDER for cell in cells) or (
            plain in _DIVIDES and len(cells) <= _MOST_PARTS
        ):
            notes.append(
                f"{file}: column {name.strip()} ({shown}) is not read; if it divides the rows, call it split, with "
                "train, val and test in it, or write a table for each"
            )
        elif plain in _LANGUAGE and all(re.split("[-_]", cell)[0] in CODES | NAMES for cell in cells):
            notes.append(
                f"{file}: column {name.strip()} ({shown}) is not read, so that texts in several languages are learned "
                "alike; keep the rows of one"
            )
    return notes


def _values(rows: Iterable[Sequence[str]], place: int) -> set[str]:
    """The different cells of a column that are not empty, in small letters."""
    return {row[place].strip().lower() for row in rows if place < len(row) and row[place].strip()}


def times_note(file: str, names: Sequence[str], rows: Iterable[Sequence[str]], noun: str) -> list[str]:
    """A note on a column of times at which a text begins within its `noun`, since every file is taken whole."""
    places = [place for place, name in enumerate(names) if re.sub(r"[\s-]+", "_", name.strip().lower()) in _BEGINS]
    for row in rows:
        for place in places:
            cell = row[place].strip() if place < len(row) else ""
            if cell.strip("0:.,") and not is_missing(cell):
                return [
                    f"{file}: column {names[place].strip()} is not read, and every text is taken for that of a whole "
                    f"{noun}; if it tells where in the {noun} the text begins, write a file for each part"
                ]
    return []
