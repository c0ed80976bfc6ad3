"""Masks are checked against pycocotools, which rasterises the same files on its own."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as reference
import pytest
import torch
from PIL import Image
from pycocotools import coco as pycoco

from foveate.datasets.coco import COCO
from foveate.datasets.objects import ObjectDataset
from foveate.engine.inspection import inspect
from foveate.engine.intensities import require_one_depth
from foveate.errors import ConfigError, DataError
from foveate.ops.mask_layers import unpack
from foveate.registry import find

HEIGHT, WIDTH = 60, 80
# Ids with gaps and out of order, as COCO's are.
CATEGORIES = [{"id": 7, "name": "train"}, {"id": 1, "name": "person"}, {"id": 90, "name": "toothbrush"}]
LABEL = {1: 1, 7: 2, 90: 3}


def blob(seed: int) -> np.ndarray:
    """(HEIGHT, WIDTH) uint8, some smooth shape."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    cy, cx = rng.uniform([15, 20], [45, 60])
    radius = rng.uniform(6, 18) * (1 + 0.3 * np.sin(3 * np.arctan2(y - cy, x - cx)))
    return (np.hypot(y - cy, x - cx) < radius).astype(np.uint8)


def polygon(seed: int, corners: int = 9) -> list[float]:
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radius, centre = rng.uniform(5, 25, corners), rng.uniform([15, 10], [65, 50])
    # Beyond the edges too, as annotators draw.
    return (centre + np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]).round(2).ravel().tolist()


def compressed(mask: np.ndarray) -> dict[str, Any]:
    """Run lengths as pycocotools writes them."""
    encoded = reference.encode(np.asfortranarray(mask))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def uncompressed(mask: np.ndarray) -> dict[str, Any]:
    """Run lengths down the columns, zeros first."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": [0, *runs] if flat[0] else runs}


def annotation(number: int, image: int, category: int, segmentation: Any, crowd: int = 0) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "iscrowd": crowd,
    }


def content(images: int = 4) -> dict[str, Any]:
    """Image i has polygons, both kinds of run lengths and a crowd; image 0 has nothing."""
    entries = []
    for i in range(1, images):
        entries += [
            annotation(100 * i + 1, i, 7, [polygon(10 * i), polygon(10 * i + 1, 3)]),
            annotation(100 * i + 2, i, 1, compressed(blob(10 * i + 2))),
            annotation(100 * i + 3, i, 90, [polygon(10 * i + 3)]),
            annotation(100 * i + 4, i, 1, uncompressed(blob(10 * i + 4)), crowd=1),
            annotation(100 * i + 5, i, 90, uncompressed(blob(10 * i + 5))),
        ]
    listed = [{"id": i, "file_name": f"{i:06d}.jpg", "height": HEIGHT, "width": WIDTH} for i in range(images)]
    return {"info": {}, "images": listed, "annotations": entries, "categories": CATEGORIES}


def write(root: Path, data: Any, name: str = "instances_train2017.json", pictures: str = "images") -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data))
    (root / pictures).mkdir(parents=True, exist_ok=True)
    for image in data["images"]:
        picture = np.full((HEIGHT, WIDTH, 3), 20 * image["id"], np.uint8)
        Image.fromarray(picture).save(root / pictures / image["file_name"])
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "coco", content())
    return tmp_path / "coco"


def samples(root: Path) -> dict[int, tuple[ObjectDataset, int]]:
    """Image id -> where it is."""
    source = COCO(str(root))
    opened = [source.open(split) for split in source.splits()]
    return {int(Path(d.name(i)).stem): (d, i) for d in opened for i in range(len(d))}


def changed(root: Path, number: int, **fields: Any) -> Path:
    """Change one annotation of the file."""
    file = root / "instances_train2017.json"
    data = json.loads(file.read_text())
    next(a for a in data["annotations"] if a["id"] == number).update(fields)
    file.write_text(json.dumps(data))
    return file


# Against pycocotools


@pytest.mark.parametrize("image", range(4))
def test_masks_equal_pycocotools_painted_by_the_stated_rule(root: Path, image: int) -> None:
    coco = pycoco.COCO(str(root / "instances_train2017.json"))
    single = [a for a in coco.loadAnns(coco.getAnnIds(image)) if not a["iscrowd"]]
    wanted = np.zeros((HEIGHT, WIDTH), np.uint8)
    for crowd in coco.loadAnns(coco.getAnnIds(image, iscrowd=True)):
        wanted[coco.annToMask(crowd) > 0] = 255
    for entry in sorted(single, key=lambda a: -int(coco.annToMask(a).sum())):
        wanted[coco.annToMask(entry) > 0] = LABEL[entry["category_id"]]
    dataset, index = samples(root)[image]
    sample = dataset[index]
    np.testing.assert_array_equal(sample["mask"].numpy(), wanted)
    assert sample["mask"].dtype == torch.uint8 and sample["image"].shape == (3, HEIGHT, WIDTH)
    assert set(np.unique(wanted)) == ({0, 1, 2, 3, 255} if image else {0})


@pytest.mark.parametrize("image", range(4))
def test_objects_equal_pycocotools(root: Path, image: int) -> None:
    coco = pycoco.COCO(str(root / "instances_train2017.json"))
    single = [a for a in coco.loadAnns(coco.getAnnIds(image)) if not a["iscrowd"]]
    dataset, index = samples(root)[image]
    found = dataset.instances(index)
    assert found["labels"].tolist() == [LABEL[a["category_id"]] for a in single]
    assert found["masks"].shape == (len(single), HEIGHT, WIDTH) and found["boxes"].shape == (len(single), 4)
    for entry, mask, box in zip(single, found["masks"], found["boxes"], strict=True):
        np.testing.assert_array_equal(mask.numpy(), coco.annToMask(entry))
        left, top, width, height = reference.toBbox(reference.encode(np.asfortranarray(coco.annToMask(entry))))
        assert box.tolist() == [left, top, left + width, top + height]


@pytest.mark.parametrize("image", range(4))
def test_crowds_are_marked(root: Path, image: int) -> None:
    """In the order of the file, each with its class and its own pixels."""
    coco = pycoco.COCO(str(root / "instances_train2017.json"))
    entries = coco.loadAnns(coco.getAnnIds(image))
    source = COCO(str(root))
    opened = [source.open(split, "instances") for split in source.splits()]
    (sample,) = [d[i] for d in opened for i in range(len(d)) if int(Path(d.name(i)).stem) == image]
    assert sample["crowd"].tolist() == [bool(a["iscrowd"]) for a in entries]
    assert int(sample["crowd"].sum()) == (image > 0)
    assert sample["labels"].tolist() == [LABEL[a["category_id"]] - 1 for a in entries]
    for mask, entry in zip(unpack(sample["layers"].as_subclass(torch.Tensor), len(entries)), entries, strict=True):
        np.testing.assert_array_equal(mask.numpy(), coco.annToMask(entry))


def test_many_polygons_equal_pycocotools(tmp_path: Path) -> None:
    entries = [annotation(k, k % 2, 1, [polygon(1000 + k, 3 + k % 12)]) for k in range(300)]
    data = content(2) | {"annotations": entries}
    write(tmp_path, data)
    coco = pycoco.COCO(str(tmp_path / "instances_train2017.json"))
    for image, (dataset, index) in samples(tmp_path).items():
        masks = [coco.annToMask(a) for a in coco.loadAnns(coco.getAnnIds(image))]
        wanted = np.stack([m for m in masks if m.any()])
        np.testing.assert_array_equal(dataset.instances(index)["masks"].numpy(), wanted)


# The painting rule, by hand


def square(left: int, top: int, size: int) -> list[list[float]]:
    return [[left, top, left + size, top, left + size, top + size, left, top + size]]


@pytest.mark.parametrize("backwards", [False, True])
def test_smaller_over_larger_over_crowd_in_any_order(tmp_path: Path, backwards: bool) -> None:
    entries = [
        annotation(1, 1, 1, square(10, 10, 30)),
        annotation(2, 1, 7, square(20, 20, 10)),
        annotation(3, 1, 90, square(0, 0, 50), crowd=1),
        annotation(4, 1, 90, square(24, 24, 2), crowd=1),  # a crowd lies beneath however small it is
    ]
    write(tmp_path, content(2) | {"annotations": entries[::-1] if backwards else entries})
    dataset, index = samples(tmp_path)[1]
    wanted = np.zeros((HEIGHT, WIDTH), np.uint8)
    wanted[:50, :50], wanted[10:40, 10:40], wanted[20:30, 20:30] = 255, 1, 2
    np.testing.assert_array_equal(dataset[index]["mask"].numpy(), wanted)


def test_of_equal_sizes_the_later_lies_on_top(tmp_path: Path) -> None:
    entries = [annotation(1, 1, 1, square(10, 10, 10)), annotation(2, 1, 7, square(15, 10, 10))]
    write(tmp_path, content(2) | {"annotations": entries})
    dataset, index = samples(tmp_path)[1]
    assert dataset[index]["mask"][12].tolist() == [0] * 10 + [1] * 5 + [2] * 10 + [0] * 55


# Layout, splits and classes


def test_describe_and_recognise(root: Path) -> None:
    assert COCO.recognise(root) and not COCO.recognise(root.parent)
    assert find("dataset", "coco").load() is COCO
    assert COCO(str(root)).describe() == (
        "COCO instances (instances_train2017.json): 3 train, 1 val pictures (split drawn from seed 0), 4 classes (0 is "
        "background, then the categories by id; smaller objects over larger), ignore 255 (crowds)"
    )
    dataset = COCO(str(root)).open("train")
    assert dataset.classes.names == ("background", "person", "train", "toothbrush")
    assert dataset.classes.ignore_index == 255 and dataset.channels == 3


def test_splits_from_file_names_and_the_latest_year(tmp_path: Path) -> None:
    for name, images in (("train2017", 3), ("val2017", 2), ("train2014", 4)):
        write(tmp_path, content(images), f"annotations/instances_{name}.json", name)
    source = COCO(str(tmp_path))
    assert source.splits() == ("train", "val")
    assert [len(source.open(s)) for s in source.splits()] == [3, 2]
    assert source.open("val").pairs[0].picture == tmp_path / "val2017" / "000000.jpg"
    assert not (tmp_path / "splits.json").exists()
    older = COCO(str(tmp_path), year="2014")
    assert sum(len(older.open(s)) for s in older.splits()) == 4
    with pytest.raises(ConfigError, match=r"unknown year '2015'; the nearest is '201"):
        COCO(str(tmp_path), year="2015").splits()


@pytest.mark.parametrize("pictures", ["images/default", "default", "images", ".", "annotations"])
def test_where_pictures_may_lie(tmp_path: Path, pictures: str) -> None:
    write(tmp_path, content(), "annotations/instances_default.json", pictures)
    assert sorted(samples(tmp_path)) == [0, 1, 2, 3]


def test_unlisted_pictures_are_left_out_and_said(root: Path) -> None:
    Image.new("RGB", (5, 5)).save(root / "images" / "extra.png")
    assert "; 1 picture in no file and left out," in COCO(str(root)).describe()
    assert len(samples(root)) == 4


def test_a_category_called_background_is_class_0(tmp_path: Path) -> None:
    categories = [{"id": 0, "name": "background"}, *CATEGORIES]
    entries = [annotation(1, 1, 1, square(10, 10, 30)), annotation(2, 1, 0, square(20, 20, 10))]
    write(tmp_path, content(2) | {"categories": categories, "annotations": entries})
    dataset, index = samples(tmp_path)[1]
    assert dataset.classes.names == ("background", "person", "train", "toothbrush")
    assert dataset[index]["mask"][25, 25] == 0 and dataset[index]["mask"][15, 15] == 1
    assert dataset.instances(index)["labels"].tolist() == [1]


def test_more_classes_than_a_byte_holds(tmp_path: Path) -> None:
    categories = [{"id": k, "name": f"thing {k}"} for k in range(300)]
    write(tmp_path, content(2) | {"categories": categories, "annotations": [annotation(1, 1, 299, square(1, 1, 9))]})
    dataset, index = samples(tmp_path)[1]
    mask = dataset[index]["mask"]
    assert dataset.classes.ignore_index == 65535 and mask.dtype == torch.int32 and mask[5, 5] == 300


def test_workers_receive_the_dataset(root: Path) -> None:
    dataset, index = samples(root)[1]
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[index]["mask"], dataset[index]["mask"])


# Bad input


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_id": 77}, "annotation 101: image_id 77 is not an image of the file"),
        ({"category_id": 2}, "annotation 101: category_id 2 is not a category of the file"),
        ({"image_id": [1]}, "annotation 101 has no image_id"),
        ({"segmentation": []}, "annotation 101: the segmentation is empty; expected polygons or run lengths"),
        ({"segmentation": None}, "annotation 101: the segmentation is empty; expected polygons or run lengths"),
        ({"segmentation": [[1, 2, 3, 4]]}, "annotation 101: ill-formed segmentation; expected lists [x1, y1, x2"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "annotation 101: ill-formed segmentation"),
        ({"segmentation": [[1, 2, 3, 4, 5, "6"]]}, "annotation 101: ill-formed segmentation"),
        ({"segmentation": [[1, 2, 3, 4, 5, float("nan")]]}, "annotation 101: ill-formed segmentation"),
        ({"segmentation": [1, 2, 3, 4, 5, 6]}, "annotation 101: ill-formed segmentation"),
        ({"segmentation": {"counts": [1, 2]}}, "annotation 101: ill-formed segmentation"),
        ({"segmentation": "everything"}, "annotation 101: ill-formed segmentation"),
        ({"iscrowd": "no"}, "annotation 101: iscrowd is 'no'; expected 0 or 1"),
        ({"iscrowd": 2}, "annotation 101: iscrowd is 2; expected 0 or 1"),
        ({"iscrowd": [1]}, "annotation 101: iscrowd is [1]; expected 0 or 1"),
    ],
)
def test_annotations_that_point_nowhere_or_are_ill_formed(root: Path, fields: dict[str, Any], message: str) -> None:
    file = changed(root, 101, **fields)
    with pytest.raises(DataError) as caught:
        COCO(str(root)).open("train")
    assert str(caught.value).startswith(f"{file}: {message}") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [HEIGHT, WIDTH], "counts": [5, 10]}, "ill-formed run lengths"),
        ({"size": [HEIGHT, WIDTH], "counts": [5, 10**12]}, "ill-formed run lengths"),
        ({"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH + 5, -5]}, "ill-formed run lengths"),
        ({"size": [HEIGHT, WIDTH], "counts": ["a"]}, "ill-formed run lengths"),
        ({"size": [HEIGHT, WIDTH], "counts": "~~~"}, "ill-formed run lengths"),
        ({"size": [HEIGHT, WIDTH], "counts": "PPPPPPPPPPPPPPPPPP"}, "ill-formed run lengths"),
        ({"size": [HEIGHT, WIDTH], "counts": "\u20ac"}, "ill-formed run lengths"),
        ({"size": [WIDTH, HEIGHT], "counts": [HEIGHT * WIDTH]}, "run lengths of size [80, 60], expected [60, 80]"),
        ([[0, 0, 1e12, 0, 5, 5]], "a polygon runs far outside the picture of 80x60"),
        ([[0.1, 0.1, 0.5, 0.1, 0.5, 1]], "all coordinates lie in 0..1 and look like shares of the size of the picture"),
        ([[80, 10, 90, 10, 90, 20]], "no part of it lies inside the picture of 80x60; correct it, or remove it"),
        ([[10, -9, 20, -9, 20, 0], [10, -20, 20, -20, 20, -10]], "no part of it lies inside the picture of 80x60"),
    ],
)
def test_segmentations_that_do_not_fit_the_picture(root: Path, segmentation: Any, message: str) -> None:
    file = changed(root, 101, segmentation=segmentation)
    dataset, index = samples(root)[1]
    for read in (dataset.__getitem__, dataset.instances):
        with pytest.raises(DataError) as caught:
            read(index)
        assert str(caught.value).startswith(f"{file}: annotation 101: {message}")


def test_outlines_that_reach_beyond_the_picture_are_cut_off(root: Path) -> None:
    changed(root, 101, segmentation=[[70, 50, 90, 50, 90, 70, 70, 70]])
    dataset, index = samples(root)[1]
    objects = dataset.instances(index)
    mask = np.asarray(objects["masks"][0])
    assert mask.sum() == 100 and mask[50:, 70:].all() and objects["boxes"][0].tolist() == [70, 50, 80, 60]


def test_boxes_elsewhere_than_their_outlines_are_said(root: Path) -> None:
    """The outlines decide. A box that meets its outline is not remarked, however loosely it fits."""
    square = [[10, 10, 30, 10, 30, 30, 10, 30]]
    changed(root, 101, segmentation=square, bbox=[31, 31, 5, 5])
    changed(root, 103, segmentation=square, bbox=[0, 0, 60, 60])
    changed(root, 201, segmentation=square, bbox=[30, 30, -20, 20])
    changed(root, 203, segmentation=square, bbox=[10, 10, None, 20])
    (note,) = [note for note in COCO(str(root)).scan.notes if "box" in note]
    assert note == (
        "3 boxes do not meet their outlines (annotation 101 of instances_train2017.json, annotation 201 of "
        "instances_train2017.json, annotation 203 of instances_train2017.json); outlines are used, and no boxes"
    )
    dataset, index = samples(root)[1]
    assert np.asarray(dataset.instances(index)["masks"][0]).sum() == 400


def test_outlines_without_a_pixel_are_said(root: Path) -> None:
    changed(root, 101, segmentation=[[10, 10, 20, 20, 30, 30]])
    found = inspect(COCO(str(root)), "instances")
    assert found.notes == {"an outline covers no pixel, and is left out; draw it again, or remove it": ["000001.jpg"]}
    assert not any("outline" in note for note in inspect(COCO(str(root)), "semantic").notes)


def test_outlines_on_a_line_are_said_for_label_maps_too(root: Path) -> None:
    changed(root, 101, segmentation=[[10, 10, 20, 20, 30, 30]])
    changed(root, 103, segmentation=[[5, 5, 5, 5, 5, 5], [1, 7, 9, 7, 5, 7]])
    changed(root, 201, segmentation=[[5, 5, 5, 5, 5, 5], [1, 7, 9, 7, 5, 9]])
    (note,) = [note for note in COCO(str(root)).scan.notes if "outline" in note]
    assert note == (
        "2 outlines lie on a line or point and so have no pixel (annotation 101 of instances_train2017.json, "
        "annotation 103 of instances_train2017.json); draw again, or remove"
    )


@pytest.mark.parametrize(("crowd", "label"), [("0", 1), ("1", 255), (False, 1), (True, 255), (0.0, 1), (None, 1)])
def test_crowds_of_any_json_type(tmp_path: Path, crowd: Any, label: int) -> None:
    data = content(2)
    data["annotations"] = [annotation(k, k, 1, square(10, 20, 5)) | {"iscrowd": crowd} for k in (0, 1)]
    source = COCO(str(write(tmp_path, data).parent))
    mask = source.open("train")[0]["mask"].numpy()
    assert (mask[20:25, 10:15] == label).all() and np.count_nonzero(mask) == 25


def test_the_first_pixels_corners_are_no_shares(tmp_path: Path) -> None:
    data = content(2)
    data["annotations"] = [annotation(k, k, 1, square(0, 0, 1)) for k in (0, 1)]
    mask = COCO(str(write(tmp_path, data).parent)).open("train")[0]["mask"]
    assert mask[0, 0] == 1 and mask.sum() == 1


def test_objects_of_pictures_of_several_depths_are_refused(root: Path) -> None:
    data = content()
    data["images"][1]["file_name"] = "deep.png"
    write(root, data)
    Image.fromarray(np.full((HEIGHT, WIDTH), 3000, np.uint16)).save(root / "images" / "deep.png")
    source = COCO(str(root))
    with pytest.raises(DataError, match=r"several depths: .*1 picture \(deep\.png\) with more than 8 bits"):
        require_one_depth([source.open(split, "instances") for split in source.splits()], "auto")


def test_instances_are_described_as_objects(root: Path) -> None:
    told = COCO(str(root)).describe("instances")
    assert told.endswith("3 classes (the categories by id; objects that overlap keep all of their pixels)")


def test_malformed_json(root: Path) -> None:
    file = root / "instances_train2017.json"
    file.write_text('{"images": [],\n "annotations": [}')
    with pytest.raises(DataError, match=r"instances_train2017\.json: malformed JSON at line 2, column 18 \(Expecting"):
        COCO(str(root)).splits()
    for wrong in ("[]", '{"images": [], "annotations": {}}'):
        file.write_text(wrong)
        with pytest.raises(DataError, match=r"instances_train2017\.json: no list '(images|annotations)'"):
            COCO(str(root)).splits()


def test_missing_pictures(root: Path) -> None:
    (root / "images" / "000002.jpg").unlink()
    with pytest.raises(DataError, match=r"000002\.jpg: no such picture, but instances_train2017\.json lists it"):
        COCO(str(root)).open("train")
    for picture in (root / "images").iterdir():
        picture.unlink()
    with pytest.raises(DataError, match=r"train2017\.json: none of its 4 pictures \(000000\.jpg, \.\.\.\) is in"):
        COCO(str(root)).splits()


def test_a_picture_outside_of_the_folder_is_refused(root: Path) -> None:
    data = content()
    data["images"][2]["file_name"] = "../../secret.jpg"
    Image.new("RGB", (WIDTH, HEIGHT)).save(root.parent / "secret.jpg")
    (root / "instances_train2017.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"image 2: file_name '\.\./\.\./secret\.jpg' climbs out of its folder"):
        COCO(str(root)).open("train")


def test_a_picture_of_another_size(root: Path) -> None:
    Image.new("RGB", (HEIGHT, WIDTH)).save(root / "images" / "000001.jpg")
    dataset, index = samples(root)[1]
    with pytest.raises(DataError, match=r"000001\.jpg: the picture is 60x80, but .*2017\.json says 80x60"):
        dataset[index]


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([], "no categories"),
        ([{"id": 1}], "expected an integer id and a name"),
        ([{"id": "one", "name": "cow"}], "expected an integer id and a name"),
        ([*CATEGORIES, {"id": 8, "name": "person"}], "category 8 'person' occurs twice"),
    ],
)
def test_bad_categories(root: Path, categories: list[dict[str, Any]], message: str) -> None:
    (root / "instances_train2017.json").write_text(json.dumps(content() | {"categories": categories}))
    with pytest.raises(DataError, match=message):
        COCO(str(root)).splits()


def test_splits_with_other_categories(root: Path) -> None:
    write(root, content() | {"annotations": [], "categories": CATEGORIES[:2]}, "instances_val2017.json")
    with pytest.raises(DataError, match=r"instances_val2017\.json: other categories than in .*train2017\.json"):
        COCO(str(root)).splits()


def test_two_images_of_one_id(root: Path) -> None:
    data = content()
    data["images"][3]["id"] = 2
    (root / "instances_train2017.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match="two images have the id 2"):
        COCO(str(root)).open("train")
