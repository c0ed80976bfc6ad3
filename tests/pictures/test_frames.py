"""Files of several images, and values by which programs mark pixels without data, are said to be read as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.headers import SEVERAL
from foveate.engine.inspection import inspect
from foveate.pictures.frames import further_frames

SIDE = 48


def colors(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3), np.uint8)


def pages(path: Path, count: int, **options: object) -> Path:
    with tifffile.TiffWriter(path) as tiff:
        for i in range(count):
            tiff.write(colors(i), photometric="rgb", **options)  # type: ignore[arg-type]
    return path


def test_pages_of_a_tiff(tmp_path: Path) -> None:
    assert further_frames(pages(tmp_path / "one.tif", 1)) == 0
    assert further_frames(pages(tmp_path / "three.tif", 3)) == 2
    bands = np.zeros((4, SIDE, SIDE), np.uint8)  # a page a band: all of them are read
    tifffile.imwrite(tmp_path / "bands.tif", bands, photometric="minisblack", metadata={"axes": "CYX"})
    assert further_frames(tmp_path / "bands.tif") == 0
    with tifffile.TiffWriter(tmp_path / "overviews.tif") as tiff:  # as GDAL writes them
        tiff.write(colors(0), photometric="rgb")
        tiff.write(colors(1)[::2, ::2], photometric="rgb", subfiletype=1)
        tiff.write(np.zeros((SIDE, SIDE), bool), photometric="minisblack", subfiletype=4)
    assert further_frames(tmp_path / "overviews.tif") == 0
    (tmp_path / "damaged.tif").write_bytes(b"II*\0")
    assert further_frames(tmp_path / "damaged.tif") == further_frames(tmp_path / "none.tif") == 0


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_animations(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(colors(i)) for i in range(3)]
    frames[0].save(tmp_path / f"film{suffix}", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / f"still{suffix}")
    assert further_frames(tmp_path / f"film{suffix}") == 2
    assert further_frames(tmp_path / f"still{suffix}") == 0


def test_they_are_noted(tmp_path: Path) -> None:
    for k, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.fromarray(colors(10 * k + i)).save(tmp_path / name / f"{i}.png")
    pages(tmp_path / "cat" / "stack.tif", 2)
    assert inspect(recognise(tmp_path)).notes == {SEVERAL: ["cat/stack.tif"]}


@pytest.mark.parametrize(
    ("value", "kind"), [(-9999, np.float32), (-32768, np.int16), (-3.4028234663852886e38, np.float32)]
)
def test_values_that_mark_no_data(tmp_path: Path, value: float, kind: type) -> None:
    """Undeclared, they decide the range of black to white; they do not make pictures alike."""
    label = np.zeros((SIDE, SIDE), np.uint8)
    label[10:20, 10:20] = 1
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for i in range(10):
        image = (colors(i)[:, :, 0] + 1).astype(kind)
        image[:5] = value if i < 6 else 0
        tifffile.imwrite(tmp_path / "images" / f"{i}.tif", image)
        Image.fromarray(label).save(tmp_path / "labels" / f"{i}.png")
    found = inspect(recognise(tmp_path))
    ((note, names),) = [(note, names) for note, names in found.notes.items() if "no data" in note]
    assert note.startswith(
        f"the least value is {value:g}, which usually marks pixels without data, and is read as a va"
    )
    assert sorted(names) == [f"{i}.tif" for i in range(6)]
    assert not any("nearly alike" in note for note in found.source_notes)
    for i in range(6):
        image = (colors(i)[:, :, 0] + 1).astype(kind)
        image[:5] = value
        tags = [(42113, "s", 0, f"{value:.16g}", True)]
        tifffile.imwrite(tmp_path / "images" / f"{i}.tif", image, extratags=tags)
    assert not any("usually marks" in note for note in inspect(recognise(tmp_path)).notes)
