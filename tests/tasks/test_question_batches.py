"""Batches of questions: an image, or its kept features, is in a batch once."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from foveate.datasets.pasture import Pasture
from foveate.datasets.questions.table import QuestionTable
from foveate.engine import Recipe
from foveate.engine.loading import CachedDataset
from foveate.engine.prepare import make_batches
from foveate.models.questions.ask_attend_answer import AskAttendAnswer, Config
from foveate.tasks import create_task
from foveate.tasks.questions.tables import QuestionTables
from foveate.tasks.questions.task import QuestionsTask

DATA = Pasture(48, 64, train=6, val=2, test=0)
CONFIG = Config(backbone="plain", strides=(16,), image_size=(48, 64), hidden=8, max_words=12)


@pytest.mark.parametrize("kept", [True, False])
def test_a_batch_holds_each_image_once(tmp_path, monkeypatch, kept: bool) -> None:
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path))
    torch.manual_seed(0)
    recipe = Recipe(
        model="ask_attend_answer", config=CONFIG, data=DATA, text=QuestionTables(), features=kept,
        freeze=("backbone",) if kept else (), batch_size=8, epochs=1,
    )  # fmt: skip
    train_set, val_set = DATA.open("train", "questions"), DATA.open("val", "questions")
    tables = QuestionsTask.learn_tables(train_set, recipe)
    config = replace(CONFIG, vocabulary=len(tables["text"]), num_answers=len(tables["answers"]))
    model = AskAttendAnswer(config).eval()
    family = create_task("questions", tables, model.preprocessing)
    loader = make_batches(recipe, model, family, train_set, val_set).loader
    assert len(loader) > 1
    for batch in loader:
        names, rows = batch["names"], batch["image_of"].tolist()
        given = batch["features" if kept else "image"]
        assert len(given) == len(set(names)) == len(set(zip(names, rows, strict=True))) <= 6 and len(names) == 8
        image = next(train_set[i]["image"] for i in range(len(train_set)) if train_set.name(i) == names[0])
        alone = family.collate([{**train_set[0], "image": image}])["image"]
        with torch.no_grad():
            expected = model.encode(alone)[0] if kept else alone[0]
        torch.testing.assert_close(given[rows[0]], expected, rtol=0, atol=2e-3 if kept else 0)


def drawn_questions(tmp_path: Path) -> tuple[object, list[str]]:
    dataset = DATA.open("train", "questions")
    return dataset, [dataset.name(i) for i in range(len(dataset))]


def questions_of_files(tmp_path: Path) -> tuple[object, list[str]]:
    rows = ["image\tquestion\tanswer"]
    for i in range(6):
        Image.new("RGB", (16, 12), (40 * i, 0, 0)).save(tmp_path / f"{i % 3}.png")
        rows.append(f"{i % 3}.png\tIs it {i}?\tyes")
    (tmp_path / "train.tsv").write_text("\n".join(rows) + "\n")
    dataset = QuestionTable(str(tmp_path)).open("train")
    return dataset, [dataset.name(i) for i in range(len(dataset))]


@pytest.mark.parametrize("made", [drawn_questions, questions_of_files])
def test_questions_share_an_image_in_whatever_order_they_are_read(tmp_path: Path, made) -> None:
    """Otherwise a batch would depend on the batches before it, and a resumed training would differ."""
    dataset, names = made(tmp_path)
    kept = CachedDataset(pickle.loads(pickle.dumps(dataset)), 1e9)
    pairs = [(a, b) for a, name in enumerate(names) for b in range(a + 1, len(names)) if names[b] == name]
    assert pairs
    for a, b in pairs:
        first = kept[a]
        for other, name in enumerate(names):
            if name != names[a]:
                kept[other]
        assert kept[b]["image"] is first["image"]
    assert kept.used < sum(kept[i]["image"].nbytes for i in range(len(names)))
