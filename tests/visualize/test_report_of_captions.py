"""The report of a captioner: its scores, attention beside chance, pictures with words that show where it looked."""

import html
import re

import numpy as np
import pytest

from foveate.records import CaptionPrediction, Sentence
from foveate.visualize.captions import Told
from foveate.visualize.report import Report, write_report
from foveate.visualize.report.parts import in_sentence

SCORES = {
    "bleu1": 0.6943, "bleu2": 0.53, "bleu3": 0.41, "bleu4": 0.3052, "rouge_l": 0.4968, "cider_d": 0.4724,
    "attention_hit": 0.3, "attention_chance": 0.06, "attention_mass": 0.14, "attention_mass_chance": 0.07,
    "attention_words": 1251, "attention_entropy": 3.7, "attention_entropy_share": 0.905, "attention_change": 0.326,
    "mean_length": 12.775, "distinct": 0.89, "vocabulary_used": 0.44, "images": 200, "seconds": 3.0,
}  # fmt: skip


def told(name, score, words=("a", "cow"), maps=True):
    attention = np.full((len(words), 2, 2), 0.25, np.float32) if maps else None
    best = Sentence(" ".join(words), -0.5, tuple(words), np.full(len(words), 0.5, np.float32), attention)
    references = ("A cow stands there.", "There is grass & sky.")
    return Told(name, np.full((20, 30, 3), 150, np.uint8), CaptionPrediction((best,)), False, references, score)


def page(tmp_path, **changes):
    values = {
        "title": "Captions",
        "recipe": "show_attend_tell",
        "command": "foveate train show_attend_tell --data photos",
        "data": "photos",
        "scores": SCORES,
        "splits": {"train": 2000, "val": 200},
        "history": [
            {"epoch": e, "train_loss": 2 / e, "cider_d": 0.1 * e, "bleu4": 0.05 * e, "lr": 1e-3} for e in (1, 2)
        ],
        "examples": [told("best.jpg", 2.5), told("mid.jpg", 0.5), told("worst.jpg", 0.0)],
        "facts": [("Vocabulary", "176 tokens; the commonest here: a, the")],
        "family": "captioning",
    }
    text = write_report(Report(**(values | changes)), tmp_path / "report.html").read_text(encoding="utf-8")
    plain = re.sub(r"<style>.*?</style>", "", text, flags=re.S)
    return text, " ".join(html.unescape(re.sub(r"<[^>]+>", " ", plain)).split())


def test_scores_and_what_they_mean(tmp_path):
    text, words = page(tmp_path)
    assert "show_attend_tell described 200 val pictures, with a CIDEr-D of 0.472." in words
    assert re.findall(r'class="big"><data value="([\d.]+)"', text) == ["0.4724", "0.3052"]  # the two in large
    values = set(map(float, re.findall(r'<data value="([\d.]+)"', text)))
    assert {0.6943, 0.4968, 0.89, 12.775, 0.44} <= values
    assert "The dotted line marks the epoch with the best CIDEr-D." in words
    assert "CIDEr-D: from 0.1 to 0.2. BLEU-4: from 0.05 to 0.1" in text
    assert "Vocabulary 176 tokens; the commonest here: a, the" in words
    ids = re.findall(r'<h2 id="(\w+)"', text)
    assert ids == ["training", "learning", "attention", "pictures", "again"]
    assert set(re.findall(r'<a href="#(\w+)"', text)) == set(ids)


def test_attention_stands_beside_chance(tmp_path):
    _, words = page(tmp_path)
    assert "Its peak the place with the most attention lies on the thing 0.300 0.060 5.0" in words
    assert "Its mass share of the attention that lies on the thing 0.140 0.070 2.0" in words
    assert "Over 1,251 words." in words
    assert "Moves from word to word 0.326" in words and "Spread 0.905" in words


def test_what_is_not_known_is_left_out(tmp_path):
    unknown = {name: None for name in SCORES if name.startswith("attention_")}
    _, words = page(tmp_path, scores=SCORES | unknown)
    assert "Where it looks" not in words  # a model without attention
    some = unknown | {"attention_change": 0.3, "attention_entropy_share": 0.9}
    _, words = page(tmp_path, scores=SCORES | some)
    assert "It is not known what each word names in these pictures" in words and "Chance" not in words
    _, words = page(tmp_path, scores={"cider_d": None}, history=[], examples=[])
    assert "nan" not in words.lower() and "None" not in words
    assert "was trained and scored" in words


def test_pictures_are_best_and_worst_with_what_people_said(tmp_path):
    text, words = page(tmp_path)
    assert re.findall(r"<b>(\w+)\.jpg</b>", text) == ["best", "mid", "worst"]
    assert words.index("Where it does best") < words.index("mid.jpg") < words.index("Where it does worst")
    assert "CIDEr-D 2.500 People said A cow stands there. There is grass & sky." in words
    assert text.count('class="word w2"') == 3 and text.count('id="p3m2"') == 1
    assert ".told:has(.w2:hover) .m2" in text and ".w3" not in text
    text, words = page(tmp_path, examples=[told("a.jpg", 1.0, maps=False)])
    assert "Point at a word" not in words and "<button" not in text


def test_nothing_unescaped_gets_in(tmp_path):
    evil = "</style><script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"
    one = told(evil, 1.0, (evil, "b"))
    one.references = (evil,)
    text, words = page(tmp_path, examples=[one], facts=[(evil, evil)], title=evil)
    assert "<script" not in text and "<img" not in text
    assert words.count("alert(1)") >= 6


@pytest.mark.parametrize(
    ("name", "inside"), [("Mean IoU", "mean IoU"), ("CIDEr-D", "CIDEr-D"), ("Top-1", "top-1"), ("A", "a")]
)
def test_names_inside_a_sentence(name, inside):
    assert in_sentence(name) == inside
