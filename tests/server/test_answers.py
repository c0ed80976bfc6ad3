"""Answers of every family over HTTP are those of the predictor, in their own form and in Hugging Face's."""

from __future__ import annotations

import base64
import dataclasses
import io
import wave
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools import mask as coco
from served_models import CLASSES, noise, png

import foveate
from foveate import cli
from foveate.errors import DataError
from foveate.server.openapi import answer_schema
from foveate.tasks import all_tasks

KEPT = Path(__file__).parents[1] / "data" / "version_0_1_0"


def decoded(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text, validate=True))))


def recording(seconds: float = 0.5, rate: int = 8000) -> bytes:
    samples = 9000 * np.sin(np.arange(int(seconds * rate)) * 0.4)
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, rate, 0, "NONE", ""))
        sound.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


REQUESTS: dict[str, Any] = {
    "semantic": {"image": b64(png())},
    "instances": {"image": b64(png())},
    "classification": {"image": b64(png())},
    "captioning": {"image": b64(png()), "beams": 2},
    "colocalisation": {"image": b64(png())},
    "translation": {"text": "s1 s2 s3", "beams": 2},
    "speech": {"audio": b64(recording()), "beams": 2},
    "video": {"frames": [b64(png(noise(24, 24, seed=i))) for i in range(3)], "beams": 2},
    "questions": {"image": b64(png()), "question": "what is this"},
    "handwriting": {"text": "ab", "bias": 1, "seed": 3},
    "drawing": {"count": 2, "seed": 3},
}


@pytest.mark.parametrize("family", REQUESTS)
def test_an_answer_has_the_form_that_is_described(serve, family):
    server = serve(family)
    response = server.post(f"/v1/models/{family}/predict", REQUESTS[family])
    assert response.status_code == 200, response.text
    answer = response.json()
    schema = answer_schema(server.models.find(family).predictor.family)
    jsonschema.validate(answer, schema, jsonschema.Draft202012Validator)
    assert not set(answer) - set(schema["properties"])
    assert answer["model"] == family and set(answer["seconds"]) == {"wait", "decode", "run", "encode"}
    assert server.post("/v1/predict", REQUESTS[family]).json().keys() == answer.keys()


def test_every_family_of_the_package_is_asked_here():
    own = {task.name for task in all_tasks() if task.__module__.startswith("foveate.")}
    assert own <= set(REQUESTS)


def test_no_part_of_a_reply_is_called_as_an_option():
    for task in all_tasks():
        parts = {field.name for field in dataclasses.fields(task.Parts)}
        assert not parts & {field.name for field in dataclasses.fields(task.Options)}, task.name


# Semantic segmentation


def pictures(tmp_path) -> dict[str, bytes]:
    """Thirty files: five sizes, six kinds each; turned, of 16 bits, with a palette and with transparency among them."""
    import imagecodecs

    files = {}
    for seed, (h, w) in enumerate(((40, 56), (33, 200), (64, 64), (97, 61), (120, 90))):
        pixels, exif = noise(h, w, seed=seed), Image.Exif()
        exif[274] = (6, 3, 8, 5, 7)[seed]
        deep = io.BytesIO()
        tifffile.imwrite(deep, pixels.astype(np.uint16) * 257, photometric="rgb", tile=(16, 16))
        alpha = np.dstack([pixels, np.full((h, w), 255, np.uint8)])
        alpha[:10, :, 3] = 0
        kinds = {
            "whole.png": png(noise(h, w, channels=1, seed=seed) if seed == 0 else pixels),
            "turned.jpg": png(pixels, format="JPEG", quality=90, exif=exif),
            "deep.tif": deep.getvalue(),
            "deep16.png": imagecodecs.png_encode(pixels.astype(np.uint16) * 257),
            "palette.gif": png(pixels, format="GIF"),
            "alpha.png": png(alpha),
        }
        files |= {f"{h}x{w}_{name}": data for name, data in kinds.items()}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return files


@pytest.mark.parametrize("kind", ["folder", "onnx"])
def test_masks_are_those_that_predict_writes(serve, folder, tmp_path, kind):
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    model = folder("semantic") if kind == "folder" else KEPT / "semantic" / "labels.onnx"
    (tmp_path / "in").mkdir()
    files = pictures(tmp_path / "in")
    words = [str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert len(files) == 30 and cli.main(["predict", str(model), *words]) == 0
    server = serve(paths={"model": model})
    table = foveate.load(model, device="cpu").family.tables["classes"]
    seen = set()
    for name, data in files.items():
        (expected,) = [p for p in (tmp_path / "out").rglob("*.png") if p.stem in (name, name.rpartition(".")[0])]
        answer = server.post("/v1/predict", data, headers={"content-type": "application/octet-stream"}).json()
        mask = decoded(answer["mask"])
        np.testing.assert_array_equal(mask, np.asarray(Image.open(expected)), err_msg=name)
        assert (answer["height"], answer["width"]) == mask.shape
        palette = Image.open(io.BytesIO(base64.b64decode(answer["mask"]))).getpalette()
        assert palette[: 3 * len(table)] == [v for color in table.colors for v in color]
        assert answer["shares"] == pytest.approx({n: (mask == i).mean() for i, n in enumerate(table.names)})
        seen |= set(np.unique(mask).tolist())
    assert len(seen) > 1  # else the masks would be equal by chance
    assert server.post("/v1/predict", files["40x56_turned.jpg"]).json()["height"] == 56  # upright


def test_the_mask_alone_the_overlay_and_the_confidence(serve, folder):
    server = serve("semantic")
    predictor = foveate.load(folder("semantic"), device="cpu")
    prediction = predictor.predict(noise())
    alone = server.post("/v1/predict", png(), headers={"content-type": "image/png", "accept": "image/png"})
    assert alone.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(alone.content))), prediction.mask)
    answer = server.post("/v1/predict?overlay&confidence=true", png()).json()
    expected = np.rint(prediction.confidence() * 255)
    np.testing.assert_allclose(decoded(answer["confidence"]), expected, atol=1)
    assert decoded(answer["overlay"]).shape == np.asarray(prediction.overlay()).shape
    plain = server.post("/v1/predict", png()).json()
    assert "overlay" not in plain and "confidence" not in plain


def test_options_in_the_query_and_in_the_body_do_the_same(serve, folder):
    server = serve("semantic")
    predictor = foveate.load(folder("semantic"), device="cpu")
    expected = predictor.predict(noise(), flip=True, scales=(0.5, 1.0)).mask
    assert (expected != predictor.predict(noise()).mask).any()
    for response in (
        server.post("/v1/predict?flip=1&scales=0.5,1", png()),
        server.post("/v1/predict", {"image": b64(png()), "flip": True, "scales": [0.5, 1]}),
        server.post("/v1/predict?flip=true", {"image": b64(png()), "flip": False, "scales": "0.5,1"}),
    ):
        np.testing.assert_array_equal(decoded(response.json()["mask"]), expected)


def test_several_inputs_are_answered_each_on_its_own(serve):
    server = serve("semantic")
    other = png(noise(30, 20))
    rows = [b64(png()), {"name": "x/bad.jpg", "image": b64(b"no picture")}, {"name": "b.png", "image": b64(other)}]
    answer = server.post("/v1/predict", {"images": rows}).json()
    first, bad, last = answer["results"]
    assert first["mask"] == server.post("/v1/predict", png()).json()["mask"]
    assert last["mask"] == server.post("/v1/predict", other).json()["mask"] and last["name"] == "b.png"
    assert bad["name"] == "bad.jpg" and bad["problem"]["status"] == 422
    assert bad["problem"]["detail"] == "bad.jpg: not a picture in a known format; replace or remove the file"


def test_how_an_input_was_taken_is_told(serve):
    server = serve("semantic")
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, (noise() / 255).astype(np.float32), photometric="rgb")
    assert "note" not in server.post("/v1/predict", png()).json()
    assert server.post("/v1/predict", buffer.getvalue()).status_code == 200


def test_runs_and_exported_files_are_served(serve):
    pytest.importorskip("onnxruntime")
    paths = {
        "run": KEPT / "semantic" / "run", "file": KEPT / "semantic" / "labels.onnx",
        "captions": KEPT / "captioning" / "captions.onnx", "classes": KEPT / "classification" / "classes.onnx",
    }  # fmt: skip
    server = serve(paths=paths)
    picture = noise(61, 83)
    for name in ("run", "file"):
        expected = foveate.load(paths[name], device="cpu").predict(picture).mask
        answer = server.post(f"/v1/models/{name}/predict", png(picture)).json()
        np.testing.assert_array_equal(decoded(answer["mask"]), expected)
    caption = foveate.load(paths["captions"], device="cpu").predict(picture)
    answer = server.post("/v1/models/captions/predict", png(picture)).json()
    assert [one["text"] for one in answer["sentences"]] == [one.text for one in caption.sentences]
    ranked = foveate.load(paths["classes"], device="cpu").predict(picture).top()
    answer = server.post("/v1/models/classes/predict", png(picture)).json()
    assert [one["label"] for one in answer["top"]] == [name for name, _ in ranked]
    runtimes = {one["name"]: one["runtime"] for one in server.client.get("/v1/models").json()["models"]}
    assert runtimes == {"run": "torch", "file": "onnxruntime", "captions": "onnxruntime", "classes": "onnxruntime"}


def test_the_bytes_of_a_file_are_an_input_in_python_too(folder, tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "a.wav").write_bytes(recording())
    for family, file in (("semantic", "a.png"), ("speech", "a.wav")):
        predictor = foveate.load(folder(family), device="cpu")
        data = (tmp_path / file).read_bytes()
        record = predictor.family.record
        assert record(predictor.predict(data)) == record(predictor.predict(tmp_path / file))
        assert predictor.predict(data, name="x/b.bin").name == "b.bin"
    with pytest.raises(DataError, match=r"^b\.png: not a picture in a known format"):
        foveate.load(folder("semantic"), device="cpu").predict(b"text", name="b.png")


# The other families


def test_objects_are_the_predictors(serve, folder):
    server = serve("instances")
    prediction = foveate.load(folder("instances"), device="cpu").predict(noise())
    answer = server.post("/v1/predict", png()).json()
    found = prediction.found
    assert len(found) and len(answer["objects"]) == len(found)
    for entry, label, mask in zip(answer["objects"], found.labels, found.masks, strict=True):
        assert entry["label"] == CLASSES.names[label]
        rle = {"size": entry["mask"]["size"], "counts": entry["mask"]["counts"].encode()}
        np.testing.assert_array_equal(coco.decode(rle), coco.decode(mask))
        assert entry["area"] == coco.decode(rle).sum()
    assert sum(answer["counts"].values()) == len(found) and set(answer["counts"]) == set(CLASSES.names)


def test_classes_and_regions(serve, folder):
    server = serve("classification")
    prediction = foveate.load(folder("classification"), device="cpu").predict(noise())
    answer = server.post("/v1/predict?top=2", png()).json()
    assert [(t["label"], t["probability"]) for t in answer["top"]] == [
        (name, pytest.approx(p)) for name, p in prediction.top(2)
    ]
    assert len(answer["transforms"][0]["corners"]) == 4


def test_captions_and_their_attention(serve, folder):
    server = serve("captioning")
    prediction = foveate.load(folder("captioning"), device="cpu").predict(noise(), beams=3)
    answer = server.post("/v1/predict?beams=3&attention=1", png()).json()
    assert [s["text"] for s in answer["sentences"]] == [s.text for s in prediction.sentences]
    best, expected = answer["sentences"][0], prediction.sentences[0]
    assert best["score"] == pytest.approx(expected.score, abs=1e-5)
    assert len(best["attention"]) == len(best["words"]) == len(best["probabilities"])
    for text, weights in zip(best["attention"], expected.attention, strict=True):
        np.testing.assert_allclose(decoded(text), weights / weights.max() * 255, atol=1)
    assert "attention" not in server.post("/v1/predict", png()).json()["sentences"][0]


def test_texts_are_translated_together_as_they_are_alone(serve, folder):
    server = serve("translation")
    predictor = foveate.load(folder("translation"), device="cpu")
    texts = ["s1 s2", "", "s4 s5 s6 s7 s8"]
    answer = server.post("/v1/predict", {"texts": texts}).json()
    for text, one in zip(texts, answer["results"], strict=True):
        assert one["sentences"][0]["text"] == predictor.predict(text).text
        alone = server.post("/v1/predict", {"text": text}).json()
        assert alone["sentences"][0]["text"] == one["sentences"][0]["text"]
        assert one["source_words"] == alone["source_words"]
    assert answer["results"][1]["note"] == "an empty sentence, whose translation is empty"


def test_recordings_come_as_bytes_or_base64(serve, folder, tmp_path):
    server = serve("speech")
    (tmp_path / "a.wav").write_bytes(recording(rate=16000))
    expected = foveate.load(folder("speech"), device="cpu").predict(tmp_path / "a.wav", beams=2)
    raw = server.post("/v1/predict?beams=2", recording(rate=16000), headers={"content-type": "audio/wav"}).json()
    coded = server.post("/v1/predict", {"audio": b64(recording(rate=16000)), "beams": 2}).json()
    for answer in (raw, coded):
        assert answer["sentences"][0]["text"] == expected.text and answer["duration"] == 0.5
        assert answer["note"].startswith("resampled from 16000 to 8000 Hz")
        for word in answer["sentences"][0]["words"]:
            assert 0 <= word["start"] <= word["end"] <= 0.6


def test_a_clip_comes_as_a_file_or_frame_by_frame(serve, folder, tmp_path):
    server = serve("video")
    frames = [noise(24, 30, seed=i) for i in range(5)]
    images = [Image.fromarray(frame) for frame in frames]
    file = io.BytesIO()
    images[0].save(file, format="WEBP", save_all=True, append_images=images[1:], lossless=True, duration=40)
    (tmp_path / "a.webp").write_bytes(file.getvalue())
    predictor = foveate.load(folder("video"), device="cpu")
    expected = predictor.predict(tmp_path / "a.webp", beams=2)
    answer = server.post("/v1/predict?beams=2", file.getvalue(), headers={"content-type": "video/webm"}).json()
    coded = server.post("/v1/predict", {"video": b64(file.getvalue()), "beams": 2}).json()
    assert [s["text"] for s in answer["sentences"]] == [s.text for s in expected.sentences]
    assert coded["sentences"] == answer["sentences"] and answer["frames"] == list(expected.numbers) == [0, 1, 2, 3, 4]
    best, first = answer["sentences"][0], expected.sentences[0]
    assert answer["times"] == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.16])
    np.testing.assert_allclose(best["alignment"], first.attention, atol=1e-4)
    parts = server.post("/v1/predict?beams=2", {"frames": [b64(png(frame)) for frame in frames]}).json()
    assert parts["sentences"] == answer["sentences"] and parts["times"] == []


def test_a_question_beside_the_bytes_of_a_picture(serve, folder):
    server = serve("questions")
    given = {"image": noise(), "question": "what is a zebra"}
    prediction = foveate.load(folder("questions"), device="cpu").predict(given)
    answer = server.post("/v1/predict?question=what+is+a+zebra&top=2&attention", png()).json()
    assert answer["answer"] == prediction.text and answer["unread"] == ["zebra"]
    assert [a["text"] for a in answer["answers"]] == [name for name, _ in prediction.top(2)]
    assert len(answer["attention"]) == 2
    rows = [{"image": b64(png()), "question": "is this a cow"}, b64(png())]
    both = server.post("/v1/predict", {"images": rows, "question": "what is a zebra"}).json()["results"]
    assert both[1]["answer"] == answer["answer"] and both[0]["words"] == ["is", "this", "a", "cow"]


def test_what_is_generated_is_a_function_of_its_seed(serve, folder):
    server = serve("drawing", "handwriting")
    made = foveate.load(folder("drawing"), device="cpu").generate(3, 5)
    answer = server.post("/v1/models/drawing/predict", {"count": 3, "seed": 5}).json()
    for text, prediction in zip(answer["images"], made.predictions, strict=True):
        np.testing.assert_allclose(decoded(text), prediction.canvases[-1][..., 0] * 255, atol=1)
    again = server.post("/v1/models/drawing/predict?count=1&seed=5", {}).json()
    assert again["images"] == answer["images"][:1]
    (default,) = server.client.post("/v1/models/drawing/predict").json()["images"]
    first = foveate.load(folder("drawing"), device="cpu").generate(1, 0).predictions[0]
    np.testing.assert_allclose(decoded(default), first.canvases[-1][..., 0] * 255, atol=1)
    written = server.post("/v1/models/handwriting/predict", {"text": "ab", "seed": 4, "bias": 2}).json()
    assert written["text"] == "ab" and written["svg"].startswith("<svg ") and len(written["strokes"][0]) == 3
    svg = server.post("/v1/models/handwriting/predict?text=ab&seed=4&bias=2", {}, headers={"accept": "image/svg+xml"})
    assert svg.text == written["svg"]
    two = server.post("/v1/models/handwriting/predict", {"text": "ab", "seed": 4, "bias": 2, "count": 2}).json()
    assert two["results"][0]["strokes"] == written["strokes"] != two["results"][1]["strokes"]


# Hugging Face's form


def test_hugging_faces_form_of_each_family(serve):
    families = ["semantic", "classification", "captioning", "translation", "speech", "questions"]
    server = serve(*families)
    raw = {"content-type": "application/octet-stream"}

    def ask(family, content, **more):
        response = server.post(f"/hf/{family}", content, **more)
        assert response.status_code == 200, response.text
        return response.json()

    masks = ask("semantic", png(), headers=raw)
    mask = decoded(server.post("/v1/models/semantic/predict", png()).json()["mask"])
    assert {one["label"] for one in masks} <= set(CLASSES.names) and masks
    for one in masks:
        np.testing.assert_array_equal(decoded(one["mask"]) == 255, mask == CLASSES.names.index(one["label"]))
    ranked = ask("classification", {"inputs": b64(png()), "parameters": {"top_k": 2, "function_to_apply": None}})
    assert [set(one) for one in ranked] == [{"label", "score"}] * 2
    assert isinstance(ask("captioning", png(), headers=raw)[0]["generated_text"], str)
    assert isinstance(ask("translation", {"inputs": "s1 s2"})[0]["translation_text"], str)
    assert isinstance(ask("speech", recording(), headers=raw)["text"], str)
    asked = ask("questions", {"inputs": {"image": b64(png()), "question": "what is this"}})
    assert {"answer", "score"} == set(asked[0])


def test_a_family_without_such_a_form(serve):
    response = serve("drawing").post("/hf/drawing", {})
    assert response.status_code == 404 and "no form for drawing images" in response.json()["detail"]


def test_bytes_without_a_type_are_looked_at(serve):
    server = serve("semantic")
    expected = server.post("/v1/predict", png()).json()["mask"]
    for content in (png(), b' {"image": "' + b64(png()).encode() + b'"}'):
        assert server.client.post("/v1/predict", content=content).json()["mask"] == expected


def test_options_that_name_files_are_marked():
    """An option that names a file of the machine must never be taken over HTTP."""
    named = {"FILE", "RUN", "DIR", "PATH", "FOLDER"}
    for task in all_tasks():
        for one in dataclasses.fields(task.Options):
            if one.metadata.get("metavar") in named:
                assert one.metadata["served"] is False, one.name
