"""The whole path of a captioner from the shell: trained on nothing, scored, asked, and looked at."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import foveate
from foveate.cli import main
from foveate.datasets.pasture import Pasture
from foveate.engine import evaluate_run
from foveate.recipes import resolve
from foveate.store import load_model

SMALL = shlex.split(
    "--config.pretrained false --config.backbone test_efficientnet --config.image_size 48,48 --config.embed 8 "
    "--config.hidden 12 --data.train 12 --data.val 4 --data.test 0 --data.height 48 --data.width 48 --data.captions 3 "
    "--epochs 2 --batch_size 8 --ema 0"
)
LOOKS = ["--config.attend", "6"]


def trained(folder: Path, recipe: str, *more: str) -> Path:
    assert main(["train", recipe, "--out", str(folder), *SMALL, *more]) == 0
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def own_cache(cache: Path) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_CACHE", str(cache))
        yield


@pytest.fixture(scope="module")
def run(own_cache: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("runs") / "soft", "show_attend_tell_pasture", *LOOKS)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    scenes = Pasture(height=60, width=80, test=2).open("test")
    for i in range(2):
        Image.fromarray(scenes[i]["image"].permute(1, 2, 0).numpy()).save(root / f"{i}.jpg")
    Image.fromarray(np.full((30, 50), 120, np.uint8)).save(root / "grey.png")
    return root


def summary(folder: Path) -> dict:
    found: dict = json.loads((folder / "predictions.json").read_text())
    return found


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_features_were_kept_where_the_environment_says(run: Path, cache: Path) -> None:
    assert len(list((cache / "features").rglob("*.safetensors"))) == 16


def test_evaluate_says_how_well_it_describes(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--json", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    wanted = {"bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider_d", "attention_hit", "attention_chance", "images"}
    assert wanted | {"seconds"} <= set(scores)
    assert scores["images"] == 4 and scores["seconds"] > 0 and scores["split"] == "val"
    assert 0 <= scores["bleu4"] <= scores["bleu1"] <= 1
    told = capsys.readouterr().out
    assert "split val: 4 pictures in" in told
    assert f"  cider_d                 {scores['cider_d']:.4f}" in told
    assert json.loads((run / "evaluation.json").read_text()) == scores
    page = (run / "report.html").read_text()
    for words in ("Captioning report", "CIDEr-D", "BLEU-4", 'id="attention"', "People said", "Word by word",
                  "by beam search with 5 beams", "Vocabulary", "best CIDEr-D"):  # fmt: skip
        assert words in page
    assert page.count("<script") == 1 and "Mean IoU" not in page and "Scores by class" not in page
    assert f'value="{scores["cider_d"]!r}"' in page
    header = (run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"cider_d", "bleu4", "train_loss", "train_words"} <= set(header)


def test_the_table_of_pictures_has_all_references_and_the_caption(
    run: Path, rows: Callable[..., list[dict[str, str]]]
) -> None:
    evaluation = evaluate_run(run)
    found = rows(str(run))
    assert list(found[0]) == ["name", "cider_d", "reference", "predicted"]
    for i, row in enumerate(found):
        assert json.loads(row["reference"]) == [one.text for one in evaluation.dataset[i]["captions"]]
        (prediction,) = evaluation.task.answer(evaluation.loaded.model, [evaluation.dataset[i]], evaluation.options)
        assert row["predicted"] == prediction.sentences[0].text


def test_evaluate_with_other_beams_leaves_the_report(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["evaluate", str(run)])
    before = (run / "report.html").read_bytes()
    capsys.readouterr()
    assert main(["evaluate", str(run), "--beams", "1"]) == 0
    told = capsys.readouterr().out
    assert "predicted with 1 beam" in told and "report:" not in told
    assert (run / "report.html").read_bytes() == before


def test_predict_tells_all_that_could_be_said_of_one_picture(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = photos / "0.jpg"
    assert main(["predict", str(run), str(photo), "--out", str(tmp_path), "--beams", "3", "--device", "cpu"]) == 0
    told = capsys.readouterr().out.splitlines()
    expected = foveate.load(run, device="cpu").predict(photo, beams=3)
    assert told[0] == f"{photo}:"
    assert told[1:4] == [f"  {s.score:7.3f}  {s.text}" for s in expected.sentences]
    assert told[4].startswith("predicted: 1 of 1 picture in")
    found = summary(tmp_path)
    (record,) = found["pictures"]
    best = expected.sentences[0]
    assert record["caption"] == best.text == expected.text
    assert record["score"] == pytest.approx(best.score, abs=1e-4)
    assert [a["caption"] for a in record["alternatives"]] == [s.text for s in expected.sentences[1:]]
    assert [w["word"] for w in record["words"]] == list(best.words)
    for i, word in enumerate(record["words"]):
        assert word["probability"] == pytest.approx(float(best.probabilities[i]), abs=1e-4)
        assert np.array(word["attention"]) == pytest.approx(best.attention[i], abs=1e-4)
        assert max(len(str(a)) for row in word["attention"] for a in row) <= 8
        assert "cell" not in word
    assert found["model"]["task"] == "captioning"
    assert found["settings"] == {
        "beams": 3, "n_best": 0, "length_penalty": 1.0, "max_length": 0, "repeat_words": False, "no_repeat_ngram": 0,
    }  # fmt: skip
    assert found["model"]["vocabulary"] == len(load_model(run / "model").tables["text"])
    assert "classes" not in found["model"]


def test_predict_leaves_strips_animations_and_one_page(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(run), str(photos), "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().out.splitlines()
    found = summary(tmp_path)["pictures"]
    assert told[:3] == [f"{p['file']}: {p['caption']} ({p['score']:.3f})" for p in found]
    assert len(told) == 4
    names = ("0_attention", "1_attention", "grey_attention")
    assert files(tmp_path) == sorted(
        [f"{name}.{end}" for name in names for end in ("gif", "png")] + ["captions.html", "predictions.json"]
    )
    page = (tmp_path / "captions.html").read_text()
    for record in found:
        words = [w["word"] for w in record["words"]]
        with Image.open(tmp_path / record["animation"]) as clip:
            assert clip.n_frames == len(words) + 1  # type: ignore[attr-defined]
        with Image.open(tmp_path / record["strip"]) as strip:
            assert strip.format == "PNG" and strip.height > 200
        assert f"<b>{Path(record['file']).name}</b>" in page
        buttons = "".join(rf'<button [^>]*class="word w{i}"[^>]*>{w}</button> ' for i, w in enumerate(words, 1))
        assert re.search(f'<p class="sentence" lang="en">{buttons}</p>', page)
    assert "show_attend_tell on 3 pictures" in page and "<script" not in page


def test_a_picture_that_cannot_be_read_is_named_and_the_others_go_on(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(photos / "1.jpg", tmp_path / "in")
    (tmp_path / "in" / "bad.jpg").write_text("no picture")
    assert main(["predict", str(run), str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert sum("bad.jpg" in line for line in captured.err.splitlines()) == 1
    assert "predicted: 1 of 2 pictures" in captured.out
    assert [Path(f["file"]).name for f in summary(tmp_path / "out")["failed"]] == ["bad.jpg"]
    assert "bad.jpg" not in (tmp_path / "out" / "captions.html").read_text()


def test_without_out_the_results_go_to_a_folder_of_their_own(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(run), str(photos / "0.jpg"), "--beams", "1"]) == 0
    assert files(tmp_path / "predictions") == [
        "0_attention.gif",
        "0_attention.png",
        "captions.html",
        "predictions.json",
    ]


def test_hard_attention_names_its_cell(own_cache: object, photos: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "hard", "show_attend_tell_hard_pasture", *LOOKS, "--epochs", "1")
    assert main(["predict", str(run), str(photos / "0.jpg"), "--out", str(tmp_path / "out")]) == 0
    (record,) = summary(tmp_path / "out")["pictures"]
    for word in record["words"]:
        attention = np.array(word["attention"])
        assert attention[tuple(word["cell"])] == attention.max()
    assert 'class="cell"' in (tmp_path / "out" / "captions.html").read_text()
    assert main(["evaluate", str(run)]) == 0
    assert 'class="cell"' in (run / "report.html").read_text()


def test_a_model_that_looks_once_leaves_words_alone(
    own_cache: object, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path / "once", "show_and_tell_pasture", "--epochs", "1")
    assert main(["predict", str(run), str(photos), "--out", str(tmp_path / "out")]) == 0
    assert files(tmp_path / "out") == ["captions.html", "predictions.json"]
    for record in summary(tmp_path / "out")["pictures"]:
        assert "strip" not in record and "animation" not in record
        assert all(word.keys() == {"word", "probability"} for word in record["words"])
    page = (tmp_path / "out" / "captions.html").read_text()
    assert "<button" not in page and "<details" not in page
    capsys.readouterr()
    assert main(["evaluate", str(run), "--json", str(tmp_path / "s.json")]) == 0
    assert "attention_hit           not defined" in capsys.readouterr().out
    assert json.loads((tmp_path / "s.json").read_text())["attention_hit"] is None
    report = (run / "report.html").read_text()
    assert 'id="attention"' not in report and "People said" in report


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--crf", "models for captioning have no option --crf; theirs are --beams"),
        ("--flip --beams 3", "models for captioning have no option --flip; theirs are --beams"),
        ("--scales 0.5,1", "models for captioning have no option --scales; theirs are --beams"),
        ("--proposals 9", "models for captioning have no option --proposals; theirs are --beams"),
        ("--superpixels slic", "models for captioning have no option --superpixels; theirs are --beams"),
        ("--beams 999", "cannot search with 999 beams over a vocabulary of"),
        ("--beams 0", "beams is 0; give 1 or more"),
        ("--beams few", "--beams is 'few'; expected a whole number"),
        ("--beam 3", "unknown flag '--beam'; the nearest is '--beams'"),
    ],
)
def test_other_looks_are_refused_by_predict_and_evaluate(
    run: Path, photos: Path, tmp_path: Path, complaint: Callable[..., str], flags: str, message: str
) -> None:
    words, out = shlex.split(flags), tmp_path / "out"
    assert complaint("predict", str(run), str(photos), "--out", str(out), *words).startswith(message)
    assert complaint("evaluate", str(run), *words).startswith(message)
    assert not out.exists()


def test_what_is_for_other_families_is_refused(
    run: Path, photos: Path, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    def predict(*words: str) -> str:
        return complaint("predict", str(run), str(photos), "--out", str(tmp_path), *words)

    theirs = "theirs are --beams, --n-best, --length-penalty, --max-length, --repeat-words, --no-repeat-ngram"
    assert predict("--tile", "512") == f"models for captioning have no option --tile; {theirs}"
    assert predict("--clip", "turn") == f"models for captioning have no option --clip; {theirs}"
    labels = tmp_path / "labels" / "train"
    (labels / "images").mkdir(parents=True)
    (labels / "labels").mkdir()
    for i in range(2):
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(labels / "images" / f"{i}.png")
        Image.fromarray(np.full((32, 32), i, np.uint8)).save(labels / "labels" / f"{i}.png")
    (tmp_path / "labels" / "classes.txt").write_text("a\nb\n")
    said = complaint("evaluate", str(run), "--data", str(tmp_path / "labels"))
    assert "data for semantic and instances, but this model is for captioning" in said


def test_of_a_folder_with_objects_and_captions_a_captioner_reads_the_captions(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from foveate.datasets import recognise

    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    images = []
    for i in range(2):
        shutil.copy(photos / f"{i}.jpg", tmp_path / "val2017" / f"{i}.jpg")
        images.append({"id": i, "file_name": f"{i}.jpg", "height": 60, "width": 80})
    box = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0,
           "segmentation": [[0, 0, 9, 0, 9, 9, 0, 9]]}  # fmt: skip
    said = [{"id": i, "image_id": i % 2, "caption": f"A cow in the field, number {i}."} for i in range(4)]
    known = {"images": images, "categories": [{"id": 1, "name": "cow"}]}
    for name, told in (("instances", [box]), ("captions", said)):
        text = json.dumps(known | {"annotations": told})
        (tmp_path / "annotations" / f"{name}_val2017.json").write_text(text)
    assert recognise(tmp_path).tasks[0] == "semantic"
    capsys.readouterr()
    assert main(["evaluate", str(run), "--data", str(tmp_path)]) == 0
    told_of_it = capsys.readouterr().out
    assert told_of_it.startswith("COCO captions")
    assert "report:" not in told_of_it  # the run's own report is about its own data


def test_beams_are_not_for_label_maps(photos: Path, tmp_path: Path, complaint: Callable[..., str]) -> None:
    from foveate.records import ClassTable
    from foveate.store import save_model

    model = foveate.create("fcn32s", num_classes=2, backbone="test_efficientnet", head_channels=8, head_kernel=1)
    save_model(tmp_path / "run" / "model", model, "fcn32s", {"classes": ClassTable(("a", "b"))}, "semantic")
    said = complaint("predict", str(tmp_path / "run"), str(photos), "--out", str(tmp_path / "out"), "--beams", "3")
    assert said.startswith("models for semantic segmentation have no option --beams; theirs are --flip, --scales, ")


def test_the_preview_of_a_frozen_backbone_shows_pictures_and_not_its_features(tmp_path: Path) -> None:
    """Recipes of captioners keep features of their frozen backbone, which cannot be looked at."""
    words = ["train", "show_attend_tell_pasture", *SMALL, *LOOKS, "--preview", str(tmp_path / "sheet.png")]
    assert resolve("show_attend_tell_pasture").features
    assert main(words) == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert len(set(sheet.convert("RGB").getdata())) > 500  # scenes, not a blank sheet
