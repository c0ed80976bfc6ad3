"""Scores of translations against sacreBLEU's own corpus scores, whole and added up from parts."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from foveate.errors import ConfigError, DataError
from foveate.metrics.translation import TranslationMetrics, TranslationScores

sacrebleu = pytest.importorskip("sacrebleu")
REFERENCES = [
    "Ein Hund rennt über den Schnee .",
    "Zwei Männer sitzen auf einer Bank, und lesen.",
    "Das Meer ist blau!",
    "Eine Frau in einem roten Kleid tanzt auf der Straße vor vielen Leuten",
    "Kinder spielen.",
]


def score_translations(
    translations: Sequence[str], references: Sequence[str], lower: bool = False, characters: bool = False
) -> TranslationScores:
    """The scores of translations against one reference each."""
    metrics = TranslationMetrics(lower, characters)
    for translation, reference in zip(translations, references, strict=True):
        metrics.update(translation, reference, len(reference.split()))
    return metrics.compute()


def noisy(seed: int) -> list[str]:
    chance = random.Random(seed)
    return [
        " ".join(chance.choice([word, word, word.lower(), "der"]) for word in text.split() if chance.random() > 0.15)
        for text in REFERENCES
    ]


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_corpus_scores_are_those_of_sacrebleu(lower: bool, seed: int) -> None:
    translations = noisy(seed)
    found = score_translations(translations, REFERENCES, lower)
    assert found.bleu == pytest.approx(sacrebleu.BLEU(lowercase=lower).corpus_score(translations, [REFERENCES]).score)
    assert found.chrf == pytest.approx(sacrebleu.CHRF(lowercase=lower).corpus_score(translations, [REFERENCES]).score)
    ter = sacrebleu.TER(case_sensitive=not lower).corpus_score(translations, [REFERENCES]).score
    assert found.ter == pytest.approx(ter / 100)
    assert 0 < found.ter < 1 < found.bleu < 100
    signatures = dict(found.signatures)
    assert f"case:{'lc' if lower else 'mixed'}" in signatures["bleu"] and "tok:13a" in signatures["bleu"]
    assert "nrefs:1" in signatures["chrf"]


def test_perfect_and_empty_translations_by_hand() -> None:
    perfect = score_translations(REFERENCES, REFERENCES)
    assert (perfect.bleu, perfect.chrf, perfect.ter, perfect.exact) == (pytest.approx(100), pytest.approx(100), 0, 1)
    assert perfect.length_ratio == 1
    nothing = score_translations([""] * 5, REFERENCES)
    assert (nothing.bleu, nothing.chrf, nothing.ter, nothing.exact) == (0, 0, 1, 0)
    # One of five words is replaced: an edit for each five words.
    one = score_translations(["a b x d e"], ["a b c d e"])
    assert one.ter == pytest.approx(0.2)
    assert score_translations(["ein HUND"], ["Ein Hund"], lower=True).exact == 1
    assert score_translations(["ein HUND"], ["Ein Hund"]).exact == 0


def test_parts_add_up(capsys: Any) -> None:
    translations = noisy(3)
    whole, parts = TranslationMetrics(), [TranslationMetrics() for _ in range(3)]
    for i, (translation, reference) in enumerate(zip(translations, REFERENCES, strict=True)):
        own = whole.update(translation, reference, 4 * i)
        assert own == pytest.approx(sacrebleu.CHRF().sentence_score(translation, [reference]).score)
        parts[i % 3].update(translation, reference, 4 * i)
    total = TranslationMetrics()
    for part in parts:
        total.merge(part.state())
    assert total.compute() == whole.compute()


def test_scores_by_length() -> None:
    metrics = TranslationMetrics(ter=False)
    for translation, reference, words in zip(noisy(4), REFERENCES, (3, 5, 6, 31, 99), strict=True):
        metrics.update(translation, reference, words)
    scores = metrics.compute()
    assert [(name, mean, count) for name, mean, count, _ in scores.by_length] == [
        ("0 to 5", 4.0, 2), ("6 to 10", 6.0, 1), ("31 to 50", 31.0, 1), ("51 and more", 99.0, 1),
    ]  # fmt: skip
    first = sacrebleu.BLEU().corpus_score(noisy(4)[:2], [REFERENCES[:2]]).score
    assert scores.by_length[0][3] == pytest.approx(first)
    assert math.isnan(scores.ter)
    data = scores.to_json()
    assert data["ter"] is None
    assert data["by_length"][3] == {
        "range": "51 and more",
        "words": 99.0,
        "sentences": 1,
        "bleu": scores.by_length[3][3],
    }
    assert set(data["signatures"]) == {"bleu", "chrf"}


def test_scripts_without_blanks_are_compared_by_characters() -> None:
    words, characters = (score_translations(["犬が走る。猫"], ["犬が走る。鳥"], characters=c) for c in (False, True))
    assert words.bleu == pytest.approx(0, abs=1e-6) and characters.bleu > 50
    assert (words.ter, characters.ter) == (1, pytest.approx(1 / 6))  # one of six is replaced
    assert "tok:char" in dict(characters.signatures)["bleu"]


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no translation was scored; give at least one pair"):
        TranslationMetrics().compute()
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(ConfigError, match=r"needs sacrebleu, which is not installed: pip install 'foveate\[text\]'"):
        TranslationMetrics()


def test_state_is_one_tensor() -> None:
    metrics = TranslationMetrics()
    metrics.update("a b", "a b", 2)
    assert isinstance(metrics.state(), torch.Tensor)
