"""Strokes of Label Studio's brush: their packed run lengths, where they lie, and what is refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_studio_files import maps, write_project
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.brush import stroke_runs
from foveate.datasets.label_studio import LabelStudio
from foveate.errors import DataError

WIDTH, HEIGHT = 12, 7


def packed(words: np.ndarray, sizes: tuple[int, ...] = (3, 4, 8, 16), runs: bool = True) -> list[int]:
    """Words of 8 bits as @thi.ng/rle-pack's format states it, written as a text of 0 and 1.

    runs: False writes every word as different from the next.
    """
    flat = np.asarray(words, np.uint8).ravel()
    text = f"{flat.size:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    starts = [0, *(np.flatnonzero(flat[1:] != flat[:-1]) + 1), flat.size] if runs else range(flat.size + 1)
    groups: list[tuple[bool, list[int]]] = []
    for start, end in itertools.pairwise(starts):
        for first in range(start, end, 1 << max(sizes)):
            part = flat[first : min(end, first + (1 << max(sizes)))].tolist()
            if len(part) == 1 and groups and not groups[-1][0] and len(groups[-1][1]) < 1 << max(sizes):
                groups[-1][1].extend(part)
            else:
                groups.append((len(part) > 1, part))
    for repeated, part in groups:
        which = next(k for k, size in enumerate(sizes) if len(part) <= 1 << size)
        text += f"{int(repeated)}{which:02b}{len(part) - 1:0{sizes[which]}b}"
        text += "".join(f"{word:08b}" for word in (part[:1] if repeated else part))
    text += "0" * (-len(text) % 8)
    return [int(text[at : at + 8], 2) for at in range(0, len(text), 8)]


def grey(mask: np.ndarray) -> np.ndarray:
    """(H, W) alpha -> (H, W, 4), all channels alike, as today's Label Studio writes them."""
    return np.repeat(np.asarray(mask, np.uint8)[..., None], 4, axis=2)


def unpacked(data: list[int], height: int, width: int) -> np.ndarray:
    runs = stroke_runs(bytes(data), height, width)
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)


def test_bytes_by_hand() -> None:
    # 8 words of 8 bits, sizes 3, 4, 8, 16: 00000008 hex, 00111, 0010 0011 0111 1111, then
    # 1 00 011 00000000: four times 0; 0 00 011 and 1, 2, 3, 255: four different words
    bits = "00000000000000000000000000001000" + "00111" + "0010001101111111"
    bits += "1" + "00" + "011" + "00000000" + "0" + "00" + "011" + "00000001" + "00000010" + "00000011" + "11111111"
    by_hand = [0, 0, 0, 8, 0x39, 0x1B, 0xFC, 0x60, 0x01, 0x80, 0x81, 0x01, 0xFF, 0x80]
    assert [int(bits.ljust(112, "0")[at : at + 8], 2) for at in range(0, 112, 8)] == by_hand
    assert stroke_runs(bytes(by_hand), 1, 2).tolist() == [1, 1]
    assert stroke_runs(bytes(by_hand), 2, 1).tolist() == [1, 1]
    assert packed(np.array([0, 0, 0, 0, 1, 2, 3, 255])) == by_hand


@pytest.mark.parametrize("sizes", [(3, 4, 8, 16), (1, 2, 3, 4), (16, 8, 4, 3)])
@pytest.mark.parametrize("runs", [True, False], ids=["runs", "words"])
def test_alpha_of_any_picture(sizes: tuple[int, ...], runs: bool) -> None:
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (7, 12), (33, 5)):
        for picture in (
            rng.integers(0, 3, (height, width, 4)),  # neighbours that are often alike
            rng.integers(0, 256, (height, width, 4)),
            grey(rng.integers(0, 2, (height, width)) * 255),
            np.zeros((height, width, 4)),
            np.full((height, width, 4), 255),
            np.broadcast_to([255, 0, 0, 128], (height, width, 4)),  # half opaque red
            np.broadcast_to([255, 255, 255, 0], (height, width, 4)),  # colour without alpha
        ):
            np.testing.assert_array_equal(
                unpacked(packed(picture, sizes, runs), height, width), np.asarray(picture)[..., 3] > 0
            )


def test_runs_over_65536_words() -> None:
    mask = np.zeros((400, 300), np.uint8)
    mask[150:390] = 255
    assert stroke_runs(bytes(packed(grey(mask))), 400, 300).tolist() == [150 * 300, 240 * 300, 10 * 300]


def test_every_cut_is_refused() -> None:
    whole = packed(np.random.default_rng(1).integers(0, 3, (HEIGHT, WIDTH, 4)))
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="cut short"):
            stroke_runs(bytes(whole[:length]), HEIGHT, WIDTH)


def test_stated_sizes_are_held_to() -> None:
    data = packed(grey(np.ones((HEIGHT, WIDTH))))
    with pytest.raises(
        ValueError, match="run lengths of 336 words of 8 bits; expected 352 of 8, four for each pixel of"
    ):
        stroke_runs(bytes(data), 8, 11)
    with pytest.raises(ValueError, match="run over the end"):
        stroke_runs(bytes([0, 0, 0, 4, *data[4:]]), 1, 1)  # of one pixel, but 336 words follow
    huge = bytes([255, 255, 255, 252, *data[4:]])  # 4 GB, which are not asked for
    with pytest.raises(ValueError, match="cut short"):
        stroke_runs(huge, 32767, 32769)
    with pytest.raises(ValueError, match="336 words of 16 bits"):
        stroke_runs(bytes([*data[:4], data[4] | 0x40, *data[5:]]), HEIGHT, WIDTH)


# In the reader


def rectangle(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


COW, HEN = rectangle(1, 4, 2, 8), rectangle(3, 6, 6, 11)


def stroke(mask: np.ndarray, label: str, **more: Any) -> dict[str, Any]:
    """A region with its keys in the order of an export."""
    value = {"format": "rle", "rle": packed(grey(mask)), "brushlabels": [label]}
    return {
        "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, "value": value, "id": f"r{label}",
        "from_name": "tag", "to_name": "image", "type": "brushlabels", **more,
    }  # fmt: skip


def task(number: int, *results: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    made = [{"id": 10 * number + k, "was_cancelled": False, "result": r} for k, r in enumerate(results)]
    return {
        "id": number,
        "annotations": made,
        "predictions": [],
        "data": {"image": f"/up/0a1b2c3d-{number}.png"},
        **more,
    }


def project(root: Path, *tasks: dict[str, Any]) -> LabelStudio:
    return write_project(root, tasks, (WIDTH, HEIGHT))


def others() -> tuple[dict[str, Any], ...]:
    return tuple(task(k, [stroke(COW, "cow")]) for k in (1, 2))


def test_strokes_overlap_as_they_were_painted(tmp_path: Path) -> None:
    both = [stroke(COW, "cow"), stroke(HEN, "hen"), stroke(rectangle(0, 1, 0, 3), "cow", id="second")]
    source = project(tmp_path, *(task(k, both) for k in range(3)))
    assert not source.problems() and source.scan.classes.names == ("background", "cow", "hen")
    expected = np.where(HEN, 2, np.where(COW, 1, 0))
    expected[0, :3] = 1
    np.testing.assert_array_equal(maps(source)["0.png"], expected)
    sample = source.open("train", "semantic").instances(0)
    assert sample["labels"].tolist() == [1, 2, 1]  # two cows: each region is an object, whole where another covers it
    np.testing.assert_array_equal(sample["masks"].numpy()[:2], np.stack([COW, HEN]) > 0)
    assert source.open("train", "instances")[0]["labels"].tolist() == [0, 1, 0]


def test_strokes_beside_polygons_and_unscored_ones(tmp_path: Path) -> None:
    box = {"x": 0, "y": 0, "width": 50, "height": 100, "rectanglelabels": ["field"]}
    drawn = {"type": "rectanglelabels", "original_width": WIDTH, "original_height": HEIGHT, "value": box}
    unsure = stroke(HEN, "__ignore__")
    source = project(tmp_path, *(task(k, [drawn, stroke(COW, "cow"), unsure]) for k in range(3)))
    assert source.scan.classes.names == ("background", "cow", "field")
    field = rectangle(0, HEIGHT, 0, 6)
    expected = np.where(HEN, source.scan.classes.ignore_index, np.where(COW, 1, np.where(field, 2, 0)))
    np.testing.assert_array_equal(maps(source)["1.png"], expected)


def test_labels_in_an_entry_of_their_own(tmp_path: Path) -> None:
    value = {"format": "rle", "rle": packed(grey(COW))}
    plain, named = stroke(COW, ""), stroke(COW, "")
    plain |= {"type": "brush", "value": value}
    named |= {"type": "labels", "value": {**value, "labels": ["cow"]}}
    source = project(tmp_path, *(task(k, [plain, named]) for k in range(3)))
    assert not source.problems()
    np.testing.assert_array_equal(maps(source)["1.png"], COW > 0)
    assert len(source.open("train", "semantic").instances(0)["labels"]) == 1


def test_annotators_cancelled_ones_and_predictions(tmp_path: Path) -> None:
    two = task(0, [stroke(COW, "cow")], [stroke(HEN, "cow")])
    (problem,) = project(tmp_path, two, *others()).problems()
    assert str(problem).endswith("task 0 has 2 annotations, as by several people; mark one as ground truth")
    two["annotations"][0]["was_cancelled"] = True
    guess = {"model_version": "a", "result": [stroke(rectangle(0, 7, 0, 12), "barn")]}
    two["predictions"] = [guess]
    source = project(tmp_path, two, *others())
    assert not source.problems() and source.scan.classes.names == ("background", "cow")
    np.testing.assert_array_equal(maps(source)["0.png"], HEN > 0)
    source = project(tmp_path, task(0, predictions=[guess]), *others())
    assert "0.png" not in maps(source)
    assert (
        "left out: 1 task (0) has predictions of a model alone; accept these there, and export again" in source.notes()
    )
    with pytest.raises(
        DataError, match=r"no annotated task: 3 tasks \(0, 1, 2\) have predictions of a model alone; label"
    ):
        project(tmp_path, *(task(k, predictions=[guess]) for k in range(3))).splits()


def test_a_turned_picture(tmp_path: Path) -> None:
    """A picture that its file says to turn is seen upright where it is painted, and is read upright."""
    source = project(tmp_path, task(0, [stroke(COW, "cow")]), *others())
    exif = Image.Exif()
    exif[274] = 6  # stored lying; shown after a quarter turn
    Image.new("RGB", (HEIGHT, WIDTH), (9, 50, 60)).save(tmp_path / "images" / "0.png", exif=exif)
    source = recognise(tmp_path)  # type: ignore[assignment]
    assert not source.problems()
    np.testing.assert_array_equal(maps(source)["0.png"], COW > 0)
    (problem,) = project(tmp_path, task(0, [stroke(COW, "cow", image_rotation=90)]), *others()).problems()
    assert "task 0, region 1 (brushlabels) was drawn on a picture turned by 90 degrees; turn the file" in str(problem)


def test_found_behind_a_stroke_of_megabytes(tmp_path: Path) -> None:
    """What names the picture stands behind the strokes in an export."""
    noise = np.random.default_rng(0).integers(0, 256, (700, 600, 4), np.uint8)
    long = stroke(COW, "cow", original_width=600, original_height=700)
    long["value"] = {"format": "rle", "rle": packed(noise, runs=False), "brushlabels": ["cow"]}
    project(tmp_path, *(task(k, [stroke(COW, "cow")]) for k in range(3)))
    (tmp_path / "project-1.json").write_text(json.dumps([task(0, [long]), *others()]))
    assert (tmp_path / "project-1.json").stat().st_size > 1 << 22
    Image.new("RGB", (600, 700)).save(tmp_path / "images" / "0.png")
    source = recognise(tmp_path)
    assert isinstance(source, LabelStudio) and not source.problems()
    np.testing.assert_array_equal(maps(source)["0.png"], noise[..., 3] > 0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rle": packed(grey(COW))[:-3]}, "run lengths that are cut short; export the project as JSON again"),
        ({"rle": []}, "run lengths of 0 bytes, which are cut short"),
        ({"rle": packed(grey(COW[:-1]))}, "run lengths of 288 words of 8 bits; expected 336 of 8, four for each pixel"),
        ({"rle": packed(COW)}, "run lengths of 84 words of 8 bits; expected 336 of 8, four for each pixel of 12x7"),
        ({"rle": 10**12}, "'rle' is no list of bytes, 0 to 255"),
        ({"rle": [0, 256]}, "'rle' is no list of bytes, 0 to 255"),
        ({"rle": [0, 1.5]}, "'rle' is no list of bytes, 0 to 255"),
        ({"rle": "P0d0"}, "'rle' is no list of bytes, 0 to 255"),
        ({"brushlabels": ["cow", "hen"]}, "has 2 labels, cow and hen; give it one"),
        ({"brushlabels": []}, "has no label; give it one, or remove it"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    broken = stroke(COW, "cow")
    broken["value"] |= changed
    source = project(tmp_path, task(7, [broken], data={"image": "0.png"}), *others())
    (problem,) = source.problems()
    assert f"{tmp_path / 'project-1.json'}: task 7, region 1 (brushlabels)" in str(problem) and message in str(problem)
    with pytest.raises(DataError):
        source.open("train", "semantic")


@pytest.mark.parametrize("kind", ["brushlabels", "bitmasklabels"])
def test_painted_regions_in_another_form(tmp_path: Path, kind: str) -> None:
    other = stroke(COW, "cow", type=kind, value={"imageDataURL": "data:image/png;base64,AA==", kind: ["cow"]})
    (problem,) = project(tmp_path, task(0, [other]), *others()).problems()
    assert f"region 1 ({kind}) has no run lengths ('rle'), which alone are read of painted regions" in str(problem)


def test_another_size_than_the_picture(tmp_path: Path) -> None:
    wrong = stroke(COW, "cow", original_width=24, original_height=14)
    (problem,) = project(tmp_path, task(0, [wrong]), *others()).problems()
    assert "was drawn on a picture of 24x14, but 0.png is 12x7; they must be of one size" in str(problem)


def test_masks_of_the_same_strokes_are_no_pictures(tmp_path: Path) -> None:
    source = project(tmp_path, task(0, [stroke(COW, "cow")]), *others())
    Image.fromarray(COW).save(tmp_path / "images" / "task-0-annotation-0-by-1-tag-cow-0.png")
    assert "left out" not in recognise(tmp_path).describe() and not recognise(tmp_path).notes()[1:]
    assert set(maps(source)) == {"0.png", "1.png", "2.png"}
