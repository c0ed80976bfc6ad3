"""Tables of transcripts with bars between cells and no line of names, as LJSpeech's metadata.csv."""

from __future__ import annotations

from pathlib import Path

import pytest
from sound_files import tone, write_wav

from foveate.datasets import recognise
from foveate.datasets.speech.table import SpeechTable
from foveate.errors import DataError

PRINTED = ['he said "no", in 1836', "Dr. Gall, of Vienna", "the end of it", "a plain line", "of 12 men", "so it was"]
SPOKEN = [
    'he said "no", in eighteen thirty-six', "Doctor Gall, of Vienna", "the end of it", "a plain line",
    "of twelve men", "so it was",
]  # fmt: skip


def write(root: Path, rows: list[str]) -> Path:
    for number in range(6):
        write_wav(root / "wavs" / f"LJ001-{number}.wav", tone(400 + 50 * number, 1.5, seed=number))
    (root / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    return root


def texts(root: Path) -> dict[str, tuple[str, str]]:
    source = recognise(root, "speech")
    assert isinstance(source, SpeechTable)
    assert source.problems() == []
    samples = (s for split in source.splits() for s in source.open(split))
    return {Path(s["name"]).stem: (s["transcript"], s.get("speaker", "")) for s in samples}


@pytest.mark.parametrize("end", [[], [""]], ids=["no line end", "line end"])
def test_the_text_is_the_spoken_one_and_it_is_said(tmp_path: Path, end: list[str]) -> None:
    rows = [f"LJ001-{n}|{a}|{b}" for n, (a, b) in enumerate(zip(PRINTED, SPOKEN, strict=True))]
    write(tmp_path, rows + end)
    assert texts(tmp_path) == {f"LJ001-{n}": (text, "") for n, text in enumerate(SPOKEN)}
    assert (
        "metadata.csv has no line of names, and each text twice: column 3 is read, as it is spoken in LJSpeech's ('he "
        'said "no", in eighteen thirty-six\'), column 2 is not'
    ) in recognise(tmp_path).notes()


def test_one_text_and_a_speaker(tmp_path: Path) -> None:
    write(tmp_path / "one", [f"LJ001-{n}|{text}" for n, text in enumerate(PRINTED)])
    assert texts(tmp_path / "one")["LJ001-0"] == (PRINTED[0], "")
    assert not any("twice" in note for note in recognise(tmp_path / "one").notes())
    write(tmp_path / "two", [f"wavs/LJ001-{n}.wav|p{n % 3}|{text}" for n, text in enumerate(PRINTED)])
    assert texts(tmp_path / "two")["LJ001-4"] == (PRINTED[4], "p1")


def test_a_line_of_names(tmp_path: Path) -> None:
    write(tmp_path, ["file|text", *(f"LJ001-{n}|{text}" for n, text in enumerate(PRINTED))])
    assert texts(tmp_path)["LJ001-1"] == (PRINTED[1], "")


def test_two_forms_of_each_text_with_tabs(tmp_path: Path) -> None:
    rows = [f"wavs/LJ001-{n}.wav\t{a}\t{b}" for n, (a, b) in enumerate(zip(PRINTED, SPOKEN, strict=True))]
    write(tmp_path, rows)
    (tmp_path / "metadata.csv").rename(tmp_path / "metadata.tsv")
    assert texts(tmp_path)["LJ001-4"] == (SPOKEN[4], "")


def test_a_bar_inside_a_text_is_refused(tmp_path: Path) -> None:
    # the first lines, by which the table is known, are in order
    rows = [f"LJ001-{n % 6}|{text}|{text}" for n, text in enumerate(PRINTED * 4)]
    write(tmp_path, [*rows, "LJ001-5|so it|was|so it was"])
    source = recognise(tmp_path)
    with pytest.raises(
        DataError, match=r"metadata.csv: line 25 has 4 cells between bars \(\|\), and the first line 3; write as many"
    ):
        source.open("train")
