"""What every captioner promises. A new model adds a line to SMALL."""

import pytest
import torch

import foveate
from foveate.records import CaptionOutput
from foveate.registry import entries
from foveate.store import load_model, save_model
from foveate.tasks.captioning.decoding import generate_captions
from foveate.text import END, PAD, SPECIALS, START, UNKNOWN, Vocabulary

TABLE = Vocabulary((*SPECIALS, *(f"w{i}" for i in range(11))))
TINY = {"backbone": "resnet18", "image_size": (64, 96), "embed": 6, "hidden": 7, "vocabulary": len(TABLE)}
# name, and what tells it from others of that name -> a config that runs in a fraction of a second
SMALL = {
    ("show_and_tell", ""): {},
    ("show_attend_tell", "soft"): {"attend": 5},
    ("show_attend_tell", "hard"): {"attend": 5, "attention": "hard"},
    ("show_attend_tell", "released"): {
        "attend": 5, "attention": "hard", "normalize": False, "score_layers": 2, "start_layers": 2,
        "start_token": False, "drop_words": False, "soft_inference": True,
    },
}  # fmt: skip
NAMES = [n for n, e in entries("model").items() if e.load().task == "captioning"]


def build(kind, **more):
    torch.manual_seed(0)
    model = foveate.create(kind[0], **(TINY | SMALL[kind] | more))
    for parameter in model.parameters():  # what starts at zero passes nothing down at first
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def batch(model, count=3, length=6):
    """Sentences of 6, 5, 4, ... tokens, <end> among them."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(count, len(model.preprocessing.mean), *model.preprocessing.size, generator=generator)
    tokens = torch.randint(len(SPECIALS), len(TABLE), (count, length), generator=generator)
    for i in range(count):
        end = max(length - 1 - i, 0)
        tokens[i, end] = END
        tokens[i, end + 1 :] = PAD
    return {"image": image, "tokens": tokens, "names": ["x"] * count}


def test_every_model_is_here():
    assert {name for name, _ in SMALL} == set(NAMES)


@pytest.mark.parametrize("kind", SMALL, ids="-".join)
class TestContract:
    def test_scores_for_every_word_and_maps_that_sum_to_one(self, kind):
        model = build(kind).eval()
        data = batch(model)
        with torch.no_grad():
            out = model(data["image"], data["tokens"])
            features = model.encode(data["image"])
        assert isinstance(out, CaptionOutput)
        assert out.logits.shape == (3, 6, len(TABLE))
        assert out.logits.isfinite().all()
        assert features.shape[0] == 3 and features.ndim == 4
        if out.attention is not None:
            assert out.attention.shape == (3, 6, *features.shape[-2:])
            torch.testing.assert_close(out.attention.sum((2, 3)), torch.ones(3, 6))
            assert (out.attention >= 0).all()
        assert (out.attention is not None) == (SMALL[kind] != {})

    def test_step_by_step_it_says_what_it_says_at_once(self, kind):
        model = build(kind).double().eval()
        data = batch(model)
        with torch.no_grad():
            out = model(data["image"].double(), data["tokens"])
            memory, state = model.begin(model.encode(data["image"].double()))
            last = torch.full((3,), START)
            for t in range(6):
                logits, state, attention = model.step(memory, state, last)
                torch.testing.assert_close(logits, out.logits[:, t], rtol=0, atol=1e-10)
                if out.attention is None:
                    assert attention is None
                else:
                    torch.testing.assert_close(attention, out.attention[:, t].flatten(1), rtol=0, atol=1e-10)
                last = data["tokens"][:, t]

    def test_a_word_depends_on_those_before_it_alone(self, kind):
        model = build(kind).eval()
        data = batch(model)
        other = data["tokens"].clone()
        other[:, 3:] = TABLE.encode("w0")[0]
        with torch.no_grad():
            first, second = (model(data["image"], tokens).logits for tokens in (data["tokens"], other))
        torch.testing.assert_close(first[:, :4], second[:, :4])
        assert not torch.allclose(first[:, 4:], second[:, 4:])

    def test_padding_is_neither_learned_nor_counted(self, kind):
        model = build(kind).eval()
        data = batch(model)
        longer = data | {"tokens": torch.nn.functional.pad(data["tokens"], (0, 4), value=PAD)}
        short, long = model.loss(data), model.loss(longer)
        assert short.keys() == long.keys()
        for name in short:
            torch.testing.assert_close(short[name], long[name], msg=name)

    def test_an_unknown_word_is_read_but_not_taught(self, kind):
        """It is no target: its own logit's weights have the gradient of a word that is never right."""
        model = build(kind, dropout=0.0).train()
        data = batch(model)
        data["tokens"][0, 2] = data["tokens"][2, 1] = UNKNOWN
        torch.manual_seed(3)
        loss = model.loss(data)
        out = model.eval()(data["image"], data["tokens"])
        true = out.logits.log_softmax(2).gather(2, data["tokens"][..., None])[..., 0]
        taught = (data["tokens"] != PAD) & (data["tokens"] != UNKNOWN)
        assert taught.sum() == 13
        losses = model.loss(data)
        torch.testing.assert_close(losses.get("words", losses["loss"]), -true[taught].mean())
        loss["loss"].backward()
        last = model.W if hasattr(model, "W") else model.L_o
        # d loss / d bias of <unk> is the mean of p(<unk>) alone: positive, never pulled up.
        assert last.bias.grad[UNKNOWN] > 0
        assert last.bias.grad[[i for i in range(len(TABLE)) if i in data["tokens"][taught]]].min() < 0

    def test_the_loss_is_of_a_word_on_average(self, kind):
        """-log p of the 15 words, <end> among them, over 15; 'words' of models that add to it."""
        model = build(kind).eval()
        data = batch(model)
        losses = model.loss(data)
        log_p = model(data["image"], data["tokens"]).logits.log_softmax(2)
        true = log_p.gather(2, data["tokens"][..., None])[..., 0]
        expected = -true[data["tokens"] != PAD].mean()
        assert (data["tokens"] != PAD).sum() == 15
        torch.testing.assert_close(losses.get("words", losses["loss"]), expected)

    def test_every_parameter_learns(self, kind):
        model = build(kind, dropout=0.0).train()
        torch.manual_seed(2)
        losses = model.loss(batch(model, 6))
        assert all(loss.ndim == 0 for loss in losses.values())
        losses["loss"].backward()
        still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert not still
        assert not [n for n, p in model.named_parameters() if not p.grad.any()]

    def test_features_stand_for_the_picture(self, kind):
        """What a frozen backbone makes can be kept: loss and sentences are the same."""
        model = build(kind).eval()
        data = batch(model)
        with torch.no_grad():
            kept = {"features": model.encode(data["image"]), "tokens": data["tokens"], "names": data["names"]}
            for name, value in model.loss(data).items():
                torch.testing.assert_close(model.loss(kept)[name], value, msg=name)
        said, again = (generate_captions(model, {k: d[k]}, TABLE) for k, d in (("image", data), ("features", kept)))
        assert [[s.text for s in own] for own in said] == [[s.text for s in own] for own in again]

    def test_a_picture_is_described_alone(self, kind):
        model = build(kind).double().eval()
        image = batch(model)["image"].double()
        together = generate_captions(model, {"image": image}, TABLE)[1]
        (alone,) = generate_captions(model, {"image": image[1:2]}, TABLE)
        assert [s.text for s in alone] == [s.text for s in together]
        assert [s.score for s in alone] == pytest.approx([s.score for s in together])

    def test_channels_and_vocabulary_are_config(self, kind):
        model = build(kind, in_channels=1, vocabulary=9).eval()
        assert len(model.preprocessing.mean) == len(model.preprocessing.std) == 1
        image, tokens = torch.randn(2, 1, *model.preprocessing.size), torch.randint(4, 9, (2, 3))
        assert model(image, tokens).logits.shape == (2, 3, 9)

    def test_saved_and_loaded_it_says_the_same(self, kind, tmp_path):
        model = build(kind).train()
        with torch.no_grad():
            model.loss(batch(model))  # so that buffers hold something
        model.eval()
        save_model(tmp_path / "m", model, kind[0], {"text": TABLE}, "captioning")
        loaded = load_model(tmp_path / "m")
        assert (loaded.name, loaded.task, loaded.tables) == (kind[0], "captioning", {"text": TABLE})
        assert loaded.preprocessing == model.preprocessing
        ours, theirs = model.state_dict(), loaded.model.state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        image = batch(model)["image"]
        for mine, other in zip(
            *(generate_captions(m.eval(), {"image": image}, TABLE) for m in (model, loaded.model)), strict=True
        ):
            assert [(s.text, s.score) for s in mine] == [(s.text, s.score) for s in other]

    def test_a_dictionary_of_other_tensors_is_refused(self, kind):
        model = build(kind)
        state = model.state_dict()
        state.pop(next(iter(state)))
        with pytest.raises(RuntimeError, match="Missing key"):
            model.load_state_dict(state)
        with pytest.raises(RuntimeError, match="size mismatch"):
            model.load_state_dict(build(kind, vocabulary=20).state_dict())
