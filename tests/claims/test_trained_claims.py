"""Claims about trained networks, with stand-ins for these: they hold, and with a wrong operator they do not."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from stand_ins import Reader, examined, shuffled, stand_in
from torch import nn
from torch.nn import functional as F

from foveate.claims import iteration, multi_scale, skips, trained, unpooling
from foveate.claims import shift_and_stitch as stitching
from foveate.models.semantic import deconvnet
from foveate.ops.dense import shift_and_stitch
from foveate.ops.superpixels import majority, purity_cover
from foveate.ops.unpool import pool, unpool_fixed
from foveate.records import SemanticOutput
from foveate.registry import create_recipe
from foveate.tasks.semantic import inference, tiling


def coarse(stride):
    """Answers on a grid, interpolated."""

    def spoil(logits):
        grid = F.avg_pool2d(logits, stride, ceil_mode=True)
        return F.interpolate(grid, scale_factor=stride, mode="bilinear")[..., : logits.shape[-2], : logits.shape[-1]]

    return spoil


def noisy(logits, strength=20.0):
    """Errors that are others for each size of the image."""
    noise = torch.Generator().manual_seed(logits.shape[-1])
    return logits + strength * torch.randn(logits.shape, generator=noise)


def test_scales_in_testing(monkeypatch):
    monkeypatch.setattr(multi_scale, "trained", lambda *_: stand_in(Reader(noisy)))
    assert examined("scales_help_testing") == "holds"
    views = tiling._views

    def misplaced(network, image, flip, scales):
        for scale, view in zip(scales, views(network, image, flip, scales), strict=True):
            yield view if scale == 1 else view.roll(24, -1) * 2

    monkeypatch.setattr(tiling, "_views", misplaced)
    assert examined("scales_help_testing") == "does not hold"


@pytest.mark.parametrize(
    ("name", "operator", "wrong"),
    [
        ("superpixels_refine_boundaries", "majority", lambda p, segments: majority(p, shuffled(segments))),
        (
            "segmentation_trees_refine_boundaries",
            "purity_cover",
            lambda p, tree: purity_cover(p.roll(20, -1), tree),
        ),
    ],
)
def test_refinement(name, operator, wrong, monkeypatch):
    monkeypatch.setattr(multi_scale, "trained", lambda *_: stand_in(Reader(coarse(16))))
    assert examined(name) == "holds"
    monkeypatch.setattr(inference, operator, wrong)
    assert examined(name) == "does not hold"


def test_scales_inside(monkeypatch):
    """Another number of levels, another network: the one with more is the finer one here."""
    monkeypatch.setattr(
        multi_scale, "trained", lambda *_, config__scales, **fields: stand_in(Reader(coarse(32 // config__scales)))
    )
    assert examined("scales_help_inside") == "holds"
    monkeypatch.setattr(multi_scale, "trained", lambda *_, **fields: stand_in(Reader(coarse(16))))
    assert examined("scales_help_inside") == "does not hold"


def test_skips(monkeypatch):
    def strides(recipe, *_):
        return stand_in(Reader(coarse(int(recipe.removeprefix("fcn").partition("s")[0]))))

    monkeypatch.setattr(skips, "trained", strides)
    assert examined("skips_improve_boundaries") == "holds"
    monkeypatch.setattr(skips, "trained", lambda *_: stand_in(Reader(coarse(32))))
    assert examined("skips_improve_boundaries") == "does not hold"


class Pyramid(Reader):
    """Four levels of plain blurs, each over the one before."""

    def backbone(self, image):
        levels = [F.avg_pool2d(image, 4)]
        for _ in range(3):
            levels.append(F.avg_pool2d(levels[-1], 3, 2, 1))
        return levels


def test_what_lower_layers_see(monkeypatch):
    monkeypatch.setattr(skips, "trained", lambda *_: stand_in(Pyramid()))
    assert examined("lower_layers_see_less") == "holds"
    monkeypatch.setattr(skips, "receptive_field", lambda network, image: image[0].abs().sum(0))
    assert examined("lower_layers_see_less") == "does not hold"


class Iterated(Reader):
    """Specks after the first step, and `later` of them afterwards; a wider look each time."""

    def __init__(self, later: float) -> None:
        super().__init__()
        self.later = later

    def forward(self, image):
        logits = self.read(image)
        steps = []
        for step, share in enumerate((0.06, self.later, self.later)):
            side = 2 ** (step + 1)
            wide = F.avg_pool2d(logits, 2 * side + 1, 1, side)
            wrong = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0)) < share
            small = F.pad(wrong.repeat_interleave(8, -1).repeat_interleave(8, -2), (-2, 2, -2, 2))  # on no grid
            small = small & (torch.arange(96) % 8 < 6) & (torch.arange(96) % 8 < 6)[:, None]
            steps.append(torch.where(small, -10 * wide, wide) if share else wide)
        return SemanticOutput(steps[-1], tuple(steps))


def test_noise(monkeypatch):
    monkeypatch.setattr(iteration, "recurrent", lambda seed: stand_in(Iterated(later=0.0)))
    assert examined("iterating_removes_noise") == "holds"
    assert examined("iterating_improves_labels") == "holds"
    monkeypatch.setattr(iteration, "recurrent", lambda seed: stand_in(Iterated(later=0.06)))
    assert examined("iterating_removes_noise") == "does not hold"
    assert examined("iterating_improves_labels") == "does not hold"


class Steps(Reader):
    """The same logits after each step, whatever the image."""

    def __init__(self, *steps) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, image):
        return SemanticOutput(self.steps[-1], self.steps)


def test_the_control_of_iterations_is_the_first_on_the_last_ones_grid():
    """By hand: in each cell of 8x8, 20 of 64 pixels are sure of class 1 (0.999), the others rather of 0 (0.8).

    The cell's mean probability of class 1 is 0.45, so that its label is 0. The mean of its logits, or of the cells of
    4x4 that hold 16 of the 20, would say 1.
    """
    odds = torch.full((16, 24), -math.log(4))
    sure = torch.zeros(8, 8, dtype=torch.bool)
    sure[:4, :4] = True
    sure[7, :4] = True
    odds[sure.repeat(2, 3)] = math.log(999)
    first, second, last = (torch.stack([0 * x, x])[None] for x in (odds, odds.flip(0), torch.full((16, 24), 9.0)))
    network = stand_in(Steps(first, second, last))
    plain, coarse, final = iteration._labels(network, torch.zeros(1, 3, 16, 24))
    assert np.array_equal(plain, sure.repeat(2, 3).numpy()) and not coarse.any() and final.all()
    # With one step the grid is that of 2x2: cells that are sure stay so.
    assert iteration._labels(stand_in(Steps(first)), torch.zeros(1, 3, 16, 24))[1].sum() > 0


class Blurred(Reader):
    """First specks of four pixels, which a coarser grid alone removes; afterwards none, and no other labels."""

    def forward(self, image):
        logits = self.read(image)
        wrong = torch.zeros(1, 1, 96, 96, dtype=torch.bool)
        wrong[..., 2::8, 2::8] = wrong[..., 2::8, 3::8] = wrong[..., 3::8, 2::8] = wrong[..., 3::8, 3::8] = True
        first = torch.where(wrong, logits.roll(1, 1), logits)
        coarse = F.avg_pool2d(first.softmax(1), 8)
        later = F.interpolate(coarse, scale_factor=8, mode="bilinear", align_corners=False).log()
        return SemanticOutput(later, (first, later, later))


def test_what_a_coarser_grid_does_alone_is_not_credited(monkeypatch):
    network = stand_in(Blurred())
    monkeypatch.setattr(iteration, "recurrent", lambda seed: network)
    fewer, last, coarse, first = iteration._iterating_removes_noise(0)
    assert fewer == 1 and last == coarse and first > 100
    assert examined("iterating_removes_noise") == "does not hold"
    gain, after, before, same_grid = iteration._iterating_improves_labels(0)
    assert gain == after - max(before, same_grid) and after == same_grid
    assert examined("iterating_improves_labels") == "does not hold"


@pytest.mark.parametrize(
    ("module", "measure", "field"),
    [
        (multi_scale, multi_scale._scales_help_inside, "config__scales"),
        (unpooling, unpooling._switches_bring_detail_back, "config__switches"),
        (skips, skips._skips_improve_boundaries, None),
    ],
)
def test_the_trainings_of_a_claim_differ_in_one_thing(module, measure, field, monkeypatch):
    calls = []

    def train(recipe, seed, epochs, **fields):
        calls.append((recipe, seed, epochs, fields.pop(field, None), fields))
        return stand_in(Reader())

    monkeypatch.setattr(module, "trained", train)
    measure(4)
    recipes, seeds, epochs, values, fields = zip(*calls, strict=True)
    assert set(seeds) == {4} and len(set(epochs)) == 1 and all(one == fields[0] for one in fields)
    if field is None:
        assert recipes == ("fcn32s_pasture", "fcn16s_pasture", "fcn8s_pasture")
        whole = [dataclasses.asdict(create_recipe(name)) for name in recipes]
        for one in whole[1:]:
            assert {key for key in one if one[key] != whole[0][key]} <= {"name", "model", "config"}
    else:
        assert len(set(recipes)) == 1 and len(set(values)) == len(values) == 2


def test_gains_are_those_of_the_worse_score():
    def scores(boundary, mean):
        return dataclasses.replace(stand_in(Reader()).score(), boundary_iou=boundary, mean_iou=mean)

    assert trained.gains(scores(0.5, 0.6), scores(0.7, 0.55)) == pytest.approx((-5, 20, -5))
    assert trained.gains(scores(0.5, 0.6), scores(0.51, 0.9)) == pytest.approx((1, 1, 30))


@pytest.mark.parametrize("name", ["superpixels_refine_boundaries", "segmentation_trees_refine_boundaries"])
def test_finer_boundaries_that_cost_mean_iou_refine_nothing(name, monkeypatch):
    monkeypatch.setattr(multi_scale, "trained", lambda *_: stand_in(Reader()))
    plain = stand_in(Reader()).score()
    worse = dataclasses.replace(plain, boundary_iou=plain.boundary_iou, mean_iou=plain.mean_iou - 0.02)
    before = dataclasses.replace(plain, boundary_iou=plain.boundary_iou - 0.1)
    monkeypatch.setattr(trained.Trained, "score", lambda self, options=None: before if options is None else worse)
    assert examined(name) == "does not hold"
    monkeypatch.setattr(trained.Trained, "score", lambda self, options=None: before if options is None else plain)
    assert examined(name) == "does not hold"  # no mean IoU is lost, and none is gained


def test_what_counts_as_a_wrong_speck():
    truth = np.zeros((12, 12), int)
    labels = truth.copy()
    labels[2:6, 2:6] = 1  # 16 pixels
    labels[0, 11] = labels[1, 10] = 2  # two specks: corners do not connect
    assert iteration.wrong_specks(labels, truth) == 3
    labels[6, 2] = 1  # 17 pixels are a mistake, but no speck
    assert iteration.wrong_specks(labels, truth) == 2
    assert iteration.wrong_specks(labels, labels) == 0


def test_what_iterations_see(monkeypatch):
    monkeypatch.setattr(iteration, "recurrent", lambda seed: stand_in(Iterated(later=0.0)))
    fields = iteration.fields(iteration.recurrent(0), scenes=2)
    assert [int((field > 0).sum()) ** 0.5 for field in fields] == [5, 9, 17]  # each blur is 2^(p + 2) + 1 wide
    assert examined("iterating_widens_the_view") == "holds"
    monkeypatch.setattr(iteration, "receptive_field", lambda network, image: network(image)[0].abs().sum(0))
    assert examined("iterating_widens_the_view") == "does not hold"


@pytest.fixture
def tiny(monkeypatch):
    """Trainings that take a second."""
    for module in (trained, stitching):
        monkeypatch.setattr(module, "SIDE", 48)
        monkeypatch.setattr(module, "TRAIN", 40)
        monkeypatch.setattr(module, "TEST", 8)
    monkeypatch.setattr(stitching, "STEPS", 30)
    monkeypatch.setattr(unpooling, "EPOCHS", 1)
    monkeypatch.setattr(
        unpooling, "SMALL",
        {"config__widths": (8, 16, 16, 16, 16), "config__depths": (1, 1, 1, 1, 1), "config__head_channels": 16,
         "config__head_kernel": 1, "batch_size": 4},
    )  # fmt: skip
    trained.trained.cache_clear()
    yield
    trained.trained.cache_clear()


def mirror(switches):
    """What a DeconvNet's middle does to sure answers: pooled twice, unpooled twice, and the gaps filled."""

    def spoil(logits):
        firm = 0.5 + torch.rand(
            logits.shape[-2:], generator=torch.Generator().manual_seed(0)
        )  # the maxima are anywhere
        x, first = pool((logits - logits.min()) * firm)
        size = (x.shape[-2], x.shape[-1])
        x, second = pool(x)
        for where, wide in ((second, size), (first, (logits.shape[-2], logits.shape[-1]))):
            x = deconvnet.unpool(x, where, wide) if switches else unpool_fixed(x, wide)
        return F.avg_pool2d(x, 7, 1, 3)

    return spoil


def ignoring(x, switches, size):
    """Unpooling to the windows' corners, whatever the switches say."""
    return unpool_fixed(x, size)


def test_switches(monkeypatch):
    monkeypatch.setattr(
        unpooling, "trained", lambda *_, config__switches, **fields: stand_in(Reader(mirror(config__switches)))
    )
    assert examined("switches_bring_detail_back") == "holds"
    monkeypatch.setattr(deconvnet, "unpool", ignoring)
    assert examined("switches_bring_detail_back") == "does not hold"


def test_switches_are_all_that_differs(tiny, monkeypatch):
    monkeypatch.setattr(deconvnet, "unpool", ignoring)
    gain, boundary, without, with_switches, mean = unpooling._switches_bring_detail_back(0)
    assert gain == boundary == mean == 0 and without == with_switches > 0


def scrambled(network, image, f):
    """Every answer in another's place."""
    return shift_and_stitch(network, image, f).flatten(2).roll(999, 2).unflatten(2, (48, 48))


class Centre(nn.Module):
    """A trunk of stride 8 and field 40 without weights to speak of: the mean of the four pixels in a patch's middle."""

    def __init__(self, at=(19, 20)) -> None:
        super().__init__()
        self.weight, self.at = nn.Parameter(torch.zeros(())), at

    def forward(self, image):
        count = [(side - 40) // 8 + 1 for side in image.shape[-2:]]
        rows = [image[..., i::8, :][..., : count[0], :] for i in self.at]
        found = [row[..., i::8][..., : count[1]] for row in rows for i in self.at]
        return torch.stack(found).mean(0) + self.weight


def test_stitching_is_trained_on_the_labels_under_its_logits(monkeypatch):
    """The control's loss, at whatever shift, sees each logit beside the label of the pixel that it is about."""
    images = torch.arange(2 * 48 * 64.0).view(2, 1, 48, 64)
    seen = []

    def fit(model, seed, images, labels, loss):
        for _ in range(40):
            loss(images, labels)

    monkeypatch.setattr(stitching, "_trunk", lambda: Centre(at=(20,)))
    monkeypatch.setattr(stitching, "_fit", fit)
    monkeypatch.setattr(stitching, "pixel_cross_entropy", lambda logits, label: seen.append((logits, label)))
    network = stitching._train_for_stitching(0, images, images[:, 0])
    assert all(torch.equal(logits[:, 0], label) for logits, label in seen)
    assert len({float(label[0, 0, 0]) for _, label in seen}) > 20  # of 64 shifts
    with torch.no_grad():
        assert torch.equal(network(images), images)  # and in testing, too


def test_upsampling_puts_a_logit_in_the_middle_of_its_block(monkeypatch):
    """A ramp, of which each patch says its middle, is the same ramp after bilinear upsampling, but at the edges."""
    ramp = (torch.arange(48.0)[:, None] + 100 * torch.arange(64.0)).expand(1, len(stitching.CLASSES), 48, 64)
    monkeypatch.setattr(stitching, "_trunk", Centre)
    monkeypatch.setattr(stitching, "_fit", lambda *_: None)
    with torch.no_grad():
        found = stitching._train_upsampling(0, ramp, ramp[:, 0])(ramp)
    assert found.shape == ramp.shape
    inside = (..., slice(20, 28), slice(20, 44))
    assert torch.allclose(found[inside], ramp[inside], atol=1e-2)


def test_the_two_trainings_differ_in_the_upsampling_alone(tiny, monkeypatch):
    """Same images, labels, seed and first weights; both are trained, and both learn."""
    calls, fit = [], stitching._fit

    def watched(model, seed, images, labels, loss):
        trunk = model[0] if len(model) == 2 else model
        first = [p.detach().clone() for p in trunk.parameters()]
        fit(model, seed, images, labels, loss)
        calls.append((first, [p.detach().clone() for p in trunk.parameters()], seed, images, labels))

    monkeypatch.setattr(stitching, "_fit", watched)
    stitching._learned_upsampling_is_cleaner(0)
    learned, stitched = calls
    assert learned[2] == stitched[2] == 0 and learned[3] is stitched[3] and learned[4] is stitched[4]
    for first, other, after, after_other in zip(learned[0], stitched[0], learned[1], stitched[1], strict=True):
        assert torch.equal(first, other)
        assert not torch.equal(first, after) and not torch.equal(first, after_other)


def test_upsampling(tiny, monkeypatch):
    assert stitching._padded(torch.zeros(1, 1, 48, 48), before=20).shape == (1, 1, 87, 87)
    up = stitching.UpConv.forward
    with monkeypatch.context() as wrong:
        wrong.setattr(stitching.UpConv, "forward", lambda self, x: up(self, x).roll(24, -1).roll(24, -2))
        assert examined("learned_upsampling_is_cleaner") == "does not hold"
    monkeypatch.setattr(stitching, "shift_and_stitch", scrambled)
    assert examined("learned_upsampling_is_cleaner") == "holds"


def test_a_training_is_shared_silent_and_leaves_nothing(tiny, monkeypatch, capfd, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    calls = []
    train = trained.train_recipe
    monkeypatch.setattr(trained, "train_recipe", lambda *a, **k: calls.append(a) or train(*a, **k))
    fields = {"config__backbone": "test_efficientnet", "config__pretrained": False, "freeze": (), "config__lovasz": 0.0}
    one, other, again = (trained.trained("fcn32s_pasture", seed, 1, **fields) for seed in (0, 1, 0))
    assert one is again and len(calls) == 2
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())
    assert not torch.equal(one.scenes[0]["image"], other.scenes[0]["image"])  # another world
    assert one.score().images == 8
    assert one.input(one.scenes[0]).shape == (1, 3, 48, 48)
