"""Tables of characters, the choice of tokens, and the rule that no word follows itself, for every table."""

from __future__ import annotations

import itertools
import json
import random

import pytest

from foveate.errors import ConfigError, DataError
from foveate.text import (
    END,
    PAD,
    SPECIALS,
    START,
    UNKNOWN,
    BytePairs,
    Characters,
    CharacterTable,
    Pairs,
    Tokens,
    Vocabulary,
    Words,
    split_words,
    table_from_json,
)  # fmt: skip
from foveate.text.characters import split_characters

TABLE = CharacterTable((*SPECIALS, " ", *"adgos,.", "一", "只", "狗", "，"))


def spelled(text: str, table: CharacterTable | BytePairs | Vocabulary = TABLE) -> list[int]:
    return table.encode(text)


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("A  dog\n", ["A", " ", "d", "o", "g"]),
        ("一只狗。", ["一", "只", "狗", "。"]),
        ("สุนัข", ["สุ", "นั", "ข"]),
        ("cafe\u0301", ["c", "a", "f", "é"]),
        ("हिन्दी", ["हि", "न्", "दी"]),
        ("👍🏽👨\u200d👩\u200d👧🐕", ["👍🏽", "👨\u200d👩\u200d👧", "🐕"]),
        ("", []),
    ],
)
def test_characters_keep_their_marks(text: str, characters: list[str]) -> None:
    assert split_characters(text) == characters
    assert "".join(characters) == " ".join(text.replace("e\u0301", "é").split())


def test_what_is_encoded_is_decoded() -> None:
    for text in ("a dog, a dogs.", "一只狗，一只狗", "a dog 一只 dog"):
        assert TABLE.decode([START, *spelled(text), END, 5]) == text
    assert TABLE.encode("a z") == [5, 4, UNKNOWN]
    assert TABLE.encode("<end>") == [UNKNOWN, UNKNOWN, UNKNOWN, 6, UNKNOWN]
    assert TABLE.decode([UNKNOWN, 4, 5, 4, PAD]) == "a"
    with pytest.raises(ConfigError, match="token 99 is not in a table of 16"):
        TABLE.decode([99])


def test_words_have_the_positions_of_their_characters() -> None:
    ids = [START, *spelled("a dog, 一只，dogs"), END]
    assert TABLE.words(ids) == [
        ("a", [1]), ("dog,", [3, 4, 5, 6]), ("一", [8]), ("只，", [9, 10]), ("dogs", [11, 12, 13, 14]),
    ]  # fmt: skip


def test_a_table_is_learned_by_frequency_and_travels_as_json() -> None:
    table = Characters(least=2).learn(["ba a", "ab", "c"])
    assert table.names == (*SPECIALS, "a", "b")
    assert table_from_json(json.loads(json.dumps(table.to_json()))) == table
    assert Characters(least=1, size=6).learn(["ba a", "ab", "c"]).names == (*SPECIALS, "a", "b")
    for sentences in ([], ["", "  "]):
        with pytest.raises(DataError, match="no sentences to learn characters from; give a training split"):
            Characters().learn(sentences)
    with pytest.raises(ConfigError, match=r"none of the characters occurs 3 times in the sentences; set"):
        Characters(least=3).learn(["ab"])
    with pytest.raises(ConfigError, match=r"text\.least is 0 and text\.size 10000; give a least of 1 or more"):
        Characters(least=0)
    with pytest.raises(ConfigError, match="a vocabulary's 'names' are a list of characters"):
        table_from_json({"kind": "characters", "names": 3})


@pytest.mark.parametrize(
    ("tokens", "sentences", "kind"),
    [
        ("auto", ["a dog runs", "a cat"], Vocabulary),
        ("auto", ["一只狗在跑", "一只猫"], CharacterTable),
        ("auto", ["犬が眠る", "a dog"], CharacterTable),
        ("auto", ["สุนัขนอน"] * 2, CharacterTable),
        ("auto", ["개가 달린다", "개가 잔다"], Vocabulary),
        ("words", ["一只狗在跑", "一只猫"], Vocabulary),
        ("characters", ["a dog runs", "a cat"], CharacterTable),
        ("byte_pairs", ["a dog runs", "a cat"], BytePairs),
    ],
)
def test_the_tokens_are_chosen(tokens: str, sentences: list[str], kind: type) -> None:
    table = Tokens(tokens, least=1, size=300).learn(iter(sentences))  # type: ignore[arg-type]
    assert type(table) is kind
    assert len(table) <= 300
    setting = {Vocabulary: Words(1, 300), CharacterTable: Characters(1, 300), BytePairs: Pairs(300, 1)}[kind]
    assert table.to_json() == setting.learn(sentences).to_json()  # type: ignore[attr-defined]


def test_values_that_do_not_fit_the_tokens() -> None:
    with pytest.raises(
        ConfigError, match="tokens is 'letters'; expected one of auto, words, words_and_marks, characters, byte_pairs"
    ):
        Tokens("letters")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"text\.size is 100, but .* give 260 or more"):
        Tokens("byte_pairs", size=100)
    with pytest.raises(ConfigError, match=r"text\.least is 0; give"):
        Tokens("byte_pairs", least=0)


def test_least_counts_pairs_of_bytes() -> None:
    often, seldom = (len(Pairs(300, least).learn(["xyz"] * 3 + ["qrs"] * 2)) for least in (2, 3))
    assert often > seldom > 260 - 1


# Scripts without blanks, for scores


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("一只狗在跑。", ["一", "只", "狗", "在", "跑"]),
        ("3只cat", ["3", "只", "cat"]),
        ("ﾈｺがﾊﾞﾅﾅを", ["ネ", "コ", "が", "バ", "ナ", "ナ", "を"]),
        ("ラーメン 人々", ["ラ", "ー", "メ", "ン", "人", "々"]),
        ("สุนัขนอน", ["สุ", "นั", "ข", "น", "อ", "น"]),
        ("ကျောင်း", ["ကျေ", "ာ", "င်း"]),
        ("개가 달린다", ["개가", "달린다"]),
    ],
)
def test_each_character_is_a_word(text: str, words: list[str]) -> None:
    found = split_words(text)
    if text != "ကျောင်း":  # how marks combine in Burmese depends on Unicode's version
        assert found == words
    assert split_words(" ".join(found)) == found
    assert "".join(found).replace(" ", "") != ""


# No word follows itself


def doubled(table: Vocabulary | CharacterTable | BytePairs, ids: list[int]) -> bool:
    """Two equal words in a row, by the decoded text."""
    words = table.decode(ids).split()
    return any(one == other for one, other in itertools.pairwise(words))


TABLES = [
    Words(least=1).learn(["a dog sleeps on a dogs bed"]),
    CharacterTable((*SPECIALS, " ", *"ab")),
    Pairs(size=300).learn(["a dog and a dogs and"] * 3),
]


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.kind)
def test_a_word_cannot_be_doubled_whatever_is_drawn(table: Vocabulary | CharacterTable | BytePairs) -> None:
    """Of random sentences: a token is banned if, and only if, it would double a word at once."""
    g = random.Random(0)
    pool = [*table.encode("a dog dog a dogs"), *range(4, min(len(table), 40))] if table.kind == "bpe" else [
        *range(4, len(table))
    ]  # fmt: skip
    times = 0
    for _ in range(300):
        ids: list[int] = []
        for _ in range(8):
            banned = set(table.repeating(ids))
            for token in {*pool, *banned}:
                assert (token in banned) == doubled(table, [*ids, token]), (table.decode(ids), table.names[token])
            times += len(banned)
            ids.append(g.choice([token for token in pool if token not in banned]))
        assert not doubled(table, ids)
    assert times > 200


def test_text_without_blanks_may_double_a_character() -> None:
    table = CharacterTable((*SPECIALS, *"慢走"))
    assert table.repeating(table.encode("慢")) == []
    assert table.repeating([]) == TABLES[0].repeating([]) == TABLES[2].repeating([]) == []
