"""Vocabularies of words and marks, lower case in every table, segments, and the tables of a source and its target."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from foveate.errors import ConfigError, DataError
from foveate.text import (
    END,
    PAD,
    SPECIALS,
    START,
    UNKNOWN,
    Characters,
    Pairs,
    Pieces,
    PieceTable,
    TokenPair,
    Tokens,
    Words,
    is_unspaced,
    table_from_json,
)
from foveate.text.pieces import split_pieces

TEXTS = ["A dog's bone, he said.", "(Two dogs!) Ein rot-weißer Ball.", "In 1984, 3.5 km: 犬が走る。"]
SETTINGS = [Pieces(least=1), Characters(least=1), Pairs(300, 1)]


def test_splitting_by_hand() -> None:
    assert split_pieces(TEXTS[0]) == [" A", " dog's", " bone", ",", " he", " said", "."]
    assert split_pieces(TEXTS[1])[:5] == [" (", "Two", " dogs", "!", ")"]
    assert split_pieces("rot-weißer -- it's 'so'") == [" rot-weißer", " -", "-", " it's", " '", "so", "'"]
    assert split_pieces("犬が走る。")[:3] == [" 犬", "が", "走"]
    assert split_pieces("cafe\u0301") == [" café"]
    assert split_pieces("  ") == []


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("lower", [False, True])
def test_text_there_and_back(setting: Any, lower: bool) -> None:
    table = type(setting)(**(vars(setting) | {"lower": lower})).learn(TEXTS)
    assert table.lower == lower
    for text in TEXTS:
        expected = text.lower() if lower else text
        ids = table.encode(text)
        assert UNKNOWN not in ids
        assert table.decode([*ids, END, 5]) == expected
        assert [i for _, own in table.segments(text) for i in own] == ids
        if not any(is_unspaced(character) for character in text):
            # As written, whatever the table's case.
            assert [word for word, _ in table.segments(text)] == text.split()
        assert sorted(p for _, places in table.words(ids) for p in places) == [
            p for p in range(len(ids)) if table.names[ids[p]] not in (" ", "Ġ")
        ]
    again = table_from_json(json.loads(json.dumps(table.to_json())))
    assert again == table == pickle.loads(pickle.dumps(table))
    assert again.encode(TEXTS[1].upper()) == table.encode(TEXTS[1].upper())
    assert (table.encode("A DOG'S") == table.encode("a dog's")) == lower


@pytest.mark.parametrize("setting", SETTINGS[:2])
def test_a_character_of_a_script_without_blanks_is_a_word(setting: Any) -> None:
    table = setting.learn(TEXTS)
    segments = table.segments("km: 犬が走る。")
    assert [word for word, _ in segments] == ["km:", "犬", "が", "走", "る。"]
    ids = [i for _, own in segments for i in own]
    assert ids == table.encode("km: 犬が走る。")
    assert [word for word, _ in table.words(ids)] == ["km:", "犬", "が", "走", "る。"]
    assert table.segments("犬km")[1][0] == "km"


def test_unknown_pieces_and_blanks() -> None:
    table = Pieces(least=1).learn(["a dog, a bird."])
    assert table.names[4:] == (" a", " bird", " dog", ",", ".")
    assert table.encode("a zebra.") == [4, UNKNOWN, 8]
    assert table.encode("(a") == [UNKNOWN, 4]  # known with a blank before it alone
    assert table.encode("a .") == [4, 8]
    assert table.decode([START, 4, UNKNOWN, 6, 7, PAD]) == "a dog,"
    assert table.words([4, 6, 7]) == [("a", [0]), ("dog,", [1, 2])]
    assert table.repeating([4, 6]) == [6]
    assert table.repeating([]) == table.repeating([START]) == []
    assert Pieces(least=1, size=6).learn(["b a a", "a c b"]).names == (*SPECIALS, " a", " b")


def test_words_drop_what_is_no_word_and_their_segments_are_lower_case() -> None:
    table = Words(least=1).learn(["A dog, a cat."])
    assert table.lower
    assert table.segments("A Dog, a zebra.") == [("a", [4]), ("dog", [6]), ("a", [4]), ("zebra", [UNKNOWN])]


def test_two_tables_or_one() -> None:
    pieces = Tokens("words_and_marks", least=1)
    apart = TokenPair(False, pieces, Tokens("characters", 1)).learn(["a dog"], ["ein Hund"])
    assert apart["source"].names[4:] == (" a", " dog")
    assert apart["target"].kind == "characters"
    joint = TokenPair(True, pieces, pieces).learn(["a dog"], ["ein Hund"])
    assert joint["source"] is joint["target"]
    assert set(joint["source"].names[4:]) == {" a", " dog", " ein", " Hund"}
    with pytest.raises(
        ConfigError, match=r"text\.joint is true, for one table of both sides, but text\.source and text"
    ):
        TokenPair(True, pieces, Tokens("characters"))


def test_errors_say_what_came() -> None:
    with pytest.raises(DataError, match="no sentences to learn words and marks from; give a training split"):
        Pieces().learn([" ", ""])
    with pytest.raises(ConfigError, match=r"none of the words and marks occurs 3 times in the sentences; set"):
        Pieces(least=3).learn(["a b"])
    with pytest.raises(ConfigError, match=r"text\.least is 0 and text\.size 10000; give a least of 1 or more"):
        Pieces(least=0)
    with pytest.raises(ConfigError, match="a vocabulary's 'names' are a list of words and marks; got None"):
        PieceTable.from_json({})
