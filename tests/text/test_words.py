"""Vocabularies of words: what is learned, round trips, word positions, errors."""

import json
import pickle

import pytest

from foveate.errors import ConfigError, DataError
from foveate.text import END, PAD, SPECIALS, START, UNKNOWN, Vocabulary, Words, table_from_json

CAPTIONS = ["A dog runs.", "Two dogs run, a dog sits!", "a bird; a BIRD"]
TABLE = Words(least=2).learn(CAPTIONS)


def test_the_commonest_word_comes_first_and_equals_by_the_alphabet():
    assert (PAD, START, END, UNKNOWN) == (0, 1, 2, 3)
    assert SPECIALS == ("<pad>", "<start>", "<end>", "<unk>")
    assert TABLE.names == (*SPECIALS, "a", "bird", "dog")
    assert Words(least=1).learn(CAPTIONS).names[7:] == ("dogs", "run", "runs", "sits", "two")
    assert Words(least=3).learn(CAPTIONS).names[4:] == ("a",)
    assert Words(least=1, size=6).learn(CAPTIONS).names[4:] == ("a", "bird")


def test_the_order_of_captions_does_not_matter():
    assert Words(least=1).learn(reversed(CAPTIONS)) == Words(least=1).learn(CAPTIONS)


def test_there_and_back():
    assert TABLE.encode("A bird sees a dog.") == [4, 5, UNKNOWN, 4, 6]
    assert TABLE.encode("zebra") == [UNKNOWN]
    assert TABLE.encode(" ... ") == []
    assert TABLE.decode(TABLE.encode("a bird, a dog")) == "a bird a dog"
    assert TABLE.decode([START, 4, UNKNOWN, 6, PAD, END, 5]) == "a dog"
    assert TABLE.decode([]) == ""


def test_typed_specials_are_words_like_others():
    table = Words(least=1).learn(["<end> of the <unk> road"])
    assert table.encode("<end>") == [table.names.index("end")] != [END]


def test_positions_point_at_the_words():
    ids = [START, 4, UNKNOWN, 6, END, 5]
    assert TABLE.words(ids) == [("a", [1]), ("dog", [3])]
    assert TABLE.decode(ids) == " ".join(word for word, _ in TABLE.words(ids))


def test_a_table_survives_json_and_pickle():
    again = table_from_json(json.loads(json.dumps(TABLE.to_json())))
    assert isinstance(again, Vocabulary)
    assert again == TABLE == pickle.loads(pickle.dumps(TABLE))
    assert again.encode("a dog") == [4, 6]
    assert len(again) == 7


def test_errors_say_what_came():
    with pytest.raises(DataError, match="no sentences to learn a vocabulary from"):
        Words().learn([])
    with pytest.raises(DataError, match="none of 2 sentences has a word in it"):
        Words().learn(["", " . "])
    with pytest.raises(ConfigError, match=r"no word occurs 5 times in 3 sentences \(the most frequent, 'a', 4 times\)"):
        Words(least=5).learn(CAPTIONS)
    with pytest.raises(ConfigError, match=r"text\.least is 0"):
        Words(least=0)
    with pytest.raises(ConfigError, match=r"text\.size is 4, but 4 .* give 5 or more"):
        Words(size=4)
    for token in (7, -1):
        with pytest.raises(ConfigError, match=rf"token {token} is not in a table of 7 \(0 to 6\)"):
            TABLE.decode([4, token])
    with pytest.raises(ConfigError, match="begins with <pad>, <start>, <end>, <unk>; this one with a, b"):
        Vocabulary(("a", "b"))
    with pytest.raises(ConfigError, match="tokens must differ; repeated: a"):
        Vocabulary((*SPECIALS, "a", "a"))
    with pytest.raises(ConfigError, match="unknown kind of text table 'word'; the nearest is 'words'"):
        table_from_json({"kind": "word"})
    with pytest.raises(ConfigError, match="unknown kind of text table 'None'"):
        table_from_json({})
    with pytest.raises(ConfigError, match="'names' are a list of words; got None"):
        table_from_json({"kind": "words"})
