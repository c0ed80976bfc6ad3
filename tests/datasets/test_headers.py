"""What `inspect` and `train` say of image files beyond their labels: EXIF turns, transparency, depths and ranges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from foveate.cli import main
from foveate.datasets import recognise
from foveate.engine.inspection import inspect
from foveate.engine.intensities import header_notes, require_one_depth
from foveate.errors import DataError
from foveate.records import Problem

RANDOM = np.random.default_rng(1)
TURNED = "turned by EXIF, but the masks are not"


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def grey(shape: tuple[int, int]) -> Image.Image:
    """A picture (H, W) of several greys, but one row to the other alike."""
    return Image.linear_gradient("L").resize(shape[::-1]).convert("RGB")


def folder(
    root: Path, write: Callable[[Path, int], Any], shape: tuple[int, int] = (12, 12), suffix: str = "png"
) -> Path:
    """Four training and two validation pictures with masks; write: (file, number) writes a picture."""
    for number in range(6):
        part = root / ("train" if number < 4 else "val")
        for name in ("images", "masks"):
            (part / name).mkdir(parents=True, exist_ok=True)
        write(part / "images" / f"{number}.{suffix}", number)
        mask = np.zeros(shape, np.uint8)
        mask[2:5, 3:9] = 1
        Image.fromarray(mask).save(part / "masks" / f"{number}.png")
    return root


def text_of(root: Path) -> str:
    return inspect(recognise(root)).text()


def line(text: str, begin: str) -> str:
    return next((x for x in text.splitlines() if x.startswith(begin)), "")


# EXIF


@pytest.mark.parametrize(
    ("orientation", "stored", "told"),
    [(1, (12, 12), False), (2, (12, 20), True), (3, (12, 20), True), (4, (12, 20), True), (6, (12, 12), True),
     (6, (20, 12), False), (8, (12, 12), True)],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_turned_pictures_beside_masks_that_are_not(
    tmp_path: Path, suffix: str, orientation: int, stored: tuple[int, int], told: bool
) -> None:
    seen = stored if orientation < 5 else stored[::-1]
    pixels = RANDOM.integers(0, 256, (*stored, 3), dtype=np.uint8)

    def write(path: Path, number: int) -> None:  # the last one is upright
        image = grey(seen) if number == 5 else Image.fromarray(pixels)
        image.save(path, exif=exif(1 if number == 5 else orientation))

    text = text_of(folder(tmp_path, write, seen, suffix))
    expected = f"note: 5 pictures (0.{suffix}, 1.{suffix}, 2.{suffix}, ...): {TURNED}" if told else ""
    assert line(text, "note")[: len(expected) or None] == expected
    assert "problems: none" in text


def test_a_mask_that_is_turned_alike_is_right(tmp_path: Path) -> None:
    root = folder(tmp_path, lambda path, _: grey((12, 12)).save(path, exif=exif(3)))
    assert TURNED in text_of(root)
    for mask in root.glob("*/masks/*.png"):
        Image.open(mask).save(mask, exif=exif(3))
    assert TURNED not in text_of(root)


def test_train_says_it_too(tmp_path: Path) -> None:
    root = folder(tmp_path, lambda path, _: grey((12, 12)).save(path, exif=exif(3)))
    source = recognise(root)
    (note,) = header_notes([source.open(split) for split in ("train", "val")])
    assert note.startswith(f"6 pictures (0.png, 1.png, 2.png, ...): {TURNED}")


def test_json_has_the_notes(tmp_path: Path) -> None:
    root = folder(tmp_path, lambda path, _: grey((12, 12)).save(path, exif=exif(3)))
    (note,) = inspect(recognise(root)).to_json()["notes"]
    assert note["note"].startswith(TURNED) and note["files"] == [f"{i}.png" for i in range(6)]


# Transparency and bands


def test_transparent_pictures_are_named(tmp_path: Path) -> None:
    def write(path: Path, number: int) -> None:
        array = RANDOM.integers(0, 256, (12, 12, 4 if number % 2 else 3), dtype=np.uint8)
        Image.fromarray(array).save(path)

    text = text_of(folder(tmp_path, write))
    assert (
        line(text, "note") == "note: 3 pictures (1.png, 3.png, 5.png): transparent pixels, which are blended with white"
    )
    assert line(text, "channels") == "channels: 3 (6)"


def test_a_band_tagged_as_alpha_is_named_and_kept(tmp_path: Path) -> None:
    def write(path: Path, number: int) -> None:
        array = RANDOM.integers(0, 256, (12, 12, 4), dtype=np.uint8)
        if number == 0:
            array[..., 3] = 0
        tifffile.imwrite(path, array, photometric="rgb", extrasamples=["unassalpha"])

    root = folder(tmp_path, write, suffix="tif")
    text = text_of(root)
    assert line(text, "channels") == "channels: 4 (6)"
    assert "note: 5 pictures (1.tif, 2.tif, 3.tif, ...): a band that is tagged as alpha and holds data" in text
    assert "note: 1 picture (0.tif): a band of one value that is tagged as alpha" in text
    assert recognise(root).open("train").channels == 4


def test_rgb_beside_rgb_and_near_infrared_is_a_problem(tmp_path: Path) -> None:
    def write(path: Path, number: int) -> None:
        array = RANDOM.integers(0, 256, (12, 12, 4 if number == 3 else 3), dtype=np.uint8)
        tifffile.imwrite(path, array, photometric="rgb", **({"extrasamples": ["unassalpha"]} if number == 3 else {}))

    text = text_of(folder(tmp_path, write, suffix="tif"))
    assert "problems: 1" in text and "3.tif: 4 channels, expected 3" in text


# Depths and ranges


def ramp(low: float, high: float, dtype: str) -> Callable[[Path, int], None]:
    """Pictures whose values run from low to high."""
    return lambda path, _: tifffile.imwrite(
        path, np.linspace(low, high, 12 * 12 * 3).reshape(12, 12, 3).astype(dtype), photometric="rgb"
    )


@pytest.mark.parametrize(
    ("low", "high", "dtype", "told"),
    [
        (3, 250, "uint8", "8 bits, 3..250"),
        (0, 1023, "uint16", "10 bits in uint16, 0..1023"),
        (16, 4095, "uint16", "12 bits in uint16, 16..4095"),
        (0, 16383, "uint16", "14 bits in uint16, 0..16383"),
        (0, 65535, "uint16", "16 bits, 0..65535"),
        (0, 1, "float32", "float32, 0..1"),
        (0, 10000, "float32", "float32, 0..10000"),
        (-1000, 3000, "int16", "int16, -1000..3000"),
    ],
)
def test_bits_and_range(tmp_path: Path, low: float, high: float, dtype: str, told: str) -> None:
    found = inspect(recognise(folder(tmp_path, ramp(low, high, dtype), suffix="tif")))
    said = line(found.text(), "intensities: ")
    assert said.split(";")[0] == f"intensities: {told}"
    if dtype == "uint8":
        assert said == f"intensities: {told}" and found.window == ()
        return
    values = np.tile(np.linspace(low, high, 12 * 12 * 3).astype(dtype).reshape(-1, 3).astype(float), (4, 1))
    np.testing.assert_allclose(found.window, np.percentile(values, (0.1, 99.9), axis=0).T, rtol=1e-5, atol=1e-5)
    assert "; black to white: " in said
    # As it is drawn: from black to white.
    drawn = found.pixels(found.samples[0])
    assert drawn.min() == 0 and drawn.max() == 1 and 0.4 < drawn.mean() < 0.6
    sheet = np.asarray(found.sheet())
    cell = sheet[16:230, 16:230]
    assert cell.min() < 10 and cell.max() > 230 and 100 < cell.mean() < 160


def test_pictures_without_a_number(tmp_path: Path) -> None:
    def write(path: Path, number: int) -> None:
        array = np.full((12, 12), np.nan if number == 0 else 0.5 + number, np.float32)
        tifffile.imwrite(path, array, photometric="minisblack")

    assert "intensities: float32, 1.5..5.5" in text_of(folder(tmp_path, write, suffix="tif"))


def test_the_window_is_that_of_the_training_pictures(tmp_path: Path) -> None:
    def write(path: Path, number: int) -> None:
        tifffile.imwrite(path, np.full((12, 12), 1000 if number < 4 else 9000, np.uint16), photometric="minisblack")

    found = inspect(recognise(folder(tmp_path, write, suffix="tif")))
    assert found.window == ((1000.0, 1001.0),) * 3
    assert "14 bits in uint16, 1000..9000" in found.text()


def mixed(path: Path, number: int) -> None:
    dtype = np.uint16 if number in (1, 5) else np.uint8
    tifffile.imwrite(path, RANDOM.integers(0, 250, (12, 12, 3)).astype(dtype), photometric="rgb")


def test_several_depths_are_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder(tmp_path / "data", mixed, suffix="tif")
    found = inspect(recognise(root))
    assert found.problems == [
        Problem(
            Path("1.tif"),
            "pictures of several depths: 4 pictures (0.tif, 2.tif, 3.tif, ...) with 8 bits, 2 pictures (1.tif, 5.tif) "
            "with more than 8 bits; their values do not mean the same light: save all with one depth, or give "
            "--window full if each fills the range of its type",
        )
    ]
    assert "intensities: 8 bits, " in found.text() and "(4); 8 bits in uint16, " in found.text()
    assert main(["datasets", "inspect", str(root), "--sheet", str(tmp_path / "sheet.jpg")]) == 1
    capsys.readouterr()


def test_several_depths_are_not_trained_on_unless_asked_for(tmp_path: Path) -> None:
    source = recognise(folder(tmp_path, mixed, suffix="tif"))
    datasets = [source.open(split) for split in ("train", "val")]
    with pytest.raises(DataError, match=r"several depths: 4 pictures .* with 8 bits, 2 pictures \(1.tif, 5.tif\)"):
        require_one_depth(datasets, "auto")
    with pytest.raises(DataError, match="several depths"):
        require_one_depth(datasets, "0,255")
    require_one_depth(datasets, "full")


def test_class_folders_and_captions_are_looked_at_alike(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for number in range(3):
            (tmp_path / name).mkdir(exist_ok=True)
            array = RANDOM.integers(0, 4096, (8, 8, 3)).astype(np.uint16)
            tifffile.imwrite(tmp_path / name / f"{number}.tif", array, photometric="rgb")
    half = np.zeros((8, 8, 4), np.uint8)
    half[:4] = 255
    Image.fromarray(half).save(tmp_path / "cat" / "4.png")
    found = inspect(recognise(tmp_path))
    assert "cat/4.png): transparent pixels" in found.text()
    assert "12 bits in uint16" in found.text() and "several depths" in found.text()
    Image.new("RGBA", (8, 8)).save(tmp_path / "cat" / "4.png")
    problems = inspect(recognise(tmp_path)).problems
    assert [problem.what for problem in problems if problem.file.name == "4.png"] == [
        "every pixel is transparent, but it is labelled with the class 'cat'; replace or remove the file"
    ]
    (tmp_path / "captions.csv").write_text(
        "image,caption\n" + "".join(f"{name}/{n}.tif,a beast\n" for name in ("cat", "dog") for n in range(3))
        + "cat/4.png,a beast\n"
    )  # fmt: skip
    problems = inspect(recognise(tmp_path)).problems
    assert "every pixel is transparent, but it is labelled with captions; replace" in str(problems)


def test_wholly_transparent_pictures(tmp_path: Path) -> None:
    """One without a label is empty, and noted; one with two classes cannot be what was labelled."""

    def write(path: Path, number: int) -> None:
        clear = number in (1, 2)
        Image.new("RGBA" if clear else "RGB", (12, 12), (0, 0, 0, 0) if clear else (90, 90, 90)).save(path)

    root = folder(tmp_path, write)
    Image.new("L", (12, 12)).save(root / "train" / "masks" / "2.png")
    found = inspect(recognise(root))
    assert [(problem.file.name, problem.what) for problem in found.problems] == [
        ("1.png", "every pixel is transparent, but it is labelled with 2 classes; replace or remove the file")
    ]
    assert line(found.text(), "note: 1 picture (2.png): wholly transparent, so white throughout; remove")


def test_wholly_transparent_pictures_with_objects(tmp_path: Path) -> None:
    def write(path: Path, number: int) -> None:
        Image.new("RGBA", (12, 12), (0, 0, 0, 0 if number == 1 else 255)).save(path)

    root = folder(tmp_path, write)
    (root / "classes.txt").write_text("beast\n")
    for file in root.glob("*/masks/*.png"):
        mask = np.array(Image.open(file))
        mask[7:9, 2:5], mask[7:9, 7:10], mask[10:12, 1:3] = 2, 3, 4
        Image.fromarray(mask).save(file)
    (problem,) = inspect(recognise(root), "instances").problems
    assert problem.what.startswith("every pixel is transparent, but it is labelled with 4 objects")


@pytest.mark.parametrize("constant", [range(4), range(4, 6), (0,), (3, 5)], ids=str)
def test_splits_have_one_number_of_channels(tmp_path: Path, constant: Any) -> None:
    """Files whose fourth band is constant are read with those of the other split in which it holds data."""

    def write(path: Path, number: int) -> None:
        array = RANDOM.integers(0, 250, (12, 12, 4)).astype(np.uint8)
        array[..., 3] = 255 if number in constant else array[..., 3]
        tifffile.imwrite(path, array, photometric="rgb", extrasamples=["unassalpha"])

    found = inspect(recognise(folder(tmp_path, write, suffix="tif")))
    assert found.problems == [] and found.channels == {4: 6}
    for split in ("train", "val"):
        assert recognise(tmp_path).open(split).channels == 4
