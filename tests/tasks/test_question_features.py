"""Batches of questions about kept features: those of an image are in a batch once."""

from __future__ import annotations

from dataclasses import replace

import torch

from foveate.datasets.pasture import Pasture
from foveate.engine import Recipe
from foveate.engine.prepare import make_batches
from foveate.models.questions.ask_attend_answer import AskAttendAnswer, Config
from foveate.tasks import create_task
from foveate.tasks.questions.tables import QuestionTables
from foveate.tasks.questions.task import QuestionsTask

DATA = Pasture(48, 64, train=6, val=2, test=0)
CONFIG = Config(backbone="plain", strides=(16,), image_size=(48, 64), hidden=8, max_words=12)


def test_a_batch_holds_the_features_of_each_image_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path))
    torch.manual_seed(0)
    recipe = Recipe(
        model="ask_attend_answer", config=CONFIG, data=DATA, text=QuestionTables(), features=True,
        freeze=("backbone",), batch_size=8, epochs=1,
    )  # fmt: skip
    train_set, val_set = DATA.open("train", "questions"), DATA.open("val", "questions")
    tables = QuestionsTask.learn_tables(train_set, recipe)
    config = replace(CONFIG, vocabulary=len(tables["text"]), num_answers=len(tables["answers"]))
    model = AskAttendAnswer(config).eval()
    family = create_task("questions", tables, model.preprocessing)
    batches = make_batches(recipe, model, family, train_set, val_set)
    seen = 0
    for batch in batches.loader:
        names = batch["names"]
        assert len(batch["features"]) == len(set(names)) <= 6 and len(names) == 8
        for name, row in zip(names, batch["image_of"].tolist(), strict=True):
            same = [other for other, place in zip(names, batch["image_of"].tolist(), strict=True) if place == row]
            assert set(same) == {name}
        seen += len(names)
        image = next(train_set[i]["image"] for i in range(len(train_set)) if train_set.name(i) == names[0])
        alone = family.collate([{**train_set[0], "image": image}])["image"]
        with torch.no_grad():
            expected = model.encode(alone)[0]
        torch.testing.assert_close(batch["features"][batch["image_of"][0]], expected, rtol=0, atol=2e-3)
    assert seen == 8 * len(batches.loader) > 8
