"""Corpora of speech as they are published: files, texts, speakers and splits, and what of them cannot be used."""

import json
import shutil

import pytest
from sound_files import tone, write_sound, write_text

from foveate.datasets import recognise
from foveate.datasets.speech.corpora import SpeechCorpus
from foveate.datasets.speech.table import SpeechTable
from foveate.errors import DataError

soundfile = pytest.importorskip("soundfile")


def librispeech(root, parts=(("train-clean-100", 3), ("train-other-500", 1), ("dev-clean", 1), ("test-other", 1))):
    """Two utterances of each speaker; speakers are numbered from 100 over all parts."""
    number = 100
    for part, speakers in parts:
        for _ in range(speakers):
            chapter = root / part / str(number) / "7"
            for i in range(2):
                write_sound(chapter / f"{number}-7-000{i}.flac", 3 * number + 50 * i)
            write_text(
                chapter / f"{number}-7.trans.txt", "".join(f"{number}-7-000{i} SAY {number} {i}\n" for i in (0, 1))
            )
            number += 1
    write_text(root / "SPEAKERS.TXT", ";ID  |SEX| SUBSET\n100 | F | train-clean-100\n")
    return root


def libritts(root):
    for split, speaker in (("train-clean-100", 40), ("dev-clean", 41)):
        chapter = root / split / str(speaker) / "9"
        write_sound(chapter / f"{speaker}_9_000000_000001.wav", 6 * speaker)
        write_text(
            chapter / f"{speaker}_9.trans.tsv", f"{speaker}_9_000000_000001\tMr. Poe, 18\tMister Poe, eighteen\n"
        )
        write_text(chapter / f"{speaker}_9_000000_000001.normalized.txt", "Mister Poe, eighteen")
    return root


def vctk(root, folder="wav48", ending=".wav", texts="txt"):
    for s, speaker in enumerate(("p225", "p226", "p227", "s5")):
        for i in (1, 2):
            write_sound(root / folder / speaker / f"{speaker}_00{i}{ending}", 300 + 100 * s + 30 * i)
            write_text(root / texts / speaker / f"{speaker}_00{i}.txt", f"Call {speaker} {i}.\n")
    write_text(root / "speaker-info.txt", "ID  AGE\n225  23\n")
    return root


def timit(root, change=str.upper):
    speakers = (("train", "dr1/fcjf0"), ("train", "dr1/mdpk0"), ("train", "dr2/faem0"), ("test", "dr1/faks0"))
    for s, (split, speaker) in enumerate(speakers):
        for name in ("sa1", "si648"):
            path = root / change(f"{split}/{speaker}/{name}.wav")
            write_sound(path, 300 + 100 * s + 30 * (name == "sa1"), format="NIST", subtype="PCM_16")
            write_text(path.with_suffix(change(".txt")), f"0 4000 She had {name}. \n")
            write_text(path.with_suffix(change(".wrd")), "0 100 she\n")
    return root


def read(root, cls=SpeechCorpus):
    """Split -> (path below the root, speaker, text) of its recordings, as both calls recognise them."""
    source = recognise(root, "speech")
    assert type(source) is type(recognise(root)) is cls and not source.problems()
    return {
        split: [(one.file.relative_to(root).as_posix(), one.speaker, one.text) for one in own]
        for split, own in source.scan.pairs.items()
    }


def problems(root):
    return [str(problem).removeprefix(f"{root}/") for problem in SpeechCorpus(str(root)).problems()]


class TestLibriSpeech:
    def expected(self, part, *numbers):
        return [
            (f"{part}/{n}/7/{n}-7-000{i}.flac", str(n), f"SAY {n} {i}") for n in numbers for i in range(2)
        ]  # fmt: skip

    def test_parts_of_a_split_are_joined(self, tmp_path):
        librispeech(tmp_path)
        assert read(tmp_path) == {
            "train": self.expected("train-clean-100", 100, 101, 102) + self.expected("train-other-500", 103),
            "val": self.expected("dev-clean", 104),
            "test": self.expected("test-other", 105),
        }
        source = SpeechCorpus(str(tmp_path))
        assert source.describe().startswith("speech in LibriSpeech's folders: 8 train, 2 val, 2 test recordings, ")
        assert source.notes() == [] and source.undivided() is None
        sample = source.open("val")[1]
        assert (sample["transcript"], sample["speaker"], sample["name"]) == ("SAY 104 1", "104", "104-7-0001.flac")
        assert not (tmp_path / "splits.json").exists()

    def test_one_folder_down(self, tmp_path):
        librispeech(tmp_path / "LibriSpeech")
        assert {split: len(own) for split, own in read(tmp_path).items()} == {"train": 8, "val": 2, "test": 2}
        (tmp_path / "mine").mkdir()  # then it is not certain what is meant
        assert not SpeechCorpus.recognise(tmp_path)

    def test_one_split_is_divided_by_speaker(self, tmp_path):
        root = librispeech(tmp_path, (("train-clean-100", 5),)) / "train-clean-100"
        own = {split: {row[1] for row in rows} for split, rows in read(root).items()}
        assert [len(speakers) for speakers in own.values()] == [4, 1] and not own["train"] & own["val"]
        assert SpeechCorpus(str(root)).undivided().splits() == ("test",)

    def test_val_is_drawn_from_train_by_speaker_and_kept(self, tmp_path):
        librispeech(tmp_path / "LibriSpeech", (("train-clean-100", 5), ("test-clean", 1)))
        source = SpeechCorpus(str(tmp_path))
        own = {split: {one.speaker for one in source.open(split).utterances} for split in source.splits()}
        assert [len(speakers) for speakers in own.values()] == [4, 1, 1]
        assert not own["train"] & own["val"] and own["test"] == {"105"}
        assert "val of train drawn by speaker from seed 0, written to splits.json" in source.describe()
        kept = json.loads((tmp_path / "LibriSpeech" / "splits.json").read_text())["splits"]
        assert {split: len(names) for split, names in kept.items()} == {"train": 8, "val": 2}
        again = SpeechCorpus(str(tmp_path / "LibriSpeech"), seed=3)  # the same corpus, named more exactly
        assert {one.speaker for one in again.open("val").utterances} == own["val"]
        assert "val of train as splits.json says" in again.describe()

    @pytest.mark.parametrize("end", ["\r\n", "  \n", "\n\n", ""])
    def test_line_ends_blanks_and_capitals(self, tmp_path, end):
        for number in (100, 101):
            chapter = tmp_path / "TRAIN-CLEAN-5" / str(number) / "7"
            for i in range(2):
                write_sound(chapter / f"{number}-7-000{i}.FLAC", 3 * number + 50 * i)
            lines = (end or "\n").join(f"{number}-7-000{i}\t SAY {number} {i}" for i in range(2)) + end
            write_text(chapter / f"{number}-7.TRANS.TXT", lines)
        rows = sorted(row for own in read(tmp_path).values() for row in own)
        assert [(row[1], row[2]) for row in rows] == [(str(n), f"SAY {n} {i}") for n in (100, 101) for i in range(2)]

    def test_files_that_do_not_fit_together(self, tmp_path):
        chapter = librispeech(tmp_path) / "train-clean-100" / "100" / "7"
        write_text(chapter / "100-7.trans.txt", "100-7-0000 ONE\n100-7-0000 TWO\n100-7-0001\n100-7-0009 GONE\n")
        write_sound(chapter / "100-7-0002.flac", 900)
        table = "train-clean-100/100/7/100-7.trans.txt: "
        assert problems(tmp_path) == [
            f"{table}'100-7-0000' has a transcript already, as '100-7-0000'; keep one",
            f"{table}an empty text of '100-7-0001'; write what is said, or remove it",
            f"{table}no recording '100-7-0009'; add it, or remove its transcript",
        ]
        source = SpeechCorpus(str(tmp_path))
        assert source.notes()[0].startswith("1 recording (100-7-0002.flac): no transcript, left out")
        with pytest.raises(DataError, match="no recording '100-7-0009'; add it"):
            source.open("train")

    def test_a_folder_beside_the_splits_is_named(self, tmp_path):
        librispeech(tmp_path, (("train-clean-100", 2), ("dev-clean", 1), ("intro", 1)))
        assert read(tmp_path).keys() == {"train", "val"}
        assert SpeechCorpus(str(tmp_path)).notes() == [
            "intro/ lies beside the known splits and is not read; name it train, val or test if it is one"
        ]

    def test_a_table_of_the_users_own_comes_first(self, tmp_path):
        librispeech(tmp_path / "LibriSpeech")
        folder = "LibriSpeech/dev-clean/104/7"
        write_text(tmp_path / "mine.tsv", f"{folder}/104-7-0000.flac\thello\n{folder}/104-7-0001.flac\tyou\n")
        rows = [row for own in read(tmp_path, SpeechTable).values() for row in own]
        assert sorted(text for _, _, text in rows) == ["hello", "you"]


class TestLibriTTS:
    def test_the_normalised_text_is_read_and_this_is_said(self, tmp_path):
        libritts(tmp_path)
        assert read(tmp_path) == {
            split: [(f"{part}/{s}/9/{s}_9_000000_000001.wav", str(s), "Mister Poe, eighteen")]
            for split, part, s in (("train", "train-clean-100", 40), ("val", "dev-clean", 41))
        }
        source = SpeechCorpus(str(tmp_path))
        assert source.describe().startswith("speech in LibriTTS's folders: 1 train, 1 val recordings")
        assert "of the two forms of each text the normalised one is read" in source.notes()[-1]

    def test_a_line_of_other_cells(self, tmp_path):
        table = libritts(tmp_path) / "train-clean-100/40/9/40_9.trans.tsv"
        write_text(table, table.read_text() + "\n40_9_000000_000002\tno other form\n")
        assert problems(tmp_path) == [
            "train-clean-100/40/9/40_9.trans.tsv: line 3 is not of three cells with tabs between them; expected an ID, "
            "its text, and the normalised text"
        ]


class TestVCTK:
    @pytest.mark.parametrize(
        ("folder", "ending"),
        [("wav48", ".wav"), ("wav48_silence_trimmed", "_mic1.flac"), ("WAV16", ".WAV"), ("wav48", "_mic2.flac")],
    )
    def test_texts_are_in_folders_of_their_own(self, tmp_path, folder, ending):
        vctk(tmp_path, folder, ending)
        rows = sorted(row for own in read(tmp_path).values() for row in own)
        assert rows == [
            (f"{folder}/{s}/{s}_00{i}{ending}", s, f"Call {s} {i}.")
            for s in ("p225", "p226", "p227", "s5")
            for i in (1, 2)
        ]
        source = SpeechCorpus(str(tmp_path))
        assert "VCTK's folders: 6 train, 2 val" in source.describe() and "drawn by speaker" in source.describe()
        assert len({one.speaker for one in source.scan.pairs["val"]}) == 1

    def test_of_two_microphones_the_first_is_read_and_this_is_said(self, tmp_path):
        vctk(tmp_path, "wav48_silence_trimmed", "_mic1.flac")
        vctk(tmp_path, "wav48_silence_trimmed", "_mic2.flac")
        sounds = tmp_path / "wav48_silence_trimmed"
        (sounds / "p226" / "p226_002_mic1.flac").unlink()
        names = {row[0].rpartition("/")[2] for own in read(tmp_path).values() for row in own}
        expected = {f"{s}_00{i}_mic1.flac" for s in ("p225", "p226", "p227", "s5") for i in (1, 2)}
        assert names == expected - {"p226_002_mic1.flac"} | {"p226_002_mic2.flac"}
        assert SpeechCorpus(str(tmp_path)).notes() == [
            "7 transcripts with several recordings each, as p225_001_mic1.flac and p225_001_mic2.flac: the first by "
            "name is read"
        ]

    def test_speakers_without_texts_and_texts_without_recordings_are_left_out(self, tmp_path):
        """The published corpus has both: no text of p315, and texts of p362 without a recording."""
        vctk(tmp_path)
        shutil.rmtree(tmp_path / "txt" / "p227")
        write_text(tmp_path / "txt" / "p226" / "p226_099.txt", "gone\n")
        assert sum(map(len, read(tmp_path).values())) == 6
        first, second = SpeechCorpus(str(tmp_path)).notes()
        assert first.startswith("2 recordings (p227_001.wav, p227_002.wav): no transcript, left out")
        assert second == "1 transcript (p226_099) without a recording, left out"

    def test_no_recording_at_all(self, tmp_path):
        vctk(tmp_path)
        for file in (tmp_path / "wav48").rglob("*.wav"):
            file.unlink()
        with pytest.raises(DataError, match=r"p225_001.txt: no recording 'p225_001'; add it, or remove its transcript"):
            SpeechCorpus(str(tmp_path)).open("train")

    def test_two_folders_of_recordings_are_refused(self, tmp_path):
        vctk(vctk(tmp_path), "wav16")
        message = "wav16/ and wav48/ hold recordings of the same texts; move all but one out of the folder"
        with pytest.raises(DataError, match=message):
            SpeechCorpus(str(tmp_path)).open("train")


class TestTIMIT:
    @pytest.mark.parametrize("change", [str.upper, str.lower])
    def test_sphere_files_of_one_name_and_a_val_of_other_speakers(self, tmp_path, change):
        timit(tmp_path, change)
        found = read(tmp_path)
        assert {split: len(rows) for split, rows in found.items()} == {"train": 4, "val": 2, "test": 2}
        speakers = {split: {row[1] for row in rows} for split, rows in found.items()}
        assert speakers["test"] == {change("faks0")} and not speakers["train"] & speakers["val"]
        file = change("test/dr1/faks0/si648.wav")
        assert found["test"][1] == (file, change("faks0"), f"She had {'si648'}.")
        source = SpeechCorpus(str(tmp_path))
        names = [source.open(split).name(i) for split in ("train", "val") for i in range(len(source.open(split)))]
        assert len(set(names)) == 6 and all("/" in name for name in names)  # sa1.wav is of every speaker
        again = SpeechCorpus(str(tmp_path))
        assert "as splits.json says" in again.describe()
        assert {one.speaker for one in again.open("val").utterances} == speakers["val"]
        assert "SA1 and SA2 are the same two sentences of every speaker" in source.notes()[-1]
        recording = source.open("test")[1]["audio"]
        expected = tone(300 + 300, 0.5)
        assert recording.rate == 8000 and abs(recording.values.numpy() - expected).max() < 1e-4

    def test_converted_copies_beside_the_original_are_named(self, tmp_path):
        """As Kaggle's copy of the corpus has them: SA1.WAV and SA1.WAV.wav."""
        timit(tmp_path / "data")
        for file in list(tmp_path.rglob("*.WAV")):
            write_sound(file.with_name(f"{file.name}.wav"))
        assert all(row[0].endswith(".WAV") for own in read(tmp_path).values() for row in own)
        notes = SpeechCorpus(str(tmp_path)).notes()
        assert notes[0].startswith("8 transcripts with several recordings each, as SA1.WAV and SA1.WAV.wav: the first")

    def test_a_text_without_its_samples_is_refused(self, tmp_path):
        write_text(timit(tmp_path) / "TRAIN/DR1/FCJF0/SA1.TXT", "She had your dark suit.\n")
        assert problems(tmp_path) == [
            "TRAIN/DR1/FCJF0/SA1.TXT: expected the numbers of the first and the last sample, and the text"
        ]
