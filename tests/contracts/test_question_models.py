"""What every model that answers questions promises. A new model adds a line to SMALL."""

import pytest
import torch

import foveate
from foveate.records import ClassTable, QuestionOutput
from foveate.registry import entries
from foveate.store import load_model, save_model
from foveate.text import PAD, SPECIALS, UNKNOWN, Vocabulary

TABLE = Vocabulary((*SPECIALS, *(f"w{i}" for i in range(9))))
ANSWERS = ClassTable(("yes", "no", "two"))
TINY = {"backbone": "plain", "image_size": (32, 48), "strides": (8,), "hidden": 10, "max_words": 7,
        "vocabulary": len(TABLE), "num_answers": len(ANSWERS), "word_init": 1.0, "dropout": 0.0}  # fmt: skip
# name, and what tells it from others of that name -> a config that runs in a fraction of a second
SMALL = {
    ("ask_attend_answer", "two hops"): {},
    ("ask_attend_answer", "one hop"): {"hops": 1, "normalize": False},
    ("ask_attend_answer", "masked"): {"pad": "masked", "neck": 1},
    ("ask_attend_answer", "mean"): {"hops": 0, "place_biases": False},
    ("ask_attend_answer", "blind"): {"blind": True},
}
NAMES = [n for n, e in entries("model").items() if e.module.startswith("foveate.models.questions.")]
ATTENDING = [kind for kind in SMALL if kind[1] not in ("mean", "blind")]


def build(kind, **more):
    torch.manual_seed(0)
    model = foveate.create(kind[0], **(TINY | SMALL[kind] | more))
    for name, parameter in model.named_parameters():  # what starts at zero passes nothing down at first
        if not parameter.any() and "backbone" not in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def batch(count=3, length=6):
    """Questions of 6, 5, 4, ... words."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(len(SPECIALS), len(TABLE), (count, length), generator=generator)
    for i in range(count):
        tokens[i, length - i :] = PAD
    image = torch.randn(count, 3, 32, 48, generator=generator)
    return {"image": image, "tokens": tokens, "label": torch.arange(count) % 3, "names": ["x"] * count}


def test_every_model_is_here():
    assert {name for name, _ in SMALL} == set(NAMES)


@pytest.mark.parametrize("kind", SMALL, ids="-".join)
class TestContract:
    def test_scores_for_every_answer_and_maps_that_sum_to_one(self, kind):
        model = build(kind).eval()
        data = batch()
        with torch.no_grad():
            out = model(data["image"], data["tokens"])
        assert isinstance(out, QuestionOutput)
        assert out.logits.shape == (3, 3) and out.logits.isfinite().all()
        if kind not in ATTENDING:
            assert out[1:] == (None, None, None)
            return
        hops = model.config.hops
        assert out.attention.shape == (3, hops, 4, 6) and (out.attention >= 0).all()
        torch.testing.assert_close(out.attention.sum((2, 3)), torch.ones(3, hops))
        assert out.correlation.shape == (3, 6, 4, 6) and out.winner.shape == (3, 4, 6)
        lengths = (data["tokens"] != PAD).sum(1)
        assert (out.winner < lengths[:, None, None]).all() and (out.winner >= -1).all()

    def test_padding_changes_no_answer(self, kind):
        """A question is answered alike alone, beside longer ones, and with padding up to the model's length."""
        model = build(kind).double().eval()
        data = batch()
        image, tokens = data["image"].double(), data["tokens"]
        with torch.no_grad():
            together = model(image, tokens)
            longer = model(image, torch.nn.functional.pad(tokens, (0, 1), value=PAD))
            alone = model(image[2:], tokens[2:, :4])
        for other, rows in ((longer, slice(None)), (alone, slice(2, None))):
            torch.testing.assert_close(other.logits, together.logits[rows], rtol=0, atol=1e-12)
            if together.attention is not None:
                torch.testing.assert_close(other.attention, together.attention[rows], rtol=0, atol=1e-12)
                assert torch.equal(other.winner, together.winner[rows])

    def test_words_after_the_last_one_that_is_read_change_nothing(self, kind):
        model = build(kind).eval()
        tokens = torch.randint(len(SPECIALS), len(TABLE), (2, 10))
        image = batch(2)["image"]
        with torch.no_grad():
            assert torch.equal(model(image, tokens).logits, model(image, tokens[:, :7]).logits)

    def test_every_parameter_learns_but_the_weights_of_later_positions(self, kind):
        model = build(kind).train()
        losses = model.loss(batch(3, 5))
        assert losses["loss"].ndim == 0
        losses["loss"].backward()
        learned = {n: p for n, p in model.named_parameters() if p.requires_grad}
        assert not [n for n, p in learned.items() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()]
        assert not model.W_Q.grad[5:].any() and model.W_Q.grad[:5].all()
        assert not model.embed.weight.grad[PAD].any()
        assert all(n.startswith("backbone") for n, p in model.named_parameters() if not p.requires_grad)

    def test_features_stand_for_the_picture(self, kind):
        model = build(kind).eval()
        data = batch()
        with torch.no_grad():
            kept = {key: value for key, value in data.items() if key != "image"} | {
                "features": model.encode(data["image"])
            }
            torch.testing.assert_close(model.loss(data)["loss"], model.loss(kept)["loss"])

    def test_questions_about_one_image_share_its_features(self, kind):
        """The loss and its gradients are those of features that are repeated for every question."""
        model = build(kind).double().eval()
        data = batch()
        image_of = torch.tensor([1, 0, 1])
        image = data["image"][:2].double()
        features = model.encode(image).detach()
        words = {key: value for key, value in data.items() if key != "image"}
        whole = model.loss(words | {"image": image, "image_of": image_of})["loss"]
        losses, gradients = [], []
        for given in ({"features": features, "image_of": image_of}, {"features": features[image_of]}):
            model.zero_grad()
            losses.append(model.loss(words | given)["loss"])
            losses[-1].backward()
            gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
        torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=1e-12)
        torch.testing.assert_close(losses[0], whole, rtol=0, atol=1e-12)
        torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-12)
        assert len(gradients[0]) > 3
        other = model.loss(words | {"features": features, "image_of": 1 - image_of})["loss"]
        assert model.config.blind or not torch.isclose(other, losses[0])

    def test_four_samples_are_learned_by_heart(self, kind):
        if kind[1] in ("mean", "blind"):
            return  # arms for comparison
        model = build(kind).train()
        data = batch(4)
        optimiser = torch.optim.Adam(model.parameters(), 1e-2)
        first = model.loss(data)["loss"].item()
        for _ in range(60):
            optimiser.zero_grad()
            model.loss(data)["loss"].backward()
            optimiser.step()
        assert model.loss(data)["loss"].item() < 0.05 * first

    def test_saved_and_loaded_it_is_the_same(self, kind, tmp_path):
        model = build(kind).eval()
        save_model(tmp_path / "m", model, kind[0], {"text": TABLE, "answers": ANSWERS}, "questions")
        loaded = load_model(tmp_path / "m")
        assert (loaded.task, loaded.preprocessing) == ("questions", model.preprocessing)
        assert loaded.preprocessing.max_words == 7
        data = batch()
        with torch.no_grad():
            ours, theirs = (m(data["image"], data["tokens"]) for m in (model, loaded.model.eval()))
        assert torch.equal(ours.logits, theirs.logits)

    def test_an_unknown_word_is_a_word(self, kind):
        model = build(kind).eval()
        data = batch(1)
        other = data["tokens"].clone()
        other[0, 1] = UNKNOWN
        with torch.no_grad():
            assert not torch.equal(model(data["image"], data["tokens"]).logits, model(data["image"], other).logits)
