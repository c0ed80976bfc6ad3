"""Readers of speech: tables, texts beside recordings, Kaldi's lists, features; and files that cannot be used."""

import itertools
import json

import numpy as np
import pytest
import torch
from sound_files import tone, write_wav, write_words

from foveate.datasets import recognise
from foveate.datasets.speech.beside import SpeechBeside
from foveate.datasets.speech.kaldi import Kaldi
from foveate.datasets.speech.table import SpeechTable
from foveate.engine.inspection import inspect
from foveate.errors import DataError
from foveate.sounds import cuts_at_silence, read_sound, resampled, sound_from

soundfile = pytest.importorskip("soundfile")


class TestSound:
    @pytest.mark.parametrize(("width", "error"), [(1, 1 / 100), (2, 1e-4), (3, 1e-6), (4, 1e-6)])
    def test_pcm_of_every_width_is_what_was_written_and_what_soundfile_reads(self, tmp_path, width, error):
        samples = tone(440)
        path = write_wav(tmp_path / "a.wav", samples, width=width)
        found = read_sound(path)
        np.testing.assert_allclose(found.values.numpy(), samples, atol=error)
        np.testing.assert_allclose(found.values.numpy(), soundfile.read(path, dtype="float32")[0], atol=1e-7)
        assert found.rate == 8000
        assert found.notes == (("8 bits a sample, which add noise",) if width == 1 else ())

    @pytest.mark.parametrize("ending", ["flac", "ogg", "wav"])
    def test_other_codings(self, tmp_path, ending):
        path = tmp_path / f"a.{ending}"
        soundfile.write(path, tone(440), 8000, subtype="FLOAT" if ending == "wav" else None)
        np.testing.assert_allclose(read_sound(path).values.numpy(), tone(440), atol=0.05 if ending == "ogg" else 1e-4)

    def test_channels_are_mixed_and_it_is_said(self, tmp_path):
        left, right = tone(440), tone(800)
        found = read_sound(write_wav(tmp_path / "a.wav", np.stack([left, right], 1)))
        np.testing.assert_allclose(found.values.numpy(), (left + right) / 2, atol=1e-4)
        assert found.notes == ("2 channels, mixed to one",)

    def test_channels_that_cancel_each_other_are_refused(self, tmp_path):
        path = write_wav(tmp_path / "a.wav", np.stack([tone(440), -tone(440)], 1))
        with pytest.raises(DataError, match=r"its channels cancel each other .* give one of them"):
            read_sound(path)

    def test_clipping_is_said(self, tmp_path):
        found = read_sound(write_wav(tmp_path / "a.wav", 3 * tone(200)))
        assert "clipped" in found.notes[0] and "record it less loud" in found.notes[0]
        assert not read_sound(write_wav(tmp_path / "b.wav", tone(200))).notes

    def test_resampling_keeps_a_tone_and_is_said(self):
        sound = sound_from(tone(440, 0.5, 16000), 16000, "x")
        found = resampled(sound, 8000)
        assert len(found.values) == 4000 and found.rate == 8000
        np.testing.assert_allclose(found.values.numpy()[200:-200], tone(440, 0.5)[200:-200], atol=0.05)
        assert found.notes == ("resampled from 16000 to 8000 Hz",)
        assert resampled(sound, 16000) is sound
        up = resampled(sound_from(tone(440), 8000, "x"), 11025)
        assert len(up.values) == round(0.3 * 11025) + 1 or len(up.values) == round(0.3 * 11025)
        assert up.notes == ("resampled from 8000 to 11025 Hz, without what is above 4000 Hz",)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "an empty file; record it again"),
            (b"RIFF\x10\x00\x00\x00WAVE", "a WAV file that ends too early|not a WAV file"),
            (b"hello, this is no sound at all" * 9, "not a WAV file that can be read"),
        ],
    )
    def test_files_that_are_no_sound(self, tmp_path, content, message):
        (tmp_path / "a.wav").write_bytes(content)
        with pytest.raises(DataError, match=f"a.wav: ({message})"):
            read_sound(tmp_path / "a.wav")

    def test_no_samples_silence_and_a_header_with_an_impossible_rate(self, tmp_path):
        cases = [
            (write_wav(tmp_path / "none.wav", np.zeros(0)), "no samples"),
            (write_wav(tmp_path / "silent.wav", np.zeros(4000)), r"silence, 0.5 s without a sound"),
            (write_wav(tmp_path / "constant.wav", np.full(4000, 0.25)), "silence"),
            (write_wav(tmp_path / "rate.wav", tone(440), rate=80), "a sampling rate of 80 Hz in its header"),
        ]
        for path, message in cases:
            with pytest.raises(DataError, match=message):
                read_sound(path)

    def test_a_file_that_ends_before_its_header_says(self, tmp_path):
        path = write_wav(tmp_path / "a.wav", tone(440))
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(DataError, match="1900 of the 2400 samples that its header names"):
            read_sound(path)

    def test_samples_that_are_too_large_or_no_numbers(self):
        with pytest.raises(DataError, match=r"samples up to 20000; expected -1..1: divide by the largest number"):
            sound_from(20000 * np.sin(np.arange(900)), 8000, "x")
        with pytest.raises(DataError, match="samples that are not numbers"):
            sound_from(np.full(900, np.nan), 8000, "x")

    def test_long_recordings_are_cut_where_they_are_quiet(self):
        parts = []
        for seed in range(6):
            parts += [tone(300, 0.8, seed=seed), np.random.default_rng(seed).normal(0, 1e-3, 1600)]
        sound = sound_from(np.concatenate(parts), 8000, "x")
        places = cuts_at_silence(sound, 2.5)
        assert places[0] == 0 and places[-1] == len(sound.values)
        assert all(b - a <= 2.5 * 8000 for a, b in itertools.pairwise(places))
        for place in places[1:-1]:  # within a pause: 0.8 to 1.0 s of every second
            assert 0.8 <= place / 8000 % 1 <= 1.0

    @pytest.mark.parametrize("samples", [8001, 9000, 11_999, 16_001, 20_003])
    def test_no_part_is_shorter_than_a_quarter_of_the_longest(self, samples):
        values = np.random.default_rng(0).normal(0, 0.1, samples)
        values[samples - 1200 : samples - 300] = 0  # the quietest place is just before the end
        places = cuts_at_silence(sound_from(values, 8000, "x"), 1.0)
        lengths = [b - a for a, b in itertools.pairwise(places)]
        assert sum(lengths) == samples and min(lengths) >= 2000 and max(lengths) <= 8000


def write_table(root, text, count=6):
    for i in range(count):
        write_wav(root / "audio" / f"{i}.wav", tone(300 + 100 * i))
    (root / "transcripts.tsv").write_text(text, encoding="utf-8")
    return root


class TestTable:
    def test_two_columns_three_columns_and_a_header(self, tmp_path):
        two = write_table(tmp_path / "two", "".join(f"audio/{i}.wav\tword {i}\n" for i in range(6)))
        three = write_table(tmp_path / "three", "".join(f"{i}.wav\ts{i}\tword {i}\n" for i in range(6)))
        head = "text\tnote\tspeaker\tpath\n" + "".join(f"word {i}\tx\ts{i}\t{i}\n" for i in range(6))
        named = write_table(tmp_path / "head", head)
        for root, speakers in ((two, False), (three, True), (named, True)):
            source = recognise(root, "speech")
            assert isinstance(source, SpeechTable)
            found = {one.text: one.speaker for one in source.scan.utterances}
            assert found == {f"word {i}": f"s{i}" if speakers else "" for i in range(6)}

    @pytest.mark.parametrize(
        ("row", "speaker"),
        [
            ("{i}.wav\thello there {i}\t1.5", ""), ("{i}.wav\thello there {i}\t", ""),
            ("{i}.wav\thello there {i}\t15\t", ""), ("{i}.wav\t1.5\thello there {i}", ""),
            ("{i}.wav\t0.1\t1.5\thello there {i}", ""), ("{i}.wav\ts{i}\thello there {i}\t1.5", "s{i}"),
            ("{i}.wav\thello there {i}\t1.5\ttest", ""), ('{i}.wav\t"hello there {i}"', ""),
        ],
    )  # fmt: skip
    def test_numbers_and_empty_cells_beside_the_text_of_a_table_without_a_header(self, tmp_path, row, speaker):
        root = write_table(tmp_path, "".join(row.format(i=i) + "\n" for i in range(6)))
        source = recognise(root, "speech")
        found = sorted((one.text, one.speaker) for one in source.scan.utterances)
        assert found == [(f"hello there {i}", speaker.format(i=i)) for i in range(6)]
        assert (source.splits() == ("test",)) == row.endswith("test") and not source.problems()

    @pytest.mark.parametrize("task", ["", "speech"])
    def test_metadata_of_recordings_in_commas(self, tmp_path, task):
        for split, count in (("train", 3), ("test", 2)):
            (tmp_path / split).mkdir()
            lines = ["file_name,transcription"]
            for i in range(count):
                write_wav(tmp_path / split / f"u{i}.wav", tone(440))
                lines.append(f'u{i}.wav,"hello, ""you"" {i}"')
            (tmp_path / split / "metadata.csv").write_text("\n".join(lines) + "\n")
        source = recognise(tmp_path, task)
        assert isinstance(source, SpeechTable)
        assert source.splits() == ("train", "test")
        assert source.open("test")[1]["transcript"] == 'hello, "you" 1'

    def test_numbers_alone_are_a_text(self, tmp_path):
        source = SpeechTable(str(write_table(tmp_path, "".join(f"{i}.wav\ts{i}\t{i}\n" for i in range(6)))))
        assert {one.text: one.speaker for one in source.scan.utterances} == {str(i): f"s{i}" for i in range(6)}
        rows = "".join(f"{i}.wav\t{1089 + i}\thello there {i}\n" for i in range(6))
        source = SpeechTable(str(write_table(tmp_path / "numbered", rows)))
        assert {one.text: one.speaker for one in source.scan.utterances} == {
            f"hello there {i}": str(1089 + i) for i in range(6)
        }

    @pytest.mark.parametrize("row", ["{i}.wav\thello there\tspk{i}\n", "{i}.wav\ta b\tc d\te f\n"])
    def test_columns_that_cannot_be_told_apart_are_refused(self, tmp_path, row):
        root = write_table(tmp_path, "".join(row.format(i=i) for i in range(6)))
        message = r"transcripts\.tsv: \d columns without a line of names, .* write the names of the columns above them"
        with pytest.raises(DataError, match=message):
            recognise(root, "speech").open("train")

    def test_the_text_is_a_column_of_words(self, tmp_path):
        rows = "".join(f"{i}.wav\tword {i}\t{i}\n" for i in range(6))
        source = SpeechTable(str(write_table(tmp_path / "a", "file\tsentence\ttext\n" + rows)))
        assert sorted(one.text for one in source.scan.utterances) == [f"word {i}" for i in range(6)]
        assert not source.notes()
        rows = "".join(f"{i}.wav\tword {i}\tWord {i}!\n" for i in range(6))
        source = SpeechTable(str(write_table(tmp_path / "b", "file\tsentence\ttext\n" + rows)))
        assert sorted(one.text for one in source.scan.utterances) == [f"Word {i}!" for i in range(6)]
        assert source.notes() == ["transcripts.tsv: the text is that of column text; sentence not read"]

    def test_quotes_are_those_of_csv_or_of_the_text(self, tmp_path):
        """A cell in quotes that double none is the text's own, as long as not every cell is quoted."""
        rows = '0.wav\t"he said ""hello"""\n' + "".join(f"{i}.wav\tword\n" for i in range(1, 6))
        source = SpeechTable(str(write_table(tmp_path, "file\ttext\n" + rows)))
        assert [one.text for one in source.scan.utterances if one.name == "0.wav"] == ['he said "hello"']
        rows = '0.wav\t"hello"\n' + "".join(f"{i}.wav\tword\n" for i in range(1, 6))
        source = SpeechTable(str(write_table(tmp_path, "file\ttext\n" + rows)))
        assert [one.text for one in source.scan.utterances if one.name == "0.wav"] == ['"hello"']

    def test_splits_by_a_column_by_folders_and_by_names(self, tmp_path):
        head = "file\ttext\tsplit\n" + "".join(
            f"{i}.wav\tw {i}\t{('train', 'valid', 'test')[i % 3]}\n" for i in range(6)
        )
        source = SpeechTable(str(write_table(tmp_path / "column", head)))
        assert {s: len(source.open(s)) for s in source.splits()} == {"train": 2, "val": 2, "test": 2}
        assert source.undivided() is None
        for split in ("train", "val"):
            write_table(tmp_path / "folders" / split, "".join(f"{i}.wav\tw\n" for i in range(4)))
        source = recognise(tmp_path / "folders", "speech")
        assert {s: len(source.open(s)) for s in source.splits()} == {"train": 4, "val": 4}

    @pytest.mark.parametrize("name", ["dev", "valid", "Validation", "val", "eval"])
    def test_every_name_of_val(self, tmp_path, name):
        """As Common Voice's dev.tsv, whose recordings lie in clips."""
        root = tmp_path / "tables"
        for split, numbers in (("train", range(3)), (name, range(3, 5)), ("test", range(5, 6))):
            for i in numbers:
                write_wav(root / "clips" / f"{i}.wav", tone(300 + i))
            rows = "".join(f"c{i}\t{i}.wav\tword {i}\n" for i in numbers)
            (root / f"{split}.tsv").write_text("client_id\tpath\tsentence\n" + rows)
        source = recognise(root)
        assert isinstance(source, SpeechTable) and not source.notes()
        found = {s: [source.open(s).transcript(i) for i in range(len(source.open(s)))] for s in source.splits()}
        assert found == {"train": ["word 0", "word 1", "word 2"], "val": ["word 3", "word 4"], "test": ["word 5"]}
        text = "file\ttext\tsplit\n" + "".join(f"{i}.wav\tw {i}\t{('train', name)[i % 2]}\n" for i in range(6))
        source = SpeechTable(str(write_table(tmp_path / "column", text)))
        assert [source.open("val").transcript(i) for i in range(3)] == ["w 1", "w 3", "w 5"]

    def test_tables_beside_those_of_the_splits_are_named(self, tmp_path):
        root = write_table(tmp_path, "")
        (root / "transcripts.tsv").unlink()
        for split, i in (("train", 0), ("val", 1), ("holdout", 2)):
            (root / f"{split}.tsv").write_text(f"file\ttext\n{i}.wav\tword\n")
        without, unread = SpeechTable(str(root)).notes()
        assert without.startswith("4 recordings (2.wav, 3.wav, 4.wav, ...): no transcript")
        assert unread == (
            "holdout.tsv is not read, beside train.tsv; name it train, val or test if it is a split, or put its rows "
            "into that table"
        )

    def test_a_split_is_drawn_by_speaker_and_kept(self, tmp_path):
        root = write_words(tmp_path, speakers=("a", "b", "c", "d", "e"))
        source = SpeechTable(str(root))
        train, val = (source.open(split) for split in ("train", "val"))
        speakers = [{one.speaker for one in split.utterances} for split in (train, val)]
        assert len(speakers[0]) == 4 and len(speakers[1]) == 1 and not speakers[0] & speakers[1]
        assert "split drawn by speaker from seed 0, written to splits.json" in source.describe()
        kept = json.loads((root / "splits.json").read_text())
        again = SpeechTable(str(root), seed=5)
        assert [one.name for one in again.open("val").utterances] == [one.name for one in val.utterances]
        assert "split as splits.json says" in again.describe() and kept["seed"] == 0

    def test_undivided_all_recordings_are_the_test(self, tmp_path):
        source = SpeechTable(str(write_words(tmp_path))).undivided()
        assert source.splits() == ("test",) and len(source.open("test")) == 18

    def test_recordings_at_several_rates_are_resampled_to_most_of_them(self, tmp_path):
        root = write_table(tmp_path, "".join(f"{i}.wav\tword\n" for i in range(6)))
        write_wav(root / "audio" / "5.wav", tone(800, rate=16000), 16000)
        source = SpeechTable(str(root))
        dataset = SpeechTable(str(root)).undivided().open("test")
        assert source.sampling_rate == 8000 and dataset.rate == 8000
        index = [dataset.name(i) for i in range(6)].index("5.wav")
        assert dataset.file_notes(index, decode=False) == ("resampled from 16000 to 8000 Hz",)
        assert dataset[index]["audio"].rate == 8000 and len(dataset[index]["audio"].values) == 2400
        assert SpeechTable(str(root), rate=11025).undivided().open("test")[0]["audio"].rate == 11025

    def test_features(self, tmp_path):
        data = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float16)
        ids = np.array(["u1", "u2", "u3"])
        np.savez(tmp_path / "features.npz", data=data, offsets=np.array([0, 20, 45, 60]), ids=ids)
        (tmp_path / "transcripts.tsv").write_text("u2\tanna\tYES\nu1\tbo\tNO\nu3\tbo\tA B\n")
        source = recognise(tmp_path, "speech").undivided()
        dataset = source.open("test")
        assert (dataset.rate, dataset.features) == (100, 3)
        index = [dataset.name(i) for i in range(3)].index("u2")
        sound = dataset[index]["audio"]
        torch.testing.assert_close(sound.values, torch.from_numpy(data[20:45].astype(np.float32)))
        assert sound.seconds == 0.25 and dataset.transcript(index) == "YES"
        np.savez(tmp_path / "features.npz", data=data, offsets=np.array([0, 20, 45]), ids=ids)
        with pytest.raises(DataError, match=r"3 offsets up to 45, 3 ids; expected data .frames, values., and offsets"):
            recognise(tmp_path, "speech").open("train")
        offsets, ids = np.array([0, 20, 45, 60]), np.array(["u1", "u2", "u1"])
        np.savez(tmp_path / "features.npz", data=data, offsets=offsets, ids=ids)
        with pytest.raises(DataError, match=r"features\.npz: two recordings have the id 'u1'; give each its own"):
            recognise(tmp_path, "speech").open("train")

    @pytest.mark.parametrize("task", ["", "speech"])
    def test_a_damaged_table_is_still_one_of_speech(self, tmp_path, task):
        """And no parallel text, which a table of two columns would be, too."""
        text = "".join(f"{i}.wav\tword{chr(0) * (i == 3)}\n" for i in range(6))
        source = recognise(write_table(tmp_path, text), task)
        assert isinstance(source, SpeechTable)
        with pytest.raises(DataError, match=r"transcripts\.tsv: line 4: a zero byte; repair the line, or save"):
            source.open("train")


class TestProblems:
    def problems(self, root, cls=SpeechTable):
        return [str(p) for p in cls(str(root)).problems()]

    def test_a_transcript_without_its_recording_and_the_reverse(self, tmp_path):
        text = "".join(f"{i}.wav\tword\n" for i in range(4)) + "gone.wav\tword\n"
        root = write_table(tmp_path, text)
        (problem,) = self.problems(root)
        assert problem.endswith("transcripts.tsv: no recording 'gone.wav'; add it, or remove its transcript")
        (note,) = SpeechTable(str(root)).notes()
        assert note == "2 recordings (4.wav, 5.wav): no transcript, left out; add one, or remove the recording"
        with pytest.raises(DataError, match=r"no recording 'gone\.wav'"):
            SpeechTable(str(root)).open("train")

    def test_texts_without_letters_and_two_of_one_recording(self, tmp_path):
        text = "0.wav\tword\n1.wav\t...\n2.wav\t \n3.wav\tword\n3.wav\tother\n4.wav\n"
        found = "\n".join(self.problems(write_table(tmp_path, text)))
        assert "a text without a letter, '...', of '1.wav'; write what is said" in found
        assert "an empty text of '2.wav'" in found
        assert "'3.wav' has a transcript already, as '3.wav'; keep one" in found
        assert "one column, '4.wav'; expected a file, a tab, and a text" in found

    def test_files_that_cannot_be_read_are_named(self, tmp_path):
        root = write_table(tmp_path, "".join(f"{i}.wav\tword\n" for i in range(6)))
        (root / "audio" / "2.wav").write_bytes(b"")
        (problem,) = self.problems(root)
        assert problem == f"{root / 'audio' / '2.wav'}: an empty file; record it again, or remove it and its transcript"

    def test_silence_is_found_by_inspection(self, tmp_path):
        root = write_table(tmp_path, "".join(f"{i}.wav\tword {i}\n" for i in range(6)))
        write_wav(root / "audio" / "2.wav", np.zeros(2000))
        write_wav(root / "audio" / "3.wav", tone(500), width=1)
        found = inspect(SpeechTable(str(root)))
        text = found.text()
        assert "2.wav: silence, 0.2 s without a sound" in text
        assert "note: 1 recording (3.wav): 8 bits a sample, which add noise" in text
        assert "words: 6 different" in text and found.sheet().width > 300

    def test_more_characters_than_anyone_says(self, tmp_path):
        root = write_table(tmp_path, "".join(f"{i}.wav\tword\n" for i in range(5)) + f"5.wav\t{'la ' * 30}\n")
        (note,) = SpeechTable(str(root)).notes()
        assert "1 recording (5.wav): 89 characters in 0.30 s, faster than anyone speaks; check the sampling " in note

    def test_a_header_with_the_rate_of_another_recording_is_pointed_out(self, tmp_path):
        root = write_table(tmp_path, "".join(f"{i}.wav\thello you {i}\n" for i in range(6)))
        for i in range(6):  # one second each
            write_wav(root / "audio" / f"{i}.wav", tone(300, 1.0))
        write_wav(root / "audio" / "4.wav", tone(300, 1.0, 16000), 16000)  # rightly at another rate
        assert not SpeechTable(str(root)).notes()
        write_wav(root / "audio" / "5.wav", tone(300, 1.0), 16000)  # half a second, by its header
        (note,) = SpeechTable(str(root)).notes()
        assert note.startswith("1 recording (5.wav): the header says 16000 Hz, at which the text is said 2.0 times as")
        assert "at their 8000 Hz it would be as fast" in note

    def test_sound_without_transcripts(self, tmp_path):
        write_wav(tmp_path / "a.wav", tone(300))
        with pytest.raises(DataError, match=r"has sound \(a.wav\), but no transcripts; add transcripts.tsv"):
            recognise(tmp_path, "speech")
        (tmp_path / "t.tsv").write_text("b.wav\thello\n")
        with pytest.raises(DataError, match=r"has t\.tsv, whose recording 'b.wav' is not there"):
            recognise(tmp_path, "speech")


class TestOtherForms:
    def test_a_text_beside_each_recording(self, tmp_path):
        for i in range(5):
            write_wav(tmp_path / "train" / f"{i}.wav", tone(300))
            (tmp_path / "train" / f"{i}.txt").write_text(f"hello {i}\n")
            write_wav(tmp_path / "val" / f"{i}.wav", tone(300))
            (tmp_path / "val" / f"{i}.txt").write_text(f"you {i}\n")
        source = recognise(tmp_path, "speech")
        assert isinstance(source, SpeechBeside)
        assert source.open("val").transcript(3) == "you 3" and len(source.open("train")) == 5
        (tmp_path / "val" / "gone.txt").write_text("a")
        (tmp_path / "val" / "4.txt").unlink()
        source = SpeechBeside(str(tmp_path))
        assert [p.what for p in source.problems()] == ["a transcript without a recording; add it, or remove the text"]
        assert "1 recording (4.wav): no transcript, left out" in source.notes()[0]

    def test_kaldi(self, tmp_path):
        for split in ("train", "dev"):
            folder = tmp_path / "data" / split
            for i in range(3):
                write_wav(tmp_path / "wav" / f"{split}{i}.wav", tone(300))
            folder.mkdir(parents=True)
            (folder / "wav.scp").write_text("".join(f"u{i} wav/{split}{i}.wav\n" for i in range(3)))
            (folder / "text").write_text("".join(f"u{i} HELLO {i}\n" for i in range(3)))
            (folder / "utt2spk").write_text("".join(f"u{i} s{i}\n" for i in range(3)))
        source = recognise(tmp_path / "data", "speech")
        assert isinstance(source, Kaldi)
        val = source.open("val")
        assert val.transcript(2) == "HELLO 2" and val[2]["speaker"] == "s2" and len(source.open("train")) == 3
        scp = tmp_path / "data" / "train" / "wav.scp"
        scp.write_text("u0 sph2pipe -f wav a.sph |\n")
        with pytest.raises(DataError, match="'u0' is a command, which is not run: 'sph2pipe"):
            Kaldi(str(tmp_path / "data")).open("train")
        scp.write_text("u0 wav/train0.wav\nu9 wav/train1.wav\n")
        found = [str(p) for p in Kaldi(str(tmp_path / "data")).problems()]
        assert any("no text of 'u9'" in p for p in found) and any("no recording 'u1'" in p for p in found)
