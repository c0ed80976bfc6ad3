"""The family of speech: inputs, transcripts with times, files, pages, long recordings, and scores of attention."""

import itertools
import json
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import foveate
from foveate.errors import ConfigError, DataError, ModelError
from foveate.records import Sound, SoundFormat, SpeechPrediction, Transcript
from foveate.tasks import create_task
from foveate.tasks.speech.decoding import word_times
from foveate.tasks.speech.figure import (
    HEIGHT,
    MARGIN,
    MAX_SOUND_BYTES,
    ROW,
    SpeechFigure,
    alignment,
    attention_picture,
    audio_player,
    speech_figure,
)
from foveate.tasks.speech.inputs import AUDIO
from foveate.tasks.speech.inspection import SpeechFindings
from foveate.tasks.speech.language import CharacterModel
from foveate.tasks.speech.options import SpeechOptions
from foveate.tasks.speech.page import SpeechPage
from foveate.tasks.speech.subtitles import ctm, srt
from foveate.tasks.speech.task import SpeechPairs, attention_in_spans
from foveate.text import END, SPECIALS, START, Characters, CharacterTable

TABLE = CharacterTable((*SPECIALS, *"abc "))
RATE = 8000


def tone(pitch, seconds=0.3, rate=RATE, seed=0):
    """A tone with a little noise, (T,) float."""
    t = np.arange(int(seconds * rate)) / rate
    return 0.5 * np.sin(2 * np.pi * pitch * t) + np.random.default_rng(seed).normal(0, 0.01, len(t))


def write_wav(path, samples, rate=RATE):
    """Write samples (T,) or (T, channels) as 16 bits."""
    samples = samples.reshape(len(samples), -1)
    with wave.open(str(path), "wb") as file:
        file.setparams((samples.shape[1], 2, rate, 0, "NONE", ""))
        file.writeframes(np.rint(32767 * samples).astype("<i2").tobytes())
    return path


class Speller(nn.Module):
    """A model that writes a letter for every tenth of a second, by its loudness, and attends to it: a, b or c.

    Cells are a tenth of a second.
    """

    cell_step, cell_first = 0.1, 0.05
    preprocessing = SoundFormat(RATE, 0, 800)

    def begin(self, audio, lengths=None):
        lengths = torch.full((len(audio),), audio.shape[1]) if lengths is None else lengths
        cells = audio[:, : audio.shape[1] // 800 * 800].unflatten(1, (-1, 800)).abs().amax(2)
        mask = torch.arange(cells.shape[1]) < (lengths // 800)[:, None]
        return Memory((cells, mask)), torch.zeros(len(audio), 1, dtype=torch.long)

    def step(self, memory, state, tokens):
        cells, mask = memory[0], memory[1]
        position = state[:, 0]
        count = mask.sum(1)
        at = position.clamp(max=cells.shape[1] - 1)
        loud = cells.gather(1, at[:, None])[:, 0]
        token = torch.where(loud > 0.6, 6, torch.where(loud > 0.3, 5, 4))
        token = torch.where(loud < 0.05, 7, token)
        token = torch.where(position >= count, torch.tensor(END), token)
        logits = 10 * nn.functional.one_hot(token, len(TABLE)).float()
        attention = nn.functional.one_hot(torch.minimum(at, count - 1), cells.shape[1]).float()
        return logits, state + 1, attention


class Memory(tuple):
    mask = property(lambda self: self[1])


def loudness(levels):
    """A recording with a tenth of a second of each level."""
    parts = [level * np.sin(2 * np.pi * 500 * np.arange(800) / RATE) for level in levels]
    return torch.tensor(np.concatenate(parts), dtype=torch.float32)


def family(**options):
    task = create_task("speech", {"text": TABLE}, Speller.preprocessing)
    task.options = SpeechOptions(**options)
    return task


def predict(levels, name="a.wav", **options):
    task = family(**options)
    sample = {"audio": Sound(loudness(levels), RATE), "name": name}
    (found,) = task.answer(Speller(), [sample], task.options)
    return found, sample, task


class TestTranscripts:
    def test_words_with_their_times_and_probabilities(self):
        found, _, task = predict([0.2, 0.4, 0.0, 0.8, 0.8])
        assert found.text == "ab cc"
        best = found.transcripts[0]
        assert best.words == ("ab", "cc")
        np.testing.assert_allclose(best.times, [[0.0, 0.2], [0.3, 0.5]], atol=1e-6)
        np.testing.assert_allclose(found.centres, [0.05, 0.15, 0.25, 0.35, 0.45])
        record = task.record(found)
        assert record["transcript"] == "ab cc" and record["words"][1]["from"] == 0.3
        assert record["words"][0]["probability"] == pytest.approx((1 / (1 + 7 * np.exp(-10))) ** 2, abs=1e-4)
        assert json.dumps(record) and next(iter(task.lines([("a.wav", record)]))) == "a.wav:"

    def test_recordings_of_unequal_lengths_are_read_as_alone(self):
        task = family()
        levels = ([0.2, 0.8], [0.4] * 7, [0.8, 0.0, 0.2, 0.2])
        samples = [{"audio": Sound(loudness(one), RATE), "name": str(i)} for i, one in enumerate(levels)]
        together = task.answer(Speller(), samples, task.options)
        assert [p.text for p in together] == ["ac", "bbbbbbb", "c aa"]
        for one, sample in zip(together, samples, strict=True):
            (alone,) = task.answer(Speller(), [sample], task.options)
            assert alone.text == one.text
            np.testing.assert_allclose(alone.transcripts[0].attention, one.transcripts[0].attention)
            assert one.transcripts[0].attention.shape[1] == len(one.centres) == len(sample["audio"].values) // 800

    def test_long_recordings_are_cut_at_silence_and_times_go_on(self):
        word = [0.8, 0.8, 0.8, 0.4, 0.0, 0.0, 0.0]
        found, _, _ = predict(word * 4, cut=2.0)
        whole, _, _ = predict(word * 4, cut=0.0)
        assert found.text == whole.text == "cccb cccb cccb cccb" and not whole.cuts
        assert found.cuts and all(0.4 <= cut % 0.7 <= 0.7 for cut in found.cuts)
        best = found.transcripts[0]
        assert len(found.transcripts) == 1 and len(found.centres) == 28
        written = [i for i, token in enumerate(best.tokens) if token in "abc"]
        attended = best.attention_until(len(found.centres), written).argmax(1)
        letters = [i for i in range(28) if i % 7 < 4]
        np.testing.assert_allclose(found.centres[attended], found.centres[letters], atol=0.11)
        np.testing.assert_allclose(found.transcripts[0].times, whole.transcripts[0].times, atol=0.11)

    def test_a_table_that_is_not_the_model_s(self):
        task = create_task("speech", {"text": CharacterTable((*SPECIALS, *"ab"))}, Speller.preprocessing)
        with pytest.raises(ModelError, match="the model writes 8 different tokens, but its vocabulary has 6"):
            task.answer(Speller(), [{"audio": Sound(loudness([0.2]), RATE), "name": "x"}], task.options)

    def test_times_of_words_that_overlap_meet_and_never_go_back(self):
        maps = [np.array([1.0, 1, 1, 0, 0, 0]), np.array([0, 0, 1.0, 1, 0, 0]), np.array([0.0, 1, 0, 0, 0, 0])]
        times = word_times(maps, 0.1, 0.05)
        assert (times[:, 1] >= times[:, 0]).all()
        assert all(b[0] >= a[1] - 1e-9 for a, b in itertools.pairwise(times))
        np.testing.assert_allclose(times[0], [0.0, 0.25])
        np.testing.assert_allclose(word_times([np.array([0, 0, 1.0])], 0.1, 0.05), [[0.2, 0.3]])

    @pytest.mark.parametrize(
        ("options", "message"),
        [({"beams": 0}, "beams is 0; give 1 or more"), ({"cut": 0.5}, r"cut is 0.5 s; give parts of 1 s or more"),
         ({"length_penalty": -1.0}, "length_penalty is -1.0; give 0 or more")],
    )  # fmt: skip
    def test_options_that_do_not_fit(self, options, message):
        with pytest.raises(ConfigError, match=message):
            SpeechOptions(**options)
        with pytest.raises(ConfigError, match="cannot search with 9 beams over a vocabulary of 8 tokens"):
            family().require(SpeechOptions(beams=9))

    def test_parts_that_may_be_too_short_for_the_model_are_refused(self):
        task = create_task("speech", {"text": TABLE}, SoundFormat(8000, 0, 2680))
        said = (
            r"cut is 1 s, and parts may be a quarter as long, but this model reads 0\.335 s or more; "
            r"give 1\.4 s or more, or 0 for no limit"
        )
        with pytest.raises(ConfigError, match=said):
            task.require(SpeechOptions(cut=1, beams=2))
        task.require(SpeechOptions(cut=1.4, beams=2))
        task.require(SpeechOptions(cut=0, beams=2))


class TestScores:
    def test_attention_in_the_true_spans_counts_right_words(self):
        found, _, _ = predict([0.2, 0.4, 0.0, 0.8, 0.8])
        share, count = attention_in_spans(found, "ab cc", [(0.0, 0.2), (0.3, 0.4)])
        assert (share, count) == (pytest.approx(1.5), 2)  # all of the first word's, and half of the second's
        assert attention_in_spans(found, "xx cc", [(0.0, 0.2), (0.3, 0.5)]) == (1.0, 1)
        assert attention_in_spans(found, "zz ab cc", [(9, 9), (0.0, 0.2), (0.3, 0.5)]) == (2.0, 2)

    def test_count_through_the_family(self):
        found, sample, task = predict([0.2, 0.4, 0.0, 0.8, 0.8])
        wrong = task.metrics(None)
        task.count(wrong, 0, {**sample, "transcript": "ab ca"}, found)
        assert np.isnan(wrong.compute().monotone) and np.isnan(wrong.compute().attention_in_span)
        metrics = task.metrics(None)
        labelled = {**sample, "transcript": "ab ca", "spans": ((0, 0.2), (0.3, 0.5))}
        assert task.count(metrics, 0, labelled, found) == 0.5
        assert task.count(metrics, 1, {**sample, "transcript": "ab cc"}, found) == 0
        scores = metrics.compute()
        assert (scores.wer, scores.sentence_errors, scores.attention_in_span, scores.monotone) == (0.25, 0.5, 1.0, 1.0)
        assert scores.confusions == (("ca", "cc", 1),)


class TestInput:
    def open(self, given, **form):
        return AUDIO.open(given, SoundFormat(**({"rate": RATE, "shortest": 760} | form)), "las")

    def test_files_arrays_and_tensors(self, tmp_path):
        path = write_wav(tmp_path / "a.wav", np.stack([tone(440, rate=16000)] * 2, 1), 16000)
        found = self.open(path)
        assert found.rate == RATE and len(found.values) == 2400
        assert AUDIO.note(found) == "2 channels, mixed to one; resampled from 16000 to 8000 Hz"
        samples = tone(440)
        for given in (samples, torch.tensor(samples), np.stack([samples, samples]), np.stack([samples] * 2, 1)):
            np.testing.assert_allclose(self.open(given).values.numpy(), samples, atol=1e-6)
        whole = (32767 * samples).astype(np.int16)
        np.testing.assert_allclose(self.open(whole).values.numpy(), samples, atol=1e-4)

    def test_what_does_not_fit(self, tmp_path):
        cases = [
            (np.zeros(2000), {}, "silence"),
            (tone(440)[:400], {}, r"0.050 s; las needs 0.095 s or more"),
            ("no array", {}, "no array: no such file"),
            (np.array(["a"]), {}, "give a file, or samples"),
            (np.zeros((2, 2, 900)), {}, "give a file, or samples"),
            (20000 * tone(440), {}, "divide by the largest number"),
            ((255 * np.abs(tone(440))).astype(np.uint8), {}, "samples of uint8; give int16, int32, or floats"),
            (write_wav(tmp_path / "a.wav", tone(440)), {"features": 13, "rate": 100}, "frames of 13 features; give an"),
            (
                np.zeros((50, 12)),
                {"features": 13, "rate": 100, "shortest": 8},
                "frames of 12 features, but las reads f",
            ),
        ]
        for given, form, message in cases:
            with pytest.raises(DataError, match=message):
                self.open(given, **form)

    def test_a_set_at_another_rate_is_taken_at_the_model_s(self):
        sound = Sound(torch.tensor(tone(440, rate=16000), dtype=torch.float32), 16000)
        fitted, note = AUDIO.suit(sound, SoundFormat(RATE), "las", "x")
        assert fitted.rate == RATE and note == "resampled from 16000 to 8000 Hz"
        assert AUDIO.suit(fitted, SoundFormat(RATE), "las", "x") == (fitted, "")


class TestFiles:
    def test_every_file_of_a_prediction(self, tmp_path):
        found, sample, task = predict([0.2, 0.4, 0.0, 0.8, 0.8], name="my clip.wav")
        for ending, write in task.files(found, sample).values():
            assert ending in task.endings
            write(tmp_path / f"x{ending}")
        assert (tmp_path / "x.srt").read_text() == "1\n00:00:00,000 --> 00:00:00,500\nab cc\n"
        lines = (tmp_path / "x.ctm").read_text().splitlines()
        assert lines[0].split() == ["my_clip", "1", "0.000", "0.200", "ab", lines[0].split()[5]]
        data = json.loads((tmp_path / "x_attention.json").read_text())
        assert np.array(data["attention"]).shape == (6, 5) and len(data["tokens"]) == 6
        np.testing.assert_allclose(np.array(data["attention"])[:5], np.eye(5))

    def test_subtitles_end_at_pauses_and_at_long_lines(self):
        words = ("hello",) * 30
        times = np.stack([np.arange(30) * 0.3, np.arange(30) * 0.3 + 0.25], 1)
        times[10:] += 5
        one = Transcript("", 0.0, words, np.ones(30), times, (), np.zeros((0, 0)), np.zeros(0, int))
        blocks = srt(SpeechPrediction((one,), 20.0, np.zeros(0))).split("\n\n")
        texts = [block.strip().split("\n")[2] for block in blocks]
        assert max(map(len, texts)) <= 42 and " ".join(texts).split() == list(words)
        starts = [block.strip().split("\n")[1] for block in blocks]
        assert "00:00:08,000 --> 00:00:" in " ".join(starts)  # the eleventh word, after the pause
        assert ctm(SpeechPrediction((one,), 20.0, np.zeros(0))).startswith("recording 1 0.000 0.250 hello")

    def test_the_picture_is_dark_where_it_attends(self):
        found, sample, _ = predict([0.2, 0.4, 0.8])
        drawn = np.asarray(attention_picture(sample["audio"], found))
        width = drawn.shape[1] - MARGIN - 8
        for row in range(3):
            middle = HEIGHT + ROW * row + ROW // 2
            dark = [int(drawn[middle, MARGIN + int((cell + 0.5) * width / 3)].sum()) for cell in range(3)]
            assert int(np.argmin(dark)) == row

    def test_the_page_embeds_sound_of_bounded_size_and_nothing_from_outside(self):
        found, sample, _ = predict([0.2, 0.4, 0.0, 0.8])
        page = SpeechPage("las")
        page.add("<a>.wav", found, sample)
        text = page.render()
        assert "media-src data:" in text and "data:audio/wav;base64," in text and "&lt;a&gt;.wav" in text
        assert "<script" not in text and "http://" not in text and "https://" not in text
        long = Sound(torch.tensor(tone(300, 60), dtype=torch.float32), RATE)
        player, remark = audio_player(long)
        assert len(player) < MAX_SOUND_BYTES * 4 / 3 + 500 and remark == "The first 10 s here."
        assert audio_player(Sound(torch.zeros(50, 3), 100)) == (None, "")

    def test_of_a_long_recording_the_beginning_is_drawn_and_it_is_said(self):
        found, sample, task = predict([0.8, 0.4, 0.0] * 300, cut=4.0)  # 90 s, 300 words
        best = found.transcripts[0]
        assert len(best.words) == 300 and best.attention.shape[1] <= 40  # cells of a part, not of all
        picture = attention_picture(sample["audio"], found)
        assert picture.height == HEIGHT + ROW * (120 + 3)  # a row a word
        page = SpeechPage("las")
        page.add("a.wav", found, sample)
        text = page.render()
        assert text.count("<button") == 120 and "The picture shows the first 120 words, 36 s." in text
        assert ".m120{" in text and ".m121{" not in text
        task.files(found, sample)

    def test_errors_are_marked_in_the_alignment(self):
        assert alignment("one two three", "one too four three") == (
            "Said: one <ins>too</ins> <del>two</del> <ins>four</ins> three "
        )
        found, sample, _ = predict([0.2, 0.4])
        assert "word error rate 1.000" in speech_figure(SpeechFigure("a", sample["audio"], found, "ba", 1.0), 1)


def test_inspection_counts_words_seconds_and_speakers():
    findings = SpeechFindings("data", "speech")
    findings.expect(4)
    for split in ("train", "val"):
        findings.begin(split, None)
        for i in range(2):
            sound = Sound(torch.tensor(tone(300, 0.5 + i), dtype=torch.float32), RATE)
            findings.add(split, {"audio": sound, "transcript": f"ab c{i}", "name": "x", "speaker": f"s{i}"})
    text = findings.text()
    assert "recordings: train 2, val 2" in text and "a recording 0.50..1.50 s (median 1.00)" in text
    assert "words a recording: 2" in text and "speakers: train 2, val 2; 2 in all of them" in text
    assert findings.to_json()["characters"] == " 01abc" and findings.sheet().height > 100


def test_the_exported_files_equal_the_model_at_unseen_lengths(tmp_path):
    pytest.importorskip("onnxruntime")
    from foveate.export import export_onnx
    from foveate.predictor import Predictor
    from foveate.store import save_model

    torch.manual_seed(0)
    model = foveate.create(
        "listen_attend_spell", rate=RATE, mels=10, hidden=4, pyramid=1, speller=6, speller_layers=1, embed=3, attend=4,
        vocabulary=len(TABLE), init=0.5,
    ).eval()  # fmt: skip
    save_model(tmp_path / "m", model, "listen_attend_spell", {"text": TABLE}, "speech", SpeechOptions(beams=2))
    report = export_onnx(tmp_path / "m", tmp_path / "speech.onnx")
    assert report.difference < 1e-4 and [path.name for path in report.beside] == ["speech.step.onnx"]
    ours, theirs = Predictor.open(tmp_path / "m", "cpu"), Predictor.open(tmp_path / "speech.onnx")
    for seconds in (0.11, 0.4, 1.3):
        given = tone(500, seconds, seed=int(10 * seconds))
        a, b = ours.predict(given), theirs.predict(given)
        assert a.text == b.text and a.transcripts[0].score == pytest.approx(b.transcripts[0].score, abs=1e-4)
        np.testing.assert_allclose(a.transcripts[0].times, b.transcripts[0].times, atol=1e-6)
    runner = numpy_runner(tmp_path)
    given = tone(500, 0.7).astype(np.float32)
    greedy = ours.predict(given, beams=1)
    assert runner(given) == greedy.text
    (tmp_path / "speech.step.onnx").unlink()
    with pytest.raises(ModelError, match=r"needs speech\.step\.onnx, which is not beside it"):
        Predictor.open(tmp_path / "speech.onnx")


def test_the_listener_of_features_is_exported_for_any_length(tmp_path):
    pytest.importorskip("onnxruntime")
    from foveate.onnx import OnnxFile, metadata_of, write_graph

    torch.manual_seed(0)
    model = foveate.create(
        "listen_attend_spell", rate=100, features=3, hidden=4, pyramid=2, speller=6, speller_layers=2, embed=3,
        attend=4, vocabulary=len(TABLE), init=0.5,
    ).eval()  # fmt: skip
    task = create_task("speech", {"text": TABLE}, model.preprocessing)
    encoder, _ = task.graphs(model).graphs
    write_graph(encoder, metadata_of("speech", "las", task.tables, task.preprocessing), "las", tmp_path / "f.onnx")
    file = OnnxFile.open(tmp_path / "f.onnx", "cpu")
    for frames in (8, 11, 24, 53):
        x = torch.randn(1, frames, 3)
        cells, keys = file.run(["cells", "keys"], {"audio": x})
        with torch.no_grad():
            memory, _ = model.begin(x)
        torch.testing.assert_close(cells, memory.cells, rtol=0, atol=1e-5)
        torch.testing.assert_close(keys, memory.keys, rtol=0, atol=1e-5)


def numpy_runner(folder):
    """The function of docs/speech.md that runs the two files of a folder without Foveate and without torch."""
    page = (Path(__file__).parents[2] / "docs" / "speech.md").read_text(encoding="utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]
    assert "torch" not in code and "foveate." in code and "import foveate" not in code
    names = {}
    exec(code.replace('("speech.', f'("{folder}/speech.'), names)
    return names["transcribe"]


class TestLanguageModel:
    def test_probabilities_by_hand(self):
        model = CharacterModel(TABLE, ["ab", "ac"], order=2)
        a, b, c = 4, 5, 6
        # single tokens: a 2, b 1, c 1, end 2 of 6, four kinds; below them 1/8 each
        single = {t: (n + 4 / 8) / (6 + 4) for t, n in ((a, 2), (b, 1), (c, 1), (END, 2))}
        found = model.log_probabilities(torch.tensor([[a], [b], [7]])).exp()
        # after a: b 1, c 1, two kinds
        assert found[0, b] == pytest.approx((1 + 2 * single[b]) / 4)
        assert found[0, a] == pytest.approx(2 * single[a] / 4)
        assert found[1, END] == pytest.approx((1 + single[END]) / 2)
        assert found[2, a] == pytest.approx(single[a])  # nothing follows a blank: single tokens
        torch.testing.assert_close(found.sum(1), torch.ones(3))

    def test_it_changes_what_is_written_and_the_score_says_how(self, tmp_path):
        text = tmp_path / "names.txt"
        text.write_text("ca\n" * 50)
        plain, _, _ = predict([0.62, 0.2])
        assert plain.text == "ca"
        helped, _, _ = predict([0.62, 0.4], language=str(text), language_weight=5.0)
        assert helped.text == "ca" and predict([0.62, 0.4])[0].text == "cb"
        weightless, _, _ = predict([0.62, 0.4], language=str(text), language_weight=0.0)
        assert weightless.text == "cb"
        assert SpeechOptions(language="x.txt").describe() == "language model of x.txt, weight 0.2"
        assert SpeechOptions(cut=5.5).describe() == "in parts of at most 5.5 s"
        assert SpeechOptions(cut=0).describe() == "uncut" and SpeechOptions(cut=20).describe() == ""

    def test_texts_that_are_none(self, tmp_path):
        with pytest.raises(DataError, match=r"gone.txt: not a text that can be read"):
            family().require(SpeechOptions(language=str(tmp_path / "gone.txt"), beams=2))
        (tmp_path / "other.txt").write_text("ÄÖ\n")
        with pytest.raises(DataError, match=r"other.txt: no sentence has a character that the model writes"):
            family().require(SpeechOptions(language=str(tmp_path / "other.txt"), beams=2))


def test_start_is_the_token_of_the_search():
    assert SpeechOptions().rules()["start"] == START


class TwoTexts:
    """Two recordings of single words, which are drawn as strings of both."""

    seconds = (1.0, 1.0)

    def __len__(self):
        return 2

    def transcript(self, index):
        return ("one", "two")[index]

    def draw(self, keys):
        return [{"audio": None, "transcript": "one two", "name": "train/3"} for _ in keys]


def test_a_set_that_draws_characters_which_its_transcripts_lack_is_refused():
    """A table of characters is learned from the transcripts: a blank that is only drawn would never be taught."""
    pairs = SpeechPairs(TwoTexts(), Characters().learn(["one", "two"]))
    with pytest.raises(DataError, match=r"train/3: 'one two' was drawn with ' ', which no transcript of the set has"):
        pairs.draw([(0, 0)])
