"""Tables of published corpora of speech, Common Voice's and LJSpeech's, and what tables of any kind share with them."""

import pytest
from sound_files import write_sound, write_text

from foveate.datasets import recognise
from foveate.datasets.speech.table import SpeechTable
from foveate.errors import DataError

soundfile = pytest.importorskip("soundfile")


def common_voice(root, tables=(("train", (0, 1)), ("dev", (2,)), ("test", (3,)))):
    head = "client_id\tpath\tsentence_id\tsentence\tup_votes\tage\tlocale\tsegment\n"
    for i in range(6):
        write_sound(root / "clips" / f"clip_{i}.mp3", 300 + 100 * i)
    others = (("validated", (0, 1, 2, 3)), ("invalidated", (4,)), ("other", (5,)))
    for name, clips in (*tables, *others):
        rows = "".join(f"client{i}\tclip_{i}.mp3\tid{i}\tHello, you {i}.\t2\t\ten\t\n" for i in clips)
        write_text(root / f"{name}.tsv", head + rows)
    write_text(root / "clip_durations.tsv", "clip\tduration[ms]\n" + "".join(f"clip_{i}.mp3\t500\n" for i in range(6)))
    write_text(root / "reported.tsv", "sentence\tsentence_id\tlocale\treason\nHello, you 0.\tid0\ten\tgrammar\n")
    return root


def read(root):
    """Split -> (path below the root, speaker, text) of its recordings."""
    source = recognise(root, "speech")
    assert type(source) is type(recognise(root)) is SpeechTable and not source.problems()
    return {
        split: [(one.file.relative_to(root).as_posix(), one.speaker, one.text) for one in own]
        for split, own in source.scan.pairs.items()
    }


class TestCommonVoice:
    def row(self, i):
        return (f"clips/clip_{i}.mp3", f"client{i}", f"Hello, you {i}.")

    def test_tables_that_are_no_splits_are_not_read(self, tmp_path):
        common_voice(tmp_path)
        found = read(tmp_path)
        assert found == {"train": [self.row(0), self.row(1)], "val": [self.row(2)], "test": [self.row(3)]}
        source = SpeechTable(str(tmp_path))
        assert source.notes() == [
            "invalidated.tsv, other.tsv, validated.tsv: not read beside dev.tsv, test.tsv, train.tsv, since these "
            "tables of Common Voice repeat rows of others, or hold recordings that listeners did not confirm"
        ]
        assert source.open("val")[0]["audio"].rate == 8000
        write_sound(tmp_path / "clips" / "clip_9.mp3")
        first, _ = SpeechTable(str(tmp_path)).notes()
        assert first.startswith("1 recording (clip_9.mp3): no transcript, left out")

    @pytest.mark.parametrize("tables", [(), (("train", ()), ("dev", ()), ("test", ()))])
    def test_without_rows_in_splits_what_was_confirmed_is_read(self, tmp_path, tables):
        common_voice(tmp_path, tables)
        rows = sorted(row for own in read(tmp_path).values() for row in own)
        assert rows == [self.row(i) for i in range(4)]
        assert SpeechTable(str(tmp_path)).notes()[0].startswith("invalidated.tsv, other.tsv: not read beside validated")

    def test_the_language_inside_is_named(self, tmp_path):
        common_voice(tmp_path / "en")
        with pytest.raises(DataError, match=rf"en/ inside would be read: give {tmp_path}/en"):
            recognise(tmp_path, "speech")


class TestLJSpeech:
    def test_its_last_column_is_read(self, tmp_path):
        texts = [('In 1465, "sixteen"', 'In fourteen sixty-five, "sixteen"'), *[(f"it {w} so",) * 2 for w in "abc"]]
        for i in range(4):
            write_sound(tmp_path / "wavs" / f"LJ001-000{i}.wav", 300 + 100 * i)
        rows = "".join(f"LJ001-000{i}|{text}|{spoken}\n" for i, (text, spoken) in enumerate(texts))
        write_text(tmp_path / "metadata.csv", rows)
        found = sorted(row for own in read(tmp_path).values() for row in own)
        assert found == [(f"wavs/LJ001-000{i}.wav", "", spoken) for i, (_, spoken) in enumerate(texts)]

    def test_sentences_are_no_speakers(self, tmp_path):
        for i in range(4):
            write_sound(tmp_path / "wavs" / f"{i}.wav")
        rows = [
            f"{i}|in 18{i}5 it|in eighteen {w} five it was\n" for i, w in enumerate(("o", "ten", "twenty", "thirty"))
        ]
        write_text(tmp_path / "metadata.csv", "".join(rows))
        with pytest.raises(
            DataError, match=r"metadata.csv: 3 columns without a line of names, 'in 1805 it' in the second"
        ):
            recognise(tmp_path, "speech").open("train")


def test_recordings_of_one_name_keep_their_split_when_it_is_read_again(tmp_path):
    """Their names in splits.json hold folders, and so speakers of val stay out of train."""
    rows = ""
    for s in range(5):
        for i in range(2):
            write_sound(tmp_path / f"s{s}" / f"{i}.wav", 300 + 100 * s + 30 * i)
            rows += f"s{s}/{i}.wav\ts{s}\tword {s} {i}\n"
    write_text(tmp_path / "t.tsv", rows)
    for _ in range(2):
        source = SpeechTable(str(tmp_path))
        own = {split: {one.speaker for one in source.open(split).utterances} for split in ("train", "val")}
        assert [len(speakers) for speakers in own.values()] == [4, 1] and not own["train"] & own["val"]


def test_a_table_without_val_says_that_test_ranks(tmp_path):
    for i in range(4):
        write_sound(tmp_path / f"{i}.wav", 300 + 100 * i)
    for split, numbers in (("train", (0, 1)), ("test", (2, 3))):
        write_text(tmp_path / f"{split}.tsv", "file\ttext\n" + "".join(f"{i}.wav\tword {i}\n" for i in numbers))
    assert SpeechTable(str(tmp_path)).notes() == [
        "there is no val split, so epochs are ranked on test, whose score is then no test's; add val"
    ]
