"""Co-localisation: the loss by hand and by loops, the windows that are possible, and whether they find the common
object.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

import foveate
from foveate.errors import ConfigError
from foveate.models.spatial.colocalise import (
    Colocaliser,
    Config,
    Localiser,
    distances,
    repulsion,
    saliency,
    sample_windows,
    triplet_hinge,
)
from foveate.records import ClassTable
from foveate.store import load_model, save_model

SMALL = {"image_size": (24, 24), "widths": (4, 8), "localise_widths": (8,), "view": (2, 2)}


def build(**more):
    torch.manual_seed(0)
    return Colocaliser(Config(**(SMALL | more)))


def images(count=4, channels=1, side=24):
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(1))


class TestLoss:
    def test_by_hand(self):
        found = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        elsewhere = torch.tensor([[-1.0, 0.0], [0.0, 1.0]])
        near, far = distances(found, elsewhere)
        assert near.tolist() == [[0, 2], [2, 0]]
        assert far.tolist() == [4, 0]
        # Image 0: 2 - 4 + 1 < 0; image 1: 2 - 0 + 1.
        assert triplet_hinge(found, elsewhere, 1.0).item() == 1.5
        assert triplet_hinge(found, elsewhere, 3.0).item() == (1 + 5) / 2

    def test_it_is_the_papers_double_sum(self):
        rng = np.random.default_rng(0)
        e, r = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.standard_normal((2, 5, 7)))
        terms = [
            max(0.0, ((e[n] - e[m]) ** 2).sum() - ((e[n] - r[n]) ** 2).sum() + 0.7)
            for n in range(5)
            for m in range(5)
            if m != n
        ]
        ours = triplet_hinge(torch.from_numpy(e), torch.from_numpy(r), 0.7)
        assert ours.item() == pytest.approx(sum(terms) / 20)

    def test_images_that_agree_and_differ_from_the_rest_cost_nothing(self):
        found = torch.eye(3)[:1].expand(6, 3)
        assert triplet_hinge(found, torch.eye(3)[1:2].expand(6, 3), 1.0).item() == 0
        assert triplet_hinge(found, found, 1.0).item() == 1

    def test_windows_that_are_nearly_equal_still_differ(self):
        """Of 1e-4 the square is 1e-8, which products of numbers near 1 do not resolve; nor does half precision."""
        one = nn.functional.normalize(torch.randn(1, 32, generator=torch.Generator().manual_seed(0)), dim=1)
        found = torch.cat([one, one])
        found[1, 5] += 1e-4
        near, far = distances(found, found)
        step = float(found[1, 5] - found[0, 5])
        assert near[0, 1].item() == pytest.approx(step**2, rel=1e-5)
        assert far.tolist() == [0, 0]
        halves = distances(found.bfloat16(), -found.bfloat16())
        assert [d.dtype for d in halves] == [torch.float32] * 2

    def test_one_image_cannot_be_compared(self):
        with pytest.raises(ConfigError, match=r"got a batch of 1, give 2 or more"):
            triplet_hinge(torch.ones(1, 3), torch.ones(1, 3), 1.0)

    def test_gradients_reach_theta(self):
        """Through all steps: a window's position, its features and their distance to the others."""
        model = build().double()
        features = torch.rand(3, 8, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        elsewhere = nn.functional.normalize(torch.randn(3, 32, dtype=torch.float64), dim=1)

        def loss(theta):
            return triplet_hinge(model._contents(features, theta), elsewhere, 3.0)

        theta = torch.tensor([[0.33, 0.11, -0.2], [0.33, -0.31, 0.4], [0.33, 0.23, 0.07]], dtype=torch.float64)
        assert gradcheck(loss, theta.requires_grad_())
        loss(theta).backward()
        assert (theta.grad[:, 1:] != 0).all()

    def test_repulsion_is_intersection_over_union(self):
        def windows(*middles):
            return torch.tensor([[[0.25, x, y] for x, y in middles]])

        assert repulsion(windows((0.3, 0.1))).item() == 0
        assert repulsion(windows((0.3, 0.1), (0.3, 0.1))).item() == 1
        # Half of one lies on half of the other: 1/2 of 3/2.
        assert repulsion(windows((0.0, 0.0), (0.25, 0.0))).item() == pytest.approx(1 / 3)
        assert repulsion(windows((0.0, 0.0), (0.25, 0.25))).item() == pytest.approx(1 / 7)
        assert repulsion(windows((0.0, 0.0), (0.0, 0.51))).item() == 0
        # Three windows, three pairs: 1/3, 0 and 0.
        assert repulsion(windows((0.0, 0.0), (0.25, 0.0), (-0.6, 0.6))).item() == pytest.approx(1 / 9)

    def test_windows_on_each_other_are_pushed_apart(self):
        theta = torch.tensor([[[0.25, 0.0, 0.05], [0.25, 0.1, 0.0]]]).requires_grad_()
        repulsion(theta).backward()
        x, y = theta.grad[0, :, 1], theta.grad[0, :, 2]
        assert x[0] > 0 > x[1]  # downhill, the left one goes left
        assert y[0] < 0 < y[1]

    def test_what_is_minimised_is_the_sum_of_the_parts(self):
        model = build(transformers=2, repulsion=0.5, scale=0.7)  # so wide that they cannot but overlap
        losses = model.loss({"image": images(), "names": ["x"] * 4})
        assert losses["loss"].item() == pytest.approx(losses["triplet"].item() + 0.5 * losses["overlap"].item())
        assert losses["overlap"] > 0


class TestWindowsElsewhere:
    def test_the_farthest_of_the_sampled_windows(self):
        theta = torch.tensor([[[0.25, 0.5, -0.5], [0.25, 0.0, 0.0]]]).expand(500, 2, 3)
        torch.manual_seed(0)
        one = sample_windows(theta, 1)
        many = sample_windows(theta, 64)
        assert one.shape == (500, 2, 3)
        for windows in (one, many):
            assert windows[..., 0].eq(0.25).all()
            assert (windows[..., 1:].abs() <= 0.75).all()
        # Uniform over the places of a window that lies in the image: mean 0, deviation 1.5 / sqrt(12).
        assert one[..., 1:].mean((0, 1)).tolist() == pytest.approx([0, 0], abs=0.05)
        assert one[..., 1:].std().item() == pytest.approx(1.5 / 12**0.5, abs=0.02)
        # The farthest place from a window at the upper right is 1.25 away, from the middle 0.75.
        away = (many - theta)[..., 1:].abs().amax(2)
        assert away.amax(0).tolist() == pytest.approx([1.25, 0.75], abs=0.01)
        assert away.amin(0)[0] > 0.9
        assert away.amin(0)[1] > 0.6

    def test_the_distance_is_the_larger_of_both(self):
        theta = torch.tensor([[[0.25, 0.5, -0.5], [0.25, 0.0, 0.25]]]).expand(20, 2, 3)
        found = sample_windows(theta, 8, torch.Generator().manual_seed(0))
        unit = torch.rand(8, 20, 2, 2, generator=torch.Generator().manual_seed(0))
        for i in range(20):
            for t in range(2):
                drawn = ((2 * unit[:, i, t] - 1) * 0.75).tolist()
                _, x, y = theta[i, t].tolist()
                farthest = max(drawn, key=lambda one, x=x, y=y: max(abs(one[0] - x), abs(one[1] - y)))
                assert found[i, t].tolist() == pytest.approx([0.25, *farthest])


class TestLocaliser:
    def attend(self, scores, scale):
        """The windows (B, T, 3) of given maps of scores."""
        return Localiser(1, (1,), scores.shape[1], scale).attend(scores)

    def test_a_peak_is_where_the_window_goes(self):
        scores = torch.zeros(1, 1, 6, 8)
        scores[0, 0, 1, 5] = 100
        s, x, y = self.attend(scores, 0.25)[0, 0].tolist()
        assert (s, x, y) == pytest.approx((0.25, 11 / 8 - 1, 3 / 6 - 1))

    def test_two_peaks_share_it(self):
        scores = torch.zeros(1, 1, 8, 8)
        scores[0, 0, 4, 2] = scores[0, 0, 4, 6] = 100
        assert self.attend(scores, 0.25)[0, 0].tolist() == pytest.approx([0.25, 9 / 8 - 1, 9 / 8 - 1])

    def test_none_attends_where_an_earlier_one_does(self):
        """Both prefer one place; the second takes the best whose window's middle is outside of the first's."""
        scores = torch.zeros(1, 2, 8, 8)
        scores[..., 2, 4], scores[..., 2, 3], scores[..., 2, 2] = 300, 200, 100
        first, second = self.attend(scores, 0.3)[0, :, 1].tolist()
        assert first == pytest.approx(9 / 8 - 1)
        assert second == pytest.approx(5 / 8 - 1)  # at 7 / 8 - 1 it would be 0.25 away, less than 0.3

    def test_where_no_position_is_left_theta_is_finite(self):
        theta = self.attend(torch.randn(3, 3, 6, 6), 0.9)
        assert theta.isfinite().all()

    @pytest.mark.parametrize("scale", [0.2, 1 / 3, 0.5, 0.9])
    @pytest.mark.parametrize("size", [(6, 6), (8, 5), (21, 21)])
    def test_no_window_leaves_the_image_and_every_edge_is_reached(self, scale, size):
        theta = self.attend(100 * torch.randn(500, 1, *size, generator=torch.Generator().manual_seed(0)), scale)[:, 0]
        assert (theta[:, 1:].abs() + theta[:, :1] <= 1 + 1e-6).all()
        rightwards = torch.linspace(0, 4000, size[1]).expand(1, 1, *size)
        downwards = torch.linspace(0, 4000, size[0])[:, None].expand(1, 1, *size)
        reach = 1 - scale
        for scores, place, side in ((rightwards, 1, 3), (downwards, 2, 2)):
            # The outermost middle of a cell that lies within the reach or half a cell beyond it.
            cells = size[side - 2]
            middles = (2 * torch.arange(cells) + 1) / cells - 1
            last = min(float(middles[middles <= reach + 1 / cells + 1e-4].max()), reach)
            assert self.attend(scores, scale)[0, 0, place].item() == pytest.approx(last, abs=1e-5)
            assert self.attend(scores.flip(side), scale)[0, 0, place].item() == pytest.approx(-last, abs=1e-5)

    def test_equal_scores_give_the_middle(self):
        """For whatever scale and number of cells: what rounds must do so on both sides."""
        for cells in range(2, 33):
            for scale in (1 / 3, 0.4, *(k / cells for k in range(1, cells))):
                theta = self.attend(torch.zeros(1, 1, cells, 6), scale)
                assert theta[0, 0, 1:].tolist() == pytest.approx([0, 0], abs=1e-6), (cells, scale)

    def test_positions_are_exact_in_half_precision(self):
        scores = torch.randn(3, 2, 30, 30).bfloat16()
        theta = self.attend(scores, 0.25)
        assert theta.dtype == torch.float32
        assert theta.equal(self.attend(scores.float(), 0.25))

    def test_the_window_follows_a_moved_pattern(self):
        """A pattern moved by whole cells moves the window by as much: localisation is translation equivariant."""
        torch.manual_seed(0)
        localiser = Localiser(3, (4,), 1, 0.2).eval()
        localiser.score[-1].weight.data *= 500  # sure of itself
        features = torch.zeros(2, 3, 24, 24)
        features[0, :, 8:11, 7:10] = torch.randn(3, 3, 3)
        features[1] = features[0].roll((5, 7), (1, 2))
        first, second = localiser(features)[:, 0, 1:]
        assert (second - first).tolist() == pytest.approx([14 / 24, 10 / 24], abs=1e-3)

    def test_saliency_by_hand(self):
        """One cell of nine is 9 among zeros; windows of one cell: (9 - 1)^2 there, 1 elsewhere."""
        features = torch.zeros(1, 1, 3, 3)
        features[0, 0, 1, 2] = 9
        raw = torch.ones(3, 3)
        raw[1, 2] = 64
        found = saliency(features, 0.3)[0, 0]
        torch.testing.assert_close(found, (raw - raw.mean()) / raw.std(correction=0))
        two = features.clone()
        two[0, 0, 0, 0] = -18  # the mean is -1
        raw[1, 2], raw[0, 0] = 100, 289
        torch.testing.assert_close(saliency(two, 0.3)[0, 0], (raw - raw.mean()) / raw.std(correction=0))
        # A channel that is the same everywhere changes nothing.
        flat = torch.full_like(two, 5)
        torch.testing.assert_close(saliency(torch.cat([two, flat], 1), 0.3), saliency(two, 0.3))
        # Windows of three cells: the edge's have fewer to average.
        wide = saliency(features, 0.9)[0, 0]
        # The means of 4, 6 and 9 cells with the peak, and of 4 without.
        means = torch.tensor([67 / 4, 69 / 6, 72 / 9, 1.0])
        shown = torch.stack([wide[0, 2], wide[1, 2], wide[1, 1], wide[0, 0]])
        torch.testing.assert_close(shown.diff() / shown.diff()[0], means.diff() / means.diff()[0])

    def test_the_unit_of_a_channel_does_not_matter(self):
        torch.manual_seed(0)
        localiser, features = Localiser(3, (4,), 2, 0.3), torch.randn(4, 3, 6, 6)
        scaled = features * torch.tensor([1.0, 20.0, 400.0])[:, None, None] + 7
        torch.testing.assert_close(localiser(scaled), localiser(features), rtol=1e-3, atol=1e-3)

    def test_a_flat_image_has_no_saliency(self):
        assert not saliency(torch.full((1, 2, 5, 5), 3.0), 0.3).any()

    def test_at_first_it_attends_to_saliency(self):
        localiser = Localiser(1, (2,), 1, 0.2)
        localiser.score[-1].weight.data.zero_()
        localiser.trust.data.fill_(50)
        features = torch.zeros(1, 1, 15, 15)
        features[0, 0, 9:12, 2:5] = 1
        assert localiser.eval()(features)[0, 0, 1:].tolist() == pytest.approx([7 / 15 - 1, 21 / 15 - 1], abs=1e-3)


class TestModel:
    def test_what_is_shown_is_what_the_window_covers(self):
        """A window at whole pixels holds the image's own."""
        model = build(image_size=(24, 36), scale=1 / 3).eval()
        image = images(2, side=36)[:, :, :24]
        theta = torch.tensor([[1 / 3, -0.5, 0.25]] * 2)
        model.localise.forward = lambda features: theta[:, None]
        (transform,) = model(image).transforms
        assert transform.theta.equal(theta)
        assert transform.grid.shape == (2, 8, 12, 2)
        # x from (-0.5 - 1/3 + 1) 18 = 3, y from (0.25 - 1/3 + 1) 12 = 11.
        torch.testing.assert_close(transform.output, image[:, :, 11:19, 3:15], rtol=1e-4, atol=1e-4)

    def test_contents_are_read_by_rows_and_columns(self):
        """A window of half the side, read at 1x2 positions: the middles of columns 1 and 2, at the middle height."""
        model = build(view=(1, 2))
        features = torch.arange(4.0).expand(1, 1, 4, 4)
        contents = model._contents(features, torch.tensor([[0.5, 0.0, 0.0]]))
        torch.testing.assert_close(contents, torch.tensor([[1.0, 2.0]]) / 5**0.5)

    def test_windows_elsewhere_are_the_farthest_of_as_many_as_configured(self):
        model = build(transformers=2, random_windows=5).eval()
        theta, found, elsewhere = model.compare(images(), torch.Generator().manual_seed(4))
        features = model._features(images())
        sampled = sample_windows(theta, 5, torch.Generator().manual_seed(4))
        for t in range(2):
            torch.testing.assert_close(found[t], model._contents(features, theta[:, t]))
            torch.testing.assert_close(elsewhere[t], model._contents(features, sampled[:, t]))

    def test_the_margin_is_added_once_whatever_the_number_of_windows(self):
        """Distances of vectors of length 1 are 0 to 4, so that above a margin of 4 no term is cut off."""
        losses = []
        for margin in (5.0, 7.0):
            model = build(transformers=2, margin=margin).eval()
            torch.manual_seed(1)
            losses.append(model.loss({"image": images(), "names": []})["triplet"].item())
        assert losses[1] - losses[0] == pytest.approx(2)

    def test_features_of_an_odd_side_keep_its_edge(self):
        assert build(image_size=(21, 24), widths=(4, 4))._features(torch.zeros(1, 1, 21, 24)).shape[2:] == (6, 6)

    def test_an_image_is_judged_alone(self):
        model = build(num_classes=2).eval()
        image = images()
        with torch.no_grad():
            together, alone = model(image).transforms, model(image[1:2]).transforms
        assert len(together) == 2
        for many, one in zip(together, alone, strict=True):
            torch.testing.assert_close(many.theta[1:2], one.theta, rtol=1e-4, atol=1e-5)

    def test_the_encoder_never_learns_and_all_else_does(self):
        model = build(transformers=2)
        before = copy.deepcopy(model.encode.state_dict())
        model.train().loss({"image": images(), "names": []})["loss"].backward()
        learning = dict(model.named_parameters())
        assert {n for n, p in learning.items() if not p.requires_grad} == {
            n for n in learning if n.startswith("encode")
        }
        assert not [n for n, p in learning.items() if p.requires_grad and not p.grad.any()]
        torch.optim.SGD([p for p in learning.values() if p.requires_grad], 1.0).step()
        assert all(value.equal(before[name]) for name, value in model.encode.state_dict().items())

    def test_random_convolutions_keep_the_variance_of_their_input(self):
        """He et al. (2015), equation 10: weights of variance 2 / (number of inputs of a unit), and no bias."""
        convolution = build(widths=(2000,)).encode.net[0]
        assert convolution.weight.std().item() == pytest.approx((2 / 25) ** 0.5, rel=0.02)
        assert not convolution.bias.any()

    def test_statistics_of_a_backbone_stay(self):
        model = build(encoder="test_efficientnet", pretrained=False, in_channels=3, image_size=(64, 64)).train()
        assert (model.preprocessing.size, build().preprocessing.size) == ((64, 64), (24, 24))
        assert not any(module.training for module in model.encode.modules())
        before = copy.deepcopy(model.encode.state_dict())
        model.loss({"image": images(3, 3, 64), "names": []})["loss"].backward()
        assert all(value.equal(before[name]) for name, value in model.encode.state_dict().items())
        assert model.localise.score[0].weight.grad.any()

    def test_saved_and_loaded_it_is_the_same(self, tmp_path):
        model = foveate.create("colocalise", **SMALL, num_classes=2).eval()
        save_model(tmp_path / "m", model, "colocalise", {"classes": ClassTable(("3", "7"))}, "colocalisation")
        loaded = load_model(tmp_path / "m")
        assert (loaded.task, loaded.preprocessing) == ("colocalisation", model.preprocessing)
        image = images()
        with torch.no_grad():
            for mine, theirs in zip(model(image).transforms, loaded.model.eval()(image).transforms, strict=True):
                assert mine.theta.equal(theirs.theta)
                assert mine.output.equal(theirs.output)

    def test_random_windows_lie_in_the_image_and_are_drawn_again(self):
        model = build().eval()
        image = images(200)
        torch.manual_seed(3)
        _, found, first = model.compare(image)
        again, other = model.compare(image)[1:]
        assert found.equal(again)
        assert not first.equal(other)
        assert first.norm(dim=2).max().item() == pytest.approx(1, abs=1e-5)

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"num_classes": 0}, r"num_classes 0 and in_channels 1 must be at least 1"),
            ({"scale": 1.0}, r"scale is 1.0; expected a window's share"),
            ({"view": (0, 4)}, r"view is \(0, 4\); expected \(height, width\), each 1 or more"),
            ({"image_size": (84, 8)}, r"image_size is \(84, 8\); expected \(height, width\), each 16 or more"),
            ({"localise_widths": ()}, r"localise_widths \(\); expected one or more numbers of channels"),
            ({"margin": 0.0}, r"margin 0.0 must be above 0"),
            ({"repulsion": -0.5}, r"repulsion -0.5 0 or more"),
            ({"random_windows": 0}, r"random_windows 0 at least 1"),
        ],
    )
    def test_what_cannot_be_built_says_why(self, fields, words):
        with pytest.raises(ConfigError, match=words):
            Config(**fields)

    def test_a_map_of_one_place_is_refused(self):
        with pytest.raises(ConfigError, match="features of 1x1 have only one position for a window; give"):
            Localiser(3, (4,), 1, 0.3)(torch.zeros(2, 3, 1, 1))

    def test_another_size_is_refused(self):
        with pytest.raises(ConfigError, match=r"shape \(1, 20, 24\) for a network built for \(1, 24, 24\); resize"):
            build()(torch.zeros(2, 1, 20, 24))


def scenes(generator, count, kinds):
    """Sparse noise with a pattern of each kind somewhere, 8x8 of 24x24, no two on each other -> image, middles.

    A bright square of 4x4, and a cross.
    """
    patterns = torch.zeros(2, 8, 8)
    patterns[0, 2:6, 2:6] = 1
    patterns[1, 3:5, 1:7], patterns[1, 1:7, 3:5] = 1, 1
    image = 0.5 * (torch.rand(count, 1, 24, 24, generator=generator) < 0.1)
    middles = torch.zeros(count, kinds, 2)
    for i in range(count):
        while True:
            corner = torch.randint(17, (kinds, 2), generator=generator)
            if kinds == 1 or (corner[0] - corner[1]).abs().max() >= 8:
                break
        for kind, (x, y) in enumerate(corner.tolist()):
            image[i, 0, y : y + 8, x : x + 8] += patterns[kind]
            middles[i, kind] = torch.tensor([x + 4, y + 4]) / 12 - 1
    return image / 0.3, middles


def trained(kinds, steps):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    config = Config(num_classes=kinds, image_size=(24, 24), view=(4, 4), widths=(8,), localise_widths=(16,))
    model = Colocaliser(config).train()
    optimizer = torch.optim.AdamW(model.localise.parameters(), 1e-2)
    for _ in range(steps):
        loss = model.loss({"image": scenes(generator, 32, kinds)[0], "names": []})["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval(), scenes(generator, 100, kinds)


def overlaps(theta, middles):
    """IoU (B, T, N) of windows with squares of a third of the image's side."""
    shared = (1 - (theta[:, :, None, 1:] - middles[:, None]).abs() * 1.5).clamp(min=0).prod(-1)
    return shared / (2 - shared)


def test_it_finds_what_images_share():
    model, (image, middles) = trained(1, 40)
    with torch.no_grad():
        theta = torch.stack([transform.theta for transform in model(image).transforms], 1)
    assert (overlaps(theta, middles)[:, 0, 0] > 0.5).float().mean() > 0.95
    assert (overlaps(torch.zeros(100, 1, 3), middles)[:, 0, 0] > 0.5).float().mean() < 0.2  # the middle of the image


def test_two_transformers_find_two_things():
    """Each finds the same kind in every image, and the two are not the same."""
    model, (image, middles) = trained(2, 150)
    with torch.no_grad():
        theta = torch.stack([transform.theta for transform in model(image).transforms], 1)
    rates = (overlaps(theta, middles) > 0.5).float().mean(0)
    assert max(rates[0, 0] + rates[1, 1], rates[0, 1] + rates[1, 0]) > 1.8, rates
