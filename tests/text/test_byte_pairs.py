"""Byte pairs: merges by hand, round trips on any text, positions of words, parity with the library's decoder."""

import json
import pickle
import random
import subprocess
import sys

import pytest
from tokenizers import decoders, pre_tokenizers

from foveate.errors import ConfigError, DataError
from foveate.text import END, PAD, SPECIALS, START, UNKNOWN, BytePairs, Pairs, table_from_json
from foveate.text.byte_pairs import _BYTES, MIN_SIZE

CAPTIONS = ["A dog runs on the grass.", "Two dogs run; the man's dog sits."] * 3
TABLE = Pairs(280).learn(CAPTIONS)


def token(name):
    return TABLE.names.index(name)


def noise(seed):
    g = random.Random(seed)
    return "".join(g.choice("abA .,'<end>\u00e9e\u0301🐕\u00a0\n\t0我") for _ in range(g.randrange(30)))


def test_the_merges_are_those_of_the_algorithm():
    # " ab" twice and " abc" three times: "ab" and " a" are seen 5 times each, "bc" 3 times. Of equal pairs the one of
    # lower ids is first; "a" comes before the blank's letter.
    table = Pairs(MIN_SIZE + 3).learn(["ab ab abc abc abc"])
    assert table.merges == (("a", "b"), ("Ġ", "ab"), ("Ġab", "c"))
    assert table.names[MIN_SIZE:] == ("ab", "Ġab", "Ġabc")
    assert table.encode("abc ab abcd") == [MIN_SIZE + 2, MIN_SIZE + 1, MIN_SIZE + 2, table.names.index("d")]


def test_a_pair_seen_once_is_not_merged():
    assert len(Pairs(300).learn(["ab"])) == MIN_SIZE
    assert len(Pairs(300).learn(["ab", "ab"])) == MIN_SIZE + 2


def test_any_text_comes_back_with_its_blanks_made_single():
    import unicodedata

    for seed in range(500):
        text = noise(seed)
        ids = TABLE.encode(text)
        assert TABLE.decode(ids) == " ".join(unicodedata.normalize("NFC", text).split())
        assert min(ids, default=MIN_SIZE) >= len(SPECIALS)  # nothing is unknown, and no special can be typed


def test_half_a_character_from_a_json_file_is_read_as_a_question_mark():
    assert TABLE.decode(TABLE.encode("a \ud83d dog")) == "a ? dog"


def test_specials_are_left_out_and_end_ends():
    ids = [START, token("Ġdog"), UNKNOWN, PAD, token("Ġrun"), END, token("Ġdog")]
    assert TABLE.decode(ids) == "dog run"
    assert TABLE.words(ids) == [("dog", [1]), ("run", [4])]
    assert TABLE.encode("") == TABLE.encode(" \n") == []
    assert TABLE.decode([]) == ""


def test_positions_spell_the_words():
    ids = TABLE.encode("A dog, élan 🐕!")
    words = TABLE.words(ids)
    assert [word for word, _ in words] == ["A", "dog,", "élan", "🐕!"]
    seen = [p for _, positions in words for p in positions]
    assert seen == sorted(set(seen))  # each token spells one word
    for word, positions in words:
        assert TABLE.decode([ids[p] for p in positions]) == word
    unseen = {TABLE.names[token] for p, token in enumerate(ids) if p not in seen}
    assert unseen <= {"Ġ"}  # a blank alone spells nothing


def test_what_a_model_writes_is_decoded_as_the_library_does():
    g = random.Random(3)
    decoder = decoders.ByteLevel()
    for _ in range(300):
        ids = [g.randrange(len(SPECIALS), len(TABLE)) for _ in range(g.randrange(12))]
        theirs = decoder.decode([TABLE.names[i] for i in ids])
        assert TABLE.decode(ids) == " ".join(theirs.split())
        assert TABLE.decode(ids) == " ".join(word for word, _ in TABLE.words(ids))


def test_the_letters_of_the_bytes_are_the_librarys():
    assert set(_BYTES) == set(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(_BYTES.values()) == list(range(256))


def test_the_whole_table_survives_json_and_pickle():
    again = table_from_json(json.loads(json.dumps(TABLE.to_json())))
    assert isinstance(again, BytePairs)
    assert again == TABLE == pickle.loads(pickle.dumps(TABLE))
    for seed in range(50):
        assert again.encode(noise(seed)) == TABLE.encode(noise(seed))
    assert len(again) == len(again.names) == 280


def test_another_process_learns_the_same():
    code = f"from foveate.text import Pairs; import json; print(json.dumps(Pairs(280).learn({CAPTIONS!r}).to_json()))"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(result.stdout) == TABLE.to_json()
    assert result.stderr == ""


def test_errors_say_what_came():
    with pytest.raises(ConfigError, match=r"text\.size is 259, .* give 260 or more"):
        Pairs(259)
    with pytest.raises(DataError, match="no sentences to learn byte pairs from"):
        Pairs().learn([])
    with pytest.raises(DataError, match="no text in 2 sentences; check the file"):
        Pairs().learn(["", " \t"])
    with pytest.raises(ConfigError, match=r"token 280 is not in a table of 280 \(0 to 279\)"):
        TABLE.decode([280])
    data = TABLE.to_json()
    for broken, message in [
        ({"kind": "bpe"}, r"has 'names' and 'merges', a list of pairs \(KeyError: 'names'\)"),
        (data | {"merges": [["a"]]}, "a list of pairs"),
        (data | {"names": data["names"][1:]}, "begins with <pad>, <start>, <end>, <unk>; this one with <start>"),
        (data | {"names": data["names"][:100]}, r"\d+ of 256 bytes have no token; use the one that was saved"),
        (data | {"names": [*data["names"], "a b"]}, "'a b' does not encode bytes"),
        (data | {"merges": [["Ġdog", "zebra"]]}, "not a table of byte pairs: .*zebra"),
    ]:
        with pytest.raises(ConfigError, match=message):
            table_from_json(broken)
