"""From probabilities to labels by views, proposals and refinement: each is what its definition says."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import foveate
from foveate.errors import ConfigError, DataError
from foveate.ops.crf import CRF
from foveate.ops.proposals import propose
from foveate.ops.superpixels import majority, purity_cover, segment_tree, superpixels
from foveate.predictor import Predictor
from foveate.records import ClassTable, Preprocessing
from foveate.store import save_model
from foveate.tasks.options import EVALUATE, flags
from foveate.tasks.semantic import proposals
from foveate.tasks.semantic.inference import SemanticOptions, predict_labels, predict_probabilities
from foveate.tasks.semantic.proposals import on_proposals, on_proposals_as_released
from foveate.tasks.semantic.tiling import infer

PLAIN = Preprocessing((0.5,) * 3, (0.25,) * 3)


def picture(height: int = 48, width: int = 64) -> Tensor:
    """Flat blocks with a little noise, (3, H, W) uint8."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(30, 220, (3, height // 16, width // 16)).repeat(16, 1).repeat(16, 2)
    return torch.from_numpy((blocks + rng.integers(-9, 9, blocks.shape)).astype(np.uint8))


def network(classes: int = 4) -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Conv2d(3, classes, 5, padding=2).eval()


def probabilities(image: Tensor, **views: object) -> Tensor:
    with torch.inference_mode():
        return infer(network(), image, PLAIN, **views)


def pixels(image: Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()


def labels(image: Tensor, **how: object) -> np.ndarray:
    return predict_labels(network(), image, PLAIN, SemanticOptions(**how)).labels


class TestEachStepIsItsOperator:
    def test_plain(self) -> None:
        image = picture()
        assert (labels(image) == probabilities(image).argmax(0).numpy()).all()

    def test_crf(self) -> None:
        image = picture()
        expected = CRF()(probabilities(image), image).argmax(0).numpy()
        assert (labels(image, crf=True) == expected).all()
        assert (expected != labels(image)).any()

    @pytest.mark.parametrize("kind", ["felzenszwalb", "slic"])
    def test_superpixels(self, kind: str) -> None:
        image = picture()
        segments = superpixels(pixels(image), kind)
        found = labels(image, superpixels=kind)
        assert (found == majority(probabilities(image), segments).argmax(0).numpy()).all()
        assert all(len(np.unique(found[segments == s])) == 1 for s in range(segments.max() + 1))

    def test_tree(self) -> None:
        image = picture()
        tree = segment_tree(pixels(image), superpixels(pixels(image)))
        expected = purity_cover(probabilities(image), tree)[1].argmax(0).numpy()
        assert (labels(image, superpixels="tree") == expected).all()

    def test_all_of_it_in_order(self) -> None:
        """Views first, then the CRF, then superpixels."""
        image = picture()
        averaged = probabilities(image, flip=True, scales=(0.5, 1.0))
        expected = majority(CRF()(averaged, image), superpixels(pixels(image), "slic")).argmax(0).numpy()
        how = {"flip": True, "scales": (0.5, 1.0), "crf": True, "superpixels": "slic"}
        assert (labels(image, **how) == expected).all()

    def test_views_of_tiles(self) -> None:
        # Each tile is averaged over its views, then blended: 0..64 and 32..96 share 32..64 and fade over 40..56.
        image, views = picture(48, 96), {"flip": True, "scales": (0.5, 1.0)}
        first, second = probabilities(image[..., :64], **views), probabilities(image[..., 32:], **views)
        fade = np.cos((np.arange(16) + 0.5) / 16 * np.pi / 2) ** 2
        weight = torch.from_numpy(np.concatenate([np.ones(40), fade, np.zeros(40)])).float()
        expected = torch.zeros(4, 48, 96)
        expected[..., :64] += weight[:64] * first
        expected[..., 32:] += (1 - weight)[32:] * second
        options = SemanticOptions(tile=64, overlap=32, **views)
        found = predict_probabilities(network(), image, PLAIN, options)
        assert np.allclose(found, expected.numpy(), atol=1e-5)
        done: list[float] = []
        assert (predict_labels(network(), image, PLAIN, options, progress=done.append).labels == found.argmax(0)).all()
        assert done == [0.5, 1.0]

    @pytest.mark.parametrize("how", [{}, {"flip": True}, {"crf": True}, {"tile": 64, "overlap": 32}])
    def test_confidence_is_the_largest_probability(self, how: dict[str, Any]) -> None:
        image, options = picture(48, 96), SemanticOptions(**how)
        found = predict_labels(network(), image, PLAIN, options, confident=True)
        expected = predict_probabilities(network(), image, PLAIN, options)
        np.testing.assert_allclose(found.confidence, expected.max(0), atol=1e-6)
        assert (found.labels == predict_labels(network(), image, PLAIN, options).labels).all()
        assert found.confidence.dtype == np.float32 and predict_labels(network(), image, PLAIN, options)[1] is None

    @pytest.mark.parametrize("how", [{"superpixels": "slic"}, {"proposals": 2}])
    def test_scores_that_are_no_probabilities_are_no_confidence(self, how: dict[str, Any]) -> None:
        options = SemanticOptions(**how)
        with pytest.raises(ConfigError, match="superpixels or proposals have no probabilities"):
            predict_probabilities(network(), picture(), PLAIN, options)
        assert predict_labels(network(), picture(), PLAIN, options, confident=True).confidence is None

    def test_a_float_picture_is_the_same_picture(self) -> None:
        image = picture()
        as_float, how = image.float() / 255, {"crf": True, "superpixels": "slic"}
        assert (labels(image, **how) == labels(as_float, **how)).mean() > 0.999


class TestProposals:
    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_each_pixel_takes_the_highest_score_of_any_view(
        self, order: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By hand: a network that gives class 1 the mean of its picture, and class 2 the opposite.

        The left box is brighter than the whole, the right one darker, and they overlap: there the highest score of
        class 1 is the left box's, that of class 2 the right one's, in whatever order the boxes come.
        """

        def means(x: Tensor) -> Tensor:
            mean = x.mean() * torch.ones(x.shape[-2:])
            return torch.stack([torch.zeros_like(mean), mean, -mean])[None]

        monkeypatch.setattr(proposals, "MARGIN", 1.0)
        image = torch.zeros(3, 20, 40)
        image[:, :, :10], image[:, :, 22:] = 0.9, -0.3
        boxes = torch.tensor([[0.0, 5.0, 20.0, 15.0], [16.0, 5.0, 36.0, 15.0]])
        left, right, whole = image[:, 5:15, :20].mean(), image[:, 5:15, 16:36].mean(), image.mean()
        assert right < 0 < whole < left
        score = whole * torch.ones(20, 40)
        positive, negative = score.clone(), -score
        positive[5:15, :20] = left
        negative[5:15, 16:36] = -right
        expected = torch.stack([torch.zeros(20, 40), positive, negative]).softmax(0)
        out = on_proposals(means, image, boxes[list(order)])
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)

    def test_boxes_grow_by_a_fifth_and_stay_inside(self) -> None:
        boxes = torch.tensor([[10.0, 10.0, 20.0, 30.0], [0.0, 0.0, 40.0, 40.0], [39.0, 39.0, 40.0, 40.0]])
        grown = proposals._enlarged(boxes, 40, 40)
        assert grown.tolist() == [[9, 8, 21, 32], [0, 0, 40, 40], [38, 38, 40, 40]]

    def test_the_releases_rules(self) -> None:
        """Squares of 1.2 times the longer side, black beyond the image, none under 112 pixels, scores from 0."""
        seen: list[Tensor] = []

        def network(x: Tensor) -> Tensor:
            """Give class 1 the mean, class 2 -1 everywhere."""
            seen.append(x)
            return torch.stack([torch.zeros(224, 224), x.mean() * torch.ones(224, 224), -torch.ones(224, 224)])[None]

        image = torch.full((3, 150, 200), 255, dtype=torch.uint8)
        plain = Preprocessing((0.0,) * 3, (1.0,) * 3)
        # The first would be 108 pixels; the second 120, half of it beyond the left edge; the third is one too many.
        boxes = torch.tensor([[0.0, 0.0, 90.0, 50.0], [-20.0, 10.0, 20.0, 110.0], [100.0, 0.0, 200.0, 100.0]])
        out = on_proposals_as_released(network, plain, image, boxes, limit=1)
        assert len(seen) == 1
        assert seen[0][0, 0, 112, :100].max() < 0.05 and seen[0][0, 0, 112, -100:].min() > 0.95
        scores = torch.zeros(3, 150, 200)
        scores[1, :120, :60] = seen[0].mean()
        torch.testing.assert_close(out, scores.softmax(0))
        assert len(on_proposals_as_released(network, plain, image, boxes, limit=9)) == 3 and len(seen) == 3
        with pytest.raises(DataError, match=r"none of the 1 proposals in an image of 200x150 pixels has a side of 112"):
            on_proposals_as_released(network, plain, image, boxes[:1], limit=1)

    def test_the_rules_are_chosen_by_name(self) -> None:
        image = picture(144, 160)
        found = [labels(image, proposals=5, proposal_rules=rules) for rules in ("ours", "release")]
        assert found[0].shape == found[1].shape == (144, 160) and (found[0] != found[1]).any()
        assert SemanticOptions(proposals=5, proposal_rules="release").describe() == "5 proposals by the release's rules"
        with pytest.raises(ConfigError, match="proposal_rules is for predictions on proposals; give --proposals N"):
            SemanticOptions(proposal_rules="release")

    def test_as_many_as_asked_are_seen_and_the_whole(self) -> None:
        image, seen = picture(), []

        def counted(x: Tensor) -> Tensor:
            seen.append(x)
            return network()(x)

        for count in (1, 5):
            seen.clear()
            found = predict_labels(counted, image, PLAIN, SemanticOptions(proposals=count)).labels
            assert len(seen) == 1 + count and found.dtype == np.uint8
            boxes = propose(pixels(image), limit=count).boxes
            with torch.inference_mode():
                assert (found == on_proposals(network(), PLAIN(image), boxes).argmax(0).numpy()).all()


class TestOnePixel:
    @pytest.mark.parametrize("how", [{"crf": True}, {"superpixels": "slic"}, {"superpixels": "tree"}, {"proposals": 3}])
    def test_works(self, how: dict[str, object]) -> None:
        assert labels(torch.full((3, 1, 1), 7, dtype=torch.uint8), **how).shape == (1, 1)


class TestWords:
    def test_describe(self) -> None:
        assert SemanticOptions().describe() == ""
        how = SemanticOptions(flip=True, scales=(0.5, 1.0), crf=True, superpixels="tree")
        assert how.describe() == "scales 0.5, 1 + flip + CRF + superpixels (tree)"

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"tile": 512}, "tiles of 512"),
            ({"tile": 0}, "no tiles"),
            ({"flip": True, "tile": 512, "overlap": 64}, "flip + tiles of 512 + overlap 64"),
            ({"overlap": 64}, "overlap 64"),
        ],
    )
    def test_tiles_are_told(self, fields: dict[str, Any], text: str) -> None:
        """Two evaluations with other tiles are not called alike: seams change labels."""
        assert SemanticOptions(**fields).describe() == text

    def test_every_option_that_changes_an_answer_is_told(self) -> None:
        other: dict[str, dict[str, Any]] = {
            "flip": {"flip": True}, "scales": {"scales": (0.5,)}, "proposals": {"proposals": 3}, "crf": {"crf": True},
            "proposal_rules": {"proposals": 3, "proposal_rules": "release"}, "superpixels": {"superpixels": "slic"},
            "tile": {"tile": 64}, "overlap": {"overlap": 32},
        }  # fmt: skip
        assert other.keys() == {flag.name for flag in flags(SemanticOptions, EVALUATE)}
        told = [SemanticOptions(**fields).describe() for fields in other.values()]
        assert "" not in told and len(set(told)) == len(told)

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"superpixels": "slick"}, "superpixels is 'slick'; expected one of none, felzenszwalb, slic, tree"),
            ({"proposals": -1}, "proposals is -1; expected how many to predict, or 0"),
            ({"proposals": 3, "flip": True}, "give either proposals, or scales and flip"),
            ({"scales": ()}, "no scales given"),
            ({"proposals": 3, "scales": (0.5,)}, "give either proposals, or scales and flip"),
            ({"proposals": 1, "tile": 64}, "1 proposal needs the whole image, not tiles of 64; leave out --tile"),
            ({"tile": 500}, "tile is 500; it must be a multiple of 32"),
            ({"overlap": 100}, "overlap is 100; it must be a multiple of 32"),
        ],
    )
    def test_what_does_not_fit(self, fields: dict[str, object], text: str) -> None:
        with pytest.raises(ConfigError, match=text):
            SemanticOptions(**fields)


class TestPredictor:
    @pytest.fixture
    def predictor(self, tmp_path) -> Predictor:
        torch.manual_seed(0)
        model = foveate.create("recurrent_cnn", num_classes=3, widths=(4, 4), kernel=3)
        save_model(tmp_path / "model", model, "recurrent_cnn", {"classes": ClassTable(("a", "b", "c"))}, "semantic")
        return Predictor.open(tmp_path / "model")

    def test_takes_the_same_words(self, predictor: Predictor) -> None:
        image = picture()
        how = SemanticOptions(crf=True, superpixels="slic")
        expected = predict_labels(lambda x: predictor.runner(x).logits, image, predictor.preprocessing, how).labels
        found = predictor.predict(image, **dataclasses.asdict(how))
        assert (found.mask == expected).all()

    def test_refinement_sees_the_whole_picture(self, predictor: Predictor) -> None:
        assert SemanticOptions().tiling(2000, 2000) is not None
        assert SemanticOptions(crf=True).tiling(2000, 2000) is None
        with pytest.raises(ConfigError, match=r"CRF needs the whole image, not tiles of 64; leave out --tile"):
            predictor.predict(picture(128, 128), crf=True, tile=64)
