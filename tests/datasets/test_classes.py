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


@pytest.mark.parametrize(
    "text",
    [
        "0 sky\n2 cow\n1 traffic light\n",
        "1: traffic light\n2: cow\n0: sky\n",
        "2) cow\n0)sky\n1 ) traffic light\nunlabelled: ignore\n",
        "# label, name\n1. traffic light\n0, sky\n2 - cow\nignore: 7\n",
        "0 sky\n255 void\n2 cow\n1 traffic light\n",
    ],
)
def test_numbers_in_front_of_all_names_are_their_labels(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)
    assert found.names == ("sky", "traffic light", "cow") and found.label_values() == (0, 1, 2)
    assert found.ignored == ((255,) if "void" in text else (7,) if "ignore: 7" in text else ())
    assert found.unlabelled == ("ignore" if "unlabelled" in text else "")


def test_colours_go_with_numbered_names(tmp_path: Path) -> None:
    found = read(tmp_path, "1 road 128 64 128\n255 void 9 9 9\n0 sky #8080ff\n")
    assert (found.names, found.colors) == (("sky", "road"), ((128, 128, 255), (128, 64, 128)))
    assert (found.ignored, found.ignore_colors) == ((255,), ((9, 9, 9),))


def test_numbers_from_1(tmp_path: Path) -> None:
    found = read(tmp_path, "2 car\n1 road\nignore: 0\n")
    assert found == ClassList(("road", "car"), ignore=0) and found.label_values() == (1, 2)
    found = read(tmp_path, "2 car\n1 road\n")
    assert found == ClassList(("road", "car"), values=(1, 2)) and found.table() == ClassTable(("road", "car"))
    found = read(tmp_path, "0 road\n2 car\nignore: 1\n")
    assert (found.names, found.label_values(), found.ignored) == (("road", "car"), (0, 2), (1,))
    assert read(tmp_path, "2 road\n3 car\nignore: 0\nignore: 1\n").label_values() == (2, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 sky\n1 road\n1 car\n", "'car' and 'road' have the number 1; give each name its own"),
        ("0 sky\n1 road\n4 car\n", "numbered from 0 to 4, but none has the number 2, 3; number them without gaps"),
        ("2 sky\n3 road\n", "numbered from 2 to 3, but none has the number 0, 1; number them without gaps"),
        ("0 sky\n255 road\n", "numbered from 0 to 255, but none has the number 1, 2, 3, 4, 5; number"),
    ],
)
def test_numbers_twice_or_with_gaps(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "names", [("sky", "2 cow"), ("2 wheels", "4 wheels"), ("0", "1"), ("7 seas", "400 blows"), ("1.5 m", "2.5 mm")]
)
def test_numbers_that_belong_to_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert read(tmp_path, "\n".join(names)) == ClassList(names)


def test_a_table_of_names_that_begin_with_numbers_is_read_back(tmp_path: Path) -> None:
    table = ClassTable(("1 sky", "0 cow"))
    write_classes(tmp_path / "classes.txt", table)
    assert read_classes(tmp_path / "classes.txt").table() == table


@pytest.mark.parametrize("line", ["background,road,tree", "background; road;tree", "background\troad\ttree"])
def test_names_on_one_line_are_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text(line + "\n")
    with pytest.raises(
        DataError, match=r"one line that looks like 3 names \('background', 'road', 'tree'\); write each"
    ):
        read_classes(tmp_path / "classes.txt")
    (tmp_path / "classes.txt").write_text("background\ncars, trucks\n")
    assert read_classes(tmp_path / "classes.txt").names == ("background", "cars, trucks")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names:\n- sky\n- road\n", "is YAML"), ("- sky\n- road\n", "is YAML"),
        ('[\n"sky",\n"road"\n]\n', "is a list of"),
        ("sky,\nroad,\ncar\n", "is a list of a program"), ("<labels>\nsky\n</labels>\n", "is XML"),
        ("name\nsky\nroad\n", "begins with 'name', as if"),
        ("id,name\n0,sky\n1,road\n", "begins with 'id,name'"),
        ("class_name\tr\tg\tb\nsky\nroad\n", "begins with 'class_name"),
    ],
)  # fmt: skip
def test_the_syntax_of_other_files_is_no_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "names", [("label", "bottle"), ("traffic: light", "road"), ("a, b", "c"), ("-", "+"), ("name",)]
)
def test_names_that_look_alike_are_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert read(tmp_path, "".join(f"{name}\n" for name in names)).names == names
