"""The rules of the search: what they do, that a model is stored with them, and that every verb keeps to them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import foveate
from foveate.engine import fields
from foveate.engine.evaluate import evaluate_run
from foveate.engine.resume import with_earlier_options
from foveate.engine.run import RunFolder
from foveate.engine.train import train_recipe
from foveate.errors import ConfigError, ModelError
from foveate.predictor import Predictor
from foveate.recipes import resolve
from foveate.store import load_model, save_model
from foveate.tasks.captioning.decoding import generate_captions
from foveate.tasks.captioning.options import CaptioningOptions
from foveate.tasks.captioning.task import CaptioningTask, CaptionPairs
from foveate.tasks.options import EVALUATE, PREDICT, Options, make_options, option
from foveate.text import SPECIALS, CharacterTable, Vocabulary

TABLE = Vocabulary((*SPECIALS, "a", "cow", "dog", "sleeps"))
A, COW, DOG, SLEEPS = range(4, 8)


class Chain(nn.Module):
    """Logits that depend on the last token alone."""

    def __init__(self, table: dict[int, dict[int, float]]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((len(TABLE), len(TABLE)), -9.0))
        for last, scores in table.items():
            for token, score in scores.items():
                self.weight.data[last, token] = score

    def begin(self, features: Any) -> tuple[None, torch.Tensor]:
        return None, features.new_zeros(len(features))

    def step(self, memory: None, state: torch.Tensor, tokens: torch.Tensor) -> Any:
        return self.weight[tokens], state, None


def says(model: nn.Module, **options: Any) -> str:
    features = {"features": torch.zeros(1, 1, 2, 2)}
    return generate_captions(model, features, TABLE, CaptioningOptions(**options))[0][0].text


def test_each_rule_changes_what_is_said() -> None:
    start, end, unk = 1, 2, 3
    model = Chain({
        start: {A: 2, unk: 3}, A: {A: 3, COW: 2, unk: 4, end: 0}, COW: {A: 1.5, end: 1, SLEEPS: 0.9}, SLEEPS: {end: 3},
        DOG: {end: 3},
    })  # fmt: skip
    assert says(model, beams=1, repeat_words=True, max_length=5) == "a a a a a"
    assert says(model, beams=1, max_length=5) == "a cow a cow a"  # <unk> is likelier everywhere, and never said
    assert says(model, beams=1, no_repeat_ngram=2) == "a cow a"
    assert says(model, beams=1, no_repeat_ngram=1) == "a cow"
    assert says(model, beams=1, max_length=3) == "a cow a"
    short, long = says(model, beams=3, length_penalty=0.0), says(model, beams=3, length_penalty=2.0, max_length=12)
    assert len(short.split()) < len(long.split())


def test_options_are_checked_and_told() -> None:
    for given, message in (
        ({"length_penalty": -1.0}, "length_penalty is -1.0; give 0 or more"),
        ({"length_penalty": float("nan")}, "length_penalty is nan; give 0 or more"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram is -1; give 0 or more"),
        ({"max_length": 1}, "max_length is 1; give 2 or more, for a token and the end, or 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            CaptioningOptions(**given)  # type: ignore[arg-type]
    assert CaptioningOptions().describe() == ""
    told = CaptioningOptions(1, 0, 0.6, 20, True, 3).describe()
    assert told == (
        "1 beam, length penalty 0.6, at most 20 tokens, words that may follow themselves, no 3 tokens in a row twice"
    )


def test_what_the_tokens_need() -> None:
    characters = CharacterTable((*SPECIALS, "a", " "))
    assert [CaptioningOptions().longest(table) for table in (TABLE, characters)] == [40, 200]
    assert CaptioningOptions(max_length=7).longest(characters) == 7

    class One:
        def __len__(self) -> int:
            return 1

        def captions(self, index: int) -> tuple[Any, ...]:
            return (foveate.records.Caption("a " * 150),)

    task = CaptioningTask({"text": characters}, None)
    pairs = task.training_set(One())
    assert isinstance(pairs, CaptionPairs)
    assert pairs.lengths == [200]
    assert pairs.remark == "characters are the tokens (text.tokens); 1 caption cut after 200 tokens"
    task.options = CaptioningOptions(max_length=50)
    assert task.training_set(One()).lengths == [50]


def test_all_rules_stand_in_the_metadata() -> None:
    options = CaptioningOptions(3, 1, 0.5, 0, False, 2)
    assert options.search_to_json(TABLE) == {
        "start": 1, "end": 2, "beams": 3, "max_length": 40, "min_length": 2, "length_penalty": 0.5,
        "no_repeat_ngram": 2, "forbidden": [0, 1, 3], "repeat_words": False,
    }  # fmt: skip
    assert json.loads(json.dumps(options.search_to_json(TABLE))) == options.search_to_json(TABLE)


# Stored with a model


def saved(folder: Path, options: CaptioningOptions | None = None) -> Path:
    torch.manual_seed(0)
    small = {"backbone": "test_efficientnet", "image_size": (32, 32), "embed": 4, "hidden": 4}
    model = foveate.create("show_and_tell", vocabulary=len(TABLE), **small)
    save_model(folder, model, "show_and_tell", {"text": TABLE}, "captioning", options)
    return folder


def test_a_model_answers_by_its_own_rules_unless_told_otherwise(tmp_path: Path) -> None:
    own = CaptioningOptions(beams=2, no_repeat_ngram=3, length_penalty=0.5)
    predictor = Predictor.open(saved(tmp_path / "m", own), device="cpu")
    assert predictor.family.options == own == load_model(tmp_path / "m").options
    assert make_options(predictor.family, {}, PREDICT) == own
    assert make_options(predictor.family, {"beams": 4}, PREDICT) == dataclasses.replace(own, beams=4)
    assert predictor.family.make_options({"beams": "1"}) == dataclasses.replace(own, beams=1)
    assert predictor.family.make_options(CaptioningOptions()) == CaptioningOptions()
    assert len(predictor.predict(torch.zeros(3, 32, 32, dtype=torch.uint8)).sentences) == 2
    assert make_options(CaptioningTask, {}, EVALUATE) == CaptioningOptions()
    assert Predictor.open(saved(tmp_path / "n"), device="cpu").family.options == CaptioningOptions()


def test_a_model_of_before_keeps_the_rules_of_its_time(tmp_path: Path) -> None:
    file = saved(tmp_path / "m") / "config.json"
    about = json.loads(file.read_text())
    assert about.pop("options") == CaptioningOptions().to_json()
    file.write_text(json.dumps(about))
    assert load_model(tmp_path / "m").options == CaptioningOptions(repeat_words=True, max_length=40)
    for broken, message in (({"beam": 3}, "options beam are not known"), ({"beams": "x"}, r"options\.beams is 'x'")):
        file.write_text(json.dumps(about | {"options": broken}))
        with pytest.raises(ModelError, match=message):
            load_model(tmp_path / "m")


def test_a_recipe_of_before_keeps_the_rules_of_its_time(tmp_path: Path) -> None:
    recipe = resolve("show_attend_tell")
    assert recipe.options == CaptioningOptions()
    written = json.loads(json.dumps(fields.to_json(recipe)))
    assert fields.restore(recipe, written).options == CaptioningOptions()
    written.pop("options")
    written["text"] = {"least": 4, "size": 10000}
    restored = fields.restore(recipe, written)
    run = RunFolder(tmp_path)
    assert with_earlier_options(recipe, run) is recipe  # nothing was started there
    run.write_json("recipe.json", written)
    assert with_earlier_options(recipe, run) == dataclasses.replace(recipe, options=restored.options)
    run.write_json("recipe.json", fields.to_json(recipe))
    assert with_earlier_options(recipe, run) is recipe
    assert restored.options == CaptioningOptions(repeat_words=True, max_length=40)
    assert (restored.text.tokens, restored.text.least) == ("auto", 4)


def test_a_recipe_says_the_rules_and_the_tokens(tmp_path: Path) -> None:
    """From the recipe's fields into the run, its validation and its evaluation."""
    small = {
        "config.pretrained": "false", "config.backbone": "test_byobnet", "config.strides": "4",
        "config.image_size": "32,32", "config.embed": "8", "config.hidden": "8", "config.attend": "4",
        "data.height": "48", "data.width": "48", "data.train": "12", "data.val": "3", "data.test": "0",
        "features": "false", "epochs": "1", "batch_size": "8", "ema": "0", "workers": "0",
    }  # fmt: skip
    chosen = {
        "text.tokens": "characters",
        "options.beams": "2",
        "options.no_repeat_ngram": "4",
        "options.max_length": "30",
    }
    recipe = resolve("show_attend_tell_pasture", overrides=small | chosen)
    run = train_recipe(recipe, out=tmp_path / "run")
    loaded = load_model(run / "model")
    assert loaded.options == CaptioningOptions(beams=2, no_repeat_ngram=4, max_length=30)
    assert isinstance(loaded.tables["text"], CharacterTable)
    evaluation = evaluate_run(run)
    assert evaluation.options == loaded.options
    assert evaluation.to_json()["inference"] == "2 beams, at most 30 tokens, no 4 tokens in a row twice"
    assert evaluate_run(run, options={"beams": 1}).options == dataclasses.replace(loaded.options, beams=1)
    own = json.loads((run / "recipe.json").read_text())
    assert (own["options"]["no_repeat_ngram"], own["text"]["tokens"]) == (4, "characters")


def test_an_option_of_the_other_verb_is_said() -> None:
    with pytest.raises(ConfigError, match="--n-best is an option of foveate predict, not of foveate evaluate; leave"):
        make_options(CaptioningTask, {"n_best": 2}, EVALUATE)
    assert make_options(CaptioningTask, {"n_best": 2}, PREDICT) == CaptioningOptions(n_best=2)


def test_options_are_described_without_postponed_annotations() -> None:
    fields = [("crop", bool, option(False, "")), ("size", int, option(3, ""))]
    made = dataclasses.make_dataclass("Made", fields, bases=(Options,), frozen=True)
    assert made(crop=True, size=4).describe() == "crop + size 4" and made().describe() == ""
