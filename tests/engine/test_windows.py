"""The intensity window from training to every answer: learned from train, stored, and applied alike everywhere."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from foveate.cli import main
from foveate.datasets import recognise
from foveate.engine.evaluate import evaluate_run
from foveate.engine.learner import Learner
from foveate.engine.recipe import Recipe
from foveate.engine.report import report_run
from foveate.engine.run import RunFolder
from foveate.engine.train import train_recipe
from foveate.errors import ConfigError, DataError, TrainingError
from foveate.export import export_onnx
from foveate.pictures.given import open_for
from foveate.predictor import Predictor
from foveate.store import load_model
from foveate.tasks.reporting import image_pixels

SIDE = 32
LOOP = Path(__file__).parents[2] / "docs" / "quickstart.md"


def scene(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright disc on a dim ground: values 0..255, and the mask."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[:SIDE, :SIDE]
    centre = random.integers(9, SIDE - 9, 2)
    mask = ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 49).astype(np.uint8)
    grey = 60 + 120 * mask + random.integers(-20, 21, mask.shape)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8), mask


def twelve(values: np.ndarray) -> np.ndarray:
    """As a 12-bit camera would write them."""
    return values.astype(np.uint16) * 16 + 8


def write(root: Path, convert: Callable[[np.ndarray], np.ndarray] = twelve, suffix: str = "tif") -> Path:
    for number in range(8):
        part = root / ("train" if number < 6 else "val")
        for name in ("images", "masks"):
            (part / name).mkdir(parents=True, exist_ok=True)
        values, mask = scene(number)
        path = part / "images" / f"{number}.{suffix}"
        if suffix == "tif":
            tifffile.imwrite(path, convert(values), photometric="rgb" if values.ndim == 3 else "minisblack")
        else:
            Image.fromarray(convert(values)).save(path)
        Image.fromarray(mask).save(part / "masks" / f"{number}.png")
    (root / "classes.txt").write_text("ground\ncell\n")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("twelve"))


def recipe_for(data: Path, **changes: Any) -> Recipe:
    from foveate.engine.recipe import Optim
    from foveate.models.semantic.fcn import Config

    config = Config(stride=8, backbone="test_efficientnet", head_channels=8, head_kernel=1, dropout=0.0)
    settings = {"name": "fcn8s", "epochs": 12, "batch_size": 6, "optim": Optim(lr=0.02), "data": recognise(data)}
    return Recipe("fcn8s", config, **(settings | changes))


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_recipe(recipe_for(data), out=tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime")
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export_onnx(run, path)
    return path


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def expected_window(data: Path) -> np.ndarray:
    pooled = np.concatenate([tifffile.imread(p).reshape(-1, 3) for p in sorted(data.glob("train/images/*"))])
    return np.percentile(pooled.astype(float), (0.1, 99.9), axis=0).T


def by_hand(run: Path, picture: np.ndarray, window: np.ndarray) -> np.ndarray:
    """The labels of a picture, from the formula of the window and the bare network."""
    loaded = load_model(run / "model")
    scaled = np.clip((picture - window[:, 0]) / (window[:, 1] - window[:, 0]), 0, 1)
    normal = (scaled - np.array(loaded.preprocessing.mean)) / np.array(loaded.preprocessing.std)
    with torch.inference_mode():
        logits = loaded.model.eval()(torch.from_numpy(normal).permute(2, 0, 1).float()[None]).logits
    return logits[0].argmax(0).numpy()


def test_the_window_is_learned_from_train_and_stored(run: Path, data: Path) -> None:
    stored = json.loads((run / "model" / "config.json").read_text())["preprocessing"]
    np.testing.assert_allclose(stored["window"], expected_window(data), rtol=1e-5)
    assert stored["values"] == "uint16"
    assert json.loads((run / "recipe.json").read_text())["window"] == "auto"
    assert load_model(run / "last").preprocessing == load_model(run / "model").preprocessing


def test_the_model_learned_from_12_bits(run: Path) -> None:
    assert evaluate_run(run).scores.mean_iou > 0.6


def test_every_way_to_an_answer_applies_the_window(run: Path, data: Path, exported: Path) -> None:
    window = np.array(load_model(run / "model").preprocessing.window)
    predictors = [Predictor.open(run, device="cpu"), Predictor.open(exported, device="cpu")]
    examples = {sample["name"]: prediction.mask for sample, prediction, _ in evaluate_run(run).examples()}
    for path in sorted(data.glob("val/images/*")):
        picture = tifffile.imread(path)
        expected = by_hand(run, picture, window)
        assert 0.02 < expected.mean() < 0.6  # else this test would say little
        for predictor in predictors:
            for given in (path, picture, torch.from_numpy(picture.astype(np.int32)).permute(2, 0, 1)):
                assert (predictor.predict(given).mask == expected).mean() > 0.999
        assert (examples[path.name] == expected).mean() > 0.999


def test_a_large_picture_is_windowed_tile_by_tile(run: Path, tmp_path: Path) -> None:
    rows = [np.concatenate([twelve(scene(10 * i + j)[0]) for j in range(5)], axis=1) for i in range(4)]
    picture = np.concatenate(rows)
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb", tile=(32, 32))
    predictor = Predictor.open(run, device="cpu")
    seen: list[float] = []
    tiled = predictor.predict(tmp_path / "a.tif", tile=64, overlap=32, progress=seen.append).mask
    assert len(seen) > 4
    assert (tiled == predictor.predict(picture, tile=64, overlap=32).mask).all()
    assert (tiled == predictor.predict(picture, tile=0).mask).mean() > 0.9


def test_the_documented_loop_says_what_predict_says(
    run: Path, data: Path, exported: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The example of the quickstart, on a TIFF in place of a JPEG."""
    block = LOOP.read_text(encoding="utf-8").split('network = onnxruntime.InferenceSession("first.onnx")')
    code = block[0].rpartition("```python")[2] + 'network = onnxruntime.InferenceSession("first.onnx")'
    code += block[1].partition("```")[0]
    reading = 'Image.open("photo.jpg").convert("RGB")'
    assert code.count(reading) == 1
    path = next(data.glob("val/images/*"))
    (tmp_path / "first.onnx").write_bytes(exported.read_bytes())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"tifffile": tifffile, "path": path}
    exec(code.replace(reading, "tifffile.imread(path)"), names)
    assert (names["mask"] == Predictor.open(run, device="cpu").predict(path).mask).mean() > 0.999


def test_drawings_are_visible(run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["predict", str(run), str(data / "val" / "images"), "--out", str(out), "--device", "cpu"]) == 0
    for path in out.glob("*_overlay.jpg"):
        drawn = np.asarray(Image.open(path).convert("L"))[:SIDE, :SIDE]
        assert drawn.max() > 100
    evaluation = evaluate_run(run)
    sample = next(evaluation.examples())[0]
    shown = image_pixels(sample)
    assert shown.min() < 10 and shown.max() > 245
    page = report_run(run, evaluation).read_text()
    low, high = load_model(run / "model").preprocessing.window[0]
    assert f"Values {low:g}..{high:g} are black to white." in page
    capsys.readouterr()


def test_other_depths_are_refused(run: Path, tmp_path: Path) -> None:
    eight, _ = scene(7)
    Image.fromarray(eight).save(tmp_path / "a.png")
    predictor = Predictor.open(run, device="cpu")
    with pytest.raises(DataError, match=r"a\.png holds 8 bits \(uint8\); fcn8s was trained on more than 8 bits"):
        predictor.predict(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"holds floats"):
        predictor.predict(eight / 255.0)
    other = write(tmp_path / "eight", lambda values: values, "png")
    with pytest.raises(DataError, match=r"6\.png holds 8 bits"):
        evaluate_run(run, source=recognise(other))


def test_pictures_beyond_the_window_are_named(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor = Predictor.open(run, device="cpu")
    picture = tifffile.imread(next(data.glob("val/images/*")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor.predict(picture)
    for other in (picture * 4, picture // 16):  # of 14 bits, and of 8 bits in 16
        with pytest.warns(UserWarning, match="most values lie beyond .*, which fcn8s takes for black to white"):
            predictor.predict(other)
        with pytest.warns(UserWarning, match="the input: most values lie beyond"):
            list(predictor.predict_many([picture, other]))
    bright = write(tmp_path / "bright", lambda values: twelve(values) * 4)
    evaluate_run(run, source=recognise(bright))
    assert "note: 2 pictures (6.tif, 7.tif): most values lie beyond" in capsys.readouterr().err
    images = str(bright / "val" / "images")
    assert main(["predict", str(run), images, "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert "note: 2 pictures (6.tif, 7.tif): most values lie beyond" in capsys.readouterr().err


def test_8_bits_are_trained_on_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write(tmp_path / "eight", lambda values: values, "png")
    run = train_recipe(recipe_for(root, epochs=1), out=tmp_path / "run")
    preprocessing = load_model(run / "model").preprocessing
    assert (preprocessing.window, preprocessing.values) == ((), "uint8")
    # 16 bits are taken by the range of their type, as before there were windows, and it is said.
    values, _ = scene(7)
    predictor = Predictor.open(run, device="cpu")
    with pytest.warns(UserWarning, match=r"more than 8 bits \(uint16\), but fcn8s was trained on 8 bits"):
        sixteen = predictor.predict(values.astype(np.uint16) * 257)
    assert (sixteen.mask == predictor.predict(values).mask).all()
    Image.fromarray(values[..., 0].astype(np.uint16)).save(tmp_path / "a.png")
    assert main(["predict", str(run), str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert "note: 1 picture (a.png): more than 8 bits (uint16), but fcn8s" in capsys.readouterr().err
    (record,) = json.loads((tmp_path / "out" / "predictions.json").read_text())["pictures"]
    assert record["note"].startswith("more than 8 bits")
    evaluate_run(run, source=recognise(write(tmp_path / "twelve")))
    assert "note: 2 pictures (6.tif, 7.tif): more than 8 bits" in capsys.readouterr().err


@pytest.mark.parametrize(("window", "stored", "values"), [("full", (), ""), ("0,4095", ((0.0, 4095.0),) * 3, "uint16")])
def test_the_setting(
    tmp_path: Path, data: Path, window: str, stored: tuple[Any, ...], values: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train_recipe(recipe_for(data, epochs=1, window=window), out=tmp_path / "run")
    preprocessing = load_model(run / "model").preprocessing
    assert (preprocessing.window, preprocessing.values) == (stored, values)
    assert RunFolder(run).recipe().window == window
    said = capsys.readouterr().out
    assert ("note: intensities 0..4095 (uint16) become black to white\n" in said) == bool(stored)


def test_a_setting_that_there_is_not(data: Path) -> None:
    with pytest.raises(ConfigError, match="window is 'bright'; expected auto, full, percentiles, or LOW,HIGH"):
        recipe_for(data, window="bright")


def test_a_resumed_run_keeps_its_window(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, step = recipe_for(data, epochs=2), Learner.training_step

    def fail(self: Learner, batch: Any, index: int) -> Any:
        if self.current_epoch == 1:
            raise TrainingError("stopped here")
        return step(self, batch, index)

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "training_step", fail)
        with pytest.raises(TrainingError, match="stopped here"):
            train_recipe(recipe, out=tmp_path / "run")
    file = tmp_path / "run" / "last" / "config.json"
    about = json.loads(file.read_text())
    about["preprocessing"]["window"] = [[11.0, 3000.0]] * 3  # another than would be learned again
    file.write_text(json.dumps(about))
    train_recipe(recipe, out=tmp_path / "run", resume=True)
    assert len(RunFolder(tmp_path / "run").history()) == 2
    assert load_model(tmp_path / "run" / "last").preprocessing.window == ((11.0, 3000.0),) * 3


def test_a_model_of_before_there_were_windows_answers_as_before(run: Path, data: Path, tmp_path: Path) -> None:
    """Its folder says nothing of them, and 16 bits are shares of 65535."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes((run / "model" / "model.safetensors").read_bytes())
    about = json.loads((run / "model" / "config.json").read_text())
    for key in ("window", "values"):
        del about["preprocessing"][key]
    (folder / "config.json").write_text(json.dumps(about))
    predictor = Predictor.open(folder, device="cpu")
    assert (predictor.preprocessing.window, predictor.preprocessing.values) == ((), "")
    path = next(data.glob("val/images/*"))
    windows = open_for(path, predictor.preprocessing, "fcn8s")
    np.testing.assert_array_equal(windows.read(0, 0, SIDE, SIDE), tifffile.imread(path))
    full = np.array([[0, 65535]] * 3)
    assert (predictor.predict(path).mask == by_hand(run, tifffile.imread(path), full)).mean() > 0.999


def test_a_run_from_another_one_has_its_own_window(run: Path, tmp_path: Path) -> None:
    bright = write(tmp_path / "bright", lambda values: twelve(values) * 4)
    tuned = train_recipe(recipe_for(bright, epochs=1), out=tmp_path / "run", init=run)
    np.testing.assert_allclose(load_model(tuned / "model").preprocessing.window, expected_window(bright), rtol=1e-5)


@pytest.mark.parametrize("low_high", [(0.0, 1.0), (0.0, 10000.0), (-1.0, 0.5)])
def test_floats(tmp_path: Path, low_high: tuple[float, float]) -> None:
    low, high = low_high

    def convert(values: np.ndarray) -> np.ndarray:
        floats = low + (high - low) * values.astype(np.float32) / 255
        floats[0, 0] = np.nan
        return floats

    root = write(tmp_path / "floats", convert)
    run = train_recipe(recipe_for(root, epochs=2), out=tmp_path / "run")
    ((bottom, top), *_) = load_model(run / "model").preprocessing.window
    assert low <= bottom < low + 0.2 * (high - low) and low + 0.7 * (high - low) < top <= high
    export_onnx(run, tmp_path / "m.onnx")
    path = next(root.glob("val/images/*"))
    mask = Predictor.open(run, device="cpu").predict(path).mask
    assert (Predictor.open(tmp_path / "m.onnx", device="cpu").predict(path).mask == mask).all()
    evaluate_run(run)
