"""Every registered data source keeps the contract of `DataSource`, for each family that it serves."""

from __future__ import annotations

import json
import struct
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.objects import MaskSource
from foveate.errors import ConfigError, DataError
from foveate.ops.mask_layers import unpack
from foveate.records import ClassTable, DataSource
from foveate.registry import entries, find

SIDE = 28
NAMES = ("a", "b", "c", "d")


def image(path: Path, value: int = 90, size: tuple[int, int] = (SIDE, SIDE)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value,) * 3).save(path)


def mask(path: Path, label: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros((SIDE, SIDE), np.uint8)
    array[5:15, 5:15] = label
    Image.fromarray(array).save(path)


def folders(root: Path) -> None:
    for split in ("train", "val"):
        image(root / split / "images" / "a.png")
        mask(root / split / "labels" / "a.png")


def camvid(root: Path) -> None:
    for split in ("train", "val"):
        image(root / split / "a.png")
        mask(root / f"{split}annot" / "a.png")


def cityscapes(root: Path) -> None:
    for split in ("train", "val"):
        image(root / "leftImg8bit" / split / "ulm" / "ulm_1_leftImg8bit.png")
        mask(root / "gtFine" / split / "ulm" / "ulm_1_gtFine_labelIds.png", 7)


def voc(root: Path) -> None:
    for name in NAMES:
        image(root / "JPEGImages" / f"{name}.jpg")
        for folder, label in (("SegmentationClass", 8), ("SegmentationObject", 1)):
            mask(root / folder / f"{name}.png", label)


def coco(root: Path) -> None:
    square = [5, 5, 15, 5, 15, 15, 5, 15]
    images = [{"id": i, "file_name": f"{name}.jpg"} for i, name in enumerate(NAMES)]
    objects = [{"id": i, "image_id": i, "category_id": 1, "segmentation": [square]} for i in range(len(NAMES))]
    for name in NAMES:
        image(root / "images" / f"{name}.jpg")
    content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "cow"}]}
    (root / "instances_all.json").write_text(json.dumps(content))


def labelme(root: Path) -> None:
    for name in NAMES:
        image(root / f"{name}.png")
        shape = {"label": "cow", "points": [[5, 5], [15, 15]], "shape_type": "rectangle", "group_id": None, "flags": {}}
        data = {"version": "5", "flags": {}, "shapes": [shape], "imagePath": f"{name}.png", "imageData": None}
        size = {"imageHeight": SIDE, "imageWidth": SIDE}
        (root / f"{name}.json").write_text(json.dumps(data | size))


def class_folders(root: Path) -> None:
    for split in ("train", "val"):
        for name in ("cow", "hen"):
            image(root / split / name / "1.png")


def idx(root: Path) -> None:
    for part in ("train", "val"):
        pixels = bytes(range(200)) + bytes(SIDE * SIDE * 8 - 200)
        (root / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">I3I", 0x803, 8, SIDE, SIDE) + pixels)
        (root / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 8) + bytes((3, 1) * 4))


def karpathy(root: Path) -> None:
    entries = []
    for name in NAMES:
        image(root / f"{name}.png")
        entries.append({"filename": f"{name}.png", "split": "val" if name == "d" else "train"})
        entries[-1]["sentences"] = [{"raw": "A cow."}]  # type: ignore[assignment]
    (root / "dataset_flickr8k.json").write_text(json.dumps({"images": entries}))


def flickr(root: Path) -> None:
    for name in NAMES:
        image(root / f"{name}.png")
    (root / "x.token.txt").write_text("".join(f"{name}.png#0\tA cow.\n" for name in NAMES))


def coco_captions(root: Path) -> None:
    for name in NAMES:
        image(root / f"{name}.png")
    images = [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate(NAMES)]
    captions = [{"id": i, "image_id": i, "caption": "A cow."} for i in range(len(NAMES))]
    (root / "captions_all.json").write_text(json.dumps({"images": images, "annotations": captions}))


def caption_table(root: Path) -> None:
    for name in NAMES:
        image(root / f"{name}.png")
    (root / "t.csv").write_text("image,caption\n" + "".join(f"{name}.png,A cow.\n" for name in NAMES))


def question_table(root: Path) -> None:
    for name in NAMES:
        image(root / f"{name}.png")
    (root / "qa.tsv").write_text("".join(f"{name}.png\tis it red\tno\n" for name in NAMES))


def vqa(root: Path) -> None:
    asked = [{"question_id": i, "image_id": i, "question": "Is it red?"} for i in range(len(NAMES))]
    given = [{"question_id": i, "image_id": i, "answers": [{"answer": "no"}] * 10} for i in range(len(NAMES))]
    for i in range(len(NAMES)):
        image(root / f"COCO_train2014_{i:012d}.png")
    (root / "OpenEnded_mscoco_train2014_questions.json").write_text(json.dumps({"questions": asked}))
    (root / "mscoco_train2014_annotations.json").write_text(json.dumps({"annotations": given}))


def masks_beside(root: Path) -> None:
    for split in ("train", "val"):
        image(root / split / "a.jpg")
        mask(root / split / "a_mask.png")


def sample_folders(root: Path) -> None:
    for name in NAMES:
        image(root / name / "images" / f"{name}.png")
        mask(root / name / "masks" / "1.png", 255)


def yolo(root: Path) -> None:
    for name in NAMES:
        image(root / "images" / f"{name}.png")
        (root / "labels").mkdir(exist_ok=True)
        (root / "labels" / f"{name}.txt").write_text("0 0.2 0.2 0.6 0.2 0.6 0.6 0.2 0.6\n")


def cvat(root: Path) -> None:
    nodes = ""
    for k, name in enumerate(NAMES):
        image(root / "images" / f"{name}.png")
        shape = '<polygon label="cow" points="5,5;15,5;15,15;5,15" z_order="0"/>'
        nodes += f'<image id="{k}" name="{name}.png" width="{SIDE}" height="{SIDE}">{shape}</image>'
    (root / "annotations.xml").write_text(f"<annotations><version>1.1</version>{nodes}</annotations>")


def label_studio(root: Path) -> None:
    tasks = []
    for k, name in enumerate(NAMES):
        image(root / "images" / f"{name}.png")
        value = {"points": [[20, 20], [60, 20], [60, 60], [20, 60]], "polygonlabels": ["cow"]}
        region = {"type": "polygonlabels", "original_width": SIDE, "original_height": SIDE, "value": value}
        tasks.append({"id": k, "data": {"image": f"/data/{name}.png"}, "annotations": [{"result": [region]}]})
    (root / "project.json").write_text(json.dumps(tasks))


def picture_folder(root: Path) -> None:
    for name in NAMES:
        image(root / f"{name}.png")


def tone(path: Path, pitch: int) -> None:
    samples = 9000 * np.sin(np.arange(2400) * pitch * 2 * np.pi / 8000)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())


def speech_table(root: Path) -> None:
    for i, name in enumerate(NAMES):
        tone(root / "audio" / f"{name}.wav", 300 + 100 * i)
    (root / "transcripts.tsv").write_text("".join(f"{name}.wav\ts{i % 2}\tcow\n" for i, name in enumerate(NAMES)))


def speech_files(root: Path) -> None:
    for name in NAMES:
        tone(root / f"{name}.wav", 300)
        (root / f"{name}.txt").write_text("A cow.")


def speech_corpus(root: Path) -> None:
    for i, name in enumerate(NAMES):
        tone(root / "wav48" / f"p{i % 3}" / f"{name}.wav", 300 + 100 * i)
        (root / "txt" / f"p{i % 3}").mkdir(parents=True, exist_ok=True)
        (root / "txt" / f"p{i % 3}" / f"{name}.txt").write_text("A cow.")


def kaldi(root: Path) -> None:
    for name in NAMES:
        tone(root / f"{name}.wav", 300)
    (root / "wav.scp").write_text("".join(f"{name} {name}.wav\n" for name in NAMES))
    (root / "text").write_text("".join(f"{name} A COW\n" for name in NAMES))


def video_table(root: Path) -> None:
    for i, name in enumerate(NAMES):
        image(root / name / "frame1.png", 40 * i)
        image(root / name / "frame2.png", 40 * i + 20)
    (root / "captions.csv").write_text("video,caption\n" + "".join(f"{name},a cow\n" for name in NAMES))


def video_features(root: Path) -> None:
    np.savez(root / "features.npz", features=np.zeros((6, 3, 2), np.float16), label=np.repeat([0, 1], 3))
    (root / "classes.txt").write_text("a\nb\n")


STROKE = [[0, 0, 0], [2, 1, 0], [4, 0, 1], [5, 5, 1]]


def stroke_json(root: Path) -> None:
    (root / "words.json").write_text(json.dumps([{"text": f"w{i}", "points": STROKE} for i in range(3)]))


def stroke_npz(root: Path) -> None:
    data = np.array(STROKE * 3, np.int32)
    np.savez(root / "words.npz", data=data, offsets=np.arange(4) * 4, text=np.array(["a", "b", "c"]))


def quick_draw(root: Path) -> None:
    line = json.dumps({"word": "cow", "drawing": [[[0, 2, 4], [0, 1, 0]], [[5, 6], [5, 5]]]})
    (root / "cow.ndjson").write_text(f"{line}\n" * 3)


def inkml(root: Path) -> None:
    for name in NAMES:
        trace = '<annotation type="truth">a</annotation><trace>0 0, 2 1</trace>'
        (root / f"{name}.inkml").write_text(f"<ink>{trace}</ink>")


def iam_ondb(root: Path) -> None:
    (root / "lineStrokes").mkdir()
    (root / "ascii").mkdir()
    (root / "ascii/a01-000u.txt").write_text("CSR:\n\none\ntwo\nthree\n")
    points = '<Point x="0" y="0"/><Point x="2" y="1"/>'
    for line in (1, 2, 3):
        (root / f"lineStrokes/a01-000u-0{line}.xml").write_text(f"<a><Stroke>{points}</Stroke></a>")


def parallel_text(root: Path) -> None:
    for split, count in (("train", 3), ("val", 2)):
        for language, word in (("de", "Kuh"), ("en", "cow")):
            (root / f"{split}.{language}").write_text("".join(f"{word} {i}\n" for i in range(count)))


# Writes a small data set; None for generated data without files.
FILES: dict[str, Callable[[Path], None] | None] = {
    "folders": folders, "camvid": camvid, "cityscapes": cityscapes, "voc": voc, "coco": coco, "labelme": labelme,
    "class_folders": class_folders, "idx": idx, "distorted_mnist": idx, "common_digits": idx, "karpathy": karpathy,
    "flickr": flickr, "coco_captions": coco_captions, "caption_table": caption_table, "pasture": None,
    "parallel_text": parallel_text, "question_table": question_table, "vqa": vqa, "spatial_questions": None,
    "speech_table": speech_table, "speech_files": speech_files, "speech_corpus": speech_corpus, "kaldi": kaldi,
    "word_strings": speech_table,
    "masks_beside": masks_beside, "sample_folders": sample_folders, "picture_folder": picture_folder,
    "cluttered_digits": idx, "stroke_json": stroke_json, "stroke_npz": stroke_npz, "inkml": inkml,
    "quick_draw": quick_draw,
    "iam_ondb": iam_ondb, "stroke_letters": None, "video_table": video_table, "video_features": video_features,
    "yolo": yolo, "cvat": cvat, "label_studio": label_studio, "folds": voc,
}  # fmt: skip
# Fields that make generated data small.
FIELDS: dict[str, dict[str, Any]] = {
    "pasture": {"height": 32, "width": 40, "train": 8, "val": 6, "test": 0},
    "spatial_questions": {"train": 6, "val": 2, "test": 0},
    "word_strings": {"train": 6, "val": 2},
    "stroke_letters": {"train": 4, "val": 2, "test": 0},
    "folds": {"folds": 2, "family": "semantic"},
}
# The tensors and values that a sample of a family holds besides 'image' and 'name'.
KEYS = {
    "semantic": {"mask"}, "instances": {"layers", "labels", "crowd"}, "classification": {"label"},
    "captioning": {"captions"}, "colocalisation": {"boxes", "labels"},
    "questions": {"question", "answers", "question_kind"}, "drawing": set(), "speech": {"transcript"},
    "handwriting": {"strokes", "transcript"}, "translation": {"sentence", "reference"},
    "video": {"video", "captions"},
}  # fmt: skip
WITHOUT_IMAGE = {"handwriting", "speech", "translation", "video"}


def equal(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


@pytest.fixture(params=sorted(FILES))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> DataSource:
    cls, write = find("dataset", request.param).load(), FILES[request.param]
    if write is None:
        return cls(**FIELDS[request.param])  # type: ignore[no-any-return]
    write(tmp_path)
    return cls(str(tmp_path), **FIELDS.get(request.param, {}))  # type: ignore[no-any-return]


def test_every_registered_source_is_tested() -> None:
    assert set(FILES) == set(entries("dataset"))


@pytest.mark.parametrize("name", entries("dataset"))
def test_it_derives_from_the_base_and_serves_a_family(name: str) -> None:
    cls = find("dataset", name).load()
    assert issubclass(cls, DataSource)
    assert isinstance(cls.tasks, tuple) and cls.tasks and len(set(cls.tasks)) == len(cls.tasks)
    assert set(cls.tasks) <= set(KEYS)


def test_each_family_gives_its_samples_in_every_split(source: DataSource) -> None:
    assert source.splits()[:2] == ("train", "val")
    for task in source.tasks:
        assert source.problems(task) == []
        assert source.describe(task) and "\n" not in source.describe(task)
        assert json.dumps(source.remarks(task))
        for split in source.splits():
            if task == "instances" and isinstance(source, MaskSource):  # the masks here hold classes
                with pytest.raises(DataError, match="the masks hold classes"):
                    source.open(split, task)
                continue
            dataset = source.open(split, task)
            sample = dataset[0]
            assert sample.keys() >= {"name"} | KEYS[task] and len(dataset) > 0
            assert sample["name"] == dataset.name(0)
            if task == "speech":
                assert sample["audio"].rate == dataset.rate and dataset.transcript(0) == sample["transcript"]
            if task in WITHOUT_IMAGE:
                continue
            assert sample["image"].shape[0] == dataset.channels > 0
            if task not in ("captioning", "questions") and not source.unlabelled:
                assert isinstance(dataset.classes, ClassTable)


def test_without_a_family_it_is_the_first(source: DataSource) -> None:
    first = source.tasks[0]
    assert source.describe() == source.describe(first)
    for method in (source.open, source.readable):
        default, named = method("train"), method("train", first)
        assert type(default) is type(named) and len(default) == len(named)
        for index in range(len(named)):
            one, other = default[index], named[index]
            assert one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    "source", ["voc", "coco", "labelme", "cvat", "label_studio", "yolo", "sample_folders", "pasture"], indirect=True
)
def test_instances_are_those_of_the_semantic_data_set(source: DataSource) -> None:
    objects, labels = source.open("train", "instances"), source.open("train", "semantic")
    assert (len(objects), objects.channels) == (len(labels), labels.channels)
    assert sum(len(objects[i]["labels"]) for i in range(len(objects))) > 0
    things, everything = objects.classes.names, labels.classes.names
    assert things == tuple(name for name in everything if name in things) and "background" not in things
    for index in range(len(objects)):
        one, other = objects[index], labels.instances(index)
        assert equal(one["image"], other["image"]) and one["name"] == other["name"] and not one["crowd"].any()
        assert equal(unpack(one["layers"].as_subclass(torch.Tensor), len(one["labels"])), other["masks"])
        assert [things[k] for k in one["labels"]] == [everything[k] for k in other["labels"]]


def test_what_is_not_there_is_refused_in_words(source: DataSource) -> None:
    served = " and ".join(source.tasks)
    for method in (source.open, source.readable):
        with pytest.raises(ConfigError, match=f": data for {served}, but this model is for hearing"):
            method("train", "hearing")
    with pytest.raises(ConfigError, match="unknown split"):
        source.open("trian")


@pytest.mark.parametrize("name", [n for n, write in FILES.items() if write and n != "folds"])
def test_files_are_recognised_or_made_from(name: str, tmp_path: Path) -> None:
    """A reader is found by its files; generated data is never found, but takes the path of the files behind it."""
    write, cls = FILES[name], find("dataset", name).load()
    assert write is not None
    write(tmp_path)
    assert cls.near_miss(tmp_path / "gone") == "" and not cls.recognise(tmp_path / "gone")
    if cls.recognise(tmp_path):
        assert recognise(tmp_path, cls.tasks[0]) == cls(str(tmp_path))
        # A recipe may name its languages, or join clips.
        kept = {cls(str(tmp_path))} if name in ("parallel_text", "video_features") else {None}
        assert cls(str(tmp_path)).made_from(tmp_path) in kept
    else:
        assert cls().made_from(tmp_path) == cls(str(tmp_path))


def test_the_pasture_is_neither_recognised_nor_made_from_files(tmp_path: Path) -> None:
    pasture = find("dataset", "pasture").load()
    assert not pasture.recognise(tmp_path)
    assert pasture().made_from(tmp_path) is None
