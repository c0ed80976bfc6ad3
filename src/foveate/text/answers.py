"""Answers to questions as they are compared: case and blanks aside, or as the VQA challenge compares those of people.

Antol et al., "VQA: Visual Question Answering", 2015; the rules are those of its evaluation code.
"""

from __future__ import annotations

import re

_NUMBERS = {
    word: str(i)
    for i, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
} | {"none": "0"}  # fmt: skip
_ARTICLES = frozenset({"a", "an", "the"})
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_POINT = re.compile(r"\.(?!\d)")  # a point, but for that of 3.5
_COMMA = re.compile(r"\d,\d")
# Contractions that people write without the apostrophe, by the word that they become.
_CONTRACTED = [
    "ain't",
    "aren't",
    "can't",
    "could've",
    "couldn't",
    "couldn't've",
    "didn't",
    "doesn't",
    "don't",
    "hadn't",
    "hadn't've",
    "hasn't",
    "haven't",
    "he'd",
    "he'd've",
    "he's",
    "how'd",
    "how'll",
    "how's",
    "i'm",
    "i've",
    "isn't",
    "it'd",
    "it'd've",
    "it'll",
    "let's",
    "ma'am",
    "mightn't",
    "mightn't've",
    "might've",
    "mustn't",
    "must've",
    "needn't",
    "not've",
    "o'clock",
    "oughtn't",
    "shan't",
    "should've",
    "shouldn't",
    "shouldn't've",
    "somebody'd",
    "somebody'll",
    "somebody's",
    "someone'd",
    "someone'll",
    "someone's",
    "something'd",
    "something'll",
    "that's",
    "there'd",
    "there're",
    "there's",
    "they'd",
    "they'll",
    "they're",
    "they've",
    "wasn't",
    "we've",
    "weren't",
    "what'll",
    "what're",
    "what's",
    "what've",
    "when's",
    "where'd",
    "where's",
    "where've",
    "who'd",
    "who'll",
    "who's",
    "who've",
    "why'll",
    "why're",
    "why's",
    "won't",
    "would've",
    "wouldn't",
    "wouldn't've",
    "y'all",
    "you'd",
    "you'll",
    "you're",
    "you've",
]
_CONTRACTIONS = {word.replace("'", ""): word for word in _CONTRACTED}


def normal(answer: str) -> str:
    """An answer in lower case, runs of blanks as one: the form in which answers are told apart."""
    return " ".join(answer.casefold().split())


def vqa_normal(answer: str) -> str:
    """An answer as the VQA challenge compares it: without punctuation and articles, numbers up to ten as digits."""
    text = given = normal(answer)
    has_large_number = _COMMA.search(given) is not None
    for mark in _PUNCTUATION:
        # A mark beside a blank is dropped, and so are all where a comma stands in a number; else it separates words.
        drop = has_large_number or f"{mark} " in given or f" {mark}" in given
        text = text.replace(mark, "" if drop else " ")
    words = _POINT.sub("", text).split()
    words = [_NUMBERS.get(word, word) for word in words]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)
