"""The report of captioning: its scores, attention beside chance, examples with words that show attention maps."""

from __future__ import annotations

import re

import numpy as np
from report_stand_ins import EVIL, evaluation, headings, image, text_of, write

from foveate.records import Caption, CaptionPrediction, Sentence
from foveate.tasks.captioning.report import report
from foveate.tasks.captioning.task import CaptioningOptions
from foveate.text import Words

SCORES = {
    "bleu1": 0.6943, "bleu2": 0.53, "bleu3": 0.41, "bleu4": 0.3052, "rouge_l": 0.4968, "cider_d": 0.4724,
    "attention_hit": 0.3, "attention_chance": 0.06, "attention_mass": 0.14, "attention_mass_chance": 0.07,
    "attention_words": 1251, "attention_entropy": 3.7, "attention_entropy_share": 0.905, "attention_change": 0.326,
    "mean_length": 12.775, "distinct": 0.89, "vocabulary_used": 0.44, "samples": 200, "seconds": 3.0,
}  # fmt: skip
HISTORY = [{"epoch": e, "train_loss": 2 / e, "cider_d": 0.1 * e, "bleu4": 0.05 * e, "lr": 1e-3} for e in (1, 2)]
NAMES = ("best.jpg", "mid.jpg", "worst.jpg")


class Captions(list):
    """Samples whose captions are known without decoding."""

    def captions(self, index):
        return self[index]["captions"]


def samples(*names, people=("A cow stands there.", "There is grass & sky.")):
    captions = tuple(Caption(text) for text in people)
    return Captions({"name": n, "image": image(np.full((20, 30, 3), 150, np.uint8)), "captions": captions}
                    for n in names)  # fmt: skip


def saying(*words, maps=True, hard=False):
    """A model that says the same of every image."""
    attention = np.full((len(words), 2, 2), 0.25, np.float32) if maps else None
    best = Sentence(" ".join(words), -0.5, tuple(words), np.full(len(words), 0.5, np.float32), attention)
    return lambda sample: CaptionPrediction((best,), hard=hard)


def part(model=None, dataset=None, own=(2.5, 0.5, 0.0), json=SCORES, **more):
    dataset = samples(*NAMES) if dataset is None else dataset
    table = Words(least=1).learn(["a cow stands there", "there is grass sky"])
    shown = {"options": CaptioningOptions()} | more
    return report(
        evaluation(
            model or saying("a", "cow"),
            dataset,
            {"samples": 200},
            own,
            {"text": table},
            json=json,
            **shown,
        )
    )


def test_scores_and_what_they_mean(tmp_path):
    page = write(tmp_path, part(), SCORES, history=HISTORY)
    words = text_of(page)
    assert "tiny described 200 val pictures, with a CIDEr-D of 0.472." in words
    assert re.findall(r'class="big"><data value="([\d.]+)"', page) == ["0.4724", "0.3052"]  # the two in large
    values = set(map(float, re.findall(r'<data value="([\d.]+)"', page)))
    assert {0.6943, 0.4968, 0.89, 12.775, 0.44} <= values
    assert "The dotted line marks the epoch with the best CIDEr-D." in words
    assert "CIDEr-D: from 0.1 to 0.2. BLEU-4: from 0.05 to 0.1" in page
    assert "Vocabulary 11 tokens; the most frequent here: there, a, cow, stands, is, grass" in words
    assert headings(page) == ["notes", "training", "learning", "attention", "pictures", "again"]


def test_notes_tell_how_sentences_were_found():
    assert "by beam search with 5 beams, from the picture at its own size" in part().notes[0]
    options = CaptioningOptions(beams=3)
    assert "with 3 beams, from the picture resized to 32x24 pixels" in part(options=options, size=(24, 32)).notes[0]
    assert "greedily, a word at a time" in part(options=CaptioningOptions(beams=1)).notes[0]
    assert "Penn Treebank" in part().notes[1]


def test_attention_stands_beside_chance(tmp_path):
    words = text_of(write(tmp_path, part(), SCORES))
    assert "Its peak the place with the most attention lies on the object 0.300 0.060 5.0" in words
    assert "Its mass share of the attention that lies on the object 0.140 0.070 2.0" in words
    assert "Over 1,251 words." in words
    assert "Moves from word to word 0.326" in words and "Spread 0.905" in words


def test_what_is_not_known_is_left_out(tmp_path):
    unknown = {name: None for name in SCORES if name.startswith("attention_")}
    assert "attention" not in headings(write(tmp_path, part(json=SCORES | unknown), SCORES))  # without attention
    some = unknown | {"attention_change": 0.3, "attention_entropy_share": 0.9}
    words = text_of(write(tmp_path, part(json=SCORES | some), SCORES))
    assert "The data does not say which object each word names" in words and "Chance" not in words
    scores = {"cider_d": None}
    words = text_of(write(tmp_path, part(dataset=samples(), own=(), json=scores), scores))
    assert "nan" not in words.lower() and "None" not in words
    assert "was trained and scored" in words


def test_examples_are_best_and_worst_with_what_people_said(tmp_path):
    page = write(tmp_path, part(), SCORES)
    words = text_of(page)
    assert re.findall(r"<b>(\w+)\.jpg</b>", page) == ["best", "mid", "worst"]
    assert words.index("Best results") < words.index("mid.jpg") < words.index("Worst results")
    assert "CIDEr-D 2.500 People said A cow stands there. There is grass & sky." in words
    assert page.count('class="word w2"') == 3 and page.count('id="p3m2"') == 1
    assert ".captioned:has(.w2:hover) .m2" in page and ".w3" not in page
    page = write(tmp_path, part(saying("a", "cow", maps=False)), SCORES)
    assert "Point at a word" not in text_of(page) and 'class="word' not in page


def test_hard_attention_is_drawn_as_a_cell(tmp_path):
    assert 'class="cell"' in write(tmp_path, part(saying("a", "cow", hard=True)), SCORES)
    assert 'class="cell"' not in write(tmp_path, part(config={"attention": "soft"}), SCORES)


def test_nothing_unescaped_gets_in(tmp_path):
    made = part(saying(EVIL, "b"), samples(EVIL, people=(EVIL,)), (1.0,))
    page = write(tmp_path, made, SCORES, title=EVIL)
    assert "<script" not in page and "<img" not in page
    assert text_of(page).count("alert(1)") >= 6
