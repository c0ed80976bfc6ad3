"""A short run of the fuzzer, and the kinds of damaged files that longer runs have found.

The long run is `python tests/fuzz --minutes 60`; this one reads a few files of every kind.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import formats
import harness
import numpy as np
import pytest
import tifffile

from foveate.errors import FoveateError
from foveate.registry import entries
from foveate.values import parse_json

CASES = 6  # of each reader


@pytest.fixture(autouse=True)
def small_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOVEATE_MAX_PIXELS", harness.MAX_PIXELS)
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "cache"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reader", formats.READERS)
def test_a_reader_answers_or_raises_an_error_of_the_project(reader: str, tmp_path: Path) -> None:
    for case in range(CASES):
        folder = tmp_path / str(case)
        folder.mkdir()
        harness.read_case(reader, case, folder)


@pytest.mark.parametrize("reader", [name for name in formats.READERS if name in entries("dataset")])
def test_files_without_a_mutation_are_read(reader: str, tmp_path: Path) -> None:
    """What is mutated is a data set that the reader takes: else the fuzzer would test the first check alone."""
    from foveate.datasets import recognise

    formats.READERS[reader].write(tmp_path, random.Random(1))
    source = recognise(tmp_path, "drawing" if reader == "picture_folder" else "")
    assert type(source) is entries("dataset")[reader].load()
    assert source.open("train")[0]["name"]


def test_faults_are_found() -> None:
    """A reader that raises, hangs, writes or dies is named with its case; the others go on.

    In an interpreter of its own: a process that has threads of other tests must not be forked.
    """
    file = Path(__file__).with_name("broken_reader.py")
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr


# Kinds of files that longer runs have found, or that are like these


def complaint(work: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(FoveateError) as caught:
        work(*arguments)
    return str(caught.value)


LONG = "x" * 300  # longer than a file's name may be


@pytest.mark.parametrize("name", [LONG, "\ufffd" * 200, "a/" * 3000])
def test_a_name_that_no_file_can_have_is_the_name_of_no_file(name: str, tmp_path: Path) -> None:
    from foveate.cli.inputs import plan
    from foveate.datasets import recognise
    from foveate.tasks import find_task

    formats.image(tmp_path / "q" / "images" / "a.png")
    (tmp_path / "q" / "qa.csv").write_text(f"image,question,answer\na.png,is it,no\n{name}.png,is it,no\n")
    assert "no picture of that name" in complaint(recognise(tmp_path / "q").open, "train")
    for i in range(3):
        formats.sound(tmp_path / "s" / f"{i}.wav", 300 + i)
    (tmp_path / "s" / "t.tsv").write_text(f"0.wav\tcow\n1.wav\tcow\n2.wav\tcow\n{name}.wav\tcow\n")
    assert "no recording" in complaint(recognise(tmp_path / "s").open, "train")
    (tmp_path / "t.csv").write_text(f"image,question\n{name}.png,is it\n")
    words = ([str(tmp_path / "t.csv")], {}, tmp_path / "out", find_task("questions"))
    assert "does not exist; give a picture" in complaint(plan, *words)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("[" * 100_000, "nested too deeply"), ('{"a": ' + "9" * 5000 + "}", "Exceeds the limit"),
     ('{"a": "\\ud800"}', r"half of a surrogate pair"), ('{"\\udfff": 1}', "half of a surrogate pair")],
)  # fmt: skip
def test_json_that_cannot_be_kept_is_refused_everywhere(text: str, reason: str, tmp_path: Path) -> None:
    from foveate.datasets.text_files import read_json
    from foveate.engine.run import RunFolder
    from foveate.recipes.config import from_file
    from foveate.store import load_model

    file = tmp_path / "config.json"
    file.write_text(text)
    (tmp_path / "model.safetensors").write_bytes(b"")
    for work in (lambda: read_json(file), lambda: RunFolder(tmp_path).read_json(file.name), lambda: from_file(file),
                 lambda: load_model(tmp_path)):  # fmt: skip
        assert reason in complaint(work)
    assert parse_json('{"a": "\\ud83d\\udc04 \\\\ud800"}') == {"a": "\U0001f404 \\ud800"}  # a pair, and no escape


def test_a_split_without_one_of_two_languages_is_named(tmp_path: Path) -> None:
    from foveate.datasets.parallel_text import ParallelText

    for name in ("train.en", "train.de", "val.en"):
        (tmp_path / name).write_text("a\nb\n")
    assert "val.en: has no partner in 'de'" in complaint(ParallelText(str(tmp_path)).open, "train")


def test_damaged_gzip_of_text_is_a_problem(tmp_path: Path) -> None:
    from foveate.datasets.parallel_text import ParallelText

    content = bytearray(gzip.compress(b"cow\n" * 1000))
    content[20] ^= 255
    (tmp_path / "train.en.gz").write_bytes(content)
    (tmp_path / "train.de").write_text("Kuh\n" * 1000)
    assert "train.en.gz: cannot be read" in complaint(ParallelText(str(tmp_path)).open, "train")


def test_a_table_whose_first_line_has_no_cell_is_no_table_of_questions(tmp_path: Path) -> None:
    from foveate.datasets.questions.table import columns_of

    for line in ("\x0b", "\x1c", '""', "\r"):
        (tmp_path / "qa.csv").write_bytes(line.encode() + b"\n")
        assert columns_of(tmp_path / "qa.csv") is None


@pytest.mark.parametrize(("tag", "name"), [(277, "samples"), (256, "width"), (257, "height")])
def test_a_tiff_without_a_value_is_refused(tag: int, name: str, tmp_path: Path) -> None:
    from foveate import pictures

    tifffile.imwrite(tmp_path / "x.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    data = bytearray((tmp_path / "x.tif").read_bytes())
    start = struct.unpack_from("<I", data, 4)[0]
    for i in range(struct.unpack_from("<H", data, start)[0]):
        if struct.unpack_from("<H", data, start + 2 + 12 * i)[0] == tag:
            struct.pack_into("<I", data, start + 2 + 12 * i + 8, 0)
    (tmp_path / "x.tif").write_bytes(data)
    for read in (pictures.read_picture, pictures.read_raw, pictures.picture_info, pictures.open_windows):
        assert str(tmp_path / "x.tif") in complaint(read, tmp_path / "x.tif"), name


def test_a_tiff_of_one_value_that_is_tagged_as_alpha_is_that_value(tmp_path: Path) -> None:
    from foveate import pictures
    from foveate.datasets.masks.layers import read_layers

    values = np.arange(64, dtype=np.uint8).reshape(8, 8)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="minisblack", extratags=[(338, "H", 1, 2, True)])
    assert (pictures.read_raw(tmp_path / "x.tif").values == values).all()
    assert (pictures.read_picture(tmp_path / "x.tif") == values[:, :, None]).all()
    layers = read_layers(tmp_path / "x.tif")
    assert layers.values is not None and (layers.values == values).all()


def test_an_image_that_takes_more_memory_than_there_is_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foveate import pictures

    def refuse(image: object) -> None:
        raise MemoryError

    formats.image(tmp_path / "x.png")
    monkeypatch.setattr(pictures, "_pillow_pixels", refuse)
    assert "x.png: takes more memory than there is" in complaint(pictures.read_picture, tmp_path / "x.png")


def test_a_wave_chunk_beyond_the_file_is_damage(tmp_path: Path) -> None:
    from foveate.sounds import read_sound, sound_header

    formats.sound(tmp_path / "x.wav")
    data = bytearray((tmp_path / "x.wav").read_bytes())
    struct.pack_into("<I", data, 16, 5000)  # of the chunk 'fmt '
    (tmp_path / "x.wav").write_bytes(data)
    for read in (sound_header, read_sound):
        assert "x.wav: " in complaint(read, tmp_path / "x.wav")


@pytest.mark.parametrize("trace", ["0, 2, 4", "0 0, 2, 4 0", "0 0, 1e999 1"])
def test_a_trace_without_y_is_named(trace: str, tmp_path: Path) -> None:
    from foveate.datasets.handwriting.inkml import InkML

    (tmp_path / "x.inkml").write_text(f'<ink><annotation type="truth">a</annotation><trace>{trace}</trace></ink>')
    assert "x.inkml: " in complaint(InkML(str(tmp_path / "x.inkml")).open, "train")


@pytest.mark.parametrize("encoding", ["no-such", "utf-32", "utf-7"])
def test_xml_of_an_unknown_encoding_is_named(encoding: str, tmp_path: Path) -> None:
    from foveate.datasets.handwriting.inkml import parse_xml

    (tmp_path / "x.inkml").write_text(f'<?xml version="1.0" encoding="{encoding}"?><ink></ink>')
    assert "x.inkml: not readable as XML" in complaint(parse_xml, tmp_path / "x.inkml")


@pytest.mark.parametrize("row", ["epoch\nx\n", "epoch\n1,2\n", "epoch\n\0\n", "\xff\n1\n"])
def test_a_damaged_history_is_named(row: str, tmp_path: Path) -> None:
    from foveate.engine.run import RunFolder

    (tmp_path / "metrics.csv").write_bytes(row.encode("latin-1"))
    assert "metrics.csv is damaged" in complaint(RunFolder(tmp_path).history)


@pytest.mark.parametrize(
    ("where", "value", "reason"),
    [
        ("name", 5, "expected an integer id and a name"), ("name", ["x"], "expected an integer id and a name"),
        ("supercategory", ["x"], "expected an integer id and a name"),
        ("segmentation", [[10**400] * 6], "ill-formed segmentation"),
        ("segmentation", {"size": [10, 12], "counts": [10**30]}, "ill-formed run lengths"),
    ],
)  # fmt: skip
def test_coco_with_values_of_other_kinds_is_refused(where: str, value: object, reason: str, tmp_path: Path) -> None:
    from foveate.datasets.coco import COCO

    formats.coco(tmp_path, random.Random(0))
    for file in (tmp_path / "annotations").glob("*.json"):
        content = json.loads(file.read_text())
        content["annotations" if where == "segmentation" else "categories"][0][where] = value
        file.write_text(json.dumps(content))
    source = COCO(str(tmp_path))
    assert reason in complaint(lambda: [source.open("train")[i] for i in range(3)])


@pytest.mark.parametrize("line", ["9" * 5000, "cow " + "9" * 5000 + " 0 0", "ignore: " + "9" * 5000])
def test_numbers_of_thousands_of_digits_are_no_numbers(line: str, tmp_path: Path) -> None:
    from foveate.datasets.camvid import _read_colors
    from foveate.datasets.class_files import find_classes

    (tmp_path / "classes.txt").write_text(f"background\n{line}\n")
    formats.attempt(find_classes, tmp_path)
    (tmp_path / "classes.txt").unlink()
    for name in ("labelmap.txt", "_classes.csv"):
        (tmp_path / name).write_text(f"Pixel Value, Class\n{'9' * 5000}, cow\ncow:{'9' * 5000},0,0::\n")
        formats.attempt(find_classes, tmp_path)
    (tmp_path / "colors.txt").write_text(f"{'9' * 5000} 0 0 Void\n")
    assert "expected 'r g b name'" in complaint(_read_colors, tmp_path / "colors.txt")


@pytest.mark.parametrize(
    "changes",
    [{"mean": ["x", 0, 0]}, {"mean": [0.5]}, {"std": [1, 1, 0]}, {"std": [1, 1, float("nan")]}, {"size": [3]},
     {"size": [-1, 5]}, {"crop": 0}, {"window": [[0]]}, {"window": [[0, float("inf")]] * 3}, {"values": 5}],
)  # fmt: skip
def test_preprocessing_that_normalises_no_image_is_refused(changes: dict[str, object], tmp_path: Path) -> None:
    from foveate.store import load_model

    model = shutil.copytree(formats.DATA / "version_0_1_0" / "classification" / "run" / "model", tmp_path / "model")
    about = json.loads((model / "config.json").read_text())
    about["preprocessing"] |= changes
    (model / "config.json").write_text(json.dumps(about))
    assert "config.json is damaged" in complaint(load_model, model)


@pytest.mark.parametrize("text", ["a: !!timestamp x\n", "a: !!int ''\n", "a: 2001-99-99\n", "[" * 5000])
def test_yaml_that_its_reader_fails_on_is_refused(text: str, tmp_path: Path) -> None:
    from foveate.recipes.config import from_file

    (tmp_path / "x.yaml").write_text(text)
    assert "x.yaml is not yaml: " in complaint(from_file, tmp_path / "x.yaml")


def test_a_name_that_is_no_text_can_be_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from foveate.cli import main

    formats.class_folders(tmp_path, random.Random(0))
    (tmp_path / "cow" / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    assert main(["datasets", "inspect", str(tmp_path)]) == 1
    assert "\\udcff.png" in capsys.readouterr().out
