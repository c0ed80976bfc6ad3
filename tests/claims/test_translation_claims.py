"""Claims about translation: BLEU of networks that were not trained, worse ones that turn the verdict over, the text."""

from __future__ import annotations

import numpy as np
import pytest
from stand_ins import examined

from foveate.claims import translation
from foveate.claims.translation import Bleu, Language
from foveate.registry import find


def replace(monkeypatch: pytest.MonkeyPatch, **found: Bleu) -> None:
    monkeypatch.setattr(translation, "translated", lambda seed, score: found[score])


@pytest.mark.parametrize(
    ("additive", "none", "verdict"),
    [
        ((80, 72), (60, 24), "holds"),
        ((80, 64), (60, 40), "holds partly"),
        ((80, 72), (60, 54), "does not hold"),  # the fixed vector keeps as much
        ((80, 40), (60, 0), "does not hold"),  # attention loses half itself
        ((80, 72), (15, 0), "does not hold"),  # the network without attention has not learned
        ((15, 14), (60, 24), "does not hold"),  # nor has the one with it
    ],
)
def test_attention_has_to_keep_what_a_fixed_vector_loses(
    monkeypatch: pytest.MonkeyPatch, additive: tuple[float, float], none: tuple[float, float], verdict: str
) -> None:
    replace(monkeypatch, additive=Bleu(*additive, 0, 20), none=Bleu(*none, 0, 10))
    assert examined("attention_handles_long_sentences") == verdict
    figures = find("claim", "attention_handles_long_sentences").load()().measure(0)
    assert figures[1] == pytest.approx(100 * additive[1] / additive[0])
    assert figures[2:4] == additive[::-1] and figures[5:] == (*none[::-1], 20, 10)
    if verdict != "does not hold":
        assert figures[0] == pytest.approx(figures[1] - figures[4])


@pytest.mark.parametrize(
    ("dot", "additive", "none", "verdict"),
    [
        (70, 70, 30, "holds"),
        (72, 70, 30, "holds"),
        (65, 70, 30, "holds partly"),  # 0.875 of the gain
        (50, 70, 30, "does not hold"),
        (70, 70, 70, "does not hold"),  # attention gains nothing here
    ],
)
def test_dot_products_have_to_gain_as_much(
    monkeypatch: pytest.MonkeyPatch, dot: float, additive: float, none: float, verdict: str
) -> None:
    found = {"dot": dot, "additive": additive, "none": none}
    replace(monkeypatch, **{name: Bleu(0.0, 0.0, value, 0.0) for name, value in found.items()})
    assert examined("dot_products_score_as_well") == verdict
    assert find("claim", "dot_products_score_as_well").load()().measure(0)[1:] == (dot, additive, none)


def test_nothing_is_lost_of_no_translation() -> None:
    assert (Bleu(50, 20, 0, 0).kept, Bleu(0, 0, 0, 0).kept) == (40, 100)


def parsed(language: Language, source: str) -> str:
    """The translation, from the words alone: a reader of its own."""
    kinds = {
        word: (kind, number) for kind, words in language.words["source"].items() for number, word in enumerate(words)
    }
    target = language.words["target"]
    clauses: list[dict[str, list[str]]] = [{"nouns": [], "verb": [], "place": []}]
    joins: list[str] = []
    adjective = None
    for word in source.split():
        kind, number = kinds[word]
        if kind == "join":
            joins.append(target["join"][number])
            clauses.append({"nouns": [], "verb": [], "place": []})
        elif kind == "adjective":
            adjective = number
        elif kind == "noun":
            form = [] if adjective is None else [target["adjective"][2 * adjective + number % 2]]
            clauses[-1]["nouns"].append(" ".join([target["noun"][number], *form]))
            adjective = None
        else:
            clauses[-1][kind].append(target[kind][number])
    written = []
    for clause in clauses:
        subject, obj, *where = clause["nouns"]
        written.append(" ".join([subject, *where, *clause["place"], obj, *clause["verb"]]))
    return " ".join(f"{clause} {join}" for clause, join in zip(written, [*joins, ""], strict=True)).strip()


def test_sentences_are_translated_by_the_rules_that_are_told() -> None:
    language = Language(7)
    for source, target in translation.pairs(7, "test", 60, 1, 4):
        assert parsed(language, source) == target
        clauses = 1 + sum(word in language.words["source"]["join"] for word in source.split())
        assert sum(word in language.words["source"]["verb"] for word in source.split()) == clauses
    lengths = [source.count(" ") for source, _ in translation.pairs(7, "test", 60, 4, 4)]
    assert min(lengths) > 4 * 3 and np.mean(lengths) > 20


def test_a_word_is_one_thing_and_languages_differ_by_seed() -> None:
    for side, extra in (("source", 0), ("target", 8)):
        words = [word for own in Language(0).words[side].values() for word in own]
        assert len(set(words)) == len(words) == sum(translation.KINDS.values()) + extra
    assert Language(0).words == Language(0).words != Language(1).words
    train, test = (set(translation.pairs(3, split, 300, 1, 2)) for split in ("train", "test"))
    assert len(train & test) < 30  # sentences of three words can be in both


def test_the_networks_differ_in_the_score_alone() -> None:
    additive, dot, none = (vars(translation.configured(score, 50, 60)) for score in ("additive", "dot", "none"))
    assert additive | {"score": "dot"} == dot
    assert additive | {"score": "none", "hidden": 2 * additive["hidden"]} == none
    widths = [translation.configured(score, 50, 60).annotation for score in ("additive", "dot", "none")]
    assert widths == [translation.WIDTH] * 3  # what stands for a word, or for a sentence


def test_a_small_training_translates(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TRAIN": 60, "TEST": 6, "STEPS": 2, "BATCH": 4, "WIDTH": 8, "EMBED": 4}.items():
        monkeypatch.setattr(translation, name, value)
    translation.translated.cache_clear()
    for score in ("additive", "dot", "none"):
        found = translation.translated(5, score)
        assert all(0 <= value < 50 for value in found)  # after two steps there is little to be right
    translation.translated.cache_clear()
    model, task = translation._trained(5, "additive")
    text = translation.pairs(5, "test", 6, 1, 2)

    class Right:
        batch_size, make_options = 4, staticmethod(task.make_options)

        def answer(self, model: object, samples: list[dict[str, str]], options: object) -> list[object]:
            return [type("Found", (), {"text": sample["reference"]}) for sample in samples]

    assert translation.bleu(model, Right(), text) == pytest.approx(100)  # type: ignore[arg-type]
