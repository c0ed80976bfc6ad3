"""Small valid files of every kind that Foveate reads, and the calls that read them.

A `Reader` writes a folder of files, and reads it as the package does. It may answer or raise a `FoveateError`; every
other exception is a fault, and so is a file that it writes.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import shutil
import struct
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from foveate.errors import FoveateError

DATA = Path(__file__).parents[1] / "data"
HEIGHT, WIDTH = 10, 12
NAMES = ("a", "b", "c", "d", "e")


@dataclass(frozen=True)
class Reader:
    """One kind of files: `write` makes a small folder of them, `read` reads it.

    Of `read`, only an exception counts.
    """

    write: Callable[[Path, random.Random], None]
    read: Callable[[Path, random.Random], None]


def attempt(work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """The result of a call; None where it raises the project's own error, with a message."""
    try:
        return work(*arguments, **named)
    except FoveateError as error:
        if not str(error).strip():
            raise AssertionError("an error without a message") from error
        return None


# Data sets


def read_data(root: Path, rng: random.Random, *tasks: str) -> None:
    """Recognise a folder, inspect it for every family that it serves, and open its splits."""
    from foveate.datasets import recognise
    from foveate.engine.inspection import inspect

    seen = set()
    for asked in ("", *tasks):
        source = attempt(recognise, root, asked)
        if source is None or source in seen:
            continue
        seen.add(source)
        for task in source.tasks:
            if (found := attempt(inspect, source, task)) is not None:
                found.text()
                json.dumps(found.to_json())
                if rng.random() < 0.1:
                    attempt(found.sheet)
    for source in seen:
        attempt(source.describe)
        for task in source.tasks:
            for split in attempt(source.splits) or ():
                if (dataset := attempt(source.open, split, task)) is not None:
                    for index in range(min(len(dataset), 3)):
                        attempt(dataset.__getitem__, index)
                        attempt(dataset.name, index)
                        if hasattr(dataset, "digest"):
                            attempt(dataset.digest, index)


def data(write: Callable[[Path, random.Random], None], *tasks: str) -> Reader:
    """The reader of a data set. tasks: families that it is also recognised for."""
    return Reader(write, lambda root, rng: read_data(root, rng, *tasks))


def image(path: Path, seed: int = 0, mode: str = "RGB") -> None:
    """An image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (HEIGHT, WIDTH, 3) if mode == "RGB" else (HEIGHT, WIDTH)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, shape, np.uint8)).save(path)


def labels(seed: int = 0) -> np.ndarray:
    """A label map of three classes."""
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    found[2:6, 1:5], found[5:9, 6 + seed % 4 : 11] = 1, 2
    return found


def mask(path: Path, kind: str = "index", seed: int = 0) -> None:
    """A mask: class numbers, a palette, colours, or 0 and 255."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = labels(seed)
    if kind == "palette":
        picture = Image.fromarray(values, "P")
        picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    elif kind == "color":
        picture = Image.fromarray(np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)[values])
    else:
        picture = Image.fromarray((values > 0).astype(np.uint8) * 255 if kind == "binary" else values)
    picture.save(path)


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def folders(root: Path, rng: random.Random) -> None:
    kind = rng.choice(("index", "palette", "color", "binary"))
    layout = rng.randrange(3)
    for i, name in enumerate(NAMES):
        split = ("val" if i == 0 else "train",) if layout == 0 else ()
        image(root.joinpath(*split, "images", f"{name}.{rng.choice(('png', 'jpg'))}"), i)
        mask(root.joinpath(*split, "labels", f"{name}.png"), kind, i)
    if layout == 2:
        (root / "train.txt").write_text("a\nb\nc\nd\n")
        (root / "val.txt").write_text("e.png\n")
    lists = {
        "classes.txt": "# name r g b\nbackground 0 0 0\ncow 128 0 0\ngrass 0 128 0\n",
        "labelmap.txt": "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncow:128,0,0::\ngrass:0,128,0::\n",
        "class_names.txt": "background\ncow\ngrass\n", "labels.txt": "__ignore__\n_background_\ncow\ngrass\n",
        "_classes.csv": "Pixel Value, Class\n0, background\n1, cow\n2, grass\n", "splits.json": "",
    }  # fmt: skip
    name = rng.choice(sorted(lists))
    if name == "splits.json" and layout == 1:
        write_json(root / name, {"splits": {"train": ["a", "b", "c", "d"], "val": ["e"]}, "seed": 0})
    elif name != "splits.json":
        (root / name).write_text(lists[name])


def masks_beside(root: Path, rng: random.Random) -> None:
    end = rng.choice(("_mask.png", "_masks.tif", "_label.png"))
    for i, name in enumerate(NAMES):
        image(root / f"{name}.jpg", i)
        mask(root / f"{name}{end}", "index", i)
    (root / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, cow\n2, grass\n")


def camvid(root: Path, rng: random.Random) -> None:
    if rng.random() < 0.5:
        from foveate.datasets.camvid import COLORS

        for i, name in enumerate(NAMES):
            image(root / "701_StillsRaw_full" / f"{name}.png", i)
            colors = np.array([COLORS[name] for name in ("Void", "Building", "Tree")], np.uint8)
            (root / "LabeledApproved_full").mkdir(exist_ok=True)
            Image.fromarray(colors[labels(i)]).save(root / "LabeledApproved_full" / f"{name}_L.png")
        lines = [f"{r} {g} {b}\t\t{name}\n" for name, (r, g, b) in COLORS.items()]
        (root / "label_colors.txt").write_text("".join(lines))
        return
    for split in ("train", "val"):
        for i, name in enumerate(NAMES):
            image(root / split / f"{name}.png", i)
            mask(root / f"{split}annot" / f"{name}.png", "index", i)
        lines = "".join(f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png\n" for name in NAMES)
        (root / f"{split}.txt").write_text(lines)


def cityscapes(root: Path, rng: random.Random) -> None:
    for split in ("train", "val"):
        for i, name in enumerate(NAMES[:3]):
            image(root / "leftImg8bit" / split / "ulm" / f"ulm_{name}_leftImg8bit.png", i)
            ids = np.array([7, 8, 11], np.uint8)[labels(i)]  # road, sidewalk, building
            path = root / "gtFine" / split / "ulm" / f"ulm_{name}_gtFine_labelIds.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(ids).save(path)


def voc(root: Path, rng: random.Random) -> None:
    base = root / rng.choice(("VOCdevkit/VOC2012", "."))
    for i, name in enumerate(NAMES):
        image(base / "JPEGImages" / f"{name}.jpg", i)
        mask(base / "SegmentationClass" / f"{name}.png", "palette", i)
        mask(base / "SegmentationObject" / f"{name}.png", "palette", i)
    lists = base / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\nc\n")
    (lists / "val.txt").write_text("d\ne\n")
    if rng.random() < 0.5:
        (base / "labelmap.txt").write_text("background:0,0,0::\ncow:128,0,0::\ngrass:0,128,0::\n")


def coco(root: Path, rng: random.Random) -> None:
    polygon = [[1, 1, 6, 1, 6, 5, 1, 5]]
    counts = {"size": [HEIGHT, WIDTH], "counts": [12, 5, 15, 5, HEIGHT * WIDTH - 37]}
    from faster_coco_eval.core import mask as run_lengths

    compressed = run_lengths.encode(np.asfortranarray(labels() == 2).astype(np.uint8))
    compressed = {"size": [HEIGHT, WIDTH], "counts": compressed["counts"].decode()}
    for split, names in (("train", NAMES[:3]), ("val", NAMES[3:])):
        images, objects = [], []
        for i, name in enumerate(names):
            image(root / f"{split}2017" / f"{name}.jpg", i)
            images.append({"id": i, "file_name": f"{name}.jpg", "height": HEIGHT, "width": WIDTH})
            for k, outline in enumerate((polygon, counts, compressed)):
                if k < 2 or rng.random() < 0.3:
                    box = {"bbox": [1, 1, 5, 4], "area": 20.0, "iscrowd": int(k == 1)}
                    objects.append(
                        {"id": len(objects), "image_id": i, "category_id": 1 + k, "segmentation": outline} | box
                    )
        categories = [{"id": k, "name": name, "supercategory": "x"} for k, name in ((1, "cow"), (2, "hen"), (3, "bee"))]
        content = {"info": {}, "licenses": [], "images": images, "annotations": objects, "categories": categories}
        write_json(root / "annotations" / f"instances_{split}2017.json", content)


def labelme(root: Path, rng: random.Random) -> None:
    kinds = {
        "rectangle": [[1, 1], [5, 5]], "polygon": [[1, 1], [6, 1], [6, 5]], "circle": [[5, 5], [7, 5]],
        "linestrip": [[1, 1], [5, 5], [6, 1]], "line": [[1, 1], [5, 5]], "point": [[3, 3]],
        "mask": [[1, 1], [4, 4]],
    }  # fmt: skip
    small = io.BytesIO()
    Image.fromarray(np.full((4, 4), 1, np.uint8) > 0).save(small, "PNG")
    import base64

    for i, name in enumerate(NAMES):
        image(root / f"{name}.png", i)
        shapes = []
        for kind in rng.sample(sorted(kinds), 3):
            shape = {"label": rng.choice(("cow", "hen")), "points": kinds[kind], "shape_type": kind, "group_id": None}
            if kind == "mask":
                shape["mask"] = base64.b64encode(small.getvalue()).decode()
            shapes.append(shape | {"flags": {}, "description": ""})
        content = {"version": "5.2.1", "flags": {}, "shapes": shapes, "imagePath": f"{name}.png", "imageData": None}
        if rng.random() < 0.3:
            content["imageData"] = base64.b64encode((root / f"{name}.png").read_bytes()).decode()
        write_json(root / f"{name}.json", content | {"imageHeight": HEIGHT, "imageWidth": WIDTH})


def labelme_xml(root: Path, rng: random.Random) -> None:
    (root / "Annotations").mkdir()
    for i, name in enumerate(NAMES):
        image(root / "Images" / f"{name}.jpg", i)
        points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((1, 1), (6, 1), (6, 5), (1, 5)))
        parts = "<parts><hasparts></hasparts><ispartof></ispartof></parts><type>polygon</type>"
        head = "<name>cow</name><deleted>0</deleted><verified>0</verified><id>0</id>"
        one = f"<object>{head}{parts}<polygon><username>x</username>{points}</polygon></object>"
        size = f"<imagesize><nrows>{HEIGHT}</nrows><ncols>{WIDTH}</ncols></imagesize>"
        text = f"<annotation><filename>{name}.jpg</filename><folder>x</folder>{size}{one}</annotation>"
        (root / "Annotations" / f"{name}.xml").write_text(text)


def sample_folders(root: Path, rng: random.Random) -> None:
    for i, name in enumerate(NAMES):
        image(root / name / "images" / f"{name}.png", i)
        for k in (1, 2):
            path = root / name / "masks" / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((labels(i) == k).astype(np.uint8) * 255).save(path)


def class_folders(root: Path, rng: random.Random) -> None:
    end = rng.choice(("png", "jpg", "tif"))
    for name in ("cow", "hen", "bee"):
        for i in range(3):
            image(root / name / f"{i}.{end}", i)
    if rng.random() < 0.5:
        (root / "classes.txt").write_text("hen\ncow\nbee\n")
    else:
        splits = {
            k: [f"{name}/{i}.{end}" for name in ("cow", "hen", "bee") for i in n]
            for k, n in (("train", (0, 1)), ("val", (2,)))
        }
        write_json(root / "splits.json", {"splits": splits, "seed": 0})


def picture_folder(root: Path, rng: random.Random) -> None:
    for i, name in enumerate(NAMES):
        image(root / f"{name}.{rng.choice(('png', 'jpg', 'gif', 'webp'))}", i)


def idx(root: Path, rng: random.Random) -> None:
    end = rng.choice(("", ".gz"))
    for part in ("train", "t10k"):
        pixels = np.random.default_rng(0).integers(0, 255, (12, 28, 28), np.uint8).tobytes()
        files = {
            f"{part}-images-idx3-ubyte": struct.pack(">I3I", 0x803, 12, 28, 28) + pixels,
            f"{part}-labels-idx1-ubyte": struct.pack(">II", 0x801, 12) + bytes((3, 1, 4, 0) * 3),
        }
        for name, content in files.items():
            (root / f"{name}{end}").write_bytes(gzip.compress(content) if end else content)
    (root / "classes.txt").write_text("".join(f"n{i}\n" for i in range(10)))


def karpathy(root: Path, rng: random.Random) -> None:
    images = []
    for i, name in enumerate(NAMES):
        image(root / "images" / f"{name}.png", i)
        said = [{"raw": "A cow.", "tokens": ["a", "cow"], "imgid": i, "sentid": i}, {"raw": "Two hens."}]
        entry = {"filename": f"{name}.png", "split": "val" if i == 4 else "train", "sentences": said, "imgid": i}
        images.append(entry | {"filepath": "images", "sentids": [i]})
    write_json(root / "dataset_flickr8k.json", {"images": images, "dataset": "flickr8k"})


def flickr(root: Path, rng: random.Random) -> None:
    for i, name in enumerate(NAMES):
        image(root / "pictures" / f"{name}.jpg", i)
    (root / "x.token.txt").write_text("".join(f"{name}.jpg#{k}\tA cow {k}.\n" for name in NAMES for k in (0, 1)))
    (root / "x.trainImages.txt").write_text("a.jpg\nb.jpg\nc.jpg\n")
    (root / "x.devImages.txt").write_text("d.jpg\ne.jpg\n")


def coco_captions(root: Path, rng: random.Random) -> None:
    for split, names in (("train", NAMES[:3]), ("val", NAMES[3:])):
        for i, name in enumerate(names):
            image(root / f"{split}2014" / f"{name}.jpg", i)
        images = [{"id": i, "file_name": f"{name}.jpg", "height": HEIGHT} for i, name in enumerate(names)]
        said = [{"id": i, "image_id": i, "caption": "A cow."} for i in range(len(names))]
        write_json(root / "annotations" / f"captions_{split}2014.json", {"images": images, "annotations": said})


def caption_table(root: Path, rng: random.Random) -> None:
    for i, name in enumerate(NAMES):
        image(root / f"{name}.png", i)
    rows = [(f"{name}.png", "A cow, on grass.", "val" if name == "e" else "train") for name in NAMES]
    match rng.randrange(5):
        case 0:
            with (root / "captions.csv").open("w", newline="") as file:
                csv.writer(file).writerows([("image", "caption", "split"), *rows])
        case 1:
            (root / "captions.tsv").write_text("image\tcaption\tsplit\n" + "".join("\t".join(r) + "\n" for r in rows))
        case 2:
            lines = [json.dumps({"file_name": r[0], "text": r[1], "split": r[2]}) for r in rows]
            (root / "metadata.jsonl").write_text("\n".join(lines) + "\n")
        case 3:
            (root / "captions.txt").write_text("image,caption\n" + "".join(f'{r[0]},"{r[1]}"\n' for r in rows))
        case 4:
            lists = [json.dumps({"image": r[0], "captions": [r[1], "Two hens."]}) for r in rows]
            (root / "metadata.jsonl").write_text("\n".join(lists) + "\n")


def question_table(root: Path, rng: random.Random) -> None:
    for i, name in enumerate(NAMES):
        image(root / "images" / f"{name}.png", i)
    end, mark = rng.choice((("tsv", "\t"), ("csv", ","), ("csv", ";")))
    rows = [["image", "question", "answer", "kind", "split"]]
    rows += [[f"{name}.png", "is it red", "no", "yesno", "val" if name == "e" else "train"] for name in NAMES]
    (root / f"qa.{end}").write_text("".join(mark.join(row) + "\n" for row in rows))


def vqa(root: Path, rng: random.Random) -> None:
    for split in ("train", "val"):
        answers = [{"answer": "no", "answer_confidence": "yes", "answer_id": k} for k in range(10)]
        asked = [{"question_id": i, "image_id": i, "question": "Is it red?"} for i in range(4)]
        given = [
            {
                "question_id": i,
                "image_id": i,
                "answers": answers,
                "answer_type": "yes/no",
                "multiple_choice_answer": "no",
            }
            for i in range(4)
        ]
        for i in range(4):
            image(root / f"COCO_{split}2014_{i:012d}.jpg", i)
        head = {"info": {}, "data_type": "mscoco", "data_subtype": f"{split}2014", "license": {}}
        write_json(root / f"OpenEnded_mscoco_{split}2014_questions.json", head | {"questions": asked})
        write_json(root / f"mscoco_{split}2014_annotations.json", head | {"annotations": given})


def sound(path: Path, pitch: int = 300, width: int = 2) -> None:
    """A tone of a quarter of a second."""
    samples = 0.4 * np.sin(np.arange(2000) * pitch * 2 * np.pi / 8000)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".wav":
        import soundfile

        soundfile.write(str(path), samples, 8000)
        return
    kind = {1: "u1", 2: "<i2", 4: "<i4"}[width]
    scaled = samples * 2.0 ** (8 * width - 1) + 128 * (width == 1)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, width, 8000, 0, "NONE", ""))
        file.writeframes(scaled.astype(kind).tobytes())


def speech_table(root: Path, rng: random.Random) -> None:
    if rng.random() < 0.3:
        values = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
        np.savez(
            root / "features.npz",
            data=values,
            offsets=np.arange(6) * 20,
            ids=np.array([f"{name}.wav" for name in NAMES]),
            rate=100,
        )
    else:
        for i, name in enumerate(NAMES):
            sound(root / "audio" / f"{name}.wav", 300 + 50 * i, rng.choice((1, 2, 4)))
    head = rng.choice(("", "file\tspeaker\ttext\n"))
    (root / "transcripts.tsv").write_text(head + "".join(f"{n}.wav\ts{i % 2}\tcow hen\n" for i, n in enumerate(NAMES)))


def speech_files(root: Path, rng: random.Random) -> None:
    end = rng.choice(("wav", "flac", "ogg"))
    for i, name in enumerate(NAMES):
        sound(root / f"{name}.{end}", 300 + 50 * i)
        (root / f"{name}.txt").write_text("A cow.")


def speech_corpus(root: Path, rng: random.Random) -> None:
    end = rng.choice((".wav", "_mic1.flac"))
    for i, name in enumerate(NAMES):
        sound(root / "wav48" / f"p{i % 3}" / f"{name}{end}", 300 + 50 * i)
        (root / "txt" / f"p{i % 3}").mkdir(parents=True, exist_ok=True)
        (root / "txt" / f"p{i % 3}" / f"{name}.txt").write_text("A cow.")


def kaldi(root: Path, rng: random.Random) -> None:
    for i, name in enumerate(NAMES):
        sound(root / "wav" / f"{name}.wav", 300 + 50 * i)
    (root / "wav.scp").write_text("".join(f"{name} wav/{name}.wav\n" for name in NAMES))
    (root / "text").write_text("".join(f"{name} A COW\n" for name in NAMES))
    (root / "utt2spk").write_text("".join(f"{name} s{i % 2}\n" for i, name in enumerate(NAMES)))


STROKE = [[0, 0, 0], [2, 1, 0], [4, 0, 1], [5, 5, 1]]


def stroke_json(root: Path, rng: random.Random) -> None:
    write_json(root / "words.json", [{"text": f"w{i}", "points": STROKE} for i in range(11)])


def stroke_npz(root: Path, rng: random.Random) -> None:
    points = np.array(STROKE * 11, rng.choice(("i4", "f4")))
    texts = np.array([f"w{i}" for i in range(11)])
    np.savez(root / "words.npz", data=points, offsets=np.arange(12) * 4, text=texts)


def inkml(root: Path, rng: random.Random) -> None:
    for name in NAMES:
        traces = "<trace>0 0, 2 1, 4 0</trace><trace>5 5, 6 6</trace>"
        text = f'<ink xmlns="http://www.w3.org/2003/InkML"><annotation type="truth">{name}</annotation>{traces}</ink>'
        (root / f"{name}.inkml").write_text(text)


def iam_ondb(root: Path, rng: random.Random) -> None:
    strokes, texts = root / "lineStrokes" / "a01", root / "ascii" / "a01"
    strokes.mkdir(parents=True)
    texts.mkdir(parents=True)
    (texts / "a01-000u.txt").write_text("OCR:\n\nwrong\n\nCSR:\n\none\ntwo\nthree\n")
    points = '<Stroke colour="black"><Point x="0" y="0" time="0.1"/><Point x="2" y="1" time="0.2"/></Stroke>'
    for line in (1, 2, 3):
        text = f"<WhiteboardCaptureSession><StrokeSet>{points}{points}</StrokeSet></WhiteboardCaptureSession>"
        (strokes / f"a01-000u-{line:02d}.xml").write_text(text)


def parallel_text(root: Path, rng: random.Random) -> None:
    if rng.random() < 0.3:
        (root / "pairs.tsv").write_text("en\tde\n" + "".join(f"a cow {i}\teine Kuh {i}\n" for i in range(8)))
        return
    for split, count in (("train", 6), ("val", 3)):
        for language, word in (("de", "Kuh"), ("en", "cow")):
            content = "".join(f"{word} {i}\n" for i in range(count)).encode()
            end = rng.choice(("", ".gz"))
            (root / f"{split}.{language}{end}").write_bytes(gzip.compress(content) if end else content)


# Pictures and sounds


def pictures(root: Path, rng: random.Random) -> None:
    """One image, of one of many formats."""
    import tifffile

    values = np.random.default_rng(rng.randrange(100)).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    picture = Image.fromarray(values)
    exif = picture.getexif()
    exif[274] = 6
    name = rng.choice(
        ("png", "png16", "palette", "alpha", "jpg", "cmyk", "gif", "bmp", "webp", "jp2", "tga", "ppm", "tif")
    )
    path = root / f"x.{name}"
    if name == "png16":
        Image.fromarray(values[..., 0].astype(np.uint16) * 257).save(root / "x.png")
    elif name == "palette":
        picture.quantize(8).save(root / "x.png", transparency=0)
    elif name == "alpha":
        picture.convert("RGBA").save(root / "x.png", exif=exif)
    elif name == "cmyk":
        picture.convert("CMYK").save(root / "x.jpg")
    elif name == "jpg":
        picture.save(path, exif=exif, icc_profile=b"x" * 20)
    elif name == "tif":
        kind = rng.choice(("u1", "u2", "i2", "f4", "f8", "u4", "?", "c8"))
        bands = rng.choice((1, 2, 3, 4, 7))
        content = np.random.default_rng(0).integers(0, 99, (32, 48, bands)).astype(kind)
        options: dict[str, Any] = {"compression": rng.choice((None, "lzw", "zlib", "packbits"))}
        if rng.random() < 0.4:
            options["tile"] = (16, 16)
        if rng.random() < 0.3:
            options["planarconfig"] = "separate"
        if rng.random() < 0.3:
            # pixel scale, tie point, GeoTIFF's keys, GDAL's value for no data
            options["extratags"] = [
                (33550, "d", 3, (1.0, 1.0, 0.0)), (33922, "d", 6, (0.0, 0.0, 0.0, 5.0, 5.0, 0.0)),
                (34735, "H", 8, (1, 1, 0, 1, 1024, 0, 1, 1)), (42113, "s", 0, "0"),
            ]  # fmt: skip
        content = np.moveaxis(content, -1, 0) if options.get("planarconfig") else content
        big = rng.random() < 0.2
        try:
            tifffile.imwrite(path, content, bigtiff=big, byteorder=rng.choice("<>"), **options)
        except Exception:  # a combination that the writer does not know
            tifffile.imwrite(path, values)
    else:
        picture.save(path)


def read_pictures(root: Path, rng: random.Random) -> None:
    from foveate import pictures
    from foveate.pictures.given import open_for
    from foveate.records import Preprocessing

    for file in attempt(pictures.list_pictures, root) or ():
        for read in (
            pictures.read_picture, pictures.read_raw, pictures.picture_info, pictures.picture_tags, pictures.alpha_of,
        ):  # fmt: skip
            attempt(read, file)
        attempt(pictures.channels_of, [file])
        attempt(pictures.read_picture, file, channels=rng.choice((1, 3, 4)))
        attempt(pictures.decode_picture, file.read_bytes(), "x")
        for work in (pictures.open_windows, lambda p: open_for(p, Preprocessing(), "model")):
            if (windows := attempt(work, file)) is not None:
                height, width = min(windows.height, 40), min(windows.width, 40)
                attempt(windows.read, 0, 0, height, width)
                attempt(windows.read, windows.height - height, windows.width - width, height, width)
                windows.close()


def masks(root: Path, rng: random.Random) -> None:
    """A folder of masks, whose meaning is found from their values."""
    kind = rng.choice(("index", "palette", "color", "binary"))
    for i, name in enumerate(NAMES):
        mask(root / f"{name}.{rng.choice(('png', 'png', 'bmp', 'tif'))}", kind, i)


def read_masks(root: Path, rng: random.Random) -> None:
    from foveate.datasets.class_files import find_classes
    from foveate.datasets.files import Pair
    from foveate.datasets.masks import recognise_masks
    from foveate.pictures import list_pictures

    files = attempt(list_pictures, root) or []
    known = attempt(find_classes, root)
    if files and (reader := attempt(recognise_masks, files, known)) is not None:
        for file in files:
            attempt(reader, Pair(file, file), HEIGHT, WIDTH)


def sounds(root: Path, rng: random.Random) -> None:
    end = rng.choice(("wav", "wav", "flac", "ogg", "mp3", "aiff", "au"))
    sound(root / f"x.{end}", 300, rng.choice((1, 2, 4)))


def read_sounds(root: Path, rng: random.Random) -> None:
    from foveate.sounds import cuts_at_silence, read_sound, resampled, sound_header

    for file in sorted(p for p in root.iterdir() if p.suffix):
        attempt(sound_header, file)
        if (found := attempt(read_sound, file)) is not None:
            attempt(resampled, found, 16000)
            attempt(cuts_at_silence, found, 0.1)


def videos(root: Path, rng: random.Random) -> None:
    """Clips: an animation, a video file, or a folder of frames."""
    frames = [Image.fromarray(np.random.default_rng(i).integers(0, 255, (16, 16, 3), np.uint8)) for i in range(4)]
    kind = rng.choice(("gif", "webp", "mp4", "avi", "mkv", "frames"))
    if kind in ("gif", "webp"):
        frames[0].save(root / f"x.{kind}", save_all=True, append_images=frames[1:], duration=[100, 50, 0, 200])
    elif kind == "frames":
        for i, frame in enumerate(frames):
            (root / "x").mkdir(exist_ok=True)
            frame.save(root / "x" / f"frame{i}.png")
    else:
        import av

        with av.open(str(root / f"x.{kind}"), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_image(frame)))
            container.mux(stream.encode())


def read_videos(root: Path, rng: random.Random) -> None:
    from foveate.records import ClipFormat, Preprocessing
    from foveate.videos import is_clip_folder, read_clip

    for path in sorted(root.iterdir()):
        if path.suffix.lower() in (".gif", ".webp", ".mp4", ".avi", ".mkv") or is_clip_folder(path):
            attempt(read_clip, path, ClipFormat(3, image=Preprocessing(size=(8, 8))))


def video_table(root: Path, rng: random.Random) -> None:
    for name in NAMES:
        frames = [Image.new("RGB", (8, 8), (40 * i, 0, 0)) for i in range(3)]
        frames[0].save(root / f"{name}.gif", save_all=True, append_images=frames[1:])
    match rng.randrange(3):
        case 0:
            rows = "".join(f"{name}.gif,A cow.,{'val' if name == 'e' else 'train'}\n" for name in NAMES)
            (root / "captions.csv").write_text("video,caption,split\n" + rows)
        case 1:
            write_json(root / "captions.json", {f"{name}.gif": ["A cow.", "Two hens."] for name in NAMES})
        case 2:
            listed = [{"video_id": name, "split": "val" if name == "e" else "train", "id": 1} for name in NAMES]
            said = [{"video_id": name, "caption": "A cow.", "sen_id": i} for i, name in enumerate(NAMES)]
            write_json(root / "videodatainfo.json", {"videos": listed, "sentences": said})


def video_features(root: Path, rng: random.Random) -> None:
    values = np.random.default_rng(0).normal(size=(12, 5, 3)).astype(np.float32)
    names = np.array([f"clip{i}" for i in range(12)])
    np.savez(root / "features.npz", features=values, label=np.arange(12) % 3, ids=names)
    (root / "classes.txt").write_text("BandMarching\nArchery\nBiking\n")


# Texts


def class_lists(root: Path, rng: random.Random) -> None:
    folders(root, rng)
    for folder in ("images", "labels", "train", "val"):
        shutil.rmtree(root / folder, ignore_errors=True)
    write_json(root / "splits.json", {"splits": {"train": ["a", "b", "c", "d"], "val": ["e"]}, "seed": 0})


def read_class_lists(root: Path, rng: random.Random) -> None:
    from foveate.datasets.class_files import find_classes
    from foveate.datasets.splits import read_splits

    attempt(find_classes, root)
    for file in root.glob("*.json"):
        attempt(read_splits, file)


def input_tables(root: Path, rng: random.Random) -> None:
    """Tables of inputs for `foveate predict`, and its record."""
    for i, name in enumerate(NAMES):
        image(root / f"{name}.png", i)
    end, mark = rng.choice((("csv", ","), ("tsv", "\t"), ("jsonl", "")))
    if mark:
        text = mark.join(("image", "question")) + "\n" + "".join(f"{n}.png{mark}is it red\n" for n in NAMES)
    else:
        text = "".join(json.dumps({"image": f"{n}.png", "question": "is it red"}) + "\n" for n in NAMES)
    (root / f"inputs.{end}").write_text(text)
    (root / "sentences.txt").write_text("a cow\ntwo hens\n")
    write_json(root / "predictions.json", {"predictions": [{"file": "a.png", "mask": "a.png"}]})


def read_input_tables(root: Path, rng: random.Random) -> None:
    from foveate.cli.inputs import plan
    from foveate.cli.places import read_summary
    from foveate.tasks import find_task

    attempt(read_summary, root)
    for name in ("questions", "translation", "semantic"):
        for word in (*root.glob("inputs.*"), root / "sentences.txt", root):
            shared = {"question": "x"} if name == "questions" and word.suffix not in (".csv", ".tsv", ".jsonl") else {}
            attempt(plan, [str(word)], shared, root / "out", find_task(name))


# Runs, models and exported files


def runs(root: Path, rng: random.Random) -> None:
    """A run folder that version 0.1.0 wrote."""
    family = rng.choice(("semantic", "classification", "captioning", "colocalisation"))
    shutil.copytree(DATA / "version_0_1_0" / family / "run", root / "run")


def read_runs(root: Path, rng: random.Random) -> None:
    from foveate.engine.run import RunFolder
    from foveate.recipes.config import from_file

    for folder in (p for p in root.iterdir() if p.is_dir()):
        if (run := attempt(RunFolder.existing, folder)) is not None:
            attempt(run.recipe)
            attempt(run.tables)
            attempt(run.history)
            attempt(from_file, run.recipe_file)


def read_models(root: Path, rng: random.Random) -> None:
    from foveate.predictor import Predictor, peek_family

    for folder in (p for p in root.iterdir() if p.is_dir()):
        for place in (folder, folder / "model"):
            attempt(peek_family, place)
            predictor = attempt(Predictor.open, place, "cpu")
            if predictor is not None:
                attempt(predictor.predict, np.full((24, 20, predictor.channels), 90, np.uint8))


def exported(root: Path, rng: random.Random) -> None:
    """Exported files that version 0.1.0 wrote."""
    family = rng.choice(("semantic", "classification", "captioning"))
    for file in (DATA / "version_0_1_0" / family).glob("*.onnx"):
        shutil.copy(file, root / file.name)


def read_exported(root: Path, rng: random.Random) -> None:
    from foveate.predictor import Predictor, peek_family

    for file in sorted(root.glob("*.onnx")):
        attempt(peek_family, file)
        predictor = attempt(Predictor.open, file, "cpu")
        if predictor is not None:
            attempt(predictor.predict, np.full((24, 20, predictor.channels), 90, np.uint8))


def weights(root: Path, rng: random.Random) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.int64)}
    torch.save({"state_dict": tensors, "epoch": 3}, root / "x.pth")
    torch.save({"state_dict": tensors, "loops": {"epoch": [1, 2]}}, root / "x.ckpt")
    save_file(tensors, root / "x.safetensors")


def read_weights(root: Path, rng: random.Random) -> None:
    from foveate.store import read_checkpoint, read_tensors

    for file in sorted(p for p in root.iterdir() if p.is_file()):
        attempt(read_tensors, file)
        attempt(read_checkpoint, file)


def configs(root: Path, rng: random.Random) -> None:
    import yaml

    content = {
        "recipe": rng.choice(("fcn8s", "inception_v4", "show_attend_tell", "rnnsearch", "mnc")), "epochs": 3,
        "optim": {"lr": 0.01, "name": "sgd"}, "batch_size": 4, "seed": 1, "freeze": ["backbone"], "workers": 0,
    }  # fmt: skip
    if content["recipe"] == "fcn8s":
        content |= {"augment": {"crop": [32, 32]}, "config": {"dropout": 0.1}}
    (root / "config.yaml").write_text(yaml.safe_dump(content))
    write_json(root / "config.json", content)


def read_configs(root: Path, rng: random.Random) -> None:
    from foveate.recipes.config import from_file

    for file in sorted(p for p in root.iterdir() if p.is_file()):
        attempt(from_file, file)


READERS: dict[str, Reader] = {
    "pictures": Reader(pictures, read_pictures),
    "masks": Reader(masks, read_masks),
    "sounds": Reader(sounds, read_sounds),
    "class_lists": Reader(class_lists, read_class_lists),
    "folders": data(folders, "semantic", "instances"),
    "masks_beside": data(masks_beside, "semantic", "instances"),
    "camvid": data(camvid, "semantic"),
    "cityscapes": data(cityscapes, "semantic"),
    "voc": data(voc, "semantic", "instances"),
    "coco": data(coco, "instances", "captioning"),
    "labelme": data(labelme, "semantic"),
    "labelme_xml": data(labelme_xml, "semantic"),
    "sample_folders": data(sample_folders, "instances"),
    "class_folders": data(class_folders, "classification", "drawing"),
    "picture_folder": data(picture_folder, "drawing"),
    "idx": data(idx, "classification"),
    "karpathy": data(karpathy, "captioning"),
    "flickr": data(flickr, "captioning"),
    "coco_captions": data(coco_captions, "captioning"),
    "caption_table": data(caption_table, "captioning"),
    "question_table": data(question_table, "questions"),
    "vqa": data(vqa, "questions"),
    "speech_table": data(speech_table, "speech"),
    "speech_files": data(speech_files, "speech"),
    "speech_corpus": data(speech_corpus, "speech"),
    "kaldi": data(kaldi, "speech"),
    "stroke_json": data(stroke_json, "handwriting"),
    "stroke_npz": data(stroke_npz, "handwriting"),
    "inkml": data(inkml, "handwriting"),
    "iam_ondb": data(iam_ondb, "handwriting"),
    "parallel_text": data(parallel_text, "translation"),
    "videos": Reader(videos, read_videos),
    "video_table": data(video_table, "video"),
    "video_features": data(video_features, "video"),
    "input_tables": Reader(input_tables, read_input_tables),
    "runs": Reader(runs, read_runs),
    "models": Reader(runs, read_models),
    "exported": Reader(exported, read_exported),
    "weights": Reader(weights, read_weights),
    "configs": Reader(configs, read_configs),
}
