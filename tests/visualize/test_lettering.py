"""Names in any of many alphabets are written, not boxed."""

from __future__ import annotations

import pytest

from foveate.visualize.lettering import letters, shortened


@pytest.mark.parametrize("alphabet", ["abc", "äñø", "łżđ", "жця", "αβω", "אבג", "աբգ"])
def test_each_letter_has_a_shape_of_its_own(alphabet):
    font = letters(24)
    shapes = {bytes(font.getmask(letter)) for letter in alphabet}
    assert len(shapes) == 3
    assert bytes(font.getmask("\uffff")) not in shapes  # what stands for a letter that the font lacks


def test_what_is_too_long_keeps_its_end():
    font = letters(12)
    assert shortened("short", font, 200) == "short"
    shown = shortened("a/long/path/to/cow.jpg", font, 80)
    assert shown.startswith("...") and shown.endswith("cow.jpg") and font.getlength(shown) <= 80
