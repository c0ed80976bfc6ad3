"""The search on the page of translation, which needs ONNX Runtime and tokenizers alone, says what `predict` says."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import foveate
from foveate.export import export_onnx
from foveate.models.translation.rnnsearch import Config, RNNSearch
from foveate.onnx import sibling_path
from foveate.records import TranslationPreprocessing
from foveate.store import save_model
from foveate.tasks.translation.options import TranslationOptions
from foveate.text import END, BytePairs, Pairs

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

PAGE = Path(__file__).parents[2] / "docs" / "translation.md"
SENTENCES = ["A dog runs in the snow.", "Über 20 Hunde", "a"]
RULES = [
    TranslationOptions(),
    TranslationOptions(beams=1),
    TranslationOptions(beams=3, length_penalty=0.0),
    TranslationOptions(beams=4, coverage_penalty=0.6, length_penalty=0.5),
    TranslationOptions(beams=2, no_repeat_ngram=2),
]


def code(sentence: str) -> str:
    """The block of the page that runs the two files, for another sentence."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if "translate.step.onnx" in block]
    assert "foveate." not in re.sub(r'f?"foveate\.[^"]*"', "", found)  # but for the keys of the metadata
    assert found.count(SENTENCES[0]) == 1
    return found.replace(SENTENCES[0], sentence)


def build(table: BytePairs, score: str) -> nn.Module:
    torch.manual_seed(1)
    model = RNNSearch(Config(len(table), len(table), 8, 6, attend=5, maxout=8, score=score))  # type: ignore[arg-type]
    model.preprocessing = TranslationPreprocessing("en", "de", 40)
    with torch.no_grad():
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.8)
        model.b_o[END] += 2.0  # so that sentences end
    return model.eval()


@pytest.fixture(scope="module", params=["additive", "none"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp(request.param)
    table = Pairs(290, 1, lower=True).learn(["a dog runs in the snow.", "ein hund rennt im schnee."] * 2)
    save_model(root / "run" / "model", build(table, request.param), "rnnsearch", {"source": table, "target": table},
               "translation")  # fmt: skip
    report = export_onnx(root / "run", root / "translate.onnx")
    assert report.difference < 1e-5
    return root


def with_rules(path: Path, rules: TranslationOptions) -> None:
    """Change the rules of the search, and the stored options, in the metadata of an exported file."""
    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == "foveate.search":
            entry.value = json.dumps(rules.search_to_json())
        if entry.key == "foveate.options":
            entry.value = json.dumps(rules.to_json())
    onnx.save(model, path)


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_the_page_writes_what_predict_writes(folder: Path, rules: TranslationOptions, monkeypatch: Any) -> None:
    monkeypatch.chdir(folder)
    predictor = foveate.load(folder / "translate.onnx")
    if predictor.runner.attention == "none" and rules.coverage_penalty:
        pytest.skip("there is no attention to cover with")
    for path in (folder / "translate.onnx", sibling_path(folder / "translate.onnx", ".step")):
        with_rules(path, rules)
    predictor = foveate.load(folder / "translate.onnx")
    assert predictor.family.options == rules
    for sentence in SENTENCES:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code(sentence), "translation.md", "exec"), {})
        assert " ".join(out.getvalue().split()) == predictor.predict(sentence).text
