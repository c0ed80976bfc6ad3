"""Scripts beside the timings: folds of photographs with objects, characters as class folders, plans of trainings."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.datasets import recognise
from foveate.metrics.captioning import CaptioningMetrics
from foveate.ops.mixture import expectation, mixture_of, nll
from foveate.records import CaptionOutput, Preprocessing
from foveate.registry import entries
from foveate.tasks.captioning.task import CaptioningTask
from foveate.text import Words

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    monkeypatch.syspath_prepend(FOLDER)  # for what they share

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", FOLDER / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load


# Attention on photographs


def square(left: int, top: int, side: int) -> list[list[int]]:
    right, bottom = left + side, top + side
    return [[left, top, right, top, right, bottom, left, bottom]]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Twenty photographs of 80x40; the first ten have a dog of 20x20 in the middle, and a man at the left edge."""
    (tmp_path / "images").mkdir()
    images, captions, objects = [], [], []
    for i in range(20):
        name = f"{i:012d}.jpg"
        Image.new("RGB", (80, 40), (10 * i, 90, 90)).save(tmp_path / "images" / name)
        images.append({"id": 100 + i, "file_name": name, "height": 40, "width": 80})
        captions += [{"id": 2 * i + k, "image_id": 100 + i, "caption": f"Two dogs and a man, {i}."} for k in range(2)]
        if i < 10:
            objects += [
                {"id": 2 * i, "image_id": 100 + i, "category_id": 18, "segmentation": square(30, 10, 20), "iscrowd": 0},
                {"id": 2 * i + 1, "image_id": 100 + i, "category_id": 1, "segmentation": square(0, 0, 15)},
            ]
    categories = [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}]
    (tmp_path / "captions.json").write_text(json.dumps({"images": images, "annotations": captions}))
    content = {"images": images[:10], "annotations": objects, "categories": categories}
    (tmp_path / "instances.json").write_text(json.dumps(content))
    return tmp_path


def test_every_photograph_is_in_one_fold_and_objects_are_dealt_evenly(script: Any, photographs: Path) -> None:
    found = script("coco_attention").Photographs(photographs)
    assert sorted(name for fold in found.folds for name in fold) == sorted(found.images)
    assert [len(fold) for fold in found.folds] == [4] * 5
    assert [sum(name in found.annotations for name in fold) for fold in found.folds] == [2] * 5
    for fold in range(5):
        splits = found.splits(fold)
        assert splits["test"] == found.folds[fold]
        assert not any(name in found.annotations for name in splits["val"])
        together = [name for names in splits.values() for name in names]
        assert len(together) == len(set(together)) == 20


def test_a_fold_is_read_as_captions_of_coco(script: Any, photographs: Path, tmp_path: Path) -> None:
    found = script("coco_attention").Photographs(photographs)
    found.write(3, tmp_path / "fold")
    source = recognise(tmp_path / "fold", "captioning")
    assert source.describe() == (
        "COCO captions (captions_test2017.json, captions_train2017.json, captions_val2017.json): "
        "14 train, 2 val, 4 test pictures, 40 captions"
    )
    test = source.open("test")
    assert sorted(test.name(i) for i in range(4)) == sorted(found.folds[3])


def test_attention_is_scored_on_the_part_that_the_network_sees(script: Any, photographs: Path) -> None:
    module = script("coco_attention")
    found = module.Photographs(photographs)
    found.write(0, photographs / "fold")
    dataset = recognise(photographs / "fold", "captioning").open("train")
    seen = module.NamedObjects(dataset, found, Preprocessing(size=(32, 32)))
    index = next(i for i in range(len(seen)) if seen.name(i) in found.annotations)
    sample = seen[index]
    # The network sees the middle 40x40 of 80x40: the dog's middle quarter, and nothing of the man at the left edge.
    expected = np.zeros((40, 40), bool)
    expected[10:30, 10:30] = True
    np.testing.assert_array_equal(np.asarray(sample["masks"][0]), expected)
    assert not np.asarray(sample["masks"][1]).any()
    assert sample["named"]["dogs"] == sample["named"]["dog"] == (0,)
    assert sample["named"]["men"] == sample["named"]["people"] == (1,)
    # A quarter of the image is too much to be scored, a dog of 12x12 is not.
    small = np.asarray(sample["masks"]).copy()
    small[0] = False
    small[0, 14:26, 14:26] = True
    maps = np.full((2, 5, 5), 0.01)
    maps[:, 2, 2] += 0.75
    metrics = CaptioningMetrics([[c.text for c in seen.captions(index)]])
    metrics.update(0, "dogs man", ("dogs", "man"), maps, small, sample["named"])
    scores = metrics.compute()
    assert (scores.attention_words, scores.attention_hit) == (1, 1)  # the man is not in sight, so he is not counted
    assert scores.attention_chance == pytest.approx(1 / 25)
    without = next(i for i in range(len(seen)) if seen.name(i) not in found.annotations)
    assert "masks" not in seen[without] and "named" not in seen[without]


def test_the_part_that_is_seen_is_the_one_that_images_are_fitted_to(script: Any) -> None:
    from foveate.pictures.fitting import fit

    seen_part = script("coco_attention").seen_part
    ramp = torch.arange(90 * 60).view(1, 90, 60).float()
    for preprocessing in (Preprocessing(size=(30, 30)), Preprocessing(size=(30, 45), crop=0.8)):
        part = seen_part(ramp, preprocessing)
        fitted = fit(ramp, preprocessing)
        assert part.mean().item() == pytest.approx(fitted.mean().item(), rel=0.01)
        assert part.min().item() == pytest.approx(fitted.min().item(), abs=90)
        assert part.max().item() == pytest.approx(fitted.max().item(), abs=90)
    assert seen_part(ramp, Preprocessing(size=(30, 30), stretch=True)).shape == ramp.shape


@pytest.mark.parametrize(
    ("category", "words"),
    [
        ("dog", ["dog", "dogs", "puppy", "puppies"]),
        ("bench", ["bench", "benches"]),
        ("sheep", ["sheep", "lamb", "lambs"]),
        ("knife", ["knife", "knives"]),
        ("zeppelin", ["zeppelin", "zeppelins"]),
    ],
)
def test_words_that_name_a_category(script: Any, category: str, words: list[str]) -> None:
    assert list(script("coco_attention").words_of(category)) == words


def test_folds_are_pooled_by_their_words(script: Any) -> None:
    module = script("coco_attention")
    folds = [
        {"generated": module.shares(np.array(sums, float)), "reference": module.shares(2 * np.array(sums, float)),
         "bleu4": bleu4, "cider_d": 0.2, "entropy_share": entropy}
        for sums, bleu4, entropy in (
            ((30, 9, 3, 15, 6), 0.1, 0.9), ((10, 1, 1, 1, 1), 0.3, 0.7), ((0, 0, 0, 0, 0), 0.2, 0.8),
        )
    ]  # fmt: skip
    assert (folds[0]["generated"]["hit"], folds[0]["generated"]["chance"]) == (0.5, 0.2)
    found = module.total(folds)
    assert (found["folds"], found["generated"]["words"], found["reference"]["words"]) == (3, 40, 80)
    for words in ("generated", "reference"):
        own = found[words]
        assert (own["hit"], own["chance"]) == pytest.approx((0.4, 0.175))
        assert (own["mass"], own["mass_chance"]) == pytest.approx((0.25, 0.1))
        assert own["times"] == pytest.approx(0.4 / 0.175)
    assert (found["bleu4"], found["entropy_share"]) == pytest.approx((0.2, 0.8))
    assert "40.0 % of 40 words in generated captions hit, 17.5 % by chance, 2.29 times" in module.line(
        "baseline", "soft", {"total": found}
    )
    line = module.line("baseline", "soft", {"total": module.total(folds[2:])})
    assert "no word in generated captions names an object that is small enough; no word in reference captions" in line


def test_words_of_reference_captions_are_given_their_own_maps(script: Any, photographs: Path) -> None:
    """A model whose attention at step t lies on cell t: the maps of a caption are those of its words, in order."""
    module = script("coco_attention")
    found = module.Photographs(photographs)
    found.write(0, photographs / "fold")
    dataset = recognise(photographs / "fold", "captioning").open("test")
    preprocessing = Preprocessing(size=(40, 40))
    vocabulary = Words(least=1).learn(c.text for i in range(len(dataset)) for c in dataset.captions(i))
    family = CaptioningTask({"text": vocabulary}, preprocessing)

    def model(image: torch.Tensor, tokens: torch.Tensor) -> CaptionOutput:
        assert image.shape == (2, 3, 40, 40)
        attention = torch.eye(25)[: tokens.shape[1]].view(1, -1, 5, 5).expand(len(tokens), -1, -1, -1)
        return CaptionOutput(torch.zeros(*tokens.shape, len(vocabulary)), attention)

    class OneCell(module.NamedObjects):  # type: ignore[name-defined,misc]
        """The dog is cell 1, at which 'dogs', the second word, is read; the man, the fifth word, is in cell 7."""

        def __getitem__(self, index: int) -> Any:
            sample = super().__getitem__(index)
            if "masks" in sample:
                sample["masks"] = np.zeros((2, 40, 40), bool)
                sample["masks"][0, :8, 8:16] = sample["masks"][1, 8:16, 16:24] = True
            return sample

    words, _, _, hits, chance = module.on_references(model, family, OneCell(dataset, found, preprocessing))
    assert words == 2 * 2 * 2  # two photographs with objects, two captions of each, 'dogs' and 'man' in each
    assert hits == 4 and chance == pytest.approx(8 / 25)


# Omniglot as class folders


def test_characters_are_divided_by_writer(script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    drawings = rng.integers(0, 2, (40, 5, 7)).astype(np.uint8)
    np.savez(
        tmp_path / "images.npz",
        bits=np.packbits(drawings.reshape(40, -1), axis=1),
        size=np.array([5, 7]),
        label=np.array([f"Greek/character{1 + i // 20:02d}" for i in range(40)]),
        ids=np.array([f"{900 + i // 20:04d}_{1 + i % 20:02d}" for i in range(40)]),
    )
    module = script("omniglot_folders")
    assert module.main([str(tmp_path / "images.npz"), str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.endswith("28 train, 6 val, 6 test\n")
    source = recognise(tmp_path / "out", "classification")
    assert source.describe() == "class folders: 28 train, 6 val, 6 test pictures, 2 classes"
    for split, writers in (("train", range(1, 15)), ("val", range(15, 18)), ("test", range(18, 21))):
        for character in (1, 2):
            folder = tmp_path / "out" / split / f"Greek_character{character:02d}"
            assert sorted(int(file.stem) for file in folder.iterdir()) == list(writers)
    image = np.asarray(Image.open(tmp_path / "out" / "test" / "Greek_character02" / "19.png"))
    np.testing.assert_array_equal(image, 255 * drawings[38])
    assert module.main([str(tmp_path / "images.npz"), str(tmp_path / "out")]) == 1
    assert "exists; name a folder that does not" in capsys.readouterr().err


# Plans of trainings


def test_plans_name_recipes_and_each_run_once(script: Any) -> None:
    module = script("record_runs")
    for plan in module.PLANS.values():
        assert {recipe for recipe, _ in plan} <= entries("recipe").keys()
        assert len(set(plan)) == len(plan)
    digits = module.PLANS["distorted_mnist"]
    assert digits[:2] == [("st_cnn_affine_mnist_rts", 0), ("st_cnn_affine_mnist_p", 0)]
    assert len(digits) == 3 * 3 * 2 + 5 * 2


def test_a_plan_goes_on_with_what_is_not_recorded(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("record_runs")
    (tmp_path / "inception_v4_pasture.json").write_text("{}")
    arguments = ["pasture", "--results", str(tmp_path), "--runs", str(tmp_path / "runs")]
    assert module.main([*arguments, "--list"]) == 0
    assert capsys.readouterr().out == "inception_resnet_v2_pasture\n"
    assert module.record_name("cnn_mnist_p", 2) == "cnn_mnist_p_seed2"
    # It trains, scores and records; what fails stops the plan.
    called: list[list[str]] = []
    monkeypatch.setattr(module.subprocess, "run", lambda command, check: called.append(command) or Done(0))
    monkeypatch.setattr(module, "record", lambda path, name, results: 0)
    assert module.main(arguments) == 0
    run = str(tmp_path / "runs" / "inception_resnet_v2_pasture")
    assert [command[3:] for command in called] == [
        ["train", "inception_resnet_v2_pasture", "--out", run],
        ["evaluate", run, "--split", "test"],
    ]
    monkeypatch.setattr(module.subprocess, "run", lambda command, check: Done(1))
    assert module.main(arguments) == 1
    assert module.main([*arguments, "--until", "00:00"]) == 0
    assert "not yet recorded: inception_resnet_v2_pasture" in capsys.readouterr().out


class Done:
    def __init__(self, code: int) -> None:
        self.returncode = code


def test_a_stopped_run_is_resumed(script: Any, tmp_path: Path) -> None:
    module = script("record_runs")
    train, evaluate = module.commands("cnn_mnist_p", 2, Path("mnist"), tmp_path)
    assert train == ["train", "cnn_mnist_p", "--out", str(tmp_path), "--data", "mnist", "--seed", "2"]
    assert evaluate == ["evaluate", str(tmp_path), "--split", "test"]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert module.commands("cnn_mnist_p", 0, None, tmp_path)[0][-1] == "--resume"


# Nuclei as objects


def discs(root: Path) -> Path:
    """Pictures with three nuclei in a row that touch, and one alone."""
    y, x = np.mgrid[:72, :96]
    for split, count in (("train", 3), ("val", 2)):
        for i in range(count):
            numbers = np.zeros((72, 96), np.uint16)
            for k, (a, b) in enumerate(((18 + i, 30), (37 + i, 30), (56 + i, 30), (82, 56)), 1):
                numbers[((x - a) ** 2 + (y - b) ** 2 <= 100) & (numbers == 0)] = k
            for kind, pixels in (("images", np.stack([(numbers > 0) * 200] * 3, 2)), ("masks", numbers)):
                (root / split / kind).mkdir(parents=True, exist_ok=True)
                array = pixels.astype(np.uint8 if kind == "images" else np.uint16)
                Image.fromarray(array).save(root / split / kind / f"{i}.png")
    (root / "classes.txt").write_text("nucleus\n")
    return root


def test_nuclei_are_scored_beside_mask_rcnn(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connected parts of the true foreground miss the row, the watershed divides it; one step of training is scored."""
    monkeypatch.syspath_prepend(str(FOLDER))
    words = ["--mask-rcnn", "--steps", "1", "--chosen", "2", "--backbone", "test_efficientnet", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["nuclei_objects.py", str(discs(tmp_path)), *words, "--json", str(tmp_path / "f")])
    script("nuclei_objects").main()
    (table,) = json.loads((tmp_path / "f").read_text())["tables"]
    assert table["about"] == "2 pictures, 8 objects, 6 of them touch another"
    parts, split, network = table["rows"]
    assert (parts["recall50"], parts["touching"], parts["AP"]) == (0.25, 0.0, "-")
    assert (split["recall50"], split["touching"], split["count error"]) == (1.0, 1.0, 0.0)
    assert "Mask R-CNN, 1 steps" in network["name"] and 0 <= network["AP"] <= 1


# Drives left out


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    """Frames of three drives, one of them in both splits, as CamVid's are."""
    for split, names in (("train", ("a_1", "a_2", "b_1", "c_1")), ("val", ("c_2",))):
        for kind, ending in (("images", "jpg"), ("labels", "png")):
            (tmp_path / "data" / split / kind).mkdir(parents=True)
            for name in names:
                Image.new("L", (8, 8)).save(tmp_path / "data" / split / kind / f"{name}.{ending}")
    (tmp_path / "data" / "classes.txt").write_text("road\nsky\n")
    return tmp_path / "data"


def test_a_drive_is_left_out_whole(script: Any, drives: Path, tmp_path: Path) -> None:
    unseen = script("unseen_drives")
    folder = unseen.leave_out(drives, "c", tmp_path / "fold")
    for kind in ("images", "labels"):
        assert sorted(p.stem for p in (folder / "val" / kind).iterdir()) == ["c_1", "c_2"]  # of both given splits
        assert sorted(p.stem for p in (folder / "train" / kind).iterdir()) == ["a_1", "a_2", "b_1"]
    assert recognise(folder, "semantic").splits() == ("train", "val")
    (drives / "val" / "labels" / "c_2.png").unlink()
    with pytest.raises(SystemExit, match=r"c_2\.jpg has no label at .*c_2\.png; give the folder of CamVid's"):
        unseen.frames(drives)


def test_gains_are_of_folds_that_both_have(script: Any) -> None:
    def record(variant: str, drive: str, seed: int, plain: float) -> dict[str, Any]:
        scores = {"plain": {"mean_iou": plain}, "averaged": {"mean_iou": plain + 0.1}}
        return {"variant": variant, "drive": drive, "seed": seed, "scores": scores}

    records = [record("plain", "a", 0, 0.5), record("plain", "b", 0, 0.7), record("plain", "a", 1, 0.6)]
    records += [record("rare", "a", 0, 0.52), record("rare", "c", 0, 0.9)]
    lines = [line.split() for line in script("unseen_drives").table(records).splitlines()]
    assert lines[0] == ["variant", "a", "b", "c", "mean", "gain", "averaged", "folds"]
    assert lines[1] == ["plain", "0.5500", "0.7000", "-", "-", "-", "0.7000", "3"]
    assert lines[2] == ["rare", "0.5200", "-", "0.9000", "-", "+0.0200", "0.8100", "2"]  # of fold (a, 0) alone


def test_what_is_recorded_is_not_trained_again(
    script: Any, drives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unseen, trained = script("unseen_drives"), []

    def train(fold: Any, data: Path, work: Path, epochs: int) -> dict[str, Any]:
        trained.append(fold.name)
        scores = {kind: {"mean_iou": 0.5} for kind in ("plain", "averaged")}
        return {**fold._asdict(), "epochs": epochs, "scores": scores, "minutes": 1.0}

    monkeypatch.setattr(unseen, "train_and_score", train)
    words = ["--data", str(drives), "--variants", "rare,plain", "--records", str(tmp_path / "records")]
    assert unseen.main([*words, "--drives", "b"]) == 0
    assert trained == ["plain_b_seed0", "rare_b_seed0"]  # what the others are compared with comes first
    assert unseen.main(words) == 0
    assert trained[2:] == ["plain_a_seed0", "plain_c_seed0", "rare_a_seed0", "rare_c_seed0"]
    capsys.readouterr()
    assert unseen.main([*words, "--list", "--seeds", "2", "--drives", "a"]) == 0
    assert capsys.readouterr().out.split() == ["plain_a_seed1", "rare_a_seed1"]
    with pytest.raises(SystemExit, match="unknown variant 'rarer'"):
        unseen.main(["--data", str(drives), "--variants", "rarer"])


# Plain networks


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module
    entries.cache_clear()  # of the plain network's name


def test_plain_decoders_learn_what_they_decode_whatever_the_padding(plain: Any) -> None:
    translation, speech = plain("plain.translation"), plain("plain.speech")
    torch.manual_seed(0)
    tokens = torch.tensor([[9, 10, 2], [11, 2, 0]])
    translator = translation.PlainTranslation(translation.Config(20, 24, 8, 8)).eval()
    speaker = speech.PlainSpeech(speech.Config(24, hidden=8)).eval()
    source = torch.tensor([[5, 6, 7, 2], [8, 2, 0, 0]])
    audio, lengths = torch.randn(2, 8000), torch.tensor([8000, 5000])
    audio[1, 5000:] = 0
    losses = (
        translator.loss({"source_tokens": source, "target_tokens": tokens})["loss"],
        speaker.loss({"audio": audio, "audio_lengths": lengths, "tokens": tokens})["loss"],
    )
    for model, loss in zip((translator, speaker), losses, strict=True):
        total = torch.zeros(())
        for row in range(2):  # each alone, without padding, a step at a time
            if model is translator:
                read = model.encode(source[row : row + 1, : int((source[row] != 0).sum())])
                state = model.begin(read)
            else:
                read, state = model.begin(audio[row : row + 1, : lengths[row]], lengths[row : row + 1])
            last = torch.tensor([1])
            for token in tokens[row][tokens[row] != 0]:
                logits, state, alpha = model.step(read, state, last)
                assert alpha.sum().item() == pytest.approx(1, abs=1e-5)
                total -= logits.log_softmax(1)[0, token].detach()
                last = token[None]
        assert loss.item() == pytest.approx(total.item() / 5, abs=1e-4)


def test_the_plain_pen_has_the_density_of_the_package(plain: Any) -> None:
    handwriting = plain("plain.handwriting")
    torch.manual_seed(0)
    pen = handwriting.PlainHandwriting(handwriting.Config(vocabulary=9, units=8)).eval()
    strokes = torch.cat([torch.randn(2, 20, 2), torch.bernoulli(torch.full((2, 20, 1), 0.2))], 2)
    text, lengths = torch.tensor([[4, 5, 2], [6, 2, 0]]), torch.tensor([3, 2])
    batch = {"strokes": strokes, "stroke_lengths": torch.tensor([20, 12]), "transcript": text}
    batch["transcript_lengths"] = lengths
    nats, squared, window = pen.score(batch)
    parameters, _ = pen._mixture(strokes[:, :-1], text, lengths)
    parameters = torch.cat([-parameters[..., :1], parameters[..., 1:]], -1)  # the paper's sign of the pen bit
    mixture = mixture_of(parameters)
    torch.testing.assert_close(nats, nll(mixture, strokes[:, 1:]), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(squared, (expectation(mixture) - strokes[:, 1:, :2]).square().sum(-1))
    assert window.shape == (2, 19, 4)
    scored = torch.cat([nats[0], nats[1, :11]])
    assert pen.loss(batch)["loss"].item() == pytest.approx(scored.mean().item(), abs=1e-5)


def test_a_plain_network_is_trained_and_scored_beside_a_run(
    plain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, count in (("train", 24), ("val", 4)):
        for language, word in (("en", "dog"), ("de", "hund")):
            lines = [f"{word} " * (1 + i % 3) + "." for i in range(count)]
            (tmp_path / f"{split}.{language}").write_text("\n".join(lines) + "\n")
    out, file = tmp_path / "run", tmp_path / "found.json"
    words = ["plain_networks.py", "rnnsearch_multi30k", "--data", str(tmp_path), "--epochs", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", [*words, "--json", str(file)])
    monkeypatch.chdir(tmp_path)
    plain("plain_networks").main()
    (row,) = json.loads(file.read_text())["tables"][0]["rows"]
    assert row["name"] == "plain" and set(row) == {"name", "bleu", "chrf", "ter", "parameters", "minutes"}
    assert 0 <= float(row["bleu"]) <= 100
    recipe = json.loads((out / "recipe.json").read_text())
    assert recipe["model"] == "PlainTranslation" and recipe["optim"]["lr"] == 2e-3


# A robot that labels


def test_the_robot_draws_along_the_middle_and_counts_its_strokes(script: Any) -> None:
    module = script("studio_robot")
    truth = np.zeros((40, 60), np.uint8)
    truth[10:19, 5:55] = 1
    line = module.scribble(1, truth == 1)
    assert line["number"] == 2 and line["width"] == 5
    xs, ys = np.array(line["points"]).T
    assert set(ys) <= {12, 13, 14, 15, 16} and xs.max() - xs.min() >= 40, "from end to end"
    assert module.middle(truth == 1)[1] == 14
    labels = module.brush(np.zeros_like(truth), truth)
    assert module.share(labels, truth) > 0.98, "one stroke of the right thickness"
    assert module.strokes(np.zeros_like(truth), truth)[0.93] == 1 and module.strokes(truth, truth)[0.957] == 0
    truth[0] = 255
    assert module.share(np.where(truth == 1, 0, 1), truth) == 0.0 and module.share(truth, truth) == 1.0


def test_the_robot_clicks_where_most_is_wrong(script: Any) -> None:
    module = script("studio_robot")
    truth = np.zeros((30, 30), bool)
    truth[5:15, 5:15] = truth[18:26, 18:26] = True
    asked = []

    class Studio:
        def tool(self, name: str, tool: str, shape: Any, body: Any) -> Any:
            asked.append((body["box"], len(body["add"]), len(body["remove"])))
            found = np.zeros(shape, np.uint16)
            found[:16, :16] = not body["remove"]
            found[5:15, 5:15] = 1
            if body["add"]:
                found[18:26, 18:26] = 1
            return found

    assert module.clicks(Studio(), "a", truth) == (2, True)
    assert asked == [([5, 5, 26, 26], 0, 0), ([5, 5, 26, 26], 0, 1), ([5, 5, 26, 26], 1, 1)]


# A large picture


def test_a_large_picture_is_filled_row_by_row(script: Any, tmp_path: Path) -> None:
    for name, value, size in (("a", 10, (5, 2)), ("b", 20, (4, 3))):
        Image.new("RGB", size, (value,) * 3).save(tmp_path / f"{name}.png")
    filled = np.asarray(script("tile_memory").tiled(tmp_path, 8))[..., 0]
    expected = np.zeros((8, 8), int)
    expected[0:2, 0:5], expected[0:3, 5:8] = 10, 20  # the second is cut off at the edge
    expected[3:5, 0:5], expected[3:6, 5:8] = 10, 20
    expected[6:8, 0:5], expected[6:8, 5:8] = 10, 20
    np.testing.assert_array_equal(filled, expected)
