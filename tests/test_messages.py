"""Numbers in messages: no '1 classes', whatever the number, and no times by hand."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import foveate
from foveate.errors import counted

ROOT = Path(foveate.__file__).parent
# Numbers that cannot be 1 where they stand, or that stand before a noun of another number: 'A matrix of 40 classes'.
MORE_THAN_ONE = {
    "len(group) like": "of four or more",
    "len(grids) masks": "two or more",
    "len(masks) masks": "two or more",
    "len(occurs) colours": "more than eight",
    "len(keys) classes": "more than are listed",
    "len(SPECIALS) tokens": "always four",
    "len(SPECIALS) special": "always four",
    "len(objects) objects": "more than 65535",
    "len(self._pages) pages": "several",
    "len(classes) classes": "more than a matrix shows",
    "len(on_edges) values": "more than three",
    "len(on_edges) colours": "more than three",
    "len(own) tensors": "of a network",
    "len(theirs) tensors": "of a network",
    "len(boxes) proposals": "of a grid",
    "len(self.digits) digits": "two or more",
    "len(known) classes": "a chart of several",
    "len(weight) classes": "of ImageNet",
    "len(images) pictures": "more than one",
    "len(known.names) classes": "three or more",
    "len(steps) names": "three or more",
    "len(ids) ids": "beside as many offsets",
    "len(self.scores) seeds": "two or more",
    "len(best.words) words": "more than are drawn",
}
_PLURAL = re.compile(r"\s([a-z]+ )?[a-z]*[a-rt-z]s\b")


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "picture", "1 picture"), (2, "picture", "2 pictures"), (0, "class", "0 classes"), (1, "class", "1 class"),
     (3, "box", "3 boxes"), (2, "patch", "2 patches"), (1200, "entry", "1,200 entries"), (2, "array", "2 arrays"),
     (2, "epoch", "2 epochs")],
)  # fmt: skip
def test_counted(number: int, noun: str, text: str) -> None:
    assert counted(number, noun) == text


def test_a_plural_of_its_own() -> None:
    assert counted(2, "file or folder", "files or folders") == "2 files or folders"
    assert counted(1, "file or folder", "files or folders") == "1 file or folder"


def test_times_are_printed_by_one_function() -> None:
    """Of a time with a fixed number of decimals, the first second is 0 or 0.0."""
    by_hand = re.compile(r"\{[^{}]*(?:seconds|minutes)[^{}]*:[^{}]*f\} ?(?:s|min|hours)")
    found = [
        f"{path.name}: {match[0]}"
        for package in ("cli", "claims", "engine", "export", "server", "studio", "visualize")
        for path in (ROOT / package).rglob("*.py")
        for match in by_hand.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not found, "write duration_text(seconds)"


def counts_by_hand(path: Path) -> list[str]:
    """Every f-string in a file that writes len(...) before a noun in the plural."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, after in zip(node.values, node.values[1:], strict=False):
            is_length = (
                isinstance(value, ast.FormattedValue)
                and isinstance(value.value, ast.Call)
                and ast.unparse(value.value.func) == "len"
            )
            if is_length and isinstance(after, ast.Constant) and (noun := _PLURAL.match(str(after.value))):
                found.append(f"{ast.unparse(value.value)} {noun[0].split()[0]}")  # type: ignore[attr-defined]
    return found


def test_no_message_counts_by_hand() -> None:
    wrong = {
        f"{path.relative_to(ROOT)}: {text}"
        for path in ROOT.rglob("*.py")
        for text in counts_by_hand(path)
        if text not in MORE_THAN_ONE
    }
    assert sorted(wrong) == []  # use foveate.errors.counted
