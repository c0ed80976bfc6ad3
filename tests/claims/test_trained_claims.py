"""Claims about trained networks, with stand-ins for these: they hold, and with a wrong operator they do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stand_ins import Reader, examined, shuffled, stand_in
from torch.nn import functional as F

from foveate.claims import iteration, multi_scale, skips, trained, unpooling
from foveate.claims import shift_and_stitch as stitching
from foveate.models.semantic import deconvnet
from foveate.ops.dense import shift_and_stitch
from foveate.ops.superpixels import majority, purity_cover
from foveate.ops.unpool import pool, unpool_fixed
from foveate.records import SemanticOutput
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
    gain, without, with_switches, _ = unpooling._switches_bring_detail_back(0)
    assert gain == 0 and without == with_switches > 0


def scrambled(network, image, f):
    """Every answer in another's place."""
    return shift_and_stitch(network, image, f).flatten(2).roll(999, 2).unflatten(2, (48, 48))


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
