from __future__ import annotations

from pathlib import Path

import pytest

from foveate.datasets.classes import ClassList, read_classes, write_classes
from foveate.errors import DataError
from foveate.records import ClassTable


def read(tmp_path: Path, text: str) -> ClassList:
    (tmp_path / "classes.txt").write_text(text, encoding="utf-8")
    return read_classes(tmp_path / "classes.txt")


def test_names_and_ignore(tmp_path: Path) -> None:
    found = read(tmp_path, "sky\n\ntraffic light\n# a comment\nignore: 11\n")
    assert found == ClassList(("sky", "traffic light"), (), 11)
    assert found.table().ignore_index == 11


def test_colours_in_both_notations(tmp_path: Path) -> None:
    found = read(tmp_path, "sky #8080FF\ntraffic light 255 200 0\nroad 1, 2, 3\nignore: #000000\nIgnore: 9 9 9\n")
    assert found.names == ("sky", "traffic light", "road")
    assert found.colors == ((128, 128, 255), (255, 200, 0), (1, 2, 3))
    assert found.ignore_colors == ((0, 0, 0), (9, 9, 9))
    assert found.table().ignore_index == 255


def test_zero_may_be_unscored_and_names_then_count_from_1(tmp_path: Path) -> None:
    found = read(tmp_path, "road\ncar\nignore: 0\nignore: 7\n")
    assert (found.ignored, found.first, found.label_values()) == ((0, 7), 1, (1, 2))
    assert found.table() == ClassTable(("road", "car"))  # labels in a table count from 0


def test_several_unscored_values_and_one_below_zero(tmp_path: Path) -> None:
    found = read(tmp_path, "road\ncar\nignore: -1\nignore: 7\n")
    assert (found.ignored, found.first, found.table().ignore_index) == ((-1, 7), 0, 255)


@pytest.mark.parametrize(
    ("text", "undecided"),
    [
        ("background\ncar\nunlabelled: background\n", 0),
        ("car\n_background_\nUnlabeled: Background\n", 1),
        ("background\ncar\nunlabelled: ignore\n", 255),
        ("background\ncar\n", 255),
    ],
)
def test_undecided_pixels(tmp_path: Path, text: str, undecided: int) -> None:
    assert read(tmp_path, text).undecided_label() == undecided


def test_a_class_may_be_called_unlabelled(tmp_path: Path) -> None:
    assert read(tmp_path, "unlabelled\ncar\n").names == ("unlabelled", "car")


def test_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbfsky\r\nroad\r\n")
    assert read_classes(tmp_path / "classes.txt").names == ("sky", "road")


def test_a_class_may_end_in_a_number(tmp_path: Path) -> None:
    assert read(tmp_path, "class 1\nclass 2\n").names == ("class 1", "class 2")


def test_unscored_value_moves_where_255_is_a_class(tmp_path: Path) -> None:
    assert read(tmp_path, "\n".join(f"c{i}" for i in range(300))).table().ignore_index == 65535


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"classes\.txt: no class names; expected one a line"),
        ("a\na\n", r"classes\.txt: class names must differ; repeated: a"),
        ("a\nb\nignore: 1\n", r"classes\.txt: ignore value 1 is also the label of class 'b'"),
        ("a\nignore: void\n", r"classes\.txt, line 2: 'ignore: void'; expected one label value"),
        ("a\nb\nignore: 9\nignore: 1\n", r"classes\.txt: ignore value 1 is also the label of class 'b'; the unscored"),
        ("a\nb\nignore: 0\nignore: 2\n", r"classes\.txt: ignore value 2 is also the label of class 'b'"),
        ("a\nunlabelled: class 3\n", r"line 2: 'unlabelled: class 3'; expected one line 'unlabelled: ignore \| backgr"),
        ("a\nunlabelled:\n", r"line 2: 'unlabelled:'; expected one line"),
        ("a\nunlabelled: ignore\nunlabeled: background\n", r"line 3: .*expected one line"),
        ("a #ff0000\nb\n", r"class 'b' has no colour but others have"),
        ("a #ff0000\nb 255 0 0\n", r"classes a and b have the same colour #ff0000"),
        ("a 300 0 0\n", r"line 1: colour 300 0 0; expected values of 0\.\.255"),
        ("#ff0000\n", r"line 1: '#ff0000' has no class name"),
    ],
)
def test_mistakes_name_the_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


def test_binary_file(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes(b"sky\n\xff\xfe")
    with pytest.raises(DataError, match=r"classes\.txt: not UTF-8 text \(byte 4\)"):
        read_classes(tmp_path / "classes.txt")


def test_written_tables_read_back(tmp_path: Path) -> None:
    table = ClassTable(("sky", "traffic light"), ((1, 2, 3), (255, 0, 16)), 11)
    write_classes(tmp_path / "classes.txt", table)
    assert read_classes(tmp_path / "classes.txt").table() == table


def test_a_colour_that_is_none_is_named(tmp_path):
    file = tmp_path / "classes.txt"
    file.write_text("sky #aabbcc\ngrass #zz\n")
    with pytest.raises(DataError, match=r"classes\.txt, line 2: '#zz' is not a colour; expected six hexadecimal"):
        read_classes(file)
