"""Labels that a trained run proposes: pixels, objects or captions, and the run's doubt about them.

They lie in `.foveate/prelabels/RUN/ID.json`; index.json beside them holds the doubt of each image. Images that are
done, and those of the validation fifth, get none: the score of a model must not depend on its own proposals.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from foveate import pictures
from foveate.datasets.labelme.shapes import BACKGROUND
from foveate.disk import atomic_write, write_atomically
from foveate.errors import DataError, FoveateError, ModelError, counted
from foveate.predictor import Predictor
from foveate.records import ClassTable
from foveate.records.captioning import CaptionPrediction
from foveate.records.instances import InstancePrediction
from foveate.records.semantic import SemanticPrediction
from foveate.studio.folder import Folder, Picture
from foveate.studio.jobs import read_object
from foveate.studio.store import Store
from foveate.studio.tiles import HIGHEST, tiles_to_json

FAMILIES = ("semantic", "instances", "captioning")
_DOUBT_PIXELS = 1_000_000  # of the image at which the confidence of a large one is taken
_WRITE_EVERY = 10  # images between two writings of the index


def place_of(folder: Folder, run: str) -> Path:
    """The folder of a run's pre-labels."""
    return folder.own / "prelabels" / run


def doubts(folder: Folder, run: str | None) -> dict[str, float]:
    """Id -> doubt, of the images that a run has pre-labels for."""
    return read_object(place_of(folder, run) / "index.json").get("doubts", {}) if run else {}


def read(folder: Folder, run: str, picture: Picture) -> dict[str, Any] | None:
    """The pre-label of an image as the page gets it; None where there is none, or where the image has changed."""
    found = read_object(place_of(folder, run) / f"{picture.id}.json")
    return found.get("prelabel") if found.get("version") == picture.version() else None


def make_all(data: str, run: str, name: str, progress: Path) -> dict[str, Any]:
    """Pre-label every image that is neither done nor of the validation fifth. -> their number, and of failures."""
    folder = Folder(data)
    store = Store(folder, read_only=True)
    predictor = Predictor.open(run)
    if predictor.task not in FAMILIES:
        raise ModelError(f"{name} is a model of {predictor.family.title}, which gives no labels of pixels or captions")
    digest = model_digest(Path(run))
    classes = store.classes().names
    left_out = _classes_left_out(predictor, classes)
    blind = folder.validation()
    wanted = [p for p in folder.pictures.values() if p.id not in blind and store.summary(p).state != "done"]
    found: dict[str, float] = {}
    failed: list[str] = []
    for number, picture in enumerate(wanted):
        write_atomically(progress, json.dumps({"done": number, "total": len(wanted)}))
        try:
            prelabel = make(predictor, picture, classes)
        except FoveateError as error:
            print(f"{picture.path.name}: {error}", flush=True)
            failed.append(picture.path.name)
            continue
        prelabel = {"run": name, "model_sha256": digest, **prelabel}
        with atomic_write(place_of(folder, name) / f"{picture.id}.json", flush=False) as temporary:
            temporary.write_text(json.dumps({"version": picture.version(), "prelabel": prelabel}), encoding="utf-8")
        found[picture.id] = prelabel["doubt"]
        if number % _WRITE_EVERY == 0:
            _write_index(folder, name, found)
    _write_index(folder, name, found)
    write_atomically(progress, json.dumps({"done": len(wanted), "total": len(wanted)}))
    if wanted and len(failed) == len(wanted):
        raise DataError(f"none of {counted(len(wanted), 'picture')} could be pre-labelled; the log says why")
    return {"pictures": len(found), "failed": len(failed), "left_out": left_out}


def _classes_left_out(predictor: Predictor, classes: Sequence[str]) -> list[str]:
    """The model's classes that the folder does not have. Raises ModelError if it has none of them."""
    table = predictor.family.tables.get("classes")
    names = [] if table is None else list(table.names)
    missing = [name for name in names if name not in classes and name != BACKGROUND]
    if names and not set(names) & set(classes):
        raise ModelError(
            f"the model's classes ({', '.join(names[:8])}) are none of the folder's ({', '.join(classes[:8])}); add "
            "those that its labels may have, or train a run on this folder"
        )
    return missing


def _write_index(folder: Folder, name: str, found: dict[str, float]) -> None:
    write_atomically(place_of(folder, name) / "index.json", json.dumps({"doubts": found}))


def model_digest(run: Path) -> str:
    """The digest of a model's weights. Raises ModelError."""
    files = [run] if run.is_file() else sorted([*run.glob("model/*.safetensors"), *run.glob("*.safetensors")])
    if not files:
        raise ModelError(f"{run} holds no weights; give a run folder that `foveate train` wrote")
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def make(predictor: Predictor, picture: Picture, classes: Sequence[str]) -> dict[str, Any]:
    """The pre-label of an image: objects, runs by tile, confidence and doubt."""
    prediction = predictor.predict(str(picture.path))
    objects: list[dict[str, Any]]
    if isinstance(prediction, CaptionPrediction):
        confidence = float(np.exp(prediction.sentences[0].score))
        objects, paint, captions = [], np.zeros((1, 1), np.uint16), [one.text for one in prediction.sentences]
    elif isinstance(prediction, InstancePrediction):
        objects, paint, confidence = _objects(prediction, classes)
        captions = []
    else:
        objects, paint = _regions(prediction, classes)
        confidence, captions = _confidence(predictor, picture, prediction), []
    return {
        "objects": objects,
        "tiles": tiles_to_json(paint),
        "outlines": [],
        "confidence": round(confidence, 4),
        "doubt": round(1 - confidence, 4),
        "captions": captions,
    }


def _entry(number: int, label: str, score: float | None) -> dict[str, Any]:
    return {"number": number, "label": label, "group": None, "flags": {}, "description": "", "source": "mask",
            "score": score}  # fmt: skip


def _regions(prediction: SemanticPrediction, classes: Sequence[str]) -> tuple[list[dict[str, Any]], np.ndarray]:
    """An object a class that is found and that the folder has; other pixels stay undecided."""
    table: ClassTable = prediction.classes
    number_of = np.zeros(max(len(table), int(prediction.mask.max()) + 1), np.uint16)
    objects: list[dict[str, Any]] = []
    for label in np.unique(prediction.mask).tolist():
        if label < len(table) and table.names[label] in classes:
            number_of[label] = len(objects) + 1
            objects.append(_entry(len(objects) + 1, table.names[label], None))
    return objects, number_of[prediction.mask]


def _confidence(predictor: Predictor, picture: Picture, prediction: SemanticPrediction) -> float:
    """The mean over the pixels of the probability of the class that each was given."""
    if prediction.mask.size <= _DOUBT_PIXELS:
        return float(prediction.confidence().mean())
    array = pictures.read_picture(picture.path)
    if array.dtype == np.uint8 and array.shape[2] == 3:
        image = Image.fromarray(array)
        image.thumbnail((1000, 1000))
        array = np.asarray(image)
    else:
        step = int(np.ceil((prediction.mask.size / _DOUBT_PIXELS) ** 0.5))
        array = np.ascontiguousarray(array[::step, ::step])
    return float(predictor.predict(array).confidence().mean())


def _objects(prediction: InstancePrediction, classes: Sequence[str]) -> tuple[list[dict[str, Any]], np.ndarray, float]:
    """The objects found, of classes that the folder has, and the mean of their scores; 0.5 where none was found."""
    found = prediction.found
    names = [prediction.classes.names[int(label)] for label in found.labels]
    numbers = found.numbers()
    if len(found) > HIGHEST:
        raise ModelError(f"{counted(len(found), 'object')} found; at most {HIGHEST} can be shown")
    wanted = [i for i, name in enumerate(names) if name in classes and (numbers == i + 1).any()]
    number_of = np.zeros(len(found) + 1, np.uint16)
    number_of[[i + 1 for i in wanted]] = np.arange(1, len(wanted) + 1)
    objects = [_entry(k, names[i], round(float(found.scores[i]), 4)) for k, i in enumerate(wanted, 1)]
    confidence = float(found.scores[wanted].mean()) if wanted else 0.5
    return objects, number_of[numbers], confidence
