"""Pictures of two splits or classes that were encoded or resized again are noted, and no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage

from foveate.datasets import recognise
from foveate.engine.inspection import inspect


def picture(seed: int) -> Image.Image:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((60, 80, 3)), (5, 5, 0))
    return Image.fromarray(np.uint8(255 * (noise - noise.min()) / np.ptp(noise)))


def save(image: Image.Image, path: Path, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)  # type: ignore[arg-type]


def with_text() -> dict[str, object]:
    info = PngInfo()
    info.add_text("Software", "another")
    return {"pnginfo": info}


COPIES: dict[str, tuple[str, Callable[[Image.Image], Image.Image], dict[str, object]]] = {
    "JPEG": (".jpg", lambda image: image, {"quality": 80}),
    "resized": (".png", lambda image: image.resize((60, 45)), {}),
    "metadata": (".png", lambda image: image, with_text()),
    "16 bits": (".tif", lambda image: Image.fromarray(np.uint16(np.asarray(image.convert("L"))) * 257), {}),
}


def notes(root: Path, task: str = "") -> list[str]:
    found = inspect(recognise(root, task), task)
    return [note for note in found.source_notes if "alike" in note]


class TestSplits:
    @pytest.mark.parametrize("kind", ["JPEG", "resized", "metadata"])
    def test_copies(self, tmp_path: Path, kind: str) -> None:
        suffix, change, options = COPIES[kind]
        for k, name in enumerate(("cat", "dog")):
            for i in range(10):
                save(picture(100 * k + i), tmp_path / "train" / name / f"{i}.png")
                save(picture(100 * k + 50 + i), tmp_path / "val" / name / f"{i}.png")
        assert notes(tmp_path) == []
        save(change(picture(3)), tmp_path / "val" / "cat" / f"copy{suffix}", **options)
        (note,) = notes(tmp_path)
        assert note.startswith(
            f"1 picture is in train and in val nearly alike (3.png = copy{suffix}), as if encoded or r"
        )

    def test_equal_files_are_told_once(self, tmp_path: Path) -> None:
        for k, name in enumerate(("cat", "dog")):
            for i in range(10):
                save(picture(100 * k + i), tmp_path / "train" / name / f"{i}.png")
                save(picture(100 * k + 50 + i), tmp_path / "val" / name / f"{i}.png")
        save(picture(3), tmp_path / "val" / "cat" / "copy.png")
        (note,) = notes(tmp_path)
        assert "byte for byte (3.png = copy.png)" in note

    @pytest.mark.parametrize(
        "turn",
        [Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.ROTATE_180],
    )
    def test_flipped_copies(self, tmp_path: Path, turn: Image.Transpose) -> None:
        for k, name in enumerate(("cat", "dog")):
            for i in range(10):
                save(picture(100 * k + i), tmp_path / "train" / name / f"{i}.png")
                save(picture(100 * k + 50 + i), tmp_path / "val" / name / f"{i}.png")
        save(picture(4).resize((60, 45)).transpose(turn), tmp_path / "val" / "cat" / "copy.jpg", quality=80)
        # of another class, which a flip may make of it
        save(picture(5).transpose(turn), tmp_path / "val" / "dog" / "other.png")
        # symmetrical, and so alike without a flip, too
        half = np.asarray(picture(200))[:, :40]
        both = Image.fromarray(np.concatenate([half, half[:, ::-1]], 1))
        save(both, tmp_path / "train" / "cat" / "both.png")
        save(both, tmp_path / "val" / "cat" / "both.jpg", quality=90)
        assert notes(tmp_path) == [
            "1 picture is in train and in val nearly alike (both.png = both.jpg), as if encoded or resized again, or "
            "frames of one film, so that val is no test of what was learned; remove one of each",
            "1 picture is in train and in val nearly alike but flipped or turned upside down (4.png = copy.jpg), so "
            "that val is no test of what was learned; divide before pictures are augmented, or remove one of each",
        ]

    def test_flipped_copies_of_masks(self, tmp_path: Path) -> None:
        """Pictures without classes are compared, all of them."""
        number = np.zeros((60, 80), np.uint8)
        number[10:20, 10:20] = 1
        for split, seeds in (("train", range(10)), ("val", range(20, 30))):
            for i in seeds:
                image = picture(i) if i != 25 else picture(5).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
                save(image, tmp_path / split / "images" / f"{i}.png")
                save(Image.fromarray(number), tmp_path / split / "masks" / f"{i}.png")
        (note,) = notes(tmp_path)
        assert "nearly alike but flipped or turned upside down (5.png = 25.png)" in note

    def test_instances(self, tmp_path: Path) -> None:
        """Of 16 bits, compressed in another way."""
        number = np.zeros((60, 80), np.uint16)
        number[10:20, 10:20], number[30:40, 30:50] = 1, 2
        for split, seeds in (("train", range(10)), ("val", range(20, 30))):
            for i in seeds:
                save(COPIES["16 bits"][1](picture(i)), tmp_path / split / "images" / f"{i}.tif")
                save(Image.fromarray(number), tmp_path / split / "masks" / f"{i}.png")
        (tmp_path / "classes.txt").write_text("cell\n")
        assert notes(tmp_path, "instances") == []
        save(COPIES["16 bits"][1](picture(4)), tmp_path / "val/images/20.tif", compression="tiff_lzw")
        (note,) = notes(tmp_path, "instances")
        assert "(4.tif = 20.tif)" in note


def test_classes(tmp_path: Path) -> None:
    for k, name in enumerate(("cat", "dog")):
        for i in range(6):
            save(picture(100 * k + i), tmp_path / "train" / name / f"{i}.png")
            save(picture(100 * k + 50 + i), tmp_path / "val" / name / f"{i}.png")
    save(picture(3), tmp_path / "train" / "dog" / "same.jpg", quality=85)
    (note,) = notes(tmp_path)
    assert note.startswith("1 picture is in class cat and in class dog nearly alike (3.png = same.jpg)")


def test_small_and_flat_pictures_tell_nothing(tmp_path: Path) -> None:
    for name, grey in (("cat", 90), ("dog", 91)):
        for split in ("train", "val"):
            for i in range(3):
                save(Image.new("RGB", (64, 64), (grey, grey, i)), tmp_path / split / name / f"{split}{i}.png")
                save(
                    picture(i).resize((30, 30)), tmp_path / split / name / f"{split}{grey}small{i}.jpg", quality=90 + i
                )
    assert [note for note in notes(tmp_path) if "nearly" in note] == []


def test_variants_by_name(tmp_path: Path) -> None:
    """Roboflow draws variants of a picture before it divides them, where it is told to."""
    for name in ("cat", "dog"):
        for i in range(10):
            for split, digest in (("train", "a"), ("valid", "b")):
                place = i if split == "train" or i == 4 else i + 50
                image = picture(place).rotate(90 if split == "valid" else 0)
                save(image, tmp_path / split / name / f"{name}{place}_jpg.rf.{digest * 32}.jpg")
    told = [note for note in recognise(tmp_path).notes() if "Roboflow" in note]
    assert len(told) == 1
    assert told[0].startswith("variants of 2 pictures (cat4_jpg, dog4_jpg) are in train and in val, by the names that")
