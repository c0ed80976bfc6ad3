"""The whole path of a video model from the shell: trained for a moment, scored, asked, exported, and looked at."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.cli import main
from foveate.datasets.pasture import Pasture
from foveate.datasets.pasture.clips import Film

SMALL = shlex.split(
    "--config.image_size 24,24 --config.frames 4 --config.stride 8 --config.encoder 6 --config.embed 6 "
    "--config.hidden 8 --config.attend 4 --batch_size 4 --ema 0 --epochs 1 --validate_every 1 --workers 0"
)
DATA = shlex.split("--data.height 32 --data.width 40 --data.train 3 --data.val 2 --data.test 2 --data.captions 2")
PAGE = Path(__file__).parents[2] / "docs" / "video.md"


def write_clip(path, index, count=6):
    """A clip of the Pasture data set, as a GIF or a folder of frames."""
    plot = Pasture(32, 40, train=9).open("train", "video").plot(index)
    images = [Image.fromarray(one.transpose(1, 2, 0)) for one in Film(plot, 32, 40).frames(range(count))]
    if path.suffix == ".gif":
        path.parent.mkdir(parents=True, exist_ok=True)
        images[0].save(path, save_all=True, append_images=images[1:], duration=100)
        return
    path.mkdir(parents=True)
    for i, image in enumerate(images):
        image.save(path / f"{i:03d}.png")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "pasture"
    assert main(["train", "video_attention_pasture", "--out", str(out), *SMALL, *DATA]) == 0
    return out


def test_evaluation_counts_events_and_shows_clips(run, tmp_path, capsys):
    target = tmp_path / "scores.json"
    assert main(["evaluate", str(run), "--split", "test", "--json", str(target)]) == 0
    scores = json.loads(target.read_text())
    assert scores["clips"] == scores["samples"] == 2 and scores["events"] == sum(
        counts["true"] for counts in scores["by_event"].values()
    )
    assert {"bleu4", "event_accuracy", "order_accuracy", "attention_ratio"} <= set(scores)
    page = next(run.rglob("report.html")).read_text(encoding="utf-8")
    assert "Video captioning report" in page and "data:image/webp;base64," in page and " style=" not in page


def test_the_table_of_clips_has_all_references_and_the_caption(run, rows):
    clips = Pasture(32, 40, train=3, val=2, test=2, captions=2).open("test", "video")
    found = rows(str(run), "--split", "test")
    assert list(found[0]) == ["name", "cider_d", "reference", "predicted"]
    assert [json.loads(row["reference"]) for row in found] == [[c.text for c in clips.captions(i)] for i in range(2)]


def test_predictions_of_files_and_of_folders_of_frames(run, tmp_path, capsys):
    write_clip(tmp_path / "in" / "a.gif", 0)
    write_clip(tmp_path / "in" / "sub" / "b", 1, 3)
    write_clip(tmp_path / "in" / "one.gif", 2, 1)
    (tmp_path / "in" / "broken.gif").write_bytes(b"GIF89a but nothing more")
    words = ["predict", str(run), str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--beams", "2"]
    assert main(words) == 1
    printed = capsys.readouterr()
    assert "broken.gif: " in printed.err and "one frame: it is read as a still picture" in printed.err
    found = json.loads((tmp_path / "out" / "predictions.json").read_text())
    records = {record["file"].rpartition("/")[2]: record for record in found["clips"]}
    assert set(records) == {"a.gif", "b", "one.gif"}
    assert records["a.gif"]["frames"] == [0, 2, 3, 5] and records["a.gif"]["seconds"] == [0.0, 0.2, 0.3, 0.5]
    assert records["b"]["frames"] == [0, 1, 2] and records["b"]["seconds"] == []
    for record in records.values():
        if record["words"]:
            assert all((tmp_path / "out" / record[key]).is_file() for key in ("film", "matrix"))
    assert (tmp_path / "out" / "captions.html").read_text(encoding="utf-8").count("<figure") == 3
    assert main(["predict", str(run), str(tmp_path / "in" / "sub" / "b"), "--out", str(tmp_path / "alone")]) == 0
    alone = json.loads((tmp_path / "alone" / "predictions.json").read_text())
    assert [record["frames"] for record in alone["clips"]] == [[0, 1, 2]]


def test_a_table_of_clips_trains_the_free_recipe_on_kept_features(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "cache"))
    for i in range(3):
        write_clip(tmp_path / "data" / f"c{i}.gif", i)
    rows = "".join(f"c{i}.gif\ta cow walks to the {side}\n" for i in range(3) for side in ("left", "right"))
    (tmp_path / "data" / "captions.tsv").write_text("video\tcaption\n" + rows)
    words = ["train", "video_attention", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"), *SMALL]
    words += shlex.split("--config.backbone plain --config.pretrained false --text.least 1 --options.beams 1")
    assert main(words) == 0
    assert "4 captions to train on, 1 clip to rank epochs by" in capsys.readouterr().out  # two clips of two captions
    assert list((tmp_path / "cache" / "features").rglob("*.safetensors"))
    about = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert about["preprocessing"]["frames"] == 4 and about["preprocessing"]["image"]["size"] == [24, 24]
    capsys.readouterr()
    assert main(["datasets", "inspect", str(tmp_path / "data"), "--task", "video"]) == 0
    assert "frames a clip: 6; 40x32 (3)" in capsys.readouterr().out


def test_features_with_classes_train_the_recipe_of_actions(tmp_path, capsys):
    data = tmp_path / "ucf"
    data.mkdir()
    values = np.random.default_rng(0).normal(size=(12, 5, 6)).astype(np.float16)
    np.savez(data / "features.npz", features=values, label=np.repeat([0, 1], 6))
    (data / "classes.txt").write_text("Archery\nBabyCrawling\n")
    out, target = tmp_path / "run", tmp_path / "scores.json"
    words = ["train", "video_attention_ucf14", "--data", str(data), "--out", str(out), "--epochs", "1"]
    assert main([*words, "--config.hidden", "8", "--batch_size", "4", "--workers", "0"]) == 0
    assert main(["evaluate", str(out), "--data", str(data), "--split", "test", "--json", str(target)]) == 1
    assert f"no split test in {data}, only train, val" in capsys.readouterr().err  # it was trained on these
    assert main(["evaluate", str(out), "--json", str(target)]) == 0
    scores = json.loads(target.read_text())
    assert scores["clips"] == 2 and scores["events"] == 4 and "two joined" in scores["data"]
    array = values[0].astype(np.float32)
    found = __import__("foveate").load(str(out)).predict(array)
    assert found.attention().shape[1] == 5 and found.numbers == (0, 1, 2, 3, 4)


class TestExport:
    @pytest.fixture(scope="class")
    def files(self, run, tmp_path_factory):
        pytest.importorskip("onnxscript")
        out = tmp_path_factory.mktemp("onnx") / "video.onnx"
        assert main(["export", str(run), "--out", str(out)]) == 0
        return out

    def test_it_says_what_the_run_says_of_clips_of_any_length(self, run, files, tmp_path):
        import foveate

        ours, theirs = foveate.load(str(run)), foveate.load(str(files))
        for index, count in ((0, 1), (1, 3), (2, 9)):
            path = tmp_path / f"{index}.gif"
            write_clip(path, index, count)
            a, b = ours.predict(path, beams=2), theirs.predict(path, beams=2)
            assert a.text == b.text and a.numbers == b.numbers
            np.testing.assert_allclose(a.attention(), b.attention(), atol=1e-4)

    def test_the_program_on_the_page_needs_neither_torch_nor_foveate(self, run, files, tmp_path):
        blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        (code,) = [block for block in blocks if "video.step.onnx" in block]
        path = tmp_path / "c.gif"
        write_clip(path, 4)
        code += f'\nimport sys\nprint(describe(frames_of("{path}")))\nassert "torch" not in sys.modules\n'
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=files.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        import foveate

        assert done.stdout.strip() == foveate.load(str(run)).predict(path, beams=1).text
