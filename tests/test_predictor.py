from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import foveate
from foveate.errors import ConfigError, DataError, ModelError
from foveate.predictor import Predictor, choose_device, find_model_folder
from foveate.records import ClassTable
from foveate.store import save_model

CLASSES = ClassTable(("sky", "grass", "cow"), ((10, 20, 30), (40, 50, 60), (70, 80, 90)))


def small_fcn(in_channels: int = 3) -> torch.nn.Module:
    torch.manual_seed(0)
    model: torch.nn.Module = foveate.create(
        "fcn16s", num_classes=3, backbone="test_efficientnet", head_channels=8, head_kernel=1, in_channels=in_channels
    )
    for parameter in model.parameters():  # the scores start at zero: let them say something
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    save_model(folder / "model", small_fcn(), "fcn16s", {"classes": CLASSES}, "semantic")
    (folder / "recipe.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def predictor(run: Path) -> Predictor:
    return Predictor.open(run, device="cpu")


def photo(height: int = 75, width: int = 101) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_open_knows_the_model(predictor: Predictor, run: Path) -> None:
    assert (predictor.name, predictor.task, predictor.runtime) == ("fcn16s", "semantic", "torch")
    assert predictor.classes == CLASSES
    assert predictor.channels == 3
    assert predictor.model is not None
    assert not predictor.runner.training
    assert not any(p.requires_grad for p in predictor.model.parameters())
    direct = Predictor.open(run / "model", device="cpu").predict(photo())
    assert (direct.mask == predictor.predict(photo()).mask).all()


def test_prediction_is_the_models_own_answer(predictor: Predictor) -> None:
    image = torch.from_numpy(photo()).permute(2, 0, 1)
    model = small_fcn()
    with torch.inference_mode():
        expected = model(model.preprocessing(image)[None]).logits[0].argmax(0).numpy()
    prediction = predictor.predict(photo())
    assert prediction.mask.dtype == np.uint8
    assert (prediction.mask == expected).mean() > 0.999
    assert len(np.unique(expected)) > 1  # else this test would say little
    assert sum(prediction.shares().values()) == pytest.approx(1.0)


def test_every_kind_of_picture_gives_one_answer(predictor: Predictor, tmp_path: Path) -> None:
    pixels = photo()
    file = tmp_path / "photo.png"
    Image.fromarray(pixels).save(file)
    expected = predictor.predict(pixels).mask
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    for picture in (file, str(file), Image.fromarray(pixels), tensor, tensor.float() / 255, pixels / 255.0):
        assert (predictor.predict(picture).mask == expected).mean() > 0.999
    assert predictor.predict(file).name == "photo.png"
    sixteen = pixels.astype(np.uint16) * 257
    assert (predictor.predict(sixteen).mask == expected).mean() > 0.999


def test_grey_transparent_and_turned_pictures(predictor: Predictor) -> None:
    grey = photo()[..., 0]
    expected = predictor.predict(np.repeat(grey[..., None], 3, axis=2)).mask
    assert (predictor.predict(grey).mask == expected).all()
    assert (predictor.predict(Image.fromarray(grey)).mask == expected).all()
    sixteen = Image.fromarray(grey.astype(np.uint16) * 257)
    assert (predictor.predict(sixteen).mask == expected).mean() > 0.999

    alpha = np.zeros(photo().shape[:2], np.uint8)
    alpha[:20] = 255
    white = np.where(alpha[..., None] > 0, photo(), 255).astype(np.uint8)
    clear = np.dstack([photo(), alpha])
    assert (predictor.predict(Image.fromarray(clear)).mask == predictor.predict(white).mask).all()
    clear[..., 3] = 0
    with pytest.raises(DataError, match="the image: every pixel is transparent, though colours differ beneath"):
        predictor.predict(Image.fromarray(clear))

    turned = Image.fromarray(photo())
    turned.getexif()[0x0112] = 6
    assert predictor.predict(turned).mask.shape == (101, 75)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 31), (64, 64), (129, 97)])
def test_any_size(predictor: Predictor, size: tuple[int, int]) -> None:
    assert predictor.predict(photo(*size)).mask.shape == size
    assert predictor.predict(photo(*size), flip=True, scales=(0.5, 1.5)).mask.shape == size


def test_tiles_agree_with_the_whole_in_the_interior(predictor: Predictor) -> None:
    smooth = np.asarray(Image.fromarray(photo(12, 16)).resize((512, 384), Image.Resampling.BICUBIC))
    whole = predictor.predict(smooth, tile=0).mask
    tiled = predictor.predict(smooth, tile=256, overlap=128).mask
    assert (whole == tiled).mean() > 0.97
    assert (predictor.predict(smooth).mask == whole).all()  # small pictures are not tiled unless asked


def test_large_pictures_are_tiled_unless_told_otherwise(predictor: Predictor) -> None:
    seen: list[float] = []
    predictor.predict(np.zeros((1300, 1300, 3), np.uint8), progress=seen.append)
    assert len(seen) == 4
    seen.clear()
    predictor.predict(np.zeros((1300, 1300, 3), np.uint8), tile=0, progress=seen.append)
    assert seen == []


def test_tiled_tiff_is_read_by_windows(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from foveate.pictures.tiff import TiffPicture

    pixels = photo(400, 500)
    file = tmp_path / "wide.tif"
    tifffile.imwrite(file, pixels, tile=(64, 64), photometric="rgb")
    sizes: list[tuple[int, int]] = []
    real = TiffPicture.read

    def noted(self: TiffPicture, top: int, left: int, height: int, width: int) -> np.ndarray:
        sizes.append((height, width))
        return real(self, top, left, height, width)

    monkeypatch.setattr(TiffPicture, "read", noted)
    tiled = predictor.predict(file, tile=128).mask
    assert sizes and max(max(size) for size in sizes) <= 128
    assert (tiled == predictor.predict(pixels, tile=128).mask).all()


def test_other_numbers_of_channels(tmp_path: Path, predictor: Predictor) -> None:
    save_model(tmp_path / "m", small_fcn(in_channels=5), "fcn16s", {"classes": CLASSES}, "semantic")
    five = Predictor.open(tmp_path / "m", device="cpu")
    cube = np.random.default_rng(0).integers(0, 256, (40, 50, 5), dtype=np.uint8)
    assert five.predict(cube).mask.shape == (40, 50)
    with pytest.raises(DataError, match=r"has 3 channels; fcn16s was trained on 5 \(an array is \(H, W, C\)"):
        five.predict(photo())
    with pytest.raises(DataError, match=r"a tensor is \(C, H, W\); this one is \(75, 101, 3\)"):
        predictor.predict(torch.from_numpy(photo()))
    file = tmp_path / "five.tif"
    tifffile.imwrite(file, cube.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate")
    with pytest.raises(DataError, match=r"five.tif has 5 channels; fcn16s was trained on 3"):
        predictor.predict(file)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((2, 3, 4, 5), np.uint8), r"shape \(2, 3, 4, 5\); expected \(H, W\) or \(H, W, C\)"),
        (np.zeros((0, 4, 3), np.uint8), r"with at least one pixel"),
        (np.zeros((4, 4, 3), np.int64), r"holds int64; expected uint8, uint16, or float in 0..1"),
        (np.full((4, 4, 3), 255.0), r"holds 255 to 255; expected 0..1"),
        (np.full((4, 4, 3), np.nan), r"expected 0..1"),
        (torch.zeros(1, 3, 4, 4), r"shape \(1, 3, 4, 4\); expected one picture, \(C, H, W\)"),
        (7, r"a int came as picture; expected a path, PIL image, array or tensor$"),
        (["a.png", "b.png"], r"a list came as picture; .* array or tensor; predict_many takes several$"),
    ],
)
def test_what_is_no_picture(predictor: Predictor, picture: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        predictor.predict(picture)  # type: ignore[arg-type]


def test_many_are_the_files_of_a_folder_or_a_glob(predictor: Predictor, tmp_path: Path, monkeypatch: Any) -> None:
    """As `foveate predict` takes them: below the folder as well, sorted, without hidden files and earlier results."""
    for name in ("b.png", "a.jpg", "in/c.png", ".hidden.png", "done/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(photo(32, 40)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "done" / "predictions.json").write_text("{}")
    monkeypatch.chdir(tmp_path)

    def names(given: Any) -> list[str]:
        return [prediction.name for prediction in predictor.predict_many(given)]

    assert names(str(tmp_path)) == names(tmp_path) == names(".") == ["a.jpg", "b.png", "c.png"]
    assert names("*.png") == names(Path("*.png")) == ["b.png"]
    assert names("**/*.png") == ["b.png", "d.png", "c.png"]
    assert names("a.jpg") == names(tmp_path / "a.jpg") == ["a.jpg"]
    (one,) = predictor.predict_many("b.png")
    assert (one.mask == predictor.predict("b.png").mask).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("*.tif", r"^no picture matches \*.tif, and no other file does; check the folder and the pattern$"),
        ("empty", r"^no pictures in empty; expected files ending in .*\.jpg"),
        ("emty", r"^emty does not exist; the nearest is empty$"),
        ("http://a.org/b.jpg", r"^http://a.org/b.jpg: http:// is not read; give an address of https, or a file$"),
        (b"\x89PNG", r"^a bytes came for several inputs; predict_many takes a list of them, and predict takes one$"),
        ({"image": "a.jpg"}, r"^a dict came for several inputs; predict_many takes a list"),
        (np.zeros((8, 9, 3), np.uint8), r"^an array of shape \(8, 9, 3\) came for several inputs; predict_many takes"),
        (torch.zeros(3, 8, 9), r"^an array of shape \(3, 8, 9\) came for several inputs; predict_many takes a list"),
        (Image.new("RGB", (9, 8)), r"^one Image came for several inputs; predict_many takes a list of them"),
    ],
)
def test_many_without_files(predictor: Predictor, tmp_path: Path, monkeypatch: Any, given: Any, message: str) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message):
        list(predictor.predict_many(given))


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("fcn8s", "train one with foveate train fcn8s --data PATH, and give its run folder"),
        ("U-Net++", "the nearest network is fcn8s (it, too, adds the encoder's fine features to coarse ones"),
        ("rns", "the nearest is runs"),
        ("elsewhere", "give a run folder, a model folder or an exported .onnx file"),
        ("runs/unet", "give a run folder, a model folder or an exported .onnx file"),
    ],
)
def test_a_run_that_there_is_not(tmp_path: Path, monkeypatch: Any, given: str, hint: str) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=f"^{re.escape(given)} does not exist; {re.escape(hint)}"):
        foveate.load(given)


def test_one_is_no_folder_and_no_glob(predictor: Predictor, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "photo[1].png"):
        with pytest.raises(DataError, match=r"predict takes one picture, and predict_many those "):
            (tmp_path / "photos").mkdir(exist_ok=True)
            predictor.predict(name)
    Image.fromarray(photo(32, 40)).save("photo[1].png")
    assert predictor.predict("photo[1].png").mask.shape == (32, 40)
    with pytest.raises(DataError, match=r"^photos is a folder; predict takes one picture, and predict_many those of"):
        list(predictor.predict_many(["photo[1].png", "photos"]))
    with pytest.raises(
        DataError, match=r"^\*\.jpg is no file; predict takes .* predict_many those that match a pattern$"
    ):
        predictor.predict("*.jpg")


def test_too_many_pixels(predictor: Predictor, tmp_path: Path) -> None:
    Image.fromarray(photo()).save(tmp_path / "p.png")
    with pytest.raises(DataError, match=r"p\.png.*--max-pixels"):
        predictor.predict(tmp_path / "p.png", max_pixels=100)


def test_missing_paths_name_the_nearest(run: Path) -> None:
    with pytest.raises(ModelError, match=r"frist does not exist; the nearest is .*first"):
        Predictor.open(run.parent / "frist")
    with pytest.raises(ModelError, match=r"does not exist; give a run folder, a model folder or an exported .onnx"):
        Predictor.open(run.parent / "zzz" / "yyy")


def test_what_is_no_model(run: Path, tmp_path: Path) -> None:
    for suffix in (".pt", ".pth", ".ckpt", ".bin", ".pkl"):
        file = tmp_path / f"weights{suffix}"
        file.write_bytes(b"x")
        with pytest.raises(ModelError, match=rf"weights{suffix} is not read: a pickle can run any code"):
            Predictor.open(file)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ModelError, match=r"notes\.txt is not a model"):
        Predictor.open(tmp_path / "notes.txt")
    (tmp_path / "empty_run").mkdir()
    (tmp_path / "empty_run" / "recipe.json").write_text("{}")
    with pytest.raises(ModelError, match=r"empty_run has no model/ yet; train it for at least one epoch"):
        Predictor.open(tmp_path / "empty_run")
    with pytest.raises(ModelError, match=r"is not a model folder: config\.json is missing"):
        (tmp_path / "bare").mkdir()
        Predictor.open(tmp_path / "bare")


def test_a_model_folder_with_a_pickle_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "m", small_fcn(), "fcn16s", {"classes": CLASSES}, "semantic")
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"holds a pickle \(pytorch_model\.bin\).*refused"):
        Predictor.open(tmp_path / "m")


def test_find_model_folder(run: Path) -> None:
    assert find_model_folder(run) == run / "model"
    assert find_model_folder(run / "model") == run / "model"


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ConfigError, match=r"unknown device 'gpu'; expected auto, cpu, cuda"):
        choose_device("gpu")
    with pytest.raises(ConfigError, match=r"device 'cuda:99' is not available on this machine; use auto or cpu"):
        choose_device("cuda:99")


def test_onnx_files_that_are_not_ours(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"not a graph")
    with pytest.raises(ModelError, match=r"damaged\.onnx cannot be loaded by ONNX Runtime"):
        Predictor.open(damaged)

    shape = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, None, None])
    out = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [1, 3, None, None])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["image"], ["logits"])], "g", [shape], [out])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    foreign = tmp_path / "foreign.onnx"
    onnx.save(model, foreign)
    with pytest.raises(ModelError, match=r"foreign\.onnx has no 'foveate\.task' in its metadata"):
        Predictor.open(foreign)

    values = {
        "foveate.task": "semantic",
        "foveate.model": "standin",
        "foveate.version": "0",
        "foveate.classes": CLASSES.to_json(),
        "foveate.preprocessing": {"mean": [0.0] * 3, "std": [1.0] * 3},
    }
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in values.items()})
    ours = tmp_path / "ours.onnx"
    onnx.save(model, ours)
    predictor = Predictor.open(ours)
    assert predictor.runtime == "onnxruntime"
    assert predictor.classes == CLASSES
    assert (predictor.predict(photo()).mask == photo().argmax(2)).all()  # the logits are the picture itself
    with pytest.raises(ConfigError, match=r"device 'mps' is not available to ONNX Runtime"):
        Predictor.open(ours, device="mps")

    onnx.helper.set_model_props(model, dict.fromkeys(values, "{"))
    onnx.save(model, ours)
    with pytest.raises(ModelError, match=r"ours\.onnx has metadata that is not JSON"):
        Predictor.open(ours)
