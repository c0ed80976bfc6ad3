"""What a frozen backbone makes of a picture is kept: never out of date, safe to share, made again where damaged."""

import multiprocessing
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import tv_tensors

from foveate.engine import features
from foveate.engine.features import FeatureDataset, cache_folder, fingerprint, with_features
from foveate.errors import ConfigError
from foveate.pictures.fitting import fit
from foveate.records import Caption, Preprocessing
from foveate.tasks.captioning.task import CaptioningTask
from foveate.text import SPECIALS, Pairs, Vocabulary
from foveate.transforms import CaptionAugment

TABLE = Vocabulary((*SPECIALS, "a", "cow", "left"))


class Pictures:
    channels = 3

    def __init__(self, count=5, seed=0):
        generator = torch.Generator().manual_seed(seed)
        self.images = torch.randint(0, 256, (count, 3, 12, 16), generator=generator, dtype=torch.uint8)
        self.decoded = self.asked = 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.decoded += 1
        captions = self.captions(index)
        mask = tv_tensors.Mask(torch.full((12, 16), index))
        image = tv_tensors.Image(self.images[index])
        return {"image": image, "captions": captions, "mask": mask, "name": self.name(index)}

    def name(self, index):
        return f"{index}.png"

    def captions(self, index):
        self.asked += 1
        return (Caption("a cow"), Caption("a cow on the left"))

    def between(self, first, last):
        return range(first, last)


class Backbone(nn.Module):
    """A convolution and a norm whose statistics would give it away, were it left in training."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 4, stride=4)
        self.norm = nn.BatchNorm2d(4)
        self.looked = []

    def forward(self, image):
        self.looked.append(len(image))
        return self.norm(self.conv(image))


class Model(nn.Module):
    def __init__(self, seed=0, size=(8, 12)):
        super().__init__()
        torch.manual_seed(seed)
        self.backbone = Backbone()
        self.preprocessing = Preprocessing((0.4,) * 3, (0.3,) * 3, size, stretch=True)

    def encode(self, image):
        return self.backbone(image)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


def files(cache):
    return sorted(cache.rglob("*.safetensors"))


def kept(data=None, model=None):
    dataset = FeatureDataset(data or Pictures(), model or Model())
    dataset.prepare("features")
    return dataset


def direct(model, image: Tensor):
    """The same, by hand."""
    from torchvision.transforms.v2 import functional as F

    seen = F.resize(image.as_subclass(Tensor), list(model.preprocessing.size), antialias=True)
    with torch.no_grad():
        return model.backbone.eval()(model.preprocessing(seen)[None])[0].half()


def test_features_are_the_backbones(cache):
    data, model = Pictures(), Model()
    dataset = kept(data, model)
    assert len(dataset) == len(files(cache)) == 5
    for index in range(5):
        sample = dataset[index]
        assert sample.keys() == {"features", "captions", "mask", "name"}
        assert sample["features"].dtype == torch.float16 and sample["features"].shape == (4, 2, 3)
        torch.testing.assert_close(sample["features"], direct(model, data.images[index]), rtol=0, atol=2e-3)
        assert sample["name"] == dataset.name(index) == f"{index}.png"
        assert dataset.captions(index) == data.captions(index)


def test_a_value_of_a_sample_is_not_asked_for_again():
    data = Pictures()
    dataset = FeatureDataset(data, Model())
    assert dataset.captions(3) == (Caption("a cow"), Caption("a cow on the left")) and data.asked == 1
    dataset.prepare("features")
    before = data.asked
    assert dataset.captions(3) == (Caption("a cow"), Caption("a cow on the left"))
    assert data.asked == before
    assert dataset.between(1, 3) == range(1, 3) and dataset.channels == 3  # everything else is the set's own


def test_training_samples_keep_no_mask():
    dataset = FeatureDataset(Pictures(), Model(), scored=False)
    assert dataset[2].keys() == {"features", "captions", "name"}


def test_the_backbone_looks_once_and_the_next_training_not_at_all(cache):
    data, model = Pictures(20), Model()
    kept(data, model)
    assert sum(model.backbone.looked) == 20 and len(model.backbone.looked) == 2
    first = data.decoded
    dataset = kept(data, again := Model())
    assert again.backbone.looked == []
    assert data.decoded == first + 20  # a picture is known by its pixels
    for index in range(20):
        _ = dataset[index]
    assert data.decoded == first + 20  # and is not decoded again for its features


def test_samples_of_one_picture_share_its_features_while_one_is_kept(cache):
    pictures = Pictures()
    pictures.images[3] = pictures.images[1]
    dataset = FeatureDataset(pictures, Model())
    one, other, different = (dataset[i]["features"] for i in (1, 3, 0))
    assert one.data_ptr() == other.data_ptr() != different.data_ptr()
    again = pickle.loads(pickle.dumps(dataset))  # as a loading process gets it
    assert torch.equal(again[1]["features"], one) and again[1]["features"].data_ptr() != one.data_ptr()
    del one, other
    assert len(dataset._shared) == 1  # nothing else keeps them


@pytest.mark.parametrize("same", [True, False])
def test_the_backbone_looks_once_at_an_image_of_many_samples(cache, monkeypatch, same):
    """Whether the image is one object, which is then fitted once, or several objects with equal pixels."""
    pictures, fitted = Pictures(12), []
    image = pictures[0]["image"]
    monkeypatch.setattr(features, "fit", lambda given, form: fitted.append(1) or fit(given, form))

    class Asked(Pictures):
        def __getitem__(self, index):
            return super().__getitem__(index) | ({"image": image if same else image.clone()} if index < 9 else {})

    model = Model()
    dataset = kept(Asked(12), model)
    assert sum(model.backbone.looked) == 4 and len(files(cache)) == 4
    assert len(fitted) == (4 if same else 12)
    torch.testing.assert_close(dataset[8]["features"], direct(model, image), rtol=0, atol=2e-3)
    torch.testing.assert_close(dataset[11]["features"], direct(model, pictures.images[11]), rtol=0, atol=2e-3)


def test_its_mode_and_statistics_stay(cache):
    model = Model().train()
    before = {name: tensor.clone() for name, tensor in model.backbone.state_dict().items()}
    kept(Pictures(), model)
    assert model.backbone.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.backbone.state_dict().items())


def test_another_picture_is_another_file(cache):
    kept(Pictures(3))
    first = set(files(cache))
    data = Pictures(3)
    data.images[1, 0, 5, 5] ^= 1
    kept(data)
    assert first < set(files(cache)) and len(files(cache)) == 4


@pytest.mark.parametrize("change", ["weights", "statistics", "layers", "size", "normalisation"])
def test_another_network_is_another_folder(cache, change):
    model, other = Model(), Model()
    assert fingerprint(model) == fingerprint(other)
    if change == "weights":
        with torch.no_grad():
            other.backbone.conv.bias[2] += 1e-6
    elif change == "statistics":
        other.backbone.norm.running_mean[0] = 0.5
    elif change == "layers":
        other.backbone.conv.stride = (2, 2)
    elif change == "size":
        other.preprocessing = Preprocessing((0.4,) * 3, (0.3,) * 3, (12, 8), stretch=True)
    else:
        other.preprocessing = Preprocessing((0.5,) * 3, (0.3,) * 3, (8, 12), stretch=True)
    assert fingerprint(model) != fingerprint(other)
    kept(Pictures(2), model)
    kept(Pictures(2), other)
    assert len({file.parent for file in files(cache)}) == 2


@pytest.mark.parametrize("damage", ["deleted", "empty", "cut", "foreign", "other", "pickle"])
def test_a_damaged_file_is_made_again(cache, damage):
    dataset = kept()
    before = [dataset[i]["features"] for i in range(5)]
    for file in files(cache):
        content = file.read_bytes()
        if damage == "deleted":
            file.unlink()
        elif damage == "pickle":
            file.write_bytes(pickle.dumps({"features": 1}))
        elif damage == "other":
            save_file({"something": torch.zeros(2)}, file)
        else:
            file.write_bytes({"empty": b"", "cut": content[:-7], "foreign": b"no array at all"}[damage])
    assert all(torch.equal(dataset[i]["features"], before[i]) for i in range(5))
    fresh = kept()  # whoever comes next finds them whole
    assert all(torch.equal(fresh[i]["features"], before[i]) for i in range(5))


def fill(folder, barrier):
    os.environ["FOVEATE_CACHE"] = folder
    torch.set_num_threads(1)
    model, data = Model(), Pictures(24)
    barrier.wait()
    dataset = FeatureDataset(data, model)
    dataset.prepare("features")
    assert all(dataset[i]["features"].shape == (4, 2, 3) for i in range(24))


def test_two_trainings_may_fill_it_at_once(cache):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    both = [context.Process(target=fill, args=(str(cache.parent), barrier)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert len(files(cache)) == 24
    others = [p for p in cache.rglob("*") if p.is_file() and p.suffix != ".safetensors"]
    assert [p.name for p in others] == ["about.txt"]  # nothing half-written
    model = Model()
    dataset = kept(Pictures(24), model)
    assert model.backbone.looked == []
    torch.testing.assert_close(dataset[7]["features"], direct(model, Pictures(24).images[7]), rtol=0, atol=2e-3)


def test_processes_of_one_training_share_the_work(cache):
    made = []
    for rank in (0, 1):
        model = Model()
        dataset = FeatureDataset(Pictures(7), model)
        dataset.prepare("features", rank, 2)
        made.append(sum(model.backbone.looked))
    assert made == [4, 3]
    assert len(files(cache)) == 7
    assert dataset[0]["features"].shape == (4, 2, 3)  # the other's share is found, not made
    assert sum(dataset.model.backbone.looked) == 3


def test_both_sets_are_prepared_and_those_without_features_refused(cache):
    train, val = with_features(Pictures(3), Pictures(2, seed=1), Model(), 0, 1)
    assert (len(train), len(val), len(files(cache))) == (3, 2, 5)
    with pytest.raises(ConfigError, match=r"Model has no features that can be kept.*; train it with --features false"):
        with_features(Pictures(3), Pictures(2), Model(size=()), 0, 1)
    with pytest.raises(ConfigError, match="Linear has no features that can be kept"):
        with_features(Pictures(3), Pictures(2), nn.Linear(1, 1), 0, 1)


def test_the_folder_is_where_the_environment_says(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("FOVEATE_CACHE")
    assert cache_folder().parts[-2:] == (".cache", "foveate")


def test_mirrored_features_belong_to_sentences_without_sides(cache):
    """Half of the samples come mirrored, grid and all; those that speak of left or right never do."""
    pairs = CaptioningTask({"text": TABLE}, Model().preprocessing).training_set(kept(Pictures(1)))
    transform = CaptionAugment().build({"text": TABLE}, Preprocessing())
    plain, sided = pairs[0], pairs[1]
    mirrored = []
    for seed in range(40):
        torch.manual_seed(seed)
        out = transform(plain)["features"]
        mirrored.append(torch.equal(out, plain["features"].flip(-1)))
        assert mirrored[-1] or torch.equal(out, plain["features"])
        assert torch.equal(transform(sided)["features"], sided["features"])
    assert 8 < sum(mirrored) < 32


def test_left_and_right_are_words_whatever_they_are_spelled_with():
    table = Pairs(size=262).learn(["a bright cow, left of a barn"] * 3)
    transform = CaptionAugment().build({"text": table}, Preprocessing())
    features = torch.arange(6.0).view(1, 2, 3)
    for text, free in (("a bright cow", True), ("a cow, left of it", False), ("leftmost", False)):
        sample = {"features": features, "tokens": torch.tensor(table.encode(text))}
        seen = set()
        for seed in range(12):
            torch.manual_seed(seed)
            seen.add(torch.equal(transform(sample)["features"], features))
        assert seen == ({True, False} if free else {True}), text


def test_an_image_and_its_features_are_mirrored_together():
    table = Pairs(size=262).learn(["a bright cow"] * 3)
    transform = CaptionAugment().build({"text": table}, Preprocessing())
    image, features = torch.arange(24).view(1, 4, 6), torch.arange(6.0).view(1, 2, 3)
    sample = {"image": image, "features": features, "tokens": torch.tensor(table.encode("a bright cow"))}
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        found = transform(sample)
        mirrored = torch.equal(found["image"], image.flip(-1))
        assert mirrored or torch.equal(found["image"], image)
        assert torch.equal(found["features"], features.flip(-1) if mirrored else features)
        seen.add(mirrored)
        assert CaptionAugment(flip=False).build({"text": table}, Preprocessing())(sample) is sample
    assert seen == {True, False}
