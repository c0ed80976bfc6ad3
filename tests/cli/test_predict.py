from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import foveate
from foveate import disk
from foveate.cli import main, predict
from foveate.cli.inputs import plan
from foveate.cli.pipeline import Results
from foveate.errors import ConfigError, DataError, OutputError
from foveate.pictures.given import open_picture
from foveate.predictor import Predictor
from foveate.records import ClassTable, SemanticPrediction
from foveate.store import save_model
from foveate.tasks import inputs
from foveate.tasks.semantic import drawing
from foveate.tasks.semantic import task as semantic

CLASSES = ClassTable(("sky", "grass", "cow"), ((10, 20, 30), (40, 50, 60), (70, 80, 90)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = foveate.create("fcn32s", num_classes=3, backbone="test_efficientnet", head_channels=8, head_kernel=1)
    torch.nn.init.normal_(model.score.weight)
    folder = tmp_path_factory.mktemp("runs") / "first"
    save_model(folder / "model", model, "fcn32s", {"classes": CLASSES}, "semantic")
    return folder


def photo(path: Path, seed: int = 0, size: tuple[int, int] = (40, 60)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_the_speed_in_words() -> None:
    assert predict._rate(32, 10.0, "pictures") == "3.2 pictures/s"
    assert predict._rate(15, 307.8, "pictures") == "20.5 s each"
    assert predict._rate(2, 250.0, "pictures") == "2 min 5 s each"
    assert predict._rate(0, 10.0, "pictures") == "0.0 pictures/s"


def test_the_last_line_names_the_tables(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(tmp_path / "in" / "a.png")
    out = tmp_path / "out"
    assert main(["predict", str(run), str(tmp_path / "in"), "--out", str(out), "--device", "cpu", "--objects"]) == 0
    assert capsys.readouterr().out.endswith(f" -> {out} (images.csv, objects.csv)\n")


def test_folder_to_masks_overlays_and_json(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = photo(tmp_path / "in" / "a.png"), photo(tmp_path / "in" / "deep" / "b.jpg", 1, (33, 47))
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    out = tmp_path / "out"
    assert main(["predict", str(run), str(tmp_path / "in"), "--out", str(out), "--device", "cpu"]) == 0
    assert "predicted: 2 of 2 pictures" in capsys.readouterr().out
    summary = json.loads((out / "predictions.json").read_text())
    assert summary["failed"] == []
    assert summary["model"]["name"] == "fcn32s"
    assert summary["model"]["classes"] == ["sky", "grass", "cow"]
    predictor = Predictor.open(run, device="cpu")
    for record, source in zip(summary["pictures"], (first, second), strict=True):
        expected = predictor.predict(source)
        mask = Image.open(out / record["mask"])
        assert record["file"] == str(source)
        assert (record["height"], record["width"]) == expected.mask.shape
        assert (np.asarray(mask) == expected.mask).all()
        assert mask.getpalette()[:9] == [10, 20, 30, 40, 50, 60, 70, 80, 90]  # type: ignore[index]
        assert record["shares"] == pytest.approx(expected.shares())
        assert record["seconds"] > 0
        assert Image.open(out / record["overlay"]).height > record["height"]  # the legend stands beneath
    files = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert files == ["a.png", "a_overlay.jpg", "deep/b.png", "deep/b_overlay.jpg", "predictions.json"]


def test_damaged_pictures_are_named_and_the_rest_goes_on(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(6):
        photo(tmp_path / "in" / f"{i}.png", i)
    whole = (tmp_path / "in" / "2.png").read_bytes()
    (tmp_path / "in" / "2.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in" / "4b.jpg").write_text("not a picture")
    tifffile.imwrite(tmp_path / "in" / "5b.tif", np.zeros((5, 30, 30), np.uint8), photometric="minisblack")
    out = tmp_path / "out"
    out.mkdir()
    (out / "2.png").write_bytes(b"an older result")
    assert main(["predict", str(run), str(tmp_path / "in"), "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert "predicted: 5 of 8 pictures" in captured.out
    for name in ("2.png", "4b.jpg", "5b.tif"):
        assert sum(name in line for line in captured.err.splitlines()) == 1
    assert "5b.tif has 5 channels; fcn32s was trained on 3" in captured.err
    summary = json.loads((out / "predictions.json").read_text())
    assert [Path(f["file"]).name for f in summary["failed"]] == ["2.png", "4b.jpg", "5b.tif"]
    assert [p["mask"] for p in summary["pictures"]] == [f"{i}.png" for i in (0, 1, 3, 4, 5)]
    assert (out / "2.png").read_bytes() == b"an older result"
    assert not list(out.rglob(".*"))  # nothing half-written


def test_plan_takes_files_folders_and_globs(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.jpg", "b/c/3.png", "b/.hidden/4.png"):
        photo(tmp_path / name)
    out = tmp_path / "out"

    def masks(*inputs: str) -> list[str]:
        return [
            j.result(".png").relative_to(out).as_posix()
            for j in plan([str(tmp_path / i) for i in inputs], {}, out, semantic.SemanticTask)
        ]

    assert masks("a") == ["1.png", "2.png"]
    assert masks("a/2.jpg", "b") == ["2.png", "c/3.png"]
    assert masks("*/1.png") == ["1.png"]
    assert masks("**/*.png") == ["a/1.png", "b/c/3.png"]
    assert masks("a", "a/1.png") == ["1.png", "2.png"]  # each picture once


def test_equal_names_stay_apart(tmp_path: Path) -> None:
    for name in ("x/p.png", "x/p.jpg", "y/p.jpg", "z/p.jpg", "z/P.jpeg"):
        photo(tmp_path / name)
    jobs = plan([str(tmp_path / folder) for folder in "xyz"], {}, tmp_path / "out", semantic.SemanticTask)
    assert [j.result(".png").name for j in jobs] == ["p.png", "p_png.png", "p_jpg.png", "P_jpeg.png", "p_jpg_2.png"]
    assert len({j.result("_overlay.jpg").name.casefold() for j in jobs}) == 5
    for folder, name in (("v", "gr\u00fcn.png"), ("w", "gru\u0308n.png")):  # one name on some disks
        photo(tmp_path / folder / name)
    jobs = plan([str(tmp_path / folder) for folder in "vw"], {}, tmp_path / "out", semantic.SemanticTask)
    assert [j.name.name for j in jobs] == ["gr\u00fcn", "gru\u0308n_png"]


def test_results_of_an_earlier_run_are_no_inputs(tmp_path: Path) -> None:
    photo(tmp_path / "p.jpg")
    photo(tmp_path / "out" / "p.png")
    assert [Path(j.title).name for j in plan([str(tmp_path)], {}, tmp_path / "out", semantic.SemanticTask)] == ["p.jpg"]


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    photo(tmp_path / "p.png")
    with pytest.raises(ConfigError, match=r"would replace the input .*p\.png; choose another --out"):
        plan([str(tmp_path)], {}, tmp_path, semantic.SemanticTask)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("photso", r"photso does not exist; the nearest is .*photos"),
        ("empty", r"no pictures in .*empty; expected files ending in \.bmp"),
        ("photos/*.tif", r"no picture matches .*\*\.tif"),
    ],
)
def test_inputs_that_are_not_there(tmp_path: Path, text: str, message: str) -> None:
    photo(tmp_path / "photos" / "a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        plan([str(tmp_path / text)], {}, tmp_path / "out", semantic.SemanticTask)


def test_unwritable_output_is_said_before_any_work(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(tmp_path / "a.png")
    (tmp_path / "file").write_text("x")
    monkeypatch.setattr(Predictor, "open", lambda *_, **__: pytest.fail("the model was loaded"))
    for out in ("file", "file/below"):
        assert main(["predict", str(run), str(tmp_path / "a.png"), "--out", str(tmp_path / out)]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert "file" in lines[0]


def test_full_disk_stops_with_one_error(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(5):
        photo(tmp_path / "in" / f"{i}.png", i)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(semantic, "index_png", full)
    with pytest.raises(OutputError, match=r"cannot write .*0\.png: No space left on device"):
        predict.run([str(run), str(tmp_path / "in"), "--out", str(tmp_path / "out")])
    # Nothing but the note whose results come, by which the same line goes on once there is room.
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == ["names.json"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tile", "500"], r"tile is 500; it must be a multiple of 32"),
        (["--scales", "0.5,many"], r"--scales is '0.5,many'; expected values separated by commas, each a number"),
        (["--scales", "0"], r"scale 0 is out of range"),
        (["--flipp"], r"unknown flag '--flipp'; the nearest is '--flip'"),
    ],
)
def test_bad_flags(run: Path, tmp_path: Path, flags: list[str], message: str) -> None:
    photo(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=message):
        predict.run([str(run), str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), *flags])


def test_flags_reach_the_predictor(run: Path, tmp_path: Path) -> None:
    source = photo(tmp_path / "a.png", size=(150, 170))
    flags = ["--flip", "--scales", "0.5,1", "--tile", "96", "--overlap", "32", "--device", "cpu"]
    assert main(["predict", str(run), str(source), "--out", str(tmp_path / "out"), *flags]) == 0
    expected = Predictor.open(run, device="cpu").predict(source, flip=True, scales=(0.5, 1.0), tile=96, overlap=32)
    assert (np.asarray(Image.open(tmp_path / "out" / "a.png")) == expected.mask).all()


def test_inputs_may_follow_flags(run: Path, tmp_path: Path) -> None:
    first, second = (photo(tmp_path / name) for name in ("a.png", "b.png"))
    assert main(["predict", str(run), str(first), "--out", str(tmp_path / "out"), str(second)]) == 0
    found = json.loads((tmp_path / "out/predictions.json").read_text())["pictures"]
    assert [Path(one["file"]).name for one in found] == ["a.png", "b.png"]


def test_max_pixels(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOVEATE_MAX_PIXELS", "1000")
    words = ["predict", str(run), str(photo(tmp_path / "a.png")), "--out", str(tmp_path / "out")]
    assert main(words) == 1
    assert "a.png" in (err := capsys.readouterr().err) and "--max-pixels" in err
    assert main([*words, "--max-pixels", "2400"]) == 0


def test_large_pictures_take_turns(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from foveate import pictures
    from foveate.pictures import given

    monkeypatch.setattr(inputs, "PIPELINED_PIXELS", 1000)
    for i in range(4):
        photo(tmp_path / "in" / f"{i}.png", i, (40, 60) if i % 2 else (20, 30))
    alive: list[int] = []
    open_windows, closed = pictures.open_windows, []

    def noted(path: Path, max_pixels: int | None = None, channels: int | None = None) -> pictures.Windows:
        windows = open_windows(path, max_pixels, channels)
        if windows.height == 40:
            alive.append(len(alive) - len(closed))
            monkeypatch.setattr(windows, "close", lambda: closed.append(path))
        return windows

    monkeypatch.setattr(given, "open_windows", noted)
    assert predict.run([str(run), str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    assert alive == [0, 0]  # none other was open when a large one was opened


def test_reduced_averages_the_picture_and_samples_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "LONGEST_OVERLAY", 5)
    pixels = np.arange(6 * 11 * 3).reshape(6, 11, 3).astype(np.uint8)
    labels = np.arange(66).reshape(6, 11).astype(np.uint8)
    picture, mask = drawing._reduced(open_picture(pixels), labels)
    assert picture.shape == (2, 3, 3)  # by a factor of 3; what does not fill a block is left out
    assert picture[1, 2].tolist() == np.rint(pixels[3:6, 6:9].astype(float).mean((0, 1))).tolist()
    assert mask.tolist() == labels[1::3, 1::3][:2, :3].tolist()


def test_shares_by_strips_are_the_shares() -> None:
    mask = np.random.default_rng(0).integers(0, 3, (1500, 1700), dtype=np.uint8)
    prediction = SemanticPrediction(mask, CLASSES)
    counts = np.bincount(mask.ravel(), minlength=3) / mask.size
    assert list(prediction.shares().values()) == pytest.approx(counts.tolist())


def test_a_geotiff_gives_a_mask_at_its_place(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (40, 60, 3), dtype=np.uint8)
    pixels[:3] = 0
    scale, tie = (0.5, 0.5, 0.0), (0.0, 0.0, 0.0, 691000.0, 5334000.0, 0.0)
    tags = [(33550, "d", 3, scale, True), (33922, "d", 6, tie, True), (42113, "s", 0, "0", True)]
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "map.tif", pixels, photometric="rgb", extratags=tags)
    tifffile.imwrite(tmp_path / "in" / "plain.tif", pixels, photometric="rgb")
    out = tmp_path / "out"
    assert main(["predict", str(run), str(tmp_path / "in"), "--out", str(out), "--device", "cpu"]) == 0
    records = {Path(r["file"]).name: r for r in json.loads((out / "predictions.json").read_text())["pictures"]}
    assert records["map.tif"]["geotiff"] == "map_mask.tif"
    assert "geotiff" not in records["plain.tif"] and not (out / "plain_mask.tif").exists()
    with tifffile.TiffFile(out / "map_mask.tif") as file:
        page = file.pages[0]
        labels, found = page.asarray(), {tag.code: tag.value for tag in page.tags}
    assert (found[33550], found[33922], found[42113]) == (scale, tie, "255")
    expected = np.array(Image.open(out / "map.png"))
    expected[:3] = 255
    np.testing.assert_array_equal(labels, expected)
    # Tile by tile it is the same place.
    tiled = [str(run), str(tmp_path / "in" / "map.tif"), "--tile", "64", "--overlap", "0"]
    assert main(["predict", *tiled, "--out", str(tmp_path / "tiled"), "--device", "cpu"]) == 0
    assert tifffile.imread(tmp_path / "tiled" / "map_mask.tif").shape == (40, 60)
    capsys.readouterr()


# Results of other calls


def names(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}


@pytest.fixture
def other(run: Path, tmp_path: Path) -> Path:
    """Another run, with another model."""
    torch.manual_seed(1)
    model = foveate.create("fcn32s", num_classes=3, backbone="test_efficientnet", head_channels=8, head_kernel=1)
    torch.nn.init.normal_(model.score.weight)
    save_model(tmp_path / "other" / "model", model, "fcn32s", {"classes": CLASSES}, "semantic")
    return tmp_path / "other"


def test_a_folder_with_another_runs_results_is_refused(
    run: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = photo(tmp_path / "a.png"), tmp_path / "out"
    assert main(["predict", str(run), str(source), "--out", str(out)]) == 0
    before = names(out)
    capsys.readouterr()
    assert main(["predict", str(other), str(source), "--out", str(out)]) == 1
    told = capsys.readouterr().err
    assert told == (
        f"foveate: {out} holds 1 result of {run}, which would be lost; choose another --out, or move them away\n"
    )
    assert names(out) == before


def test_a_folder_with_results_of_other_inputs_is_refused_and_more_inputs_are_fine(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, out = photo(tmp_path / "a.png"), photo(tmp_path / "b.png", 1), tmp_path / "out"
    assert main(["predict", str(run), str(first), "--out", str(out)]) == 0
    before = names(out)
    capsys.readouterr()
    assert main(["predict", str(run), str(second), "--out", str(out)]) == 1
    assert f"{out} holds results of 1 other input ({first}), which would be lost" in capsys.readouterr().err
    assert names(out) == before
    for _ in range(2):
        assert main(["predict", str(run), str(first), str(second), "--out", str(out)]) == 0
        assert sorted(names(out)) == ["a.png", "a_overlay.jpg", "b.png", "b_overlay.jpg", "predictions.json"]


@pytest.mark.skipif(disk.fcntl is None, reason="folders cannot be locked here")
def test_two_calls_at_once_do_not_write_into_one_folder(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also before the first of them has written anything: it may still be loading its model."""
    monkeypatch.chdir(tmp_path)
    photo(tmp_path / "in" / "a.png")
    with disk.locked_folder("predictions") as free, disk.locked_folder("out"):
        assert free
        assert main(["predict", str(run), "in"]) == 0
        assert main(["predict", str(run), "in", "--out", "out"]) == 1
        told = capsys.readouterr().err
        assert told.startswith("foveate: another process is writing into out, or labels it; wait until that ends, or ")
    assert [p.name for p in tmp_path.glob("*t*") if p.is_dir()] == ["predictions-2"]
    with disk.locked_folder("predictions-2") as free:
        assert free, "it is written"
    assert main(["predict", str(run), "nothing.png", "--out", "new/deep"]) == 1
    assert not (tmp_path / "new").exists()


def test_the_usual_folder_is_numbered(
    run: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    photo(tmp_path / "in" / "a.png")
    for model in (run, other, run, other, other):
        assert main(["predict", str(model), "in"]) == 0
        capsys.readouterr()
    assert sorted(p.name for p in tmp_path.glob("predictions*")) == ["predictions", "predictions-2"]
    found = [
        json.loads((tmp_path / name / "predictions.json").read_text()) for name in ("predictions", "predictions-2")
    ]
    assert [Path(summary["model"]["path"]) for summary in found] == [run, other]
    # Results of an earlier call are no inputs of the next.
    assert main(["predict", str(run), "."]) == 0
    summary = json.loads((tmp_path / "predictions" / "predictions.json").read_text())
    assert [record["file"] for record in summary["pictures"]] == ["in/a.png"]


def test_a_file_that_is_no_result_is_never_replaced(run: Path, tmp_path: Path) -> None:
    source, out = photo(tmp_path / "a.jpg"), tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_text("my own mask")
    assert main(["predict", str(run), str(source), "--out", str(out)]) == 0
    assert sorted(names(out)) == ["a.png", "a_jpg.png", "a_jpg_overlay.jpg", "predictions.json"]
    assert (out / "a.png").read_text() == "my own mask"


def test_a_call_that_was_stopped_is_made_again_under_the_same_names(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in range(3):
        photo(tmp_path / "in" / f"{k}.jpg", k)
    out = tmp_path / "out"
    out.mkdir()
    (out / "2.png").write_text("my own mask")
    words = ["predict", str(run), str(tmp_path / "in"), "--out", str(out), "--format", "coco"]
    note = Results.note

    def stop(self: Results, job: Any, *given: Any) -> None:
        if job.name.name == "1":
            raise KeyboardInterrupt
        note(self, job, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Results, "note", stop)
        assert main(words) == 130
    assert "0.png" in names(out) and "predictions.json" not in names(out)
    assert main(words) == 0
    results = [f"{k}{end}" for k in ("0", "1", "2_jpg") for end in (".png", "_overlay.jpg")]
    assert sorted(p.name for p in out.iterdir()) == sorted([*results, "2.png", "coco", "predictions.json"])
    assert (out / "2.png").read_text() == "my own mask"


def test_names_that_leave_no_room_for_those_of_results(run: Path, tmp_path: Path) -> None:
    room = 255 - max(map(len, semantic.SemanticTask.endings))
    longest = photo(tmp_path / f"{'n' * room}.png")
    assert main(["predict", str(run), str(longest), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / f"{longest.stem}_overlay.jpg").exists()
    longer = photo(tmp_path / f"{'n' * 250}.png")
    with pytest.raises(DataError, match=r"n{250}: names of its results would have 26\d bytes, and a file"):
        plan([str(longer)], {}, tmp_path / "out", semantic.SemanticTask)


def test_labels_keep_the_names_of_the_pictures(run: Path, tmp_path: Path) -> None:
    given = ["a.1.png", "a.2.png", "b c (1).png", "it's \u00e4.png", "u\u0308ber.png", "a,b\u20281 2.png"]
    for k, name in enumerate(given):
        photo(tmp_path / "in" / name, k)
    for form in ("coco", "voc", "yolo"):
        out = tmp_path / form
        assert main(["predict", str(run), str(tmp_path / "in"), "--out", str(out), "--format", form]) == 0
        copies = {p.name: p.read_bytes() for p in (out / form).rglob("*.png") if "Segmentation" not in p.parent.name}
        assert copies == {name: (tmp_path / "in" / name).read_bytes() for name in given}


def test_a_damaged_summary_is_left_alone(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "predictions.json").write_text("{")
    assert main(["predict", str(run), str(photo(tmp_path / "a.png")), "--out", str(out)]) == 1
    assert "holds a predictions.json that cannot be read" in capsys.readouterr().err
    assert names(out) == {"predictions.json": b"{"}


def test_predictions_become_labels_that_can_be_corrected(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from foveate.datasets import recognise

    for k in range(2):
        photo(tmp_path / "in" / f"{k}.png", k)
    out = tmp_path / "out"
    words = ["predict", str(run), str(tmp_path / "in"), "--out", str(out), "--device", "cpu", "--format"]
    assert main([*words, "labelme"]) == 0
    source = recognise(out / "labelme", "semantic")
    found = {}
    for split in source.splits():
        data = source.open(split, "semantic")
        for k in range(len(data)):
            found[data.name(k)] = [data.classes.names[v] for v in data[k]["mask"].flatten().tolist()]
    for k in range(2):
        mask = np.asarray(Image.open(out / f"{k}.png"))
        assert found[f"{k}.png"] == [CLASSES.names[v] for v in mask.flatten()]
        assert (out / "labelme" / f"{k}.png").read_bytes() == (tmp_path / "in" / f"{k}.png").read_bytes()
    assert main([*words, "labelme"]) == 0  # its own folder is written again
    (out / "coco").mkdir()
    capsys.readouterr()
    assert main([*words, "coco"]) == 1
    assert "coco exists already; move it away, or choose another --out" in capsys.readouterr().err
    assert main([*words, "cocoo"]) == 1
    assert "unknown format 'cocoo'; the nearest is 'coco'" in capsys.readouterr().err
