"""The whole path of a speech model from the shell: trained for a moment, scored, asked, and looked at."""

import json
import shlex
import wave

import numpy as np
import pytest

from foveate.cli import main

PITCHES = {"one": 400, "two": 900, "six": 1500}
SMALL = shlex.split(
    "--config.hidden 6 --config.speller 8 --config.embed 4 --config.attend 4 --config.mels 12 --batch_size 4 --ema 0 "
    "--options.beams 1"
)
STRINGS = shlex.split("--data.train 8 --data.val 3 --data.test 30 --data.longest 2 --epochs 2 --validate_every 2")


def write(path, pitch, seconds=0.25, rate=8000, channels=1):
    samples = 9000 * np.sin(np.arange(int(seconds * rate)) * pitch * 2 * np.pi / rate)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(np.repeat(samples.astype("<i2"), channels).tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("words")
    rows = []
    for speaker in ("ann", "bob"):
        for word, pitch in PITCHES.items():
            write(root / "audio" / f"{word}_{speaker}.wav", pitch * (1.1 if speaker == "bob" else 1))
            rows.append(f"{word}_{speaker}.wav\t{speaker}\t{word}\n")
    (root / "transcripts.tsv").write_text("".join(rows))
    return root


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "strings"
    words = ["listen_attend_spell_digits", "--data", str(folder), "--out", str(out), *SMALL, *STRINGS]
    assert main(["train", *words]) == 0
    return out


def test_evaluation_on_its_own_and_on_another_folder(run, folder, tmp_path, capsys):
    assert main(["evaluate", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "Word error rate" in page and "data:audio/wav;base64," in page and "media-src data:" in page
    other = tmp_path / "other"
    write(other / "a.wav", 500)
    write(other / "b.wav", 800)
    (other / "transcripts.tsv").write_text("a.wav\tcy\tone\nb.wav\tcy\ttwo\n")
    target = tmp_path / "scores.json"
    capsys.readouterr()
    assert main(["evaluate", str(run), "--data", str(other), "--split", "test", "--json", str(target)]) == 0
    printed, scores = capsys.readouterr().out, json.loads(target.read_text())
    assert scores["samples"] == scores["recordings"] == 30 and scores["split"] == "test"
    assert "30 test, seed 0, composed of 2 recordings of 2 words by 1 speaker" in printed
    assert "30 test, seed 0" in scores["data"] and scores["wer"] >= 0 and scores["cer"] >= 0
    assert sum(part["recordings"] for part in scores["by_length"].values()) == 30
    assert main(["evaluate", str(run), "--data", str(folder), "--split", "test"]) == 1  # it was trained on these
    assert f"no split test in {folder}, only train, val; add one" in capsys.readouterr().err


def test_the_table_of_recordings_has_reference_and_transcript(run, rows):
    from foveate.metrics.speech import align, count_errors

    found = rows(str(run))
    assert list(found[0]) == ["name", "wer", "reference", "predicted"] and len(found) == 3
    for row in found:
        errors = count_errors(align(row["reference"].split(), row["predicted"].split()))
        assert float(row["wer"]) == pytest.approx(errors.rate) and set(row["reference"].split()) <= set(PITCHES)


def test_predictions_of_a_folder_with_a_file_that_is_silent(run, tmp_path, capsys):
    write(tmp_path / "in" / "a.wav", 400, channels=2)
    write(tmp_path / "in" / "sub" / "b.wav", 400, 0.5, 16000)
    write(tmp_path / "in" / "silent.wav", 0)
    assert main(["predict", str(run), str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--cut", "2"]) == 1
    printed = capsys.readouterr()
    assert "silent.wav: silence, 0.2 s without a sound" in printed.err
    assert "2 channels, mixed to one" in printed.err and "resampled from 16000 to 8000 Hz" in printed.err
    found = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [record["file"].rpartition("/")[2] for record in found["recordings"]] == ["a.wav", "b.wav"]
    for record in found["recordings"]:
        if record["words"]:
            names = [record[key] for key in ("picture", "attention", "subtitles", "ctm")]
            assert all((tmp_path / "out" / name).is_file() for name in names)
    assert (tmp_path / "out" / "transcripts.html").read_text().count("<audio") == 2


def test_a_table_of_sentences_is_trained_on_as_it_is(folder, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["train", "listen_attend_spell", "--data", str(folder), "--out", str(out), *SMALL, "--validate_every", "1"]
    assert main([*words, "--epochs", "2"]) == 0
    assert "split drawn by recording from seed 0" in capsys.readouterr().out
    assert len((out / "metrics.csv").read_text().splitlines()) == 3
    about = json.loads((out / "model" / "config.json").read_text())
    assert about["preprocessing"]["rate"] == 8000 and about["config"]["rate"] == 8000
    assert about["tables"]["text"]["kind"] == "characters" and about["options"]["beams"] == 1
