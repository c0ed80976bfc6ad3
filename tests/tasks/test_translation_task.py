"""The task of translation: tokens and words, alignments by hand, copied words, remarks, report and findings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from report_stand_ins import EVIL, evaluation, headings, text_of, write
from torch import Tensor, nn

from foveate.errors import ConfigError, DataError
from foveate.records import Translation, TranslationPrediction, TranslationPreprocessing
from foveate.tasks import create_task
from foveate.tasks.translation.alignment import alignment_png, alignment_svg
from foveate.tasks.translation.decoding import Source, translate
from foveate.tasks.translation.inspection import TranslationFindings
from foveate.tasks.translation.options import TranslationOptions
from foveate.tasks.translation.page import MAX_FIGURES, TranslationPage
from foveate.tasks.translation.report import report
from foveate.text import END, PAD, SPECIALS, START, UNKNOWN, Characters, Pairs, PieceTable

SOURCE = PieceTable((*SPECIALS, " the", " dog", " runs", "."))
TARGET = PieceTable((*SPECIALS, " der", " Hund", " rennt", "."))


class Scripted(nn.Module):
    """A model that writes given tokens, each with given attention: rows of the script and of `looks`."""

    attention = "soft"

    def __init__(self, script: list[int], looks: list[list[float]] | None) -> None:
        super().__init__()
        self.script, self.looks = script, looks
        if looks is None:
            self.attention = "none"

    def encode(self, source: Tensor) -> Tensor:
        return source

    def begin(self, memory: Tensor) -> Tensor:
        return torch.zeros(len(memory), dtype=torch.int64)

    def step(self, memory: Tensor, state: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        logits = torch.full((len(tokens), len(TARGET)), -30.0)
        t = int(state[0])
        logits[:, self.script[min(t, len(self.script) - 1)]] = 0.0
        logits[:, 5] = logits[:, 5].clamp(min=-4.0)  # the second choice
        look = None if self.looks is None else torch.tensor(self.looks[min(t, len(self.looks) - 1)])
        return logits, state + 1, None if look is None else look.expand(len(tokens), -1)


def best(model: nn.Module, text: str, **options: Any) -> Translation:
    return translate(model, [Source.read(text, SOURCE)], TARGET, TranslationOptions(beams=1, **options))[0][0]


def test_a_sentence_is_words_and_tokens() -> None:
    source = Source.read("the dog runs.", SOURCE)
    assert source.words == ("the", "dog", "runs.")
    assert source.tokens == ((4,), (5,), (6, 7))
    assert source.ids == [4, 5, 6, 7, END]
    by_word = source.by_word(np.array([[0.1, 0.2, 0.3, 0.15, 0.25]]))
    np.testing.assert_allclose(by_word, [[0.1, 0.2, 0.45, 0.25]], atol=1e-7)
    for table in (Characters(1).learn(["the dog runs."]), Pairs(300, 1).learn(["the dog runs."])):
        source = Source.read("the dog runs.", table)
        assert source.words == ("the", "dog", "runs.")
        assert source.ids == [*table.encode("the dog runs."), END]
    assert Source.read("  ", SOURCE).tokens == ()


def test_words_have_the_mean_alignment_of_their_tokens_and_the_product_of_their_probabilities() -> None:
    looks = [[1.0, 0, 0, 0, 0], [0, 0.5, 0.5, 0, 0], [0, 0, 0, 1.0, 0], [0, 0, 0, 0, 1.0]]
    found = best(Scripted([4, 6, 7, END], looks), "the dog runs.")
    assert (found.text, found.words) == ("der rennt.", ("der", "rennt."))
    np.testing.assert_allclose(found.attention, [[1, 0, 0, 0], [0, 0.25, 0.75, 0]], atol=1e-7)  # type: ignore[arg-type]
    p = 1 / (1 + np.exp(-4.0))  # of each token against the second choice
    np.testing.assert_allclose(found.probabilities, [p, p * p], atol=1e-5)
    assert found.score == pytest.approx(np.log(p), abs=1e-5)


def test_unknown_words_are_copied_by_alignment_or_left_out() -> None:
    looks = [[0.9, 0.1, 0, 0], [0.1, 0.2, 0.1, 0.6], [0, 0, 0, 1.0]]
    text = "the Zebra runs"
    copied = best(Scripted([4, UNKNOWN, END], looks), text, copy_unknown=True)
    # The end has most of the second token's attention, but is no word to copy.
    assert (copied.text, copied.words, copied.copied) == ("der Zebra", ("der", "Zebra"), (1,))
    plain = best(Scripted([4, UNKNOWN, END], looks), text)
    assert (plain.text, plain.copied) == ("der Hund", ())  # the second choice
    without = best(Scripted([4, UNKNOWN, END], None), text, copy_unknown=True)
    assert (without.text, without.attention) == ("der <unk>", None)


def make_task(**preprocessing: Any) -> Any:
    return create_task("translation", {"source": SOURCE, "target": TARGET}, TranslationPreprocessing(**preprocessing))


def answer(task: Any, model: nn.Module, *texts: str, **options: Any) -> list[TranslationPrediction]:
    samples = [{"sentence": text, "name": f"{i}"} for i, text in enumerate(texts)]
    return task.answer(model, samples, TranslationOptions(**options))  # type: ignore[no-any-return]


def test_notes_on_sentences_that_a_model_cannot_know() -> None:
    task = make_task(source="en", target="de", longest=14)
    model = Scripted([4, END], None)
    empty, fine, long, strange = answer(task, model, "", "the dog runs.", "the dog runs the dog", "собака бежит")
    assert (empty.text, empty.note) == ("", "an empty sentence, whose translation is empty")
    assert fine.note == ""
    assert long.note == "20 characters, longer than any sentence of the training (14)"
    assert strange.note.startswith("100% of its words are of letters, or are words, that the training text hardly had;")
    assert strange.note.endswith("give a sentence in the source language, en")
    pairs = Pairs(400, 1).learn(["the dog runs.", "ein Hund läuft."] * 3)
    task = create_task("translation", {"source": pairs, "target": TARGET}, TranslationPreprocessing())
    notes = [p.note for p in answer(task, model, "the dog läuft", "собака бежит", "a zebra")]
    assert [bool(note) for note in notes] == [False, True, False]
    with pytest.raises(ConfigError, match="coverage_penalty needs a model with attention, and this one has none"):
        answer(task, model, "the dog", coverage_penalty=0.2)


def test_translations_of_endless_sentences_are_bounded_and_said() -> None:
    """5,000 words would otherwise be decoded for 15,013 steps."""
    options = TranslationOptions()
    assert options.search([2, 330, 331, 5001])["max_length"] == [16, 1000, 1000, 1000]
    assert TranslationOptions(max_length=2000).search([2000, 5001])["max_length"] == [6010, 6010]
    assert options.search_to_json()["max_length"] == {"times": 3, "plus": 10, "most": 1000}
    task, endless = make_task(), " ".join(["the dog"] * 2500)
    model = Scripted([4], None)  # which never ends
    found, short = answer(task, model, endless, "the dog", beams=1)
    assert set(found.translations[0].words) == {"der"} and 999 <= len(found.translations[0].words) <= 1000
    said = "more than 330 tokens, whose translation ends after 1,000 at the latest; divide the text into sentences"
    assert found.note == said and short.note == ""
    sample = {"sentence": endless, "reference": "der", "name": "a"}
    assert task.suit(sample) == (sample, said)  # evaluation prints it
    for text in (" ".join(["the"] * 329), "x" * 5000):  # many letters, few tokens
        assert task.suit(sample | {"sentence": text})[1] == ""


class Pair(list[tuple[str, str]]):
    languages = ("en", "de")

    def __getitem__(self, index: Any) -> Any:
        sentence, reference = list.__getitem__(self, index)
        return {"sentence": sentence, "reference": reference, "name": self.name(index)}

    def name(self, index: int) -> str:
        return f"train.en:{index + 1}"


def test_training_pairs_and_batches() -> None:
    task = make_task()
    task.options = TranslationOptions(max_length=4)
    pairs = task.training_set(
        Pair([("the dog", "der Hund"), ("the dog runs.", "der"), ("zebra", "der"), ("dog", "der Hund rennt")])
    )
    assert [pairs[i]["name"] for i in range(len(pairs))] == ["train.en:1", "train.en:4"]
    assert pairs.lengths == [3, 4]  # of the longer side, its end included
    assert pairs.remark == (
        "1 pair with a side of more than 4 tokens left out; 1 pair with a side without a known word left out"
    )
    batch = task.collate([pairs[0], pairs[1]])
    assert batch["source_tokens"].tolist() == [[4, 5, END], [5, END, PAD]]
    assert batch["target_tokens"].tolist() == [[4, 5, END, PAD], [4, 5, 6, END]]
    with pytest.raises(
        DataError, match="of 1 pair none can be trained on: 1 have a side without known word, 0 one of 4"
    ):
        task.training_set(Pair([("zebra", "der")]))


def test_tables_and_what_the_model_keeps() -> None:
    from types import SimpleNamespace

    from foveate.text import TokenPair, Tokens

    task, pieces = make_task(), Tokens("words_and_marks", 1)
    data = Pair([("a dog", "ein Hund")])
    tables = task.learn_tables(data, SimpleNamespace(text=TokenPair(False, pieces, pieces), name="r"))
    assert tables["source"].names[4:] == (" a", " dog") and tables["target"].names[4:] == (" Hund", " ein")
    assert task.learn_preprocessing(None, data, "auto") == TranslationPreprocessing("en", "de", 5)
    with pytest.raises(ConfigError, match="recipe 'r' does not say how sentences become tokens; give its field text"):
        task.learn_tables(data, SimpleNamespace(text=None, name="r"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"beams": 0}, "beams is 0; give 1 or more"),
        ({"n_best": 6}, "n_best is 6, but only 5 beams are kept; give --beams as many"),
        ({"coverage_penalty": -1.0}, "coverage_penalty is -1.0; give 0 or more"),
        ({"length_penalty": float("nan")}, "length_penalty is nan; give 0 or more"),
        ({"max_length": 1}, "max_length is 1; give 2 or more, for a token and the end, or 0"),
    ],
)
def test_options_that_do_not_fit(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TranslationOptions(**fields)


def prediction(words: tuple[str, ...] = ("der", "Hund"), attends: bool = True) -> TranslationPrediction:
    attention = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]], np.float32)[: len(words)] if attends else None
    one = Translation(" ".join(words), -0.5, words, np.full(len(words), 0.5, np.float32), attention)
    return TranslationPrediction((one,), EVIL, ("the", "<b>dog", "<end>"), "val.en:1")


def test_the_matrix_is_dark_where_attention_is() -> None:
    drawn = np.asarray(alignment_png(prediction()).convert("L")).astype(int)
    cells = drawn[-12 - 52 : -12, -12 - 78 : -12].reshape(2, 26, 3, 26)[:, 12, :, 12]
    assert cells[1, 1] < cells[0, 0] < cells[0, 1] < cells[0, 2] < cells[1, 0]
    svg = alignment_svg(prediction())
    assert svg.count('class="mass"') == 4  # but for the cells without attention
    assert "<b>dog" not in svg and EVIL not in svg
    with pytest.raises(DataError, match="'der Hund' comes from a model without attention, which aligns no words"):
        alignment_png(prediction(attends=False))


def test_the_page_is_bounded(tmp_path: Any) -> None:
    page = TranslationPage("rnnsearch")
    for _ in range(MAX_FIGURES + 3):
        page.add("x", prediction(), {})
    page.write(tmp_path)
    html = (tmp_path / "translations.html").read_text(encoding="utf-8")
    assert html.count("<figure") == MAX_FIGURES and html.count("<tr") == 4
    assert EVIL not in html and "103 sentences" in html
    TranslationPage().write(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_report(tmp_path: Any) -> None:
    scores = {
        "bleu": 35.25, "chrf": 60.5, "ter": 0.48, "length_ratio": 0.97, "exact": 0.1, "samples": 3,
        "by_length": [
            {"range": "0 to 5", "words": 4.5, "sentences": 12, "bleu": 41.0},
            {"range": "6 to 10", "words": 8.0, "sentences": 30, "bleu": 33.5},
        ],
        "signatures": {"bleu": "nrefs:1|case:lc"},
    }  # fmt: skip
    samples = [{"sentence": "the dog", "reference": f"Referenz {i}", "name": f"val.en:{i}"} for i in range(3)]
    made = evaluation(
        lambda sample: prediction(), samples, {"samples": 3}, (90.0, 50.0, 10.0),
        {"source": SOURCE, "target": TARGET}, json=scores, options=TranslationOptions(beams=3),
    )  # fmt: skip
    made.task.monitor, made.task.about = "bleu", lambda: {"languages": ["en", "de"]}
    part = report(made)
    assert [section.name for section in part.sections] == ["lengths", "sentences"]
    assert dict(part.rows)["Direction"] == "en to de"
    assert part.notes == [
        "The model wrote every translation by beam search with 3 beams.",
        "Scored by sacreBLEU: bleu nrefs:1|case:lc.",
    ]
    page = write(tmp_path, part, scores)
    text = text_of(page)
    assert "Referenz 0" in text and "6 to 10" in text and "33.5" in text
    assert "lengths" in headings(page) and EVIL not in page


def test_findings() -> None:
    found = TranslationFindings("text", "parallel text")
    found.begin("train", None)
    rows = [("a dog", "ein Hund"), ("a dog", "ein Hund"), ("hotel", "hotel"), ("one two three four", "eins")]
    for i, (sentence, reference) in enumerate(rows):
        found.add("train", {"sentence": sentence, "reference": reference, "name": f"t:{i}"})
    data = found.to_json()
    assert data["pairs"] == {"train": 4}
    assert (data["doubles"], data["same"], data["far_in_length"]) == (1, ["t:2"], ["t:3"])
    assert data["source"]["different"] == 7 and data["target"]["once"] == 2
    text = found.text()
    assert "source: 1..4 (median 2) words a sentence; 7 words, 5 of them once; most often a, dog" in text
    assert "pairs the same on both sides: 1 (t:2)" in text
    assert "pairs of which one side has more than 3 times the words of the other: 1 (t:3)" in text
    assert "pairs that occur before: 1" in text


def test_the_rules_of_the_search_are_those_of_the_options():
    """A sentence of S tokens has a translation of 3 S + 10 at most, and of 1,000 unless training had longer ones."""
    options = TranslationOptions(
        beams=6, n_best=2, length_penalty=0.7, coverage_penalty=0.2, no_repeat_ngram=3, copy_unknown=True
    )
    assert options.search([4, 400]) == {
        "start": START, "end": END, "beams": 6, "n_best": 2, "max_length": [22, 1000], "min_length": 2,
        "length_penalty": 0.7, "coverage_penalty": 0.2, "no_repeat_ngram": 3, "forbidden": (PAD, START),
    }  # fmt: skip
    plain = TranslationOptions()
    assert plain.search([1])["forbidden"] == (PAD, START, UNKNOWN) and plain.longest_whole == 330
    long = TranslationOptions(max_length=400)
    assert (long.most, long.longest_whole, long.search([400])["max_length"]) == (1210, 400, [1210])
    written = options.search_to_json()
    assert written["max_length"] == {"times": 3, "plus": 10, "most": 1000}
    assert (written["length_penalty"], written["coverage_penalty"], written["no_repeat_ngram"]) == (0.7, 0.2, 3)


def test_coverage_is_asked_of_all_source_tokens_and_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "foveate.tasks.translation.decoding.beam_search", lambda *_, **rules: (calls.append(rules), [[], []])[1]
    )
    sources = [Source.read(text, SOURCE) for text in ("the dog runs.", "the dog")]
    translate(Scripted([END], None), sources, TARGET, TranslationOptions(beams=1))
    assert calls[0]["positions"].tolist() == [[True] * 5, [True] * 3 + [False] * 2]


def scored_with(metrics: Any) -> str:
    """The tokenisation in sacreBLEU's signature."""
    metrics.bleu.num_refs = 1
    return next(part for part in str(metrics.bleu.get_signature()).split("|") if part.startswith("tok:"))


@pytest.mark.parametrize(("lower", "unspaced"), [(False, False), (True, False), (False, True)])
def test_scores_compare_as_the_tables_and_the_references_say(lower: bool, unspaced: bool) -> None:
    """In lower case with a table of lower case; by characters where references have no blanks; by length in words."""
    table = PieceTable((*SPECIALS, " der"))
    monkey = type("Table", (), {"lower": lower, "__len__": lambda self: len(table), "names": table.names})()
    family = create_task("translation", {"source": SOURCE, "target": monkey}, TranslationPreprocessing("en", "de", 40))
    reference = "犬が走っている大きな犬" if unspaced else "Der Hund rennt weit."
    data = [{"reference": reference, "sentence": "the dog runs."}]
    for whole in (True, False):
        metrics = family.metrics(data, whole)
        assert metrics.bleu.lowercase == lower and (metrics.ter is not None) == whole
        tokens = "char" if unspaced else "13a"
        assert scored_with(metrics) == f"tok:{tokens}"
    translation = Translation("der hund rennt weit.", 0.0, (), np.zeros(0, np.float32), None)
    words = ("one", "two", "three", "four", "five", "</s>")
    prediction = TranslationPrediction((translation,), "the dog runs.", words, "a", "", False)
    family.count(metrics, 0, data[0], prediction)
    scores = metrics.compute()
    assert scores.by_length[0][:3] == ("0 to 5", 5.0, 1)
    if not unspaced:
        assert scores.exact == float(lower)
