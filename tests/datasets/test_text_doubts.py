"""Texts, times and strokes that are not what they look like: each kind is read rightly, refused, or said."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from sound_files import tone, write_wav

from foveate.datasets import recognise
from foveate.datasets.captions.table import CaptionTable
from foveate.datasets.handwriting.inkml import InkML
from foveate.datasets.handwriting.stroke_json import StrokeJson
from foveate.datasets.parallel_text import ParallelText
from foveate.datasets.questions.table import QuestionTable
from foveate.datasets.speech.beside import SpeechBeside
from foveate.datasets.speech.table import SpeechTable
from foveate.datasets.text_doubts import text_notes, times_note
from foveate.errors import DataError
from foveate.sounds import read_sound, sound_header

WORDS = ("yes", "no", "stop", "go")


def pictures(root: Path, count: int) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", (4, 3), (i, 9 * i, 2 * i)).save(root / f"{i}.png")


def sounds(root: Path, count: int = 6) -> None:
    for i in range(count):
        write_wav(root / f"a{i}.wav", tone(300 + 40 * i, 0.2))


class TestTexts:
    @pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
    def test_utf8_read_as_latin(self, encoding: str) -> None:
        texts = ["ein grüner Kreis", "plain"]
        garbled = [text.encode().decode(encoding) for text in texts]
        (note,) = text_notes(garbled, "caption")
        assert note.startswith("1 caption in UTF-8 that was read as Latin-1") and note.count("'grüner'") == 1

    @pytest.mark.parametrize("text", ["grün", "Ã", "São Paulo", "naïve café", "Ça va «bien»", "A B Â C", "日本語"])
    def test_words_of_languages_are_no_doubt(self, text: str) -> None:
        assert text_notes([text], "caption") == []

    @pytest.mark.parametrize(
        ("text", "mark"),
        [
            ("<s> the cat </s>", "<s>"), ("a &quot;cat&quot;", "&quot;"), ("the [noise] cat", "[noise]"),
            ("ca@@ t", "a@@"), ("a cat <br/> sat", "<br/>"),
        ],
    )  # fmt: skip
    def test_marks(self, text: str, mark: str) -> None:
        assert text_notes([text], "sentence")[0].startswith(f"1 sentence with marks ('{mark}'), which are learned")

    @pytest.mark.parametrize("text", ["a < b and c > d", "R&D in [2]", "me@home", "2 & 3", "x[i] is y"])
    def test_signs_are_no_marks(self, text: str) -> None:
        assert text_notes([text], "sentence") == []

    def test_lost_letters(self) -> None:
        assert text_notes(["gr\ufffdn ist"], "answer")[0].startswith("1 answer with the sign for a lost letter")

    def test_placeholders(self, tmp_path: Path) -> None:
        """A caption of too many pictures is noted, and pandas' empty cell is empty."""
        pictures(tmp_path, 6)
        rows = [f"{i}.png,{'no caption' if i < 3 else f'a sign with {i}'}\n" for i in range(6)]
        (tmp_path / "captions.csv").write_text("image,caption\n" + "".join(rows))
        notes = CaptionTable(str(tmp_path)).notes()
        assert "'no caption' is a caption of 3 of 6 pictures; remove it there if it says nothing about them" in notes
        (tmp_path / "captions.csv").write_text("image,caption\n0.png,nan\n1.png,a cat\n2.png,a nan bread\n")
        (problem,) = CaptionTable(str(tmp_path)).problems()
        assert problem.what.startswith("line 2: a caption without a word, 'nan'")

    def test_names_in_capitals(self, tmp_path: Path) -> None:
        pictures(tmp_path, 3)
        (tmp_path / "CAPTIONS.CSV").write_text("IMAGE,CAPTION\n0.png,a cat\n1.png,a dog\n2.png,a cow\n")
        assert "CAPTIONS.CSV): 2 train, 1 val pictures" in recognise(tmp_path).describe()


class TestSpeech:
    def table(self, root: Path, rows: list[str]) -> SpeechTable:
        sounds(root)
        (root / "t.tsv").write_text("\n".join(rows) + "\n")
        return SpeechTable(str(root))

    def test_speakers_before_texts(self, tmp_path: Path) -> None:
        """Of two columns of single words numbered ones are speakers, and so are parts of files' names."""
        source = self.table(tmp_path, [f"a{i}.wav\tspk{i % 2}\t{WORDS[i % 4]}" for i in range(6)])
        found = {u.name: (u.speaker, u.text) for u in source.scan.utterances}
        assert found["a3.wav"] == ("spk1", "go")
        assert not any("no line of names" in note for note in source.notes())

    def test_texts_before_speakers_are_refused(self, tmp_path: Path) -> None:
        source = self.table(tmp_path, [f"a{i}.wav\t{WORDS[i % 4]}\tspk{i % 2}" for i in range(6)])
        with pytest.raises(DataError, match="'yes' in the second and 'spk0' in the third"):
            source.describe()

    def test_parts_of_names_are_speakers(self, tmp_path: Path) -> None:
        """Names of files hold that of the speaker, though often the word that is said as well."""
        people = ("ann", "bob")
        for i in range(6):
            write_wav(tmp_path / f"{i}_{people[i % 2]}.wav", tone(300 + 40 * i, 0.2))
        rows = [(f"{i}_{people[i % 2]}.wav", people[i % 2], WORDS[i % 4]) for i in range(6)]
        (tmp_path / "t.tsv").write_text("".join(f"{name}\t{who}\t{word}\n" for name, who, word in rows))
        assert not any("no line of names" in note for note in SpeechTable(str(tmp_path)).notes())
        (tmp_path / "t.tsv").write_text("".join(f"{name}\t{word}\t{who}\n" for name, who, word in rows))
        assert any("'yes' is taken for a speaker" in note for note in SpeechTable(str(tmp_path)).notes())

    def test_what_cannot_be_told_is_said(self, tmp_path: Path) -> None:
        source = self.table(tmp_path, [f"a{i}.wav\t{WORDS[i % 4]}\t{'ann' if i % 2 else 'bob'}" for i in range(6)])
        assert any("'yes' is taken for a speaker and 'bob' for what is said" in note for note in source.notes())

    def test_times_of_parts(self, tmp_path: Path) -> None:
        head = "file\tstart\tend\ttext"
        rows = [f"a{i}.wav\t{i / 2}\t1.5\tsay {WORDS[i % 4]}" for i in range(6)]
        assert any("t.tsv: column start is not read" in note for note in self.table(tmp_path, [head, *rows]).notes())
        assert times_note("t", ["file", "Start Time"], [["a", "0.0"], ["b", "0:00"], ["c", ""]], "clip") == []
        assert len(times_note("t", ["file", "Start Time"], [["a", "0:00"], ["b", "0:02"]], "clip")) == 1

    @pytest.mark.parametrize(
        "text",
        ["0.0\t0.4\tgood day\n0.4\t0.8\tsir\n", "0 12800 Good day, sir.", "1\n00:00:00 --> 00:00:01\ngood day\n"],
    )
    def test_times_in_texts(self, tmp_path: Path, text: str) -> None:
        sounds(tmp_path, 3)
        for i in range(3):
            (tmp_path / f"a{i}.txt").write_text(text)
        assert {p.what.partition(",")[0] for p in SpeechBeside(str(tmp_path)).problems()} == {"begins with two numbers"}

    @pytest.mark.parametrize("text", ["3 5 7 2", "9 4 apples", "two 3 4 trees"])
    def test_numbers_that_are_said(self, tmp_path: Path, text: str) -> None:
        sounds(tmp_path, 3)
        for i in range(3):
            (tmp_path / f"a{i}.txt").write_text(text)
        assert SpeechBeside(str(tmp_path)).problems() == []

    def test_equal_recordings(self, tmp_path: Path) -> None:
        for split in ("train", "val"):
            sounds(tmp_path / split, 3)
            rows = [f"a{i}.wav\tsay {WORDS[i]}" for i in range(3)]
            (tmp_path / split / "t.tsv").write_text("\n".join(rows))
        note = "3 recordings are in train and in val alike, byte for byte (a0.wav, a1.wav, a2.wav)"
        assert any(found.startswith(note) for found in SpeechTable(str(tmp_path)).notes())

    def test_packed_sounds_may_be_longer_than_their_files(self, tmp_path: Path) -> None:
        content = io.BytesIO()
        square = np.sign(np.sin(np.arange(16_000) / 10))
        soundfile.write(content, 0.5 * square, 8000, subtype="PCM_16", format="FLAC")
        assert len(content.getvalue()) * 2 < 2 * 16_000, "it takes less than half of its samples"
        assert sound_header(content.getvalue()).samples == 16_000
        assert read_sound(content.getvalue()).values.shape == (16_000,)

    def test_headers_of_streams(self, tmp_path: Path) -> None:
        path = write_wav(tmp_path / "a.wav", tone(400, 0.2))
        content = bytearray(path.read_bytes())
        struct.pack_into("<I", content, 4, 2**32 - 1)
        struct.pack_into("<I", content, 40, 2**32 - 1)
        path.write_bytes(content)
        with pytest.raises(DataError, match="a header of more samples than the file holds, as of a stream"):
            sound_header(path)


class TestQuestions:
    def source(self, root: Path, head: str, rows: list[str]) -> QuestionTable:
        pictures(root, 6)
        (root / "qa.csv").write_text("\n".join([head, *(f"{i}.png,{row}" for i, row in enumerate(rows))]) + "\n")
        return QuestionTable(str(root))

    def test_letters_of_choices(self, tmp_path: Path) -> None:
        rows = [f"what is it,cat,dog,cow,{letter}" for letter in "ABCABC"]
        (problem,) = self.source(tmp_path, "image,question,A,B,C,answer", rows).problems()
        assert problem.what.startswith("the answers, such as 'A', are letters or numbers of the choices in columns A,")
        rows = [f"what is it,cat,dog,cow,{answer}" for answer in ("cat", "dog", "cow", "cat", "dog", "b")]
        assert self.source(tmp_path, "image,question,A,B,C,answer", rows).problems() == []

    def test_numbers_of_choices(self, tmp_path: Path) -> None:
        rows = [f"""what is it,"['cat', 'dog']",{i % 2}""" for i in range(6)]
        (problem,) = self.source(tmp_path, "image,question,choices,answer", rows).problems()
        assert "choices in column choices; write the text" in problem.what
        assert self.source(tmp_path, "image,question,remark,answer", rows).problems() == []

    def test_numbers_in_two_spellings(self, tmp_path: Path) -> None:
        rows = [f"how many,{answer}" for answer in ("2", "2.0", "02", "3", "20", "2.5")]
        notes = self.source(tmp_path, "image,question,answer", rows).notes()
        assert any("'02' (1 time) and '2' (1 time)" in note for note in notes)
        assert not any("'20'" in note and "two ways" in note for note in notes)


class TestTranslation:
    EN = ("the dog runs", "a cat sleeps", "we eat bread", "the sun is warm")
    DE = ("der hund rennt", "eine katze schläft", "wir essen brot", "die sonne ist warm")

    def write(self, root: Path, name: str, rows: list[tuple[str, str]]) -> None:
        (root / name).write_text("".join(f"{one}\t{two}\n" for one, two in rows))

    def test_columns_in_another_order(self, tmp_path: Path) -> None:
        """The first table says the direction; another one may name its columns in another order."""
        pairs = list(zip(self.EN, self.DE, strict=True))
        self.write(tmp_path, "train.tsv", [("en", "de"), *pairs[:2]])
        self.write(tmp_path, "val.tsv", [("de", "en"), *((two, one) for one, two in pairs[2:])])
        source = ParallelText(str(tmp_path))
        assert source.scan.languages == ("en", "de")
        for split, expected in (("train", pairs[:2]), ("val", pairs[2:])):
            assert [(p["sentence"], p["reference"]) for p in source.open(split)] == expected
        self.write(tmp_path, "val.tsv", [("fr", "en"), ("le chien", "the dog")])
        with pytest.raises(DataError, match=r"val\.tsv: has columns fr, en; expected de among them"):
            ParallelText(str(tmp_path)).open("train")

    @pytest.mark.parametrize("tables", [True, False])
    def test_exchanged_sides(self, tmp_path: Path, tables: bool) -> None:
        pairs = list(zip(self.EN, self.DE, strict=True))
        for split, sides in (("train", pairs), ("val", [(two, one) for one, two in pairs])):
            if tables:
                self.write(tmp_path, f"{split}.tsv", sides)
            else:
                (tmp_path / f"{split}.en").write_text("".join(f"{one}\n" for one, _ in sides))
                (tmp_path / f"{split}.de").write_text("".join(f"{two}\n" for _, two in sides))
        (problem,) = ParallelText(str(tmp_path)).problems()
        assert problem.what == "the sides of val share their words with the other sides of train; exchange the two"

    def test_lines_out_of_step(self, tmp_path: Path) -> None:
        """A line that is missing in one file, and an empty one at its end that makes up for it."""
        rng = np.random.default_rng(0)
        lengths = rng.integers(2, 20, 260)
        sides = [[" ".join(["word"[: 2 + k % 3]] * n) for k, n in enumerate(lengths)] for _ in range(2)]
        for shift in (0, 1):
            (tmp_path / "train.en").write_text("\n".join(sides[0]) + "\n")
            moved = sides[1][:20] + sides[1][20 + shift :] + [""] * shift
            (tmp_path / "train.de").write_text("\n".join(moved) + "\n")
            notes = ParallelText(str(tmp_path)).notes()
            assert any("long sentences stand beside short ones" in note for note in notes) == bool(shift)

    def test_files_of_both_languages(self, tmp_path: Path) -> None:
        (tmp_path / "a.tmx").write_text("<tmx/>")
        assert ParallelText.near_miss(tmp_path).startswith("holds a.tmx, which is not read; write its sentences")


class TestStrokes:
    def ink(self, body: str, form: str = "") -> str:
        return f'<ink xmlns="http://www.w3.org/2003/InkML">{form}<annotation type="truth">ab</annotation>{body}</ink>'

    def strokes(self, root: Path, content: str) -> list[list[float]]:
        for i in range(2):
            (root / f"{i}.inkml").write_text(content)
        return InkML(str(root)).open("train")[0]["strokes"].tolist()

    def test_channels_are_read_by_name(self, tmp_path: Path) -> None:
        expected = [[0, 0, 0], [2, 1, 0], [2, -1, 1]]
        form = "<traceFormat>{}</traceFormat>".format
        channel = '<channel name="{}" type="decimal"/>'.format
        assert self.strokes(tmp_path, self.ink("<trace>1 5, 3 6, 5 5</trace>")) == expected
        swapped = form("".join(map(channel, "YX")))
        assert self.strokes(tmp_path, self.ink("<trace>5 1, 6 3, 5 5</trace>", swapped)) == expected
        timed = form("".join(map(channel, "TXYF")))
        assert self.strokes(tmp_path, self.ink("<trace>0 1 5 9, 10 3 6 9, 20 5 5 9</trace>", timed)) == expected
        with pytest.raises(DataError, match="formats of traces that differ in x and y"):
            self.strokes(tmp_path, self.ink("<trace>1 5, 3 6</trace>", swapped + timed))
        with pytest.raises(DataError, match="a traceFormat with the channels X; expected X and Y"):
            self.strokes(tmp_path, self.ink("<trace>1 5, 3 6</trace>", form(channel("X"))))

    def test_the_pen_above_the_paper_draws_nothing(self, tmp_path: Path) -> None:
        body = '<trace type="penDown">0 0, 2 1</trace><trace type="penUp">3 3, 9 9</trace><trace>10 3, 12 5</trace>'
        assert self.strokes(tmp_path, self.ink(body)) == [[0, 0, 0], [2, 1, 1], [8, 2, 0], [2, 2, 1]]

    def pieces(self, offsets: bool) -> list[dict[str, object]]:
        found = []
        for i in range(12):
            rng = np.random.default_rng(i)
            steps = np.stack([rng.normal(1, 2, 60), rng.normal(0, 2, 60), np.zeros(60)], 1)
            steps[29::30, 2] = 1
            points = steps if offsets else np.concatenate([steps[:, :2].cumsum(0), steps[:, 2:]], 1)
            found.append({"text": f"w{i}", "points": points.round(2).tolist()})
        return found

    @pytest.mark.parametrize("offsets", [True, False])
    def test_offsets_read_as_positions(self, tmp_path: Path, offsets: bool) -> None:
        (tmp_path / "s.json").write_text(json.dumps(self.pieces(offsets)))
        notes = StrokeJson(str(tmp_path)).notes()
        assert any(note.startswith("points that stay around 0, as offsets") for note in notes) == offsets

    def test_equal_pieces(self, tmp_path: Path) -> None:
        for split in ("train", "val"):
            (tmp_path / f"{split}.json").write_text(json.dumps(self.pieces(False)[:3]))
        note = "3 pieces of val in train, too, point for point (val.json#0 = train.json#0,"
        assert any(found.startswith(note) for found in StrokeJson(str(tmp_path)).notes())

    def test_other_json_is_no_strokes(self, tmp_path: Path) -> None:
        """Label Studio's JSON has points, too."""
        task = {"id": 1, "annotations": [{"result": [{"value": {"points": [[1, 2]]}, "from_name": "label"}]}]}
        (tmp_path / "project.json").write_text(json.dumps([task]))
        assert not StrokeJson.recognise(tmp_path)
        (tmp_path / "s.json").write_text(json.dumps([{"text": "a{[", "points": [[0, 0, 0], [1, 1, 1]]}]))
        assert StrokeJson.recognise(tmp_path)


def test_one_picture_in_two_classes(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        pictures(tmp_path / name, 6)
        for i in range(3, 6):
            Image.new("RGB", (4, 3), (9, i, len(name) + ord(name[0]))).save(tmp_path / name / f"{i}.png")
    notes = recognise(tmp_path, "classification").notes()
    note = "3 pictures are in class cat and in class dog alike, byte for byte (0.png, 1.png, 2.png)"
    assert any(found.startswith(note) for found in notes)


def table_notes(root: Path, text: str, captions: bool = True) -> list[str]:
    """Notes on ten pictures with a table."""
    for i in range(10):
        Image.new("RGB", (8, 6), (i, 0, 0)).save(root / f"{i}.png")
    (root / "captions.csv").write_text(text)
    return CaptionTable(str(root)).notes()


@pytest.mark.parametrize(
    ("name", "value", "noted"),
    [
        ("is_valid", lambda i: i > 7, True), ("fold", lambda i: i % 5, True),
        ("set", lambda i: ["a", "b"][i > 5], True),
        ("part", lambda i: ["train", "dev"][i > 5], True), ("part", lambda i: ["red", "blue"][i > 5], False),
        ("fold", lambda i: 1, False), ("split", lambda i: ["train", "val"][i > 5], False),
    ],
)  # fmt: skip
def test_columns_that_divide_rows_and_are_not_read(
    tmp_path: Path, name: str, value: Callable[[int], object], noted: bool
) -> None:
    rows = "".join(f"{i}.png,a cow number {i},{value(i)}\n" for i in range(10))
    notes = [n for n in table_notes(tmp_path, f"image,caption,{name}\n{rows}") if "is not read; if it divides" in n]
    assert len(notes) == noted
    assert not noted or notes[0].startswith(f"captions.csv: column {name} (")


def test_rows_in_several_languages(tmp_path: Path) -> None:
    rows = "".join(f"{i}.png,a cow {i},en\n{i}.png,eine Kuh {i},de\n" for i in range(10))
    assert (
        "captions.csv: column language ('de', 'en') is not read, so that texts in several languages are learned alike; "
        "keep the rows of one"
    ) in table_notes(tmp_path, f"image,caption,language\n{rows}")


@pytest.mark.parametrize(
    ("caption", "note"),
    [
        ("a cow {i}|two cows {i}", "'|' is in 10 of 10 captions, such as 'a cow 0|two cows 0', and part of it"),
        ("b'a cow {i}'", "10 captions with marks ('b''), which are learned as text"),
        ("\"['a', 'cow', '{i}']\"", "every caption is a single word ('a', 'cow', '0', ...), and every picture"),
    ],
)  # fmt: skip
def test_captions_that_another_program_wrote(tmp_path: Path, caption: str, note: str) -> None:
    rows = "".join(f"{i}.png,{caption.format(i=i)}\n" for i in range(10))
    assert [n for n in table_notes(tmp_path, f"image,caption\n{rows}") if n.startswith(note)]
