"""Words of a text: each rule on an example, and laws on random text."""

import random

import pytest

from foveate.text import split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A man, in a RED shirt.", ["a", "man", "in", "a", "red", "shirt"]),
        ("the man's dog doesn't bark", ["the", "man's", "dog", "doesn't", "bark"]),
        ("the man ’ s 5‘10", ["the", "man", "s", "5'10"]),
        ("a dog 's toy , and they 're off", ["a", "dog's", "toy", "and", "they're", "off"]),
        ("the 'big' dogs' toys", ["the", "big", "dogs", "toys"]),
        ("a t-shirt - black-and-white--or 10-year-old", ["a", "t-shirt", "black-and-white", "or", "10-year-old"]),
        ("3.5 m, 1,000 people. 2 dogs,3 cats", ["3.5", "m", "1,000", "people", "2", "dogs", "3", "cats"]),
        ("over 9. 10...11", ["over", "9", "10", "11"]),
        ("u.s. $5 50% #2 a/b x_y", ["u", "s", "5", "50", "2", "a", "b", "x", "y"]),
        ("<start> a <unk> <end>", ["start", "a", "unk", "end"]),
        ("Ein ﬁeld; Straße, ÉTÉ", ["ein", "field", "straße", "été"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("I ❤️ 🐕 1️⃣", ["i", "1"]),
        (" . - ' \n\t", []),
        ("", []),
    ],
)
def test_by_hand(text, words):
    assert split_words(text) == words


def test_composed_and_decomposed_letters_are_one_word():
    assert split_words("cafe\u0301") == split_words("caf\u00e9") == ["caf\u00e9"]


def noise(seed):
    g = random.Random(seed)
    return "".join(g.choice("abS 019.,'-’ \u00e9\u0301\ufe0f<>_‑$ß½ \ud800") for _ in range(40))


def test_laws_on_random_text():
    for seed in range(2000):
        text = noise(seed)
        words = split_words(text)
        assert split_words(" ".join(words)) == words, text  # what is split stays as it is
        for word in words:
            assert word == word.lower()
            assert any(c.isalnum() for c in word)
            assert not set(word) & set(" <>_$’\ufe0f")
            assert word[0] not in "'-.," and word[-1] not in "'-.,"
