"""Lists of recordings as toolkits of speech have them: with bars, in JSON lines, divided by words in their names."""

import json

import pytest
from sound_files import tone, write_wav

from foveate.datasets import recognise
from foveate.datasets.speech.table import SpeechTable
from foveate.errors import DataError

TEXTS = [f"hello there {i}" for i in range(6)]


def write_sounds(folder, names):
    for i, name in enumerate(names):
        write_wav(folder / name, tone(300 + 100 * i, 0.5))
    return folder


def read(root):
    """Split -> (name, speaker, text) of its recordings."""
    source = recognise(root, "speech")
    assert isinstance(source, SpeechTable) and not source.problems()
    return {split: [(one.name, one.speaker, one.text) for one in own] for split, own in source.scan.pairs.items()}


@pytest.mark.parametrize(
    ("row", "speaker"),
    [
        ("DUMMY/a{i}.wav|hello there {i}", ""), ("DUMMY/a{i}.wav|{i}|hello there {i}", "{i}"),
        ("DUMMY/a{i}.wav|ann|EN|hello there {i}", "ann"), ("DUMMY/a{i}|ann{i}|hello there {i}", "ann{i}"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("folder", ["filelists/", ""])
@pytest.mark.parametrize("ending", ["txt", "list"])
def test_lists_with_bars(tmp_path, row, speaker, folder, ending):
    write_sounds(tmp_path, [f"DUMMY/a{i}.wav" for i in range(6)])
    rows = [row.format(i=i) + "\n" for i in range(6)]
    (tmp_path / "filelists").mkdir()
    (tmp_path / f"{folder}my_audio_train_filelist.{ending}").write_text("".join(rows[:4]))
    (tmp_path / f"{folder}my_audio_val_filelist.{ending}").write_text("".join(rows[4:]))
    expected = [(f"a{i}.wav", speaker.format(i=i), TEXTS[i]) for i in range(6)]
    assert read(tmp_path) == {"train": expected[:4], "val": expected[4:]}


def test_texts_with_bars_beside_their_recordings_are_no_lists(tmp_path):
    write_sounds(tmp_path, ["a.wav", "b.wav"])
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"{name}|hello\n")
    assert recognise(tmp_path, "speech").title == "speech with a text beside each recording"


@pytest.mark.parametrize("ending", ["txt", "json"])
def test_many_files_are_one_a_sample(tmp_path, ending):
    write_sounds(tmp_path / "wav", ["a.wav"])
    line = "wav/a.wav|hello" if ending == "txt" else json.dumps({"path": "wav/a.wav", "text": "hello"})
    for i in range(21):
        assert SpeechTable.recognise(tmp_path) == (i > 0)
        (tmp_path / f"{i}.{ending}").write_text(f"{line}\n")
    assert not SpeechTable.recognise(tmp_path)


def test_lines_of_json(tmp_path):
    write_sounds(tmp_path / "wav", [f"a{i}.wav" for i in range(6)])
    rows = [{"audio_filepath": f"wav/a{i}.wav", "duration": 0.5, "text": TEXTS[i]} for i in range(6)]
    (tmp_path / "train_manifest.json").write_text("".join(json.dumps(row) + "\n" for row in rows[:4]))
    (tmp_path / "val_manifest.json").write_text("".join(json.dumps(row) + "\n" for row in rows[4:]))
    assert read(tmp_path) == {
        "train": [(f"a{i}.wav", "", TEXTS[i]) for i in range(4)],
        "val": [(f"a{i}.wav", "", TEXTS[i]) for i in (4, 5)],
    }


def test_offsets_of_a_manifest_are_noted_and_a_broken_line_is_refused(tmp_path):
    write_sounds(tmp_path, ["a.wav", "b.wav"])
    rows = [{"audio_filepath": f"{name}.wav", "offset": 1.5, "text": "hello"} for name in "ab"]
    lines = [json.dumps(row) + "\n" for row in rows]
    (tmp_path / "manifest.jsonl").write_text("".join(lines))
    notes = SpeechTable(str(tmp_path)).notes()
    assert any("column offset is not read, and every text is taken for that of a whole recording" in n for n in notes)
    (tmp_path / "manifest.jsonl").write_text(lines[0] + lines[1][:20] + "\n")
    with pytest.raises(DataError, match=r"manifest.jsonl: line 2 is no object of JSON; expected one a line, with \["):
        SpeechTable(str(tmp_path)).open("train")


def test_names_of_columns_as_other_toolkits_write_them(tmp_path):
    write_sounds(tmp_path, ["a.wav", "b.wav"])
    text = "wav_filename,wav_filesize,transcript\na.wav,6444,hello\nb.wav,6444,you\n"
    (tmp_path / "clips.csv").write_text(text)
    assert sorted(one for own in read(tmp_path).values() for one in own) == [
        ("a.wav", "", "hello"), ("b.wav", "", "you"),
    ]  # fmt: skip


@pytest.mark.parametrize(("written", "file"), [("my%20clip%20{i}", "my clip {i}"), ("my clip {i}", "my%20clip%20{i}")])
def test_escapes_in_names_are_what_they_stand_for(tmp_path, written, file):
    write_sounds(tmp_path / "audio", [file.format(i=i) + ".wav" for i in range(6)])
    rows = "".join(f"{written.format(i=i)}.wav\t{TEXTS[i]}\n" for i in range(6))
    (tmp_path / "t.tsv").write_text("file\ttext\n" + rows)
    found = sorted((name, text) for own in read(tmp_path).values() for name, _, text in own)
    assert found == [(file.format(i=i) + ".wav", TEXTS[i]) for i in range(6)]
    notes = SpeechTable(str(tmp_path)).notes()
    assert [n for n in notes if n.startswith("6 names found by what URL escapes (%20 and the like) mean")]


def test_a_name_as_it_stands_comes_before_what_its_escapes_mean(tmp_path):
    write_sounds(tmp_path / "audio", ["a%20b.wav", "a b.wav"])
    (tmp_path / "t.tsv").write_text("file\ttext\na%20b.wav\tfirst\na b.wav\tsecond\n")
    found = {name: text for own in read(tmp_path).values() for name, _, text in own}
    assert found == {"a%20b.wav": "first", "a b.wav": "second"}


def test_words_in_the_names_of_several_tables_are_splits(tmp_path):
    write_sounds(tmp_path, [f"a{i}.wav" for i in range(6)])
    for name, numbers in (("my_train", (0, 1, 2)), ("my-dev", (3, 4)), ("clean_test_1", (5,))):
        rows = "".join(f"a{i}.wav\t{TEXTS[i]}\n" for i in numbers)
        (tmp_path / f"{name}.tsv").write_text("file\ttext\n" + rows)
    assert {split: len(own) for split, own in read(tmp_path).items()} == {"train": 3, "val": 2, "test": 1}
    (tmp_path / "my_train.tsv").unlink()
    (tmp_path / "my-dev.tsv").unlink()
    (tmp_path / "clean_test_1.tsv").write_text("file\ttext\n" + "".join(f"a{i}.wav\t{TEXTS[i]}\n" for i in range(6)))
    assert list(read(tmp_path)) == ["train", "val"]
