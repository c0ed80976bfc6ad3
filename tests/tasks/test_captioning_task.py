"""The captioning task: what is learned from, what is counted, what is said."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import tv_tensors

from foveate.errors import ConfigError, DataError, ModelError
from foveate.metrics.captioning import CaptioningMetrics
from foveate.records import Caption, CaptionPrediction, Preprocessing
from foveate.tasks.captioning.decoding import generate_captions
from foveate.tasks.captioning.options import CaptioningOptions
from foveate.tasks.captioning.task import CaptioningTask, CaptionPairs
from foveate.tasks.options import make_options
from foveate.tasks.searching import BEAMS
from foveate.text import END, PAD, SPECIALS, START, UNKNOWN, BytePairs, Vocabulary
from foveate.text import Pairs as BytePairsSetting

TABLE = Vocabulary((*SPECIALS, "a", "cow", "dog", "sleeps"))
A, COW, DOG, SLEEPS = range(4, 8)
PLAIN = Preprocessing((0.0,) * 3, (1.0,) * 3, (4, 6), stretch=True)


class Said:
    """Pictures of one colour with what was said of them; nothing is decoded for the captions."""

    channels = 3

    def __init__(self, *captions):
        self.said = captions
        self.decoded = []

    def __len__(self):
        return len(self.said)

    def __getitem__(self, index):
        self.decoded.append(index)
        image = torch.full((3, 8, 12), 51 * index, dtype=torch.uint8)
        masks = torch.zeros(1, 8, 12, dtype=torch.bool)
        masks[0, :2, :2] = True  # the upper left of 4x6 cells
        return {"image": tv_tensors.Image(image), "captions": self.captions(index), "name": self.name(index),
                "masks": masks, "named": {"cow": (0,), "dog": (0,)}}  # fmt: skip

    def name(self, index):
        return f"{index}.png"

    def captions(self, index):
        return tuple(Caption(text) for text in self.said[index])


class Script(nn.Module):
    """Says 'a cow sleeps' of dark pictures, 'a dog sleeps' of light ones, and looks at the first cell all the time."""

    def __init__(self, attends=True):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.attends, self.seen = attends, []

    def encode(self, image):
        self.seen.append(image)
        return image.mean(1, keepdim=True)

    def begin(self, features):
        dark = features.mean((1, 2, 3)) < 0.5
        return None, (torch.where(dark, COW, DOG), torch.zeros(len(features), dtype=torch.long))

    def step(self, memory, state, tokens):
        animal, at = state
        order = torch.stack(
            [torch.full_like(animal, A), animal, torch.full_like(animal, SLEEPS), torch.full_like(animal, END)]
        )
        true = order[at.clamp(max=3), torch.arange(len(tokens))]
        logits = torch.zeros(len(tokens), len(TABLE))
        logits[:, UNKNOWN] = 9.0  # would be said, were it allowed
        logits[torch.arange(len(tokens)), true] = 6.0
        look = torch.zeros(len(tokens), 24)
        look[:, 0] = 1.0
        return logits, (animal, at + 1), look if self.attends else None


# What is learned from


def test_each_sentence_is_a_pair_with_its_picture():
    data = Said(["A cow.", "a dog"], ["a cow sleeps"])
    pairs = CaptionPairs(data, TABLE)
    assert data.decoded == []
    assert len(pairs) == 3
    assert pairs.lengths == [3, 3, 4]
    assert [pairs[i]["tokens"].tolist() for i in range(3)] == [[A, COW, END], [A, DOG, END], [A, COW, SLEEPS, END]]
    assert [pairs[i]["name"] for i in range(3)] == ["0.png", "0.png", "1.png"]
    assert pairs[2].keys() == {"image", "name", "tokens"}  # no masks: batches hold what the loss takes


def test_sentences_of_unknown_words_alone_are_left_out():
    pairs = CaptionPairs(Said(["xyz qrs", "..."], ["a zebra"]), TABLE)
    assert [pairs[i]["tokens"].tolist() for i in range(len(pairs))] == [[A, UNKNOWN, END]]
    with pytest.raises(
        DataError, match=r"none of the captions of 2 images has a word of the vocabulary; set text\.least"
    ):
        CaptionPairs(Said(["xyz"], ["", "qrs"]), TABLE)


def test_long_sentences_are_cut():
    pairs = CaptionPairs(Said(["cow " * (TABLE.max_tokens - 1), "cow " * TABLE.max_tokens, "cow " * 500]), TABLE)
    assert pairs.lengths == [TABLE.max_tokens] * 3
    assert [int(pairs[i]["tokens"][-1]) for i in range(3)] == [END, COW, COW]  # what was cut did not end there


def test_features_take_the_pictures_place():
    data = Said(["a cow"])
    kept = data[0]
    del kept["image"]
    data.__class__ = type(
        "Kept", (Said,), {"__getitem__": lambda self, i: kept | {"features": torch.ones(2, 3, 3).half()}}
    )
    sample = CaptionPairs(data, TABLE)[0]
    assert sample.keys() == {"features", "name", "tokens"}
    batch = CaptioningTask({"text": TABLE}, PLAIN).collate([sample, sample])
    assert batch["features"].dtype == torch.float32 and batch["features"].shape == (2, 2, 3, 3)
    assert "image" not in batch


def test_a_batch_is_filled_up_and_normalised():
    task = CaptioningTask({"text": TABLE}, Preprocessing((0.5,) * 3, (0.25,) * 3, (4, 6), stretch=True))
    pairs = task.training_set(Said(["a cow sleeps"], ["cow"], [], [], [], ["dog sleeps"]))
    batch = task.collate([pairs[i] for i in range(3)])
    assert batch["tokens"].tolist() == [[A, COW, SLEEPS, END], [COW, END, PAD, PAD], [DOG, SLEEPS, END, PAD]]
    assert batch["tokens"].dtype == torch.int64
    assert batch["image"].shape == (3, 3, 4, 6)
    assert batch["image"][:, 0, 0, 0].tolist() == pytest.approx([-2, 4 * (0.2 - 0.5), 2])
    assert batch["names"] == ["0.png", "1.png", "5.png"]


def test_there_are_no_classes_to_weigh():
    with pytest.raises(
        ConfigError, match="class_weights is 'median', but captioning has no class labels to weigh; leave it at none"
    ):
        CaptioningTask({"text": TABLE}, PLAIN).weigh_classes([], "median")


# What is said


def test_the_best_sentence_with_its_words_and_maps():
    image = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 3, 4, 6)
    dark, light = generate_captions(Script(), {"image": image}, TABLE)
    assert (dark[0].text, light[0].text) == ("a cow sleeps", "a dog sleeps")
    assert dark[0].words == ("a", "cow", "sleeps")
    # Unknown words, <pad> and <start> are never said, but keep their share: exp(6) of exp(6) + exp(9) + 6.
    p = np.exp(6) / (np.exp(6) + np.exp(9) + 6)
    assert dark[0].probabilities == pytest.approx([p] * 3, rel=1e-4)
    assert dark[0].score == pytest.approx(np.log(p), rel=1e-4)  # <end> included
    assert dark[0].attention.shape == (3, 4, 6)
    assert (dark[0].attention[:, 0, 0] == 1).all() and dark[0].attention.sum() == 3
    assert len(dark) == len(light) == BEAMS
    assert generate_captions(Script(attends=False), {"image": image}, TABLE)[0][0].attention is None


def test_features_are_not_made_again():
    model = Script()
    ((best, *_),) = generate_captions(model, {"features": torch.ones(1, 1, 4, 6)}, TABLE)
    assert best.text == "a dog sleeps"
    assert model.seen == []


def test_as_many_beams_and_sentences_as_asked():
    pictures = {"image": torch.zeros(1, 3, 4, 6)}
    assert len(generate_captions(Script(), pictures, TABLE, CaptioningOptions(beams=3))[0]) == 3
    assert len(generate_captions(Script(), pictures, TABLE, CaptioningOptions(beams=3, n_best=2))[0]) == 2
    with pytest.raises(ConfigError, match=r"cannot search with 9 beams over a vocabulary of 8 tokens; give 1\.\.8"):
        generate_captions(Script(), pictures, TABLE, CaptioningOptions(beams=9))


@pytest.mark.parametrize("given", [{"crf": True}, {"flip": True, "beams": 3}, {"scales": (0.5, 1.0)}])
def test_options_of_other_families_are_refused(given):
    name = next(key for key in given if key != "beams")
    with pytest.raises(
        ConfigError,
        match=rf"^models for captioning have no option --{name}; theirs are --beams, --n-best, --length-penalty, ",
    ):
        make_options(CaptioningTask, given, "predict")


def test_a_vocabulary_of_another_model_is_refused():
    other = Vocabulary((*TABLE.names, "horse"))
    with pytest.raises(
        ModelError, match=r"writes 8 different tokens, but its vocabulary has 9; take both from the folder"
    ):
        generate_captions(Script(), {"image": torch.zeros(1, 3, 4, 6)}, other)


def test_a_word_of_several_tokens_has_their_product_and_their_mean_map():
    table = BytePairsSetting(size=300).learn(["cow cow cow"])
    assert isinstance(table, BytePairs)
    ids = [*table.encode("the cow"), END]

    class Spells(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def begin(self, features):
            return None, torch.zeros(len(features), dtype=torch.long)

        def step(self, memory, state, tokens):
            logits = torch.zeros(len(tokens), len(table))
            logits[:, ids[min(int(state[0]), len(ids) - 1)]] = 8.0
            look = torch.zeros(len(tokens), 4)
            look[:, int(state[0]) % 4] = 1.0
            return logits, state + 1, look

    best = generate_captions(Spells(), {"features": torch.zeros(1, 1, 2, 2)}, table, CaptioningOptions(beams=1))[0][0]
    assert best.words == ("the", "cow")
    p = np.exp(8) / (np.exp(8) + len(table) - 1)
    spelled = [positions for _, positions in table.words(ids)]
    assert [len(positions) for positions in spelled] == [3, 1]
    assert best.probabilities == pytest.approx([p ** len(positions) for positions in spelled], rel=1e-4)
    for attention, positions in zip(best.attention, spelled, strict=True):
        expected = np.zeros(4)
        for position in positions:
            expected[position % 4] += 1 / len(positions)
        assert attention.ravel() == pytest.approx(expected)


def test_an_answer_is_one_picture_brought_to_the_networks_size():
    model = Script()
    sample = {"image": torch.full((3, 50, 20), 255, dtype=torch.uint8), "name": "light.png"}
    (answer,) = CaptioningTask({"text": TABLE}, PLAIN).answer(model, [sample], CaptioningOptions(n_best=2))
    assert answer.name == "light.png"
    assert isinstance(answer, CaptionPrediction)
    assert answer.text == "a dog sleeps" and len(answer.sentences) == 2
    assert model.seen[0].shape == (1, 3, 4, 6)
    torch.testing.assert_close(model.seen[0], torch.ones(1, 3, 4, 6))


# What is counted


def test_every_picture_is_counted_once_with_its_own_score():
    data = Said(["a cow sleeps"], ["a cow"], ["a sheep"], ["a dog sleeps", "a dog"], ["a dog sleeps"], ["a horse"])
    task = CaptioningTask({"text": TABLE}, PLAIN)
    metrics = task.metrics(data)
    assert data.decoded == []  # references are known without decoding
    own = dict(task.score(Script(), data, iter([5, 0, 3]), metrics))
    assert list(own) == [5, 0, 3]
    expected = CaptioningMetrics([[c.text for c in data.captions(i)] for i in range(6)])
    for index, text in ((5, "a dog sleeps"), (0, "a cow sleeps"), (3, "a dog sleeps")):
        attention = np.zeros((3, 4, 6))
        attention[:, 0, 0] = 1
        sample = data[index]
        assert own[index] == expected.update(index, text, text.split(), attention, sample["masks"], sample["named"])
    assert metrics.compute() == expected.compute()
    scores = metrics.compute()
    assert scores.images == 3
    assert scores.attention_hit == 1.0  # it looked where cow and dog are
    assert scores.attention_chance == pytest.approx(1 / 24)


def test_a_single_picture_leaves_cider_d_undefined():
    task = CaptioningTask({"text": TABLE}, PLAIN)
    for texts, lacking in (([["a cow"]], (("only one picture", "CIDEr-D"),)), ([["a cow"], ["a dog"]], ())):
        data = Said(*texts)
        metrics = task.metrics(data)
        list(task.score(Script(), data, iter(range(len(texts))), metrics))
        assert task.undefined(metrics.compute()) == lacking


def test_references_are_split_once_for_all_epochs():
    data, task = Said(["a cow"], ["a dog"]), CaptioningTask({"text": TABLE}, PLAIN)
    assert task.metrics(data).references is task.metrics(data).references
    assert task.metrics(Said(["a cow"], ["a dog"])).references is not task.metrics(data).references


def test_what_the_log_shows_are_fields_of_the_scores():
    scores = CaptioningMetrics([["a"], ["b"]])
    scores.update(0, "a")
    assert all(hasattr(scores.compute(), name) for name in (CaptioningTask.monitor, *CaptioningTask.headline))
    assert START not in (PAD, END, UNKNOWN)
