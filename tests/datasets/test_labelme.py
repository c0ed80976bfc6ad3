"""The files under tests/data/labelme were written and painted by labelme itself (see make.py there)."""

from __future__ import annotations

import base64
import io
import json
import pickle
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.labelme import LabelMe
from foveate.datasets.objects import ObjectDataset
from foveate.engine.inspection import inspect
from foveate.errors import DataError
from foveate.registry import find

DATA = Path(__file__).parents[1] / "data" / "labelme"
STEMS = ["embedded", "every_kind", "few", "nothing"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA / "set", tmp_path / "set"))


def samples(folder: Path) -> dict[str, tuple[ObjectDataset, int]]:
    """Picture stem -> where it is."""
    source = LabelMe(str(folder))
    opened = [source.open(split) for split in source.splits()]
    return {Path(d.name(i)).stem: (d, i) for d in opened for i in range(len(d))}


def expected(stem: str, what: str) -> np.ndarray:
    return np.array(Image.open(DATA / "expected" / f"{stem}_{what}.png"))


def edit(file: Path, **fields: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def edit_shape(file: Path, number: int, **fields: object) -> None:
    data = json.loads(file.read_text())
    data["shapes"][number - 1].update(fields)
    file.write_text(json.dumps(data))


# Against labelme


@pytest.mark.parametrize("stem", STEMS)
def test_masks_are_labelmes_own_to_the_pixel(folder: Path, stem: str) -> None:
    dataset, index = samples(folder)[stem]
    mask = dataset[index]["mask"]
    assert mask.dtype == torch.uint8
    np.testing.assert_array_equal(mask.numpy(), expected(stem, "classes"))


@pytest.mark.parametrize("stem", STEMS)
def test_objects_are_labelmes_own_to_the_pixel(folder: Path, stem: str) -> None:
    dataset, index = samples(folder)[stem]
    classes, numbers = expected(stem, "classes"), expected(stem, "objects")
    wanted = [n for n in np.unique(numbers) if n and classes[numbers == n][0] not in (0, 255)]
    found = dataset.instances(index)
    assert len(found["labels"]) == len(wanted)
    for mask, label, box, number in zip(found["masks"], found["labels"], found["boxes"], wanted, strict=True):
        np.testing.assert_array_equal(mask.numpy(), numbers == number)
        assert label == classes[numbers == number][0]
        rows, columns = np.nonzero(numbers == number)
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_shapes_of_one_group_are_one_object(folder: Path) -> None:
    dataset, index = samples(folder)["every_kind"]
    found = dataset.instances(index)
    halves = found["masks"][2].numpy()  # after sky and grass
    assert halves[45, 20] and halves[46, 45] and not halves[45, 36]
    # 13 shapes: two are one cow, the ignored and the background one are none.
    assert found["labels"].tolist() == [4, 3, 1, 1, 1, 2, 2, 1, 1, 4]


def test_classes_are_the_labels_found(folder: Path) -> None:
    source = LabelMe(str(folder))
    assert source.open("train").classes.names == ("background", "cow", "fence", "grass", "sky")
    assert source.describe() == (
        "LabelMe JSON: 3 train, 1 val pictures (split drawn from seed 0, written to splits.json), 5 classes "
        "(no labels.txt, so every label found, in alphabetical order; pixels without a shape are class 0, background), "
        "ignore 255"
    )
    assert LabelMe.recognise(folder) and not LabelMe.recognise(folder.parent)
    assert find("dataset", "labelme").load() is LabelMe
    again = LabelMe(str(folder))
    assert "split as splits.json says" in again.describe()
    assert [p.picture for p in again.open("val").pairs] == [p.picture for p in source.open("val").pairs]


# Pictures


def test_referenced_and_embedded_pictures(folder: Path) -> None:
    found = samples(folder)
    for stem, file in (("few", folder / "few.jpg"), ("every_kind", folder / "every_kind.png")):
        dataset, index = found[stem]
        assert dataset.name(index) == file.name
        np.testing.assert_array_equal(dataset[index]["image"].permute(1, 2, 0).numpy(), np.array(Image.open(file)))
    dataset, index = found["embedded"]
    data = base64.b64decode(json.loads((folder / "embedded.json").read_text())["imageData"])
    np.testing.assert_array_equal(
        dataset[index]["image"].permute(1, 2, 0).numpy(), np.array(Image.open(io.BytesIO(data)))
    )
    dataset, index = found["nothing"]  # has an alpha channel
    assert dataset[index]["image"].shape == (3, 72, 96) and len(dataset.instances(index)["labels"]) == 0
    assert dataset.instances(index)["masks"].shape == (0, 72, 96) and dataset.instances(index)["boxes"].shape == (0, 4)


def test_workers_receive_the_dataset(folder: Path) -> None:
    dataset, index = samples(folder)["embedded"]
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[index]["mask"], dataset[index]["mask"])


def test_labels_beside_images_and_split_folders(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "annotations").mkdir(parents=True)
    (data / "images").mkdir()
    for stem, suffix in (("few", ".jpg"), ("every_kind", ".png")):
        shutil.copy(folder / f"{stem}.json", data / "annotations")
        shutil.copy(folder / f"{stem}{suffix}", data / "images")
        edit(data / "annotations" / f"{stem}.json", imagePath=f"..\\images\\{stem}{suffix}")  # as saved on Windows
    assert LabelMe.recognise(data)
    assert sorted(samples(data)) == ["every_kind", "few"]

    divided = tmp_path / "divided"
    for split, stem in (("train", "every_kind"), ("valid", "few")):
        (divided / split).mkdir(parents=True)
        for file in folder.glob(f"{stem}.*"):
            shutil.copy(file, divided / split)
    source = LabelMe(str(divided))
    assert source.splits() == ("train", "val")
    assert source.open("val").name(0) == "few.jpg"
    assert not (divided / "splits.json").exists()
    # Classes are those of all splits.
    assert source.open("val").classes == source.open("train").classes and len(source.open("val").classes) == 5


# Class lists


def test_labelmes_own_class_list(folder: Path) -> None:
    (folder / "labels.txt").write_text("__ignore__\n_background_\nsky\ngrass\ncow\nfence\nhorse\n")
    dataset, index = samples(folder)["every_kind"]
    assert dataset.classes.names == ("background", "sky", "grass", "cow", "fence", "horse")
    order = np.full(256, 255)
    order[:5] = [0, 3, 4, 2, 1]
    np.testing.assert_array_equal(dataset[index]["mask"].numpy(), order[expected("every_kind", "classes")])


@pytest.mark.parametrize("place", ["..", "lists"])
def test_a_class_list_one_level_up_or_down(folder: Path, place: str) -> None:
    (folder / place).mkdir(exist_ok=True)
    (folder / place / "labels.txt").write_text("__ignore__\n_background_\nhorse\nsky\ngrass\ncow\nfence\n")
    source = LabelMe(str(folder))
    assert source.open("train").classes.names == ("background", "horse", "sky", "grass", "cow", "fence")
    assert "from labels.txt" in source.describe()
    (folder / "classes.txt").write_text("fence\ncow\ngrass\nsky\n")  # wins, as everywhere
    assert LabelMe(str(folder)).open("train").classes.names == ("background", "fence", "cow", "grass", "sky")


def test_a_class_list_may_name_the_background_anywhere_or_nowhere(folder: Path) -> None:
    (folder / "classes.txt").write_text("sky #000010\ngrass #000020\ncow #000030\nfence #000040\nbackground #000050\n")
    dataset, index = samples(folder)["nothing"]
    assert (dataset[index]["mask"] == 4).all()
    assert "from classes.txt; pixels without a shape are class 4" in LabelMe(str(folder)).describe()
    (folder / "classes.txt").write_text("sky\ngrass\ncow\nfence\n")
    dataset, index = samples(folder)["nothing"]
    assert dataset.classes.names == ("background", "sky", "grass", "cow", "fence")
    assert (dataset[index]["mask"] == 0).all()


def test_a_label_outside_the_class_list(folder: Path) -> None:
    (folder / "labels.txt").write_text("sky\ngrass\ncows\nfence\n")
    with pytest.raises(DataError, match=r"embedded\.json: shape 2: unknown label .*'cow'; the nearest is 'cows'"):
        LabelMe(str(folder)).open("train")


def test_labels_outside_the_class_list_are_listed(tmp_path: Path) -> None:
    """`inspect` names every one of them, and reads the other files."""
    for i in range(6):
        photo(tmp_path / f"p{i}.png", i)
        labelled(tmp_path, f"p{i}", [("person" if i % 3 else "persn", i, i)])
    (tmp_path / "labels.txt").write_text("person\nchair\n")
    for task in ("semantic", "instances"):
        found = inspect(LabelMe(str(tmp_path)), task)
        expected = f"shape 1: unknown label (not in {tmp_path / 'labels.txt'}) 'persn'; the nearest is 'person'"
        assert [(p.file.name, p.what) for p in found.problems] == [("p0.json", expected), ("p3.json", expected)]
        assert found.counts.total() == 4
    (tmp_path / "labels.txt").write_text("table\nchair\n")
    with pytest.raises(DataError, match=r"p0\.json: shape 1: unknown label .*; and 3 more; add what is missing"):
        LabelMe(str(tmp_path)).open("train")


def test_a_label_in_two_spellings_is_noted(tmp_path: Path) -> None:
    for i in range(12):
        photo(tmp_path / f"p{i}.png", i)
        labelled(tmp_path, f"p{i}", [("persn" if i in (3, 7) else "person", 0, 1), ("lane1" if i else "lane2", 3, 4)])
    notes = recognise(tmp_path).notes()
    assert (
        "labels that may be one class, spelt in two ways: 'persn' (2 shapes, in p3.json, p7.json) beside 'person' "
        "(10); each is a class of its own: correct the files, or list the classes in labels.txt, and other labels are "
        "refused by name"
    ) in notes
    (tmp_path / "labels.txt").write_text("person\npersn\nlane1\nlane2\n")
    assert not any("spelt" in note for note in recognise(tmp_path).notes())


# Bad input


@pytest.mark.parametrize("name", ["../secret.png", "../set2/x.png", "a/../../secret.png", "/etc/x.png", "C:\\x.png"])
def test_a_picture_outside_of_the_folder_is_refused(folder: Path, name: str) -> None:
    shutil.copy(folder / "every_kind.png", folder.parent / "secret.png")
    edit(folder / "few.json", imagePath=name)
    with pytest.raises(DataError) as caught:
        LabelMe(str(folder)).open("train")
    assert str(caught.value).startswith(f"{folder / 'few.json'}: imagePath '{name}' leads out of the folder {folder};")
    assert "\n" not in str(caught.value)


def test_the_path_of_an_embedded_picture_is_only_a_name(folder: Path) -> None:
    edit(folder / "embedded.json", imagePath="../elsewhere/drawn.png")
    dataset, index = samples(folder)["drawn"]
    assert dataset[index]["name"] == "drawn.png"


def test_an_absolute_path_inside_is_fine(folder: Path) -> None:
    edit(folder / "few.json", imagePath=str(folder / "few.jpg"))
    assert "few" in samples(folder)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"points": [[1, 2], [3, 4]]}, r"shape 1 \('sky'\): a polygon of 2 points; expected 3 or more"),
        ({"shape_type": "circle", "points": [[1, 2]]}, r"a circle of 1 point; expected 2;"),
        ({"shape_type": "points"}, r"shape type 'points' is not supported; expected one of polygon, rectangle"),
        ({"points": "everywhere"}, r"shape 1 \('sky'\): points 'everywhere'; expected a list of \[x, y\]"),
        (
            {"points": [[1, float("nan")], [3, 4], [5, 6]]},
            r"a coordinate is not a finite number; expected x and y",
        ),
        ({"label": None}, r"few\.json: shape 1 has no label"),
        ({"group_id": [1]}, r"group_id \[1\]; expected a number or null"),
        ({"mask": "#"}, r"shape 1 \('sky'\): (not base64|a shape of type mask)"),
        ({"shape_type": "mask", "points": [[1, 2], [3, 4]]}, r"a shape of type mask needs 'mask'"),
    ],
)
def test_ill_formed_shapes(folder: Path, fields: dict[str, object], message: str) -> None:
    edit_shape(folder / "few.json", 1, **fields)
    with pytest.raises(DataError, match=message) as caught:
        LabelMe(str(folder)).open("train")
    assert str(folder / "few.json") in str(caught.value) and "\n" not in str(caught.value)


def test_shapes_that_do_not_fit_their_picture(folder: Path) -> None:
    edit_shape(folder / "few.json", 1, points=[[0, 0], [1e12, 0], [0, 5]])
    dataset, index = samples(folder)["few"]
    with pytest.raises(DataError, match=r"few\.json: shape 1 \('sky'\): runs far outside the picture of 96x72"):
        dataset[index]
    for points in ([[96, 0], [99, 0], [97, 5]], [[5, -9], [9, -9], [7, -1]]):
        edit_shape(folder / "few.json", 1, points=points)
        dataset, index = samples(folder)["few"]
        outside = (
            r"few\.json: shape 1 \('sky'\): no part of it lies inside the picture of 96x72; correct it, or remove it"
        )
        with pytest.raises(DataError, match=outside):
            dataset[index]
    for kind, points in (("polygon", [[0.1, 0.2], [0.9, 0.2], [1, 1]]), ("rectangle", [[0, 0.2], [1, 1]])):
        edit_shape(folder / "few.json", 1, points=points, shape_type=kind)
        dataset, index = samples(folder)["few"]
        shares = r"shape 1 \('sky'\): all coordinates lie in 0\.\.1 and look like shares of the size of .* 96x72"
        with pytest.raises(DataError, match=shares):
            dataset[index]
    edit_shape(folder / "every_kind.json", 11, points=[[70, 2], [85, 13]])
    dataset, index = samples(folder)["every_kind"]
    with pytest.raises(DataError, match=r"every_kind\.json: shape 11 \('sky'\): a mask of 15x12 in the box from"):
        dataset[index]


def test_a_size_other_than_stated(folder: Path) -> None:
    edit(folder / "few.json", imageWidth=100)
    dataset, index = samples(folder)["few"]
    with pytest.raises(DataError, match=r"few\.json: says 100x72, but its picture few\.jpg is 96x72"):
        dataset[index]


def test_damaged_embedded_pictures(folder: Path) -> None:
    whole = json.loads((folder / "embedded.json").read_text())["imageData"]
    for data, message in (("AAAA", "not a picture"), ("A", "not base64"), (whole[:200], "damaged|truncated|decoded")):
        edit(folder / "embedded.json", imageData=data)
        dataset, index = samples(folder)["embedded"]
        with pytest.raises(DataError, match=rf"embedded\.json: imageData: .*({message})"):
            dataset[index]


def test_files_without_a_partner_and_malformed_ones_are_all_named(folder: Path) -> None:
    (folder / "few.jpg").unlink()
    shutil.copy(folder / "every_kind.png", folder / "alone.png")
    (folder / "nothing.json").write_text('{"shapes": [],\n "imagePath": }')
    source = LabelMe(str(folder))
    assert [str(p) for p in source.scan.problems] == [
        f"{folder / 'few.json'}: its picture {folder / 'few.jpg'} does not exist",
        f"{folder / 'nothing.json'}: malformed JSON at line 2, column 15 (Expecting value); repair or remove it",
    ]
    assert source.scan.left_out == [folder / "alone.png"]
    with pytest.raises(DataError, match=r"few\.json: its picture .*; .*nothing\.json: malformed JSON at line 2"):
        source.open("train")


def test_one_malformed_file_is_named_even_if_nothing_else_is_left(folder: Path) -> None:
    for file in folder.iterdir():
        if file.stem != "few":
            file.unlink()
    (folder / "few.json").write_text('{"version": "6.3.1", "shapes": [')
    assert LabelMe.recognise(folder)
    with pytest.raises(DataError, match=r"few\.json: malformed JSON at line 1, column 33"):
        LabelMe(str(folder)).splits()
    (folder / "few.json").write_text('{"a": 1}')
    with pytest.raises(DataError, match=r"few\.json: no list 'shapes', so not a LabelMe file"):
        LabelMe(str(folder)).splits()


# MIT's XML

OBJECT = """<object><name>
{name}
</name><deleted>{deleted}</deleted><verified>0</verified><occluded>no</occluded><attributes></attributes><parts>
<hasparts></hasparts><ispartof></ispartof></parts><date>04-Mar-2013 19:18:51</date><id>{id}</id>{outline}</object>"""


def polygon(*points: tuple[int, int]) -> str:
    listing = "".join(f"<pt><x>\n{x}\n</x><y>\n{y}\n</y></pt>" for x, y in points)
    return f"<polygon><username>anonymous</username>{listing}</polygon>"


def write_xml(root: Path, name: str, objects: list[tuple[str, int, str]], size: tuple[int, int] = (20, 30)) -> Path:
    """A file as the web tool writes it, with its picture."""
    for folder in ("Annotations", "Images", "Masks"):
        (root / folder / "users" / "street").mkdir(parents=True, exist_ok=True)
    listing = "".join(
        OBJECT.format(name=n, deleted=deleted, id=i, outline=outline) for i, (n, deleted, outline) in enumerate(objects)
    )
    file = root / "Annotations" / "users" / "street" / f"{name}.xml"
    file.write_text(
        f"<annotation><filename>\n{name}.jpg\n</filename><folder>users/street</folder><source><sourceImage>MIT-CSAIL"
        f"</sourceImage></source>{listing}<imagesize><nrows>{size[0]}</nrows><ncols>{size[1]}</ncols></imagesize>"
        "</annotation>"
    )
    picture = np.full((20, 30, 3), 90, np.uint8)
    Image.fromarray(picture).save(root / "Images" / "users" / "street" / f"{name}.jpg")
    return file


@pytest.fixture
def mit(tmp_path: Path) -> Path:
    root = tmp_path / "mit"
    road = ("road", 0, polygon((0, 10), (29, 10), (29, 19), (0, 19)))
    car = ("parked  car", 0, polygon((5, 5), (14, 5), (14, 12), (5, 12)))
    gone = ("dog", 1, polygon((0, 0), (9, 0), (9, 9)))
    brush = "<segm><username>a</username><box><xmin>20</xmin><ymin>2</ymin><xmax>22</xmax><ymax>3</ymax></box><mask>{}"
    brush += "</mask><scribbles></scribbles></segm>"
    write_xml(root, "a", [road, car, gone, ("bird", 0, brush.format("a_mask_0.png"))])
    write_xml(root, "b", [])
    mask = np.array([[0, 255, 0], [255, 255, 255]], np.uint8)
    Image.fromarray(mask).save(root / "Masks" / "users" / "street" / "a_mask_0.png")
    return root


def test_mit_xml(mit: Path) -> None:
    assert LabelMe.recognise(mit)
    found = samples(mit)
    assert sorted(found) == ["a", "b"]
    dataset, index = found["a"]
    assert dataset.classes.names == ("background", "bird", "parked car", "road")
    wanted = np.zeros((20, 30), np.uint8)
    wanted[10:20] = 3
    wanted[5:13, 5:15] = 2
    wanted[2, 21] = wanted[3, 20:23] = 1
    np.testing.assert_array_equal(dataset[index]["mask"].numpy(), wanted)
    things = dataset.instances(index)
    assert things["labels"].tolist() == [3, 2, 1]
    assert things["boxes"].tolist() == [[0, 10, 30, 20], [5, 5, 15, 13], [20, 2, 23, 4]]
    assert LabelMe(str(mit)).describe().startswith("MIT LabelMe XML: 1 train, 1 val pictures (split")


def test_mit_masks_of_the_pictures_own_size(mit: Path) -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[0, 29] = 1
    Image.fromarray(mask).save(mit / "Masks" / "users" / "street" / "a_mask_0.png")
    dataset, index = samples(mit)["a"]
    assert np.argwhere(dataset[index]["mask"].numpy() == 1).tolist() == [[0, 29]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</annotation>", "", r"a\.xml: malformed XML at line \d+, column \d+ \(no element found\)"),
        ("a.jpg", "../a.jpg", r"a\.xml: file name '\.\./a\.jpg' leads out of its folder"),
        ("<filename>", "<file>", r"a\.xml: malformed XML at line 3, column 3 \(mismatched tag\)"),
        ("\n10\n</y>", "\nten\n</y>", r"a\.xml: object 1 \('road'\): could not convert string to float: 'ten'"),
        ("\nroad\n", "\n", r"a\.xml: object 1 \(''\): no name"),
        ("a_mask_0.png", "../../secret.png", r"a\.xml: file name '\.\./\.\./secret\.png' leads out of its folder"),
        ("<filename>\na.jpg\n</filename>", "", r"a\.xml: no <annotation> with a <filename>"),
    ],
)
def test_ill_formed_xml(mit: Path, old: str, new: str, message: str) -> None:
    file = mit / "Annotations" / "users" / "street" / "a.xml"
    file.write_text(file.read_text().replace(old, new))
    write_xml(mit, "c", [])
    with pytest.raises(DataError, match=message) as caught:
        LabelMe(str(mit)).open("train")
    assert "without a label" not in str(caught.value) and "\n" not in str(caught.value)


def test_mit_files_without_a_partner(mit: Path) -> None:
    write_xml(mit, "c", [])
    (mit / "Images" / "users" / "street" / "c.jpg").unlink()
    shutil.copy(mit / "Images" / "users" / "street" / "a.jpg", mit / "Images" / "users" / "street" / "d.jpg")
    source = LabelMe(str(mit))
    assert [p.name for p in source.scan.left_out] == ["d.jpg"]
    assert "1 without a label left out" in source.describe()
    with pytest.raises(DataError, match=r"c\.xml: its picture .*c\.jpg does not exist; add"):
        source.open("train")


# Projects, renamed files, partly labelled folders


def labelled(folder: Path, stem: str, shapes: list[tuple[str, int, int]], picture: str = "", **fields: object) -> Path:
    """A picture of 10x6 pixels, and a file in which each shape (label, left, right) is a full-height rectangle."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [
        {"label": label, "points": [[left, 0], [right, 5]], "shape_type": "rectangle", "group_id": None}
        for label, left, right in shapes
    ]
    content = {"shapes": entries, "imagePath": picture or f"{stem}.png", "imageData": None} | fields
    (folder / f"{stem}.json").write_text(json.dumps({"imageHeight": 6, "imageWidth": 10} | content))
    return folder / f"{stem}.json"


def photo(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (10, 6), (shade, 0, 0)).save(path)
    return path


def whole(*labels: str) -> list[tuple[str, int, int]]:
    """Shapes that cover all 10 columns, the first label one column, the last the rest."""
    return [(label, k, 9 if k == len(labels) - 1 else k) for k, label in enumerate(labels)]


@pytest.mark.parametrize("labels", ["data_annotated", "annotations", "labels", "json", "images", "batches/week1"])
@pytest.mark.parametrize("pictures", [".", "beside", "images"])
def test_projects(tmp_path: Path, labels: str, pictures: str) -> None:
    folder = tmp_path / (labels if pictures == "beside" else pictures)
    for i in range(5):
        photo(folder / f"p{i}.png", i)
        labelled(tmp_path / labels, f"p{i}", [("rust", i, i)])
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nscratch\nrust\n")
    source = recognise(tmp_path)
    assert isinstance(source, LabelMe)
    for dataset, index in samples(tmp_path).values():
        place = int(dataset[index]["image"][0, 0, 0])
        assert dataset[index]["mask"].tolist() == [[2 if column == place else 0 for column in range(10)]] * 6
    assert source.open("train").classes.names == ("background", "scratch", "rust")
    assert source.scan.left_out == [] and source.problems() == []


def test_split_folders_with_folders_inside(tmp_path: Path) -> None:
    for split, shade in (("train", 3), ("validation", 7)):
        for i in range(2):
            photo(tmp_path / split / "images" / f"p{i}.png", shade)
            labelled(tmp_path / split / "labels", f"p{i}", [("rust", shade, shade)])
    source = LabelMe(str(tmp_path))
    for split, shade in (("train", 3), ("val", 7)):  # pictures of one name in both
        assert len(source.open(split)) == 2
        assert int(source.open(split)[0]["image"][0, 0, 0]) == shade


def test_equal_names_in_two_folders_of_a_project(tmp_path: Path) -> None:
    for week in ("week1", "week2"):
        for i in range(3):
            photo(tmp_path / week / f"{i}.png", 10 * int(week[-1]) + i)
            labelled(tmp_path / week, str(i), [("rust", i, i)])
    source = recognise(tmp_path)
    assert source == LabelMe(str(tmp_path)) and source.problems() == []
    shades = sorted(int(d[i]["image"][0, 0, 0]) for d in map(source.open, source.splits()) for i in range(len(d)))
    assert shades == [10, 11, 12, 20, 21, 22]
    names = {d.name(i) for d in map(source.open, source.splits()) for i in range(len(d))}
    assert len(names) >= 3


def test_a_project_whose_folders_have_other_labels(tmp_path: Path) -> None:
    """Without a list of labels the classes are those of all folders, and labels that some folders lack are named."""
    for week, found in (
        ("week1", ("apple", "pear", "plum")),
        ("week2", ("pear", "plum")),
        ("week3", ("quince", "plum")),
    ):
        for i in range(4):
            photo(tmp_path / week / f"{i}.png", 10 * int(week[-1]) + i)
            labelled(tmp_path / week, str(i), whole(*found))
    source = recognise(tmp_path)
    assert source.problems() == []
    assert source.open("train").classes.names == ("apple", "pear", "plum", "quince")
    note = (
        "labels differ between folders: apple only in week1/, pear not in week3/, quince only in week3/; if they are "
    )
    assert any(
        n == f"{note}one class by several names, rename them, or list the classes in labels.txt" for n in source.notes()
    )
    (tmp_path / "labels.txt").write_text("apple\npear\nplum\nquince\n")
    assert not any("labels differ" in n for n in recognise(tmp_path).notes())
    (tmp_path / "labels.txt").write_text("apple\npear\nplum\n")
    assert {p.file.parent.name for p in recognise(tmp_path).problems()} == {"week3"}


@pytest.mark.parametrize(("labels", "is_project"), [(3, True), (2, True), (1, False)])
def test_a_project_of_which_some_folders_have_no_labels_yet(tmp_path: Path, labels: int, is_project: bool) -> None:
    """Half of the folders are enough; the pictures of the others are counted and left out."""
    for week in range(4):
        for i in range(3):
            photo(tmp_path / f"week{week}" / f"{week}{i}.png", i)
            if week < labels:
                labelled(tmp_path / f"week{week}", f"{week}{i}", [("rust", i, i)])
    assert LabelMe.recognise(tmp_path) == is_project
    if is_project:
        source = recognise(tmp_path)
        assert source.problems() == [] and f"{3 * (4 - labels)} without a label left out" in source.describe()
    else:
        (first, *_) = recognise(tmp_path).problems()
        assert first.file.name == "00.json" and first.what.startswith("labels of a picture, which class folders have")


def test_renamed_files_are_read_with_the_picture_of_their_own_name(tmp_path: Path) -> None:
    photo(tmp_path / "new.png", 1)
    labelled(tmp_path, "new", [("rust", 1, 1)], picture="old.png")
    photo(tmp_path / "a.png", 2)
    labelled(tmp_path, "a", [("rust", 2, 2)])
    # Renamed, while another picture has the old name by now.
    photo(tmp_path / "b.png", 3)
    labelled(tmp_path, "b", [("rust", 3, 3)], picture="a.png")
    photo(tmp_path / "c.png", 4)
    labelled(tmp_path, "c", [("rust", 4, 4)], picture="C:\\Users\\me\\pictures\\c.png")
    found = samples(tmp_path)
    assert sorted(found) == ["a", "b", "c", "new"]
    for dataset, index in found.values():
        place = int(dataset[index]["image"][0, 0, 0])
        assert dataset[index]["mask"][0].tolist() == [int(column == place) for column in range(10)]
    (note,) = [
        n for n in LabelMe(str(tmp_path)).notes() if "the name of another picture than the one that is read" in n
    ]
    assert note.startswith("2 files") or note.startswith("3 files")
    assert "b.json says 'a.png' and is read with b.png" in note
    assert "new.json says 'old.png' and is read with new.png" in note


def test_a_file_of_another_name_than_its_picture(tmp_path: Path) -> None:
    photo(tmp_path / "IMG_77.png", 5)
    labelled(tmp_path, "0001", [("rust", 5, 5)], picture="IMG_77.png")
    photo(tmp_path / "x.png", 6)
    labelled(tmp_path, "x", [("rust", 6, 6)])
    assert sorted(samples(tmp_path)) == ["IMG_77", "x"]
    assert not any("made for" in note for note in LabelMe(str(tmp_path)).notes())


def test_a_picture_that_may_be_two(tmp_path: Path) -> None:
    labelled(tmp_path / "labels", "p", [("rust", 1, 1)], picture="gone.png")
    for folder in ("a", "b"):
        photo(tmp_path / folder / "p.png")
    with pytest.raises(
        DataError, match=r"p\.json: imagePath 'gone\.png' is not there, and its picture may be a/p\.png"
    ):
        LabelMe(str(tmp_path)).open("train")


def test_names_of_another_unicode_form(tmp_path: Path) -> None:
    for i in range(3):
        photo(tmp_path / unicodedata.normalize("NFD", f"Größe{i}.png"), i)
        labelled(tmp_path, unicodedata.normalize("NFC", f"Größe{i}"), [("rust", i, i)])
    source = LabelMe(str(tmp_path))
    assert sum(len(source.open(split)) for split in source.splits()) == 3
    assert source.scan.left_out == [] and not any("made for" in note for note in source.notes())


def test_partly_labelled_folders_train(tmp_path: Path) -> None:
    for i in range(8):
        photo(tmp_path / f"p{i}.png", i)
    for i in range(4):
        labelled(tmp_path, f"p{i}", [("rust", i, i)] if i else [])
    source = LabelMe(str(tmp_path))
    assert (
        "3 train, 1 val pictures (split drawn from seed 0; 4 without a label left out: p4.png, p5.png, p6.png, ...)"
    ) in source.describe()
    assert len(source.open("train")) == 3 and source.problems() == []
    assert any(note.startswith("1 file without a shape, so that") and "(p0.json)" in note for note in source.notes())
    # A picture that loses its label keeps its place in splits.json, and is no problem.
    (tmp_path / "p1.json").unlink()
    assert LabelMe(str(tmp_path)).problems() == []


def test_background_is_a_class_only_where_pixels_have_no_shape(tmp_path: Path) -> None:
    """The numbers of the classes are then those of a PNG whose values are the places of the names."""
    for i in range(3):
        photo(tmp_path / f"p{i}.png")
        labelled(tmp_path, f"p{i}", whole("sky", "road"))
    dataset = LabelMe(str(tmp_path)).open("train")
    assert dataset.classes.names == ("road", "sky")
    assert dataset[0]["mask"].tolist() == [[1] + [0] * 9] * 6
    assert "every pixel has a shape" in LabelMe(str(tmp_path)).describe()
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    dataset = LabelMe(str(tmp_path)).open("train")
    assert dataset.classes.names == ("sky", "road") and dataset[0]["mask"].tolist() == [[0] + [1] * 9] * 6
    assert [int(label) for label in dataset.instances(0)["labels"]] == [0, 1]
    labelled(tmp_path, "p1", [("sky", 0, 4)])  # one pixel column without a shape is enough
    dataset = LabelMe(str(tmp_path)).open("train")
    assert dataset.classes.names == ("background", "sky", "road")


def test_a_background_that_is_named_is_a_class_without_undecided_pixels(tmp_path: Path) -> None:
    for i in range(2):
        photo(tmp_path / f"p{i}.png")
        labelled(tmp_path, f"p{i}", whole("_background_", "road"))
    dataset = LabelMe(str(tmp_path)).open("train")
    assert dataset.classes.names == ("background", "road") and dataset[0]["mask"][0].tolist() == [0] + [1] * 9
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nroad\nsky\n")
    assert LabelMe(str(tmp_path)).open("train").classes.names == ("background", "road", "sky")
