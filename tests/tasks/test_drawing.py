"""The drawing family: how images are binarised and scored, what is generated, and what is written of it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.errors import ConfigError, DataError
from foveate.metrics.drawing import DrawingMetrics
from foveate.models.spatial.draw import Config, Draw
from foveate.records import DrawingPrediction
from foveate.tasks.drawing import figures
from foveate.tasks.drawing.inputs import FIXED_SEED, STATIC_SEED, binarised
from foveate.tasks.drawing.task import DrawingTask

SMALL = {"image_size": (8, 10), "glimpses": 3, "hidden": 12, "latent": 4, "read": 3, "write": 4}


def made(**fields):
    torch.manual_seed(0)
    model = Draw(Config(**{**SMALL, **fields})).eval().requires_grad_(False)
    return model, DrawingTask({}, model.preprocessing)


def samples(count=3, channels=1, size=(8, 10)):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, channels, *size), generator=generator, dtype=torch.uint8)
    return [{"image": image, "name": f"{i}.png"} for i, image in enumerate(images)]


@pytest.mark.parametrize("place", ["canvas", "window"])
def test_a_file_that_draws_what_is_no_number_differs_from_the_model(place):
    """nan in the windows alone, or in the canvas before windows that are right."""
    model, task = made()

    def broken(noise):
        drawn = model.generate(noise)
        wrong = {"canvas": {"canvases": (*drawn.canvases[:-1], drawn.canvases[-1] * torch.nan)},
                 "window": {"write": drawn.write * torch.nan}}  # fmt: skip
        return drawn._replace(**wrong[place])

    difference = task.graphs(model).difference
    assert difference(model, SimpleNamespace(generate=model.generate)) == 0
    assert np.isnan(difference(model, SimpleNamespace(generate=broken)))


def test_binarisation_samples_intensities_by_the_image_alone():
    image = torch.full((1, 100, 100), 0.3)
    one = binarised(image, FIXED_SEED)
    assert set(one.unique().tolist()) == {0.0, 1.0}
    assert one.mean().item() == pytest.approx(0.3, abs=0.02)  # a threshold at 0.5 would give 0
    assert torch.equal(one, binarised(image.clone(), FIXED_SEED))
    assert not torch.equal(one, binarised(image, STATIC_SEED))


def test_a_dynamic_batch_keeps_intensities_and_a_static_one_is_sampled_once():
    for binarise, expected in (("dynamic", False), ("static", True)):
        _, task = made(binarise=binarise)
        first, second = (task.collate(samples())["image"] for _ in range(2))
        assert torch.equal(first, second)
        assert set(first.unique().tolist()) <= {0.0, 1.0} or not expected
        if expected:
            assert torch.equal(first[0], binarised(samples()[0]["image"] / 255, STATIC_SEED))
        else:
            torch.testing.assert_close(first[0], samples()[0]["image"] / 255)


def test_grey_values_of_other_pixels_stay():
    for pixels in ("discrete", "intensity"):
        _, task = made(pixels=pixels)
        torch.testing.assert_close(task.collate(samples())["image"][1], samples()[1]["image"] / 255)


def test_a_prediction_is_the_bound_of_its_image_whatever_its_batch():
    model, task = made()
    together = task.answer(model, samples(), task.options)
    alone = [task.answer(model, [sample], task.options)[0] for sample in samples()]
    for one, other in zip(together, alone, strict=True):
        assert one.bound == pytest.approx(other.bound, rel=1e-5)
    image = torch.from_numpy(together[0].image).permute(2, 0, 1)[None]
    assert set(image.unique().tolist()) <= {0.0, 1.0}
    canvas = torch.from_numpy(together[0].canvases[-1]).permute(2, 0, 1)[None].logit()
    assert together[0].reconstruction == pytest.approx(model.nll(canvas, image).item(), rel=1e-4)
    assert together[0].canvases.shape == (4, 8, 10, 1) and together[0].kl.shape == (3,)


def test_scores_are_means_and_the_extra_bounds_come_with_the_final_ones():
    model, task = made()
    data = samples(5)
    for whole in (False, True):
        metrics = task.metrics(None, whole)
        own = dict(task.score(model, data, range(5), metrics))
        scores = metrics.compute()
        assert scores.bound == pytest.approx(sum(own.values()) / 5, rel=1e-6)
        assert scores.bound == scores.nats == pytest.approx(scores.reconstruction + scores.kl)
        found = scores.to_json()
        assert (found["nats_static"] is not None) is (found["nats_iw50"] is not None) is whole
        assert found["bits_per_dimension"] is None
    assert scores.iw_images == 5 and scores.nats_iw50 < scores.nats  # untrained: far from tight
    static = torch.stack([binarised(sample["image"] / 255, STATIC_SEED) for sample in data])
    output = model(static, torch.zeros(3, 5, 4))
    assert scores.nats_static == pytest.approx((model.nll(output.canvases[-1], static).mean()).item(), rel=0.1)


def test_bits_per_dimension_are_of_discrete_pixels_and_intensities_have_no_nats():
    model, task = made(pixels="discrete", in_channels=3)
    metrics = task.metrics(None)
    list(task.score(model, samples(2, 3), range(2), metrics))
    scores = metrics.compute()
    assert scores.bits_per_dimension == pytest.approx(scores.nats / (3 * 80 * np.log(2)))
    assert np.isnan(scores.nats_static)
    model, task = made(pixels="intensity")
    metrics = task.metrics(None)
    list(task.score(model, samples(2), range(2), metrics))
    found = metrics.compute().to_json()
    assert found["bound"] > 0 and found["nats"] is found["nats_iw50"] is found["bits_per_dimension"] is None


def test_counters_of_several_processes_add_up():
    parts = [DrawingMetrics("binary", 80) for _ in range(3)]
    for part, values in zip(parts, ([1.0, 2.0], [6.0], []), strict=True):
        part.add("reconstruction", torch.tensor(values))
        part.add("kl", torch.tensor(values) * 2)
    total = DrawingMetrics("binary", 80)
    for part in parts:
        total.merge(part.state())
    assert total.compute().bound == pytest.approx(9.0)
    with pytest.raises(DataError, match="no image was scored"):
        DrawingMetrics("binary", 80).compute()


def test_sample_i_of_a_seed_is_the_same_for_every_count():
    model, task = made()
    few, many = (task.generate(model, count, 3, task.options).predictions for count in (2, 5))
    for one, other in zip(few, many, strict=False):
        np.testing.assert_allclose(one.canvases[-1], other.canvases[-1], atol=1e-6)
    assert not np.allclose(many[0].canvases[-1], many[1].canvases[-1])
    other = task.generate(model, 2, 4, task.options).predictions
    assert not np.allclose(few[0].canvases[-1], other[0].canvases[-1])


def test_an_interpolation_begins_and_ends_at_its_samples():
    model, task = made()
    noise = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    rows = figures.interpolations(noise)
    assert len(rows) == 2 and rows[0].shape == (3, figures.BETWEEN, 4)  # the fifth is left over
    torch.testing.assert_close(rows[1][:, 0], noise[:, 2])
    torch.testing.assert_close(rows[1][:, -1], noise[:, 3])
    norms = rows[0].transpose(0, 1).flatten(1).norm(dim=1)
    assert norms.min() > 0.9 * norms[[0, -1]].min()  # a straight line would pass nearer to 0
    del model, task


def test_the_mean_image_is_what_the_canvas_starts_from():
    model, task = made()
    data = samples(4)
    task.initialise(model, data)
    mean = torch.stack([sample["image"] / 255 for sample in data]).mean(0)
    torch.testing.assert_close(model.canvas.sigmoid(), mean.clamp(0.01, 0.99), atol=1e-5, rtol=0)


def test_images_of_another_size_are_resized_with_a_note():
    _, task = made()
    sample, note = task.suit(samples(1, size=(16, 20))[0])
    assert note == "20x16 pixels, resized to the model's 10x8 after a central crop"
    assert task.prepare(sample)["fitted"].shape == (1, 8, 10)
    assert task.suit(samples(1)[0])[1] == ""
    with pytest.raises(DataError, match="has 4 channels; draw was trained on 1"):
        task.suit(samples(1, channels=4)[0], "draw")


def test_the_outline_of_a_window_runs_through_its_outermost_filters():
    drawn = Image.new("RGB", (100, 80), "white")
    figures.outline(drawn, np.array([4.5, 3.5, 2.0, 0.01, 1.0]), 10, 3)  # filters at x 2.5, 4.5, 6.5
    red = np.argwhere((np.asarray(drawn) != 255).any(2))
    assert red.min(0).tolist() == [20, 30] and red.max(0).tolist() == [60, 70]
    blurred = Image.new("RGB", (100, 80), "white")
    figures.outline(blurred, np.array([4.5, 3.5, 2.0, 0.4, 1.0]), 10, 3)
    assert (np.asarray(blurred) != 255).any(2).sum() > 5 * (np.asarray(drawn) != 255).any(2).sum()
    figures.outline(blurred, np.array([1e9, -1e9, 1e9, 1e9, 1.0]), 10, 3)  # far outside: nothing breaks


def test_a_canvas_without_attention_has_no_outline():
    canvases = np.zeros((2, 8, 10, 1), np.float32)
    drawn = np.asarray(figures.canvas_with_window(DrawingPrediction(canvases), 1))
    assert (drawn == 0).all()


def test_a_family_that_answers_inputs_generates_nothing():
    from foveate.records import ClassTable, Preprocessing
    from foveate.tasks.classification.task import ClassificationTask

    task = ClassificationTask({"classes": ClassTable(("a", "b"))}, Preprocessing())
    with pytest.raises(
        ConfigError, match="image classification generate nothing; they answer pictures: use foveate pr"
    ):
        task.generate(None, 1, 0, task.options)


def test_the_bounds_of_an_evaluation_have_their_own_pixels_and_samples(monkeypatch):
    """The weighted bound: 50 samples of each of the first 1,000 images, binarised as they are scored. The static one:
    reconstruction and all steps' KL of pixels of its own seed."""
    model, task = made()
    read, asked = [], []

    def importance_bound(images, count, generator):
        asked.append((images, count))
        return torch.ones(len(images))

    def of_images(runner, images, seed):
        read.append((images, seed))
        return None, torch.full((len(images),), 5.0), torch.full((3, len(images)), 2.0)

    monkeypatch.setattr(model, "importance_bound", importance_bound)
    monkeypatch.setattr(task, "_read", of_images)
    metrics = task.metrics(None)
    assert metrics.weighted == 1000
    metrics.weighted = 4
    task.observe(model, metrics, samples())
    task.observe(model, metrics, samples())
    task.observe(model, metrics, samples())
    images = [one["image"] / 255 for one in samples()]
    assert [(len(some), count) for some, count in asked] == [(3, 50), (1, 50)]  # four in all
    assert torch.equal(asked[0][0], torch.stack([binarised(image, FIXED_SEED) for image in images]))
    assert {seed for _, seed in read} == {STATIC_SEED}
    assert torch.equal(read[0][0], torch.stack([binarised(image, STATIC_SEED) for image in images]))
    total, count = metrics.sums[2].tolist()
    assert (total, count) == (9 * (5 + 3 * 2), 9)


def test_an_image_counts_by_the_kl_of_all_its_steps_and_is_validated_as_it_is_scored():
    _, task = made()
    metrics = task.metrics(None, whole=False)
    prediction = DrawingPrediction(np.zeros((2, 8, 10, 1)), None, None, (4, 3), name="a")
    prediction.reconstruction, prediction.kl = 4.0, np.array([1.0, 2.0, 0.5])
    task.count(metrics, 0, {}, prediction)
    assert metrics.sums[0].tolist() == [4.0, 1.0] and metrics.sums[1].tolist() == [3.5, 1.0]
    sample = samples(1)[0]
    assert torch.equal(task.validation_sample(sample)["fitted"], binarised(sample["image"] / 255, FIXED_SEED))


def test_the_first_canvas_is_the_mean_of_the_training_images_and_samples_differ_by_seed_and_number():
    model, task = made()
    seen = []
    holder = type("Model", (), {"begin_from": lambda self, image: seen.append(image)})()
    task.initialise(holder, samples(7))
    torch.testing.assert_close(seen[0], torch.stack([one["image"] / 255 for one in samples(7)]).mean(0))
    noise = [task._noise(model, seed, number) for seed, number in ((0, 0), (0, 1), (1, 0))]
    assert not torch.equal(noise[0], noise[1]) and not torch.equal(noise[0], noise[2])
    drawn = task.answer(model, [{"name": "a", "index": 3}], task.options)[0]
    assert np.array_equal(drawn.canvases, task.generate(model, 1, 3, task.options).predictions[0].canvases)
