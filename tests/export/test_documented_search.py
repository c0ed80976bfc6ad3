"""The search of the quickstart, which needs ONNX Runtime alone, says what `predict` says: under every rule."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import foveate
from foveate.export import export_onnx
from foveate.onnx import sibling_path
from foveate.store import save_model
from foveate.tasks.captioning.options import CaptioningOptions
from foveate.text import END, SPECIALS, START, UNKNOWN, BytePairs, CharacterTable, Pairs, TextTable, Vocabulary

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

QUICKSTART = Path(__file__).parents[2] / "docs" / "quickstart.md"
SIZE = (32, 48)
WORDS = Vocabulary((*SPECIALS, "a", "the", "cow", "sky", "grass", "bird", "über", "flies"))
CHARACTERS = CharacterTable((*SPECIALS, " ", *"aeg", "狗", "é", ".", "👍🏽"))
BYTES = Pairs(size=264).learn(["a dog and a dog and a dog"] * 3)
TABLES: dict[str, TextTable] = {"words": WORDS, "characters": CHARACTERS, "bpe": BYTES}
RULES = [
    CaptioningOptions(),
    CaptioningOptions(beams=1),
    CaptioningOptions(beams=1, repeat_words=True),
    CaptioningOptions(beams=2, no_repeat_ngram=2, max_length=12),
    CaptioningOptions(beams=4, length_penalty=0.0),
    CaptioningOptions(beams=3, length_penalty=2.0, no_repeat_ngram=1, max_length=6),
]


def code() -> str:
    """The block of the quickstart that runs the two files."""
    blocks = re.findall(r"^```python\n(.*?)^```$", QUICKSTART.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if "captions.step.onnx" in block]
    assert "foveate." not in re.sub(r'f?"foveate\.[^"]*"', "", found)  # but for the keys of the metadata
    return found


def documented(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(folder)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code(), "quickstart.md", "exec"), {})
    return out.getvalue().rstrip("\n")


def build(table: TextTable, attention: bool) -> nn.Module:
    """A captioner whose captions depend on the picture, repeat words and prefer <unk>."""
    torch.manual_seed(2)
    small: dict[str, Any] = {"backbone": "test_efficientnet", "image_size": SIZE, "embed": 8, "hidden": 12}
    name = "show_attend_tell" if attention else "show_and_tell"
    model = foveate.create(name, vocabulary=len(table), **small, **({"attend": 6} if attention else {}))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("backbone"):
                nn.init.normal_(parameter, std=0.7)
        last: Any = model.L_o if attention else model.W
        last.bias[END] -= 0.5
        if attention:  # a word makes itself likelier: some are doubled where the rules let them
            model.L_o.weight += 1.5 * model.embed.weight  # type: ignore[union-attr, operator]
        last.bias[UNKNOWN] += 2.0
        if isinstance(table, BytePairs):  # words of few letters, so that some are doubled
            last.bias[[i for i, name in enumerate(table.names) if i > UNKNOWN and set(name) - set("Ġadogn")]] -= 20
    return model.eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Kind of tokens -> the exported encoder. The one of characters is that of words with another table."""
    found = {}
    for kind, attention in (("words", True), ("bpe", False)):
        root, model = tmp_path_factory.mktemp(kind), build(TABLES[kind], attention)
        name = "show_attend_tell" if attention else "show_and_tell"
        save_model(root / "model", model, name, {"text": TABLES[kind]}, "captioning")
        export_onnx(root / "model", root / "captions.onnx")
        found[kind] = root / "captions.onnx"
    assert len(WORDS) == len(CHARACTERS)
    return found | {"characters": found["words"]}


def prepared(exported: Path, table: TextTable, options: CaptioningOptions, folder: Path) -> Path:
    """A copy of an export with another table and other rules in its metadata, as `export_onnx` writes them."""
    for file in (exported, sibling_path(exported, ".step")):
        proto = onnx.load(file)
        values = {prop.key: prop.value for prop in proto.metadata_props}
        values["foveate.tables"] = json.dumps({"text": table.to_json()})
        values["foveate.classes"] = json.dumps(table.to_json())
        values["foveate.options"] = json.dumps(options.to_json())
        values["foveate.search"] = json.dumps(options.search_to_json(table))
        onnx.helper.set_model_props(proto, values)
        onnx.save(proto, folder / file.name)
    return folder / exported.name


def photo(path: Path, seed: int, size: tuple[int, int] = SIZE) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BICUBIC).save(path)


def test_the_rules_stand_in_the_metadata_of_both_files(exported: dict[str, Path]) -> None:
    for kind in ("words", "bpe"):
        for file in (exported[kind], sibling_path(exported[kind], ".step")):
            values = {prop.key: prop.value for prop in onnx.load(file).metadata_props}
            search = json.loads(values["foveate.search"])
            assert search == CaptioningOptions().search_to_json(TABLES[kind])
            assert search["forbidden"] == [0, START, UNKNOWN]
            assert json.loads(values["foveate.options"]) == CaptioningOptions().to_json()


@pytest.mark.parametrize("kind", TABLES)
def test_the_documented_search_says_what_predict_says(
    exported: dict[str, Path], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, said, doubled = TABLES[kind], set(), 0
    for options in RULES:
        file = prepared(exported[kind], table, options, tmp_path)
        predictor = foveate.load(file)
        assert predictor.family.options == options
        for seed in range(2):
            photo(tmp_path / "photo.jpg", seed)
            expected = predictor.predict(tmp_path / "photo.jpg").text
            found = documented(tmp_path, monkeypatch)
            if kind != "bpe" or expected.isascii():
                assert found == expected, options
            words = expected.split()
            again = any(one == other for one, other in itertools.pairwise(words))
            assert not again or options.repeat_words
            doubled += again
            said.add(expected)
    assert len(said) > 3  # they depend on picture and rules
    assert "<unk>" not in " ".join(said)
    if kind == "words":
        assert doubled  # where words may be repeated, they are


def test_a_picture_of_another_size_and_a_rule_of_the_call(
    exported: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures are resized as `predict` does, and a rule that is changed in the metadata is an option of the call."""
    photo(tmp_path / "photo.jpg", 1, (61, 120))
    for beams in (1, 5):
        greedy = dataclasses.replace(CaptioningOptions(), beams=beams)
        prepared(exported["words"], WORDS, greedy, tmp_path)
        predicted = foveate.load(exported["words"]).predict(tmp_path / "photo.jpg", beams=beams)
        assert documented(tmp_path, monkeypatch) == predicted.text


def test_a_file_of_before_keeps_the_rules_of_its_time(exported: dict[str, Path], tmp_path: Path) -> None:
    for file in (exported["words"], sibling_path(exported["words"], ".step")):
        shutil.copy(file, tmp_path / file.name)
    file = tmp_path / "captions.onnx"
    proto = onnx.load(file)
    kept = {p.key: p.value for p in proto.metadata_props if p.key not in ("foveate.options", "foveate.search")}
    onnx.helper.set_model_props(proto, kept)
    onnx.save(proto, file)
    assert foveate.load(file).family.options == CaptioningOptions(repeat_words=True, max_length=40)
