"""What every translation model promises. A new model adds a line to SMALL."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import foveate
from foveate.ops.padding import pad
from foveate.records import TranslationOutput
from foveate.registry import entries
from foveate.store import load_model, save_model
from foveate.tasks.translation.decoding import Source, translate
from foveate.tasks.translation.options import TranslationOptions
from foveate.text import END, PAD, SPECIALS, START, PieceTable

SOURCE = PieceTable((*SPECIALS, *(f" s{i}" for i in range(9))))
TARGET = PieceTable((*SPECIALS, *(f" t{i}" for i in range(11))))
TINY = {"embed": 6, "hidden": 5, "source_vocabulary": len(SOURCE), "target_vocabulary": len(TARGET), "dropout": 0.0}
# name, and what tells it from others of that name -> a config that runs in a fraction of a second
SMALL: dict[tuple[str, str], dict[str, Any]] = {
    ("rnnsearch", "additive"): {"attend": 4, "maxout": 6},
    ("rnnsearch", "paper"): {
        "attend": 4, "maxout": 3, "tie": False, "smoothing": 0.0, "average": "sentences", "initial": "paper",
    },
    ("rnnsearch", "current"): {"query": "current", "state": 10, "tie": False, "score": "dot"},
    ("rnnsearch", "local"): {"attend": 4, "maxout": 6, "score": "general", "window": 2},
    ("rnnsearch", "none"): {"maxout": 6, "score": "none"},
}  # fmt: skip
NAMES = [n for n, e in entries("model").items() if e.module.startswith("foveate.models.translation.")]
TEXTS = ["s0 s1 s2 s3", "s4", "s5 s6 s0 s0 s8 s1", "s2 s2"]


def build(kind: tuple[str, str], **more: Any) -> Any:
    torch.manual_seed(0)
    model = foveate.create(kind[0], **(TINY | SMALL[kind] | more))
    for name, parameter in model.named_parameters():  # what starts at zero or tiny passes nothing down at first
        if parameter.abs().max() < 0.1:
            torch.nn.init.normal_(parameter, std=0.3)
        if name.endswith("embed.weight"):
            with torch.no_grad():
                parameter[PAD] = 0.0
    return model


def batch(count: int = 4, extra: int = 0) -> dict[str, Any]:
    """Pairs of unequal lengths; extra: columns of padding beside those that are needed."""
    generator = torch.Generator().manual_seed(1)
    sides = []
    for lengths, table in (((4, 1, 6, 2), SOURCE), ((2, 3, 5, 1), TARGET)):
        rows = [torch.randint(len(SPECIALS), len(table), (n,), generator=generator) for n in lengths[:count]]
        tokens = pad([torch.cat([row, torch.tensor([END])]) for row in rows], PAD)
        sides.append(torch.nn.functional.pad(tokens, (0, extra), value=PAD))
    return {"source_tokens": sides[0], "target_tokens": sides[1], "names": ["x"] * count}


def search(model: Any, texts: list[str], **options: Any) -> list[Any]:
    return translate(model, [Source.read(text, SOURCE) for text in texts], TARGET, TranslationOptions(**options))


def test_every_model_is_here() -> None:
    assert {name for name, _ in SMALL} == set(NAMES)


@pytest.mark.parametrize("kind", SMALL, ids="-".join)
class TestContract:
    def test_scores_for_every_token_and_attention_within_the_source(self, kind: tuple[str, str]) -> None:
        model, data = build(kind).eval(), batch()
        with torch.no_grad():
            out = model(data["source_tokens"], data["target_tokens"])
        assert isinstance(out, TranslationOutput)
        assert out.logits.shape == (4, 6, len(TARGET))
        assert out.logits.isfinite().all()
        assert (out.attention is None) == (kind[1] == "none") == (model.attention == "none")
        if out.attention is not None:
            assert out.attention.shape == (4, 6, 7)
            assert not out.attention[(data["source_tokens"] == PAD)[:, None].expand(-1, 6, -1)].any()
            sums = out.attention.sum(2)
            assert (out.attention >= 0).all() and (sums <= 1 + 1e-5).all()
            if kind[1] != "local":  # whose Gaussian is not normalised again
                torch.testing.assert_close(sums, torch.ones(4, 6))

    def test_step_by_step_it_says_what_it_says_at_once(self, kind: tuple[str, str]) -> None:
        model, data = build(kind).double().eval(), batch()
        with torch.no_grad():
            out = model(data["source_tokens"], data["target_tokens"])
            memory = model.encode(data["source_tokens"])
            state, last = model.begin(memory), torch.full((4,), START)
            for t in range(6):
                logits, state, attention = model.step(memory, state, last)
                torch.testing.assert_close(logits, out.logits[:, t], rtol=0, atol=1e-10)
                if out.attention is not None:
                    torch.testing.assert_close(attention, out.attention[:, t], rtol=0, atol=1e-10)
                last = data["target_tokens"][:, t]

    def test_a_token_depends_on_those_before_it_alone(self, kind: tuple[str, str]) -> None:
        model, data = build(kind).eval(), batch()
        other = data["target_tokens"].clone()
        other[:, 2:] = len(SPECIALS)
        with torch.no_grad():
            first, second = (model(data["source_tokens"], t).logits for t in (data["target_tokens"], other))
        torch.testing.assert_close(first[:, :3], second[:, :3])
        assert not torch.allclose(first[:, 3:], second[:, 3:])

    def test_padding_changes_no_output_and_has_no_gradient(self, kind: tuple[str, str]) -> None:
        model = build(kind).double().train()
        losses, gradients, outputs = [], [], []
        for extra in (0, 3):
            data = batch(extra=extra)
            model.zero_grad()
            loss = model.loss(data)["loss"]
            loss.backward()
            losses.append(loss)
            gradients.append({n: p.grad.clone() for n, p in model.named_parameters()})
            outputs.append(model(data["source_tokens"], data["target_tokens"]).logits[:, :6])
            for table in (model.source_embed, model.target_embed):
                tied = table is model.target_embed and model.W_o is None
                assert tied or not table.weight.grad[PAD].any()
        torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=1e-12)
        torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-12)
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradient, gradients[1][name], rtol=0, atol=1e-12, msg=name)

    def test_a_sentence_is_translated_as_if_alone(self, kind: tuple[str, str]) -> None:
        model = build(kind).double().eval()
        together = search(model, TEXTS, n_best=3)
        for text, own in zip(TEXTS, together, strict=True):
            (alone,) = search(model, [text], n_best=3)
            assert [t.text for t in alone] == [t.text for t in own]
            assert [t.score for t in alone] == pytest.approx([t.score for t in own], abs=1e-9)
            assert all(t.words for t in own)  # never empty
        if model.attention != "none":
            together = search(model, TEXTS, n_best=3, coverage_penalty=0.5)
            alone = [search(model, [text], n_best=3, coverage_penalty=0.5)[0] for text in TEXTS]
            assert [[t.text for t in own] for own in together] == [[t.text for t in own] for own in alone]
            assert [t.score for own in together for t in own] == pytest.approx([t.score for own in alone for t in own])

    def test_every_parameter_learns(self, kind: tuple[str, str]) -> None:
        model = build(kind).train()
        losses = model.loss(batch())
        assert all(loss.ndim == 0 for loss in losses.values())
        losses["loss"].backward()
        assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert not [n for n, p in model.named_parameters() if not p.grad.any()]

    def test_it_learns_four_pairs_by_heart(self, kind: tuple[str, str]) -> None:
        model, data = build(kind, hidden=16, smoothing=0.0, **({"state": 32} if kind[1] == "current" else {})), batch()
        optimizer = torch.optim.Adam(model.parameters(), 0.03)
        losses = []
        for _ in range(70):
            optimizer.zero_grad()
            loss = model.loss(data)["loss"]
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.05 * losses[0]

    def test_sizes_are_config(self, kind: tuple[str, str]) -> None:
        model = build(kind, source_vocabulary=7, target_vocabulary=13).eval()
        source, target = torch.tensor([[4, 6, END]]), torch.tensor([[12, END]])
        assert model(source, target).logits.shape == (1, 2, 13)

    def test_saved_and_loaded_it_says_the_same(self, kind: tuple[str, str], tmp_path: Any) -> None:
        model = build(kind).eval()
        tables = {"source": SOURCE, "target": TARGET}
        save_model(tmp_path / "m", model, kind[0], tables, "translation")
        loaded = load_model(tmp_path / "m")
        assert (loaded.name, loaded.task, loaded.tables) == (kind[0], "translation", tables)
        assert loaded.preprocessing == model.preprocessing
        ours: dict[str, Tensor] = model.state_dict()
        theirs = loaded.model.state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        mine, other = (search(m.eval(), TEXTS) for m in (model, loaded.model))
        assert [[(t.text, t.score) for t in own] for own in mine] == [[(t.text, t.score) for t in own] for own in other]
