"""Readers of pen strokes: files that the tests write, the meaning of the pen bit, and the message for each bad file."""

import json

import numpy as np
import pytest

from foveate.datasets import recognise
from foveate.datasets.handwriting.iam_ondb import IamOnDB
from foveate.datasets.handwriting.inkml import InkML
from foveate.datasets.handwriting.stroke_json import StrokeJson
from foveate.datasets.handwriting.stroke_letters import StrokeLetters
from foveate.datasets.handwriting.stroke_npz import StrokeNpz
from foveate.errors import ConfigError, DataError

# Two strokes: three points, then two. `LIFTED` marks the last of each; `DOWN` the points that a line leads to.
AT = [[0, 0], [2, 1], [4, 0], [10, 3], [12, 5]]
OTHER = [*AT[:4], [12, 6]]
LIFTED, DOWN = [0, 0, 1, 0, 1], [1, 1, 1, 0, 1]


def entry(text="ab", pen=LIFTED, at=AT):
    return {"text": text, "points": [[*xy, bit] for xy, bit in zip(at, pen, strict=True)]}


def write_json(path, entries):
    path.write_text(json.dumps(entries))
    return str(path)


def strokes_of(source, split="val", index=0):
    return source.open(split)[index]["strokes"].tolist()


EXPECTED = [[0, 0, 0], [2, 1, 0], [2, -1, 1], [6, 3, 0], [2, 2, 1]]


def test_json_gives_offsets_and_every_tenth_piece_is_val(tmp_path):
    source = StrokeJson(write_json(tmp_path / "a.json", [entry(f"w{i}") for i in range(21)]))
    assert strokes_of(source) == EXPECTED
    assert source.open("val").texts == ["w0", "w10", "w20"] and len(source.open("train")) == 18
    assert source.describe() == (
        'JSON lists of {"text", "points": [[x, y, up], ...]}: 18 train, 3 val pieces of handwriting (every tenth is '
        "val); a pen bit of 1 means that the pen is lifted after the point (40% of the points have it)"
    )
    assert source.open("val").name(1) == "a.json#10"


def test_both_meanings_of_the_pen_bit_give_the_same_strokes(tmp_path):
    source = StrokeJson(write_json(tmp_path / "a.json", [entry(pen=DOWN)] * 3))
    assert strokes_of(source) == EXPECTED
    assert "a pen bit of 1 means that the line to the point is drawn (80% of the points have it)" in source.describe()
    told = StrokeJson(str(tmp_path / "a.json"), pen="lifted")
    assert [point[2] for point in strokes_of(told)] == [1, 1, 1, 0, 1]
    assert told.describe().endswith("a pen bit of 1 means that the pen is lifted after the point")
    with pytest.raises(ConfigError, match="pen is 'up'"):
        StrokeJson(str(tmp_path / "a.json"), pen="up").describe()


FROM = [1, 1, 0, 1, 0]


@pytest.mark.parametrize("form", ["json", "npz"])
def test_a_pen_bit_of_the_line_from_a_point(tmp_path, form):
    """As sketch-rnn's: pieces begin with a line and end without."""
    if form == "json":
        source = StrokeJson(write_json(tmp_path / "a.json", [entry(pen=FROM)] * 3))
    else:
        source = StrokeNpz(write_npz(tmp_path / "a.npz", FROM))
    assert strokes_of(source) == EXPECTED
    assert source.describe().endswith(
        "a pen bit of 1 means that the line from the point is drawn (60% of the points have it)"
    )
    assert strokes_of(type(source)(source.path, pen="from")) == EXPECTED
    told = type(source)(source.path, pen="down")
    assert [point[2] for point in strokes_of(told)] == [0, 1, 0, 1, 1]


def test_strokes_of_two_points_that_lines_lead_from(tmp_path):
    at = [[0, 0], [2, 1], [6, 0], [10, 3]]
    source = StrokeJson(write_json(tmp_path / "a.json", [entry(pen=[1, 0, 1, 0], at=at)] * 3))
    assert [point[2] for point in strokes_of(source)] == [0, 1, 0, 1]


def test_a_meaning_of_the_pen_bit_that_is_assumed_is_said(tmp_path):
    mixed = [entry(pen=DOWN)] * 2 + [entry(pen=[1, 1, 1, 1, 0])] * 2
    source = StrokeJson(write_json(tmp_path / "a.json", mixed))
    assert (
        "the line to the point is drawn (80% of the points have it; assumed, since first and last" in source.describe()
    )
    assert source.describe().endswith("do not tell: --data.pen from if the line from the point is drawn)")
    dots = [entry(pen=[0, 1, 1, 0, 1])] * 3
    source = StrokeJson(write_json(tmp_path / "a.json", dots))
    assert source.describe().endswith("; assumed: --data.pen lifted if the pen is lifted after the point)")


def test_strokes_that_never_lift_the_pen_end_at_their_last_point(tmp_path):
    source = StrokeJson(write_json(tmp_path / "a.json", [entry(pen=[0] * 5)] * 3))
    assert [point[2] for point in strokes_of(source)] == [0, 0, 0, 0, 1]


def test_files_named_after_splits_are_the_splits(tmp_path):
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        write_json(tmp_path / f"{split}.json", [entry(split)] * count)
    source = recognise(tmp_path, "handwriting")
    assert isinstance(source, StrokeJson) and source.splits() == ("train", "val", "test")
    assert source.open("test").texts == ["test"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (entry(at=[[0, 0], [float("nan"), 1], [4, 0], [10, 3], [12, 5]]), r"a.json#1: point 1 is \[nan, 1.0, 0.0\]"),
        (entry(pen=[0, 0, 5, 0, 1]), "a pen bit of 5; expected 0 or 1"),
        ({"text": "ab", "points": [[0, 0, 1]]}, "a.json#1: 1 point; expected 2 or more"),
        ({"text": "ab", "points": [[0, 0], [1, 1]]}, "a.json#1: the points are"),
        ({"text": 5, "points": [[0, 0, 1]]}, "a.json#1: the text is 5; expected a string"),
        ("points", 'a.json#1: expected {"text": ..., "points"'),
    ],
)
def test_a_bad_entry_is_named(tmp_path, bad, message):
    source = StrokeJson(write_json(tmp_path / "a.json", [entry(), bad, entry()]), pen="lifted")
    with pytest.raises(DataError, match=message):
        source.open("train")


def test_pieces_without_text_are_noted(tmp_path):
    source = StrokeJson(write_json(tmp_path / "a.json", [entry("", at=OTHER)] + [entry()] * 3))
    assert source.notes() == ["1 of 4 pieces without a text, a.json#0 among them"]


def write_npz(path, pen=DOWN, count=12, **changed):
    data = np.array([[*xy, bit] for xy, bit in zip(AT, pen, strict=True)] * count, np.int32)
    arrays = {"data": data, "offsets": np.arange(count + 1) * 5, "text": np.array([f"w{i}" for i in range(count)])}
    np.savez(path, **(arrays | changed))
    return str(path)


def test_npz_is_read(tmp_path):
    write_npz(tmp_path / "words.npz")
    source = recognise(tmp_path, "handwriting")
    assert isinstance(source, StrokeNpz)
    assert strokes_of(source, "val", 1) == EXPECTED and source.open("val").texts == ["w0", "w10"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"offsets": np.arange(5)}, r"offsets \(5,\) and text \(12,\); expected \(N, 3\), \(P \+ 1,\) and \(P,\)"),
        ({"offsets": np.array([*range(0, 60, 5), 900])}, "offsets from 0 to 900 for 60 points; expected from 0 to 60"),
        ({"offsets": np.array([*range(0, 60, 5), 57])}, "offsets from 0 to 57 for 60 points; expected from 0 to 60"),
        ({"offsets": np.array([2, *range(5, 61, 5)])}, "offsets from 2 to 60 for 60 points; expected from 0 to 60"),
        ({"offsets": np.array([0, 10, 5, *range(15, 61, 5)])}, "offset 2 is 5, after 10; offsets must rise, from 0"),
        ({"offsets": np.array(5)}, r"offsets \(\) and text \(12,\)"),
        ({"offsets": np.arange(13)[::-1].astype(np.uint64) * 5}, "offset 1 is 55, after 60; offsets must rise"),
        ({"offsets": np.arange(13) * 5.0}, "offsets float64 and text <U3; expected numbers, whole numbers and text"),
        ({"text": np.arange(12)}, "text int64; expected numbers, whole numbers and text"),
        ({"text": np.array([None] * 12)}, r"not an .npz that can be read \(Object arrays cannot be loaded"),
        ({"text": np.frombuffer(b"\xff" * 48, "<U1")}, "the array text does not hold text; save it as an array"),
    ],
)
def test_bad_arrays_are_named(tmp_path, changed, message):
    source = StrokeNpz(write_npz(tmp_path / "words.npz", **changed))
    with pytest.raises(DataError, match=message):
        source.open("train")


INK = """<ink xmlns="http://www.w3.org/2003/InkML"><annotation type="writer">w</annotation>
<annotation type="truth">ab</annotation><trace>0 0 7, 2 1 7, 4 0 7</trace><trace>10 3, 12 5</trace></ink>"""


def test_inkml_is_read(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.inkml").write_text(INK)
    source = recognise(tmp_path, "handwriting")
    assert isinstance(source, InkML) and source.open("val").texts == ["ab"]
    assert strokes_of(source) == EXPECTED


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (INK.replace("4 0 7", "four"), "a point 'four'; expected numbers, X and Y among them"),
        (INK[:-6], "not readable as XML"),
        ('<ink><annotation type="truth">ab</annotation></ink>', "no strokes; expected one or more"),
        ('<!DOCTYPE ink [<!ENTITY a "b">]><ink/>', "defines entities, which are not read"),
    ],
)
def test_bad_inkml_is_named(tmp_path, content, message):
    for i in range(2):
        (tmp_path / f"{i}.inkml").write_text(INK)
    (tmp_path / "bad.inkml").write_text(content)
    with pytest.raises(DataError, match=f"bad.inkml: .*{message}"):
        InkML(str(tmp_path)).open("train")


def inkml(tmp_path, body, form="", kinds=""):
    """The points (N, 3) that are read of a file: x, y and 1 where the pen is lifted."""
    (tmp_path / "x.inkml").write_text(f"<ink>{form}{body}{kinds}</ink>")
    inks, _ = InkML(str(tmp_path)).load(tmp_path / "x.inkml", problems := [])
    if problems:
        raise DataError(str(problems[0]))
    return inks[0].points.tolist(), inks[0].text


@pytest.mark.parametrize(
    ("trace", "points"),
    [
        # the recommendation's example: a difference, then differences of differences, without blanks
        (
            "1125 18432,'23'43,\"7\"-8,3-5,7 -3,6 2",
            [[1125, 18432], [1148, 18475], [1178, 18510], [1211, 18540], [1251, 18567], [1297, 18596]],
        ),
        ("10 20, '2 '3, 1 1, -4 0", [[10, 20], [12, 23], [13, 24], [9, 24]]),
        ("10 20, '2'3, !5 !6, 7 8", [[10, 20], [12, 23], [5, 6], [7, 8]]),
        # x: 0, 2 (by 2), then differences 3 and 4; y is explicit
        ('0 0, 2 5, "1 6, 1 7', [[0, 0], [2, 5], [5, 6], [9, 7]]),
        ("10 20, * 21, 12 *", [[10, 20], [10, 21], [12, 21]]),
        ("0 0, '2 '1, * 3", [[0, 0], [2, 1], [4, 4]]),
        ("#a -#1F, #B#10", [[10, -31], [11, 16]]),
        ("10-3,11-4,1.5-.5", [[10, -3], [11, -4], [1.5, -0.5]]),
        ("1e1 2, 3 4", [[10, 2], [3, 4]]),
    ],
)
def test_inkml_points(tmp_path, trace, points):
    found, _ = inkml(tmp_path, f"<trace>{trace}</trace>")
    assert [point[:2] for point in found] == points


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        ("0 0, ? 3", "a point '\\? 3' without a value of X or Y; expected numbers"),
        ("* 0, 1 3", "without a value of X or Y"),
        ("0 0, 1", "a point '1'; expected numbers, X and Y among them"),
        ("0 0, 1 2 z", None),
        ("0 0, a'2 3", 'a point "a\'2 3"; expected numbers'),
    ],
)
def test_inkml_points_that_are_none(tmp_path, trace, message):
    if message is None:  # what further channels hold is not read
        assert inkml(tmp_path, f"<trace>{trace}</trace>")[0][1][:2] == [1, 2]
        return
    with pytest.raises(DataError, match=message):
        inkml(tmp_path, f"<trace>{trace}</trace>")


class TestInkmlChannels:
    BODY = "<trace>1 2 3, 4 6 8</trace>"

    @staticmethod
    def form(*channels):
        return f"<traceFormat>{''.join(f'<channel {one}/>' for one in channels)}</traceFormat>"

    def points(self, tmp_path, *channels):
        return [point[:2] for point in inkml(tmp_path, self.BODY, self.form(*channels))[0]]

    def test_y_upwards(self, tmp_path):
        """Read as it stood, the writing was upside down."""
        assert self.points(tmp_path, 'name="X"', 'name="Y" orientation="-ve"') == [[1, -2], [4, -6]]
        assert self.points(tmp_path, 'name="X" orientation="-ve"', 'name="Y" orientation="+ve"') == [[-1, 2], [-4, 6]]

    def test_units(self, tmp_path):
        assert self.points(tmp_path, 'name="X" units="mm"', 'name="Y" units="mm"') == [[1, 2], [4, 6]]
        scaled = self.points(tmp_path, 'name="F"', 'name="X" units="cm"', 'name="Y" units="mm"')
        assert scaled == [[2, pytest.approx(0.3)], [6, pytest.approx(0.8)]]
        with pytest.raises(
            DataError, match="X in dev and Y in mm, which cannot be compared; expected one unit, or two of"
        ):
            self.points(tmp_path, 'name="X" units="dev"', 'name="Y" units="mm"')

    def test_formats_that_differ(self, tmp_path):
        forms = self.form('name="X"', 'name="Y"') + self.form('name="X"', 'name="Y" orientation="-ve"')
        with pytest.raises(DataError, match="formats of traces that differ in x and y"):
            inkml(tmp_path, self.BODY, forms)


def test_inkml_traces_that_go_on(tmp_path):
    """They are one stroke; a pen that is up draws none."""
    parts = '<trace xml:id="a" continuation="begin">0 0, 1 1</trace><trace type="penUp">5 5, 6 6</trace>'
    parts += '<trace xml:id="b" continuation="middle" priorRef="#a">2 2</trace>'
    parts += '<trace continuation="end" priorRef="#b">3 3</trace><trace>8 8, 9 9</trace>'
    assert inkml(tmp_path, parts)[0] == [[0, 0, 0], [1, 1, 0], [2, 2, 0], [3, 3, 1], [8, 8, 0], [9, 9, 1]]


def test_inkml_text_of_the_whole_piece(tmp_path):
    """In CROHME's files each symbol has a text of its own, which may come first."""
    part = '<traceGroup><annotation type="truth">x</annotation></traceGroup>'
    whole = '<annotation type="truth">x^2</annotation>'
    assert inkml(tmp_path, "<trace>0 0, 1 1</trace>", part, whole)[1] == "x^2"
    assert inkml(tmp_path, "<trace>0 0, 1 1</trace>", part)[1] == "x"


def write_iam(root, lines=3, listed=True):
    """A form of three lines, as the corpus has it."""
    for folder in ("lineStrokes/a01/a01-000", "ascii/a01/a01-000"):
        (root / folder).mkdir(parents=True)
    text = "OCR:\n\nwrong\n\nCSR:\n\n" + "\n".join(f"line {i + 1}" for i in range(lines)) + "\n"
    if listed:
        (root / "ascii/a01/a01-000/a01-000u.txt").write_text(text)
    for i in range(3):
        strokes = "".join(
            "<Stroke>" + "".join(f'<Point x="{x}" y="{y}" time="0"/>' for x, y in part) + "</Stroke>"
            for part in (AT[:3], AT[3:])
        )
        path = root / f"lineStrokes/a01/a01-000/a01-000u-{i + 1:02d}.xml"
        path.write_text(f"<WhiteboardCaptureSession><StrokeSet>{strokes}</StrokeSet></WhiteboardCaptureSession>")


def test_iam_ondb_joins_strokes_and_lines(tmp_path):
    write_iam(tmp_path)
    source = recognise(tmp_path, "handwriting")
    assert isinstance(source, IamOnDB)
    assert source.open("val").texts == ["line 1"] and source.open("train").texts == ["line 2", "line 3"]
    assert strokes_of(source) == EXPECTED
    (tmp_path / "test.txt").write_text("a01-000u\n")
    assert len(IamOnDB(str(tmp_path)).open("test")) == 3


def test_missing_lines_of_iam_ondb_are_named(tmp_path):
    write_iam(tmp_path, lines=2)
    with pytest.raises(DataError, match=r"a01-000u-03.xml: line 03, but a01-000u.txt has 2 lines after CSR"):
        IamOnDB(str(tmp_path)).open("train")
    other = tmp_path / "other"
    write_iam(other, listed=False)
    with pytest.raises(
        DataError, match=r"a01-000u-01.xml: no text a01-000u.txt in ascii; add it, or remove the strokes"
    ):
        IamOnDB(str(other)).open("train")


def test_generated_letters_are_functions_of_the_seed():
    one, other = (StrokeLetters(train=5, val=2, test=0, seed=s) for s in (0, 1))
    first, again = one.open("train"), StrokeLetters(train=9, val=2, test=0).open("train")
    assert first.texts == again.texts[:5] and first.texts != other.open("train").texts
    np.testing.assert_array_equal(first[3]["strokes"], again[3]["strokes"])
    assert one.splits() == ("train", "val")
    assert one.open("val").texts != first.texts[:2]
    with pytest.raises(ConfigError, match="hands 0 and words 2 1 or more"):
        StrokeLetters(hands=0)


def test_an_empty_line_of_iam_ondb_does_not_move_those_below_it(tmp_path):
    write_iam(tmp_path, lines=4)
    text = tmp_path / "ascii/a01/a01-000/a01-000u.txt"
    text.write_text(text.read_text().replace("line 2\n", "\n"))
    source = IamOnDB(str(tmp_path))
    (problem,) = source.problems()
    assert str(problem).endswith("a01-000u-02.xml: line 02 after CSR in a01-000u.txt is empty; write what the strokes "
                                 "say there")  # fmt: skip
    assert source.readable("val").texts == ["line 1"] and source.readable("train").texts == ["line 3"]


def test_lists_of_iam_ondb_name_forms_that_are_there_and_each_once(tmp_path):
    write_iam(tmp_path)
    (tmp_path / "train.txt").write_text("a01-000u\na01-000u-01\n")
    (tmp_path / "val.txt").write_text("a01-000u\n")
    missing, shared = map(str, IamOnDB(str(tmp_path)).problems())
    assert missing.endswith(
        "train.txt: names a01-000u-01, of which lineStrokes has no strokes; a name is a form's, a01-000u"
    )
    assert shared.endswith("val.txt: names a01-000u, which the list of train names, too; remove them from one")


def test_one_meaning_of_the_pen_bit_holds_for_all_splits(tmp_path):
    write_json(tmp_path / "train.json", [entry()] * 3)
    write_json(tmp_path / "val.json", [entry(pen=DOWN)] * 3)
    with pytest.raises(DataError, match=r"in train a pen bit of 1 means that the pen is lifted .*; in val a pen bit"):
        StrokeJson(str(tmp_path)).open("train")
    assert not StrokeJson(str(tmp_path), pen="lifted").problems()


def test_points_at_one_place_are_no_strokes_and_blanks_are_no_text(tmp_path):
    still = entry(at=[[3, 4]] * 5)
    source = StrokeJson(
        write_json(tmp_path / "a.json", [entry(at=OTHER), still, entry("a\n b"), entry(" \t")]), pen="lifted"
    )
    assert [str(problem).partition(": ")[2] for problem in source.problems()] == [
        "a.json#1: 5 points at one and the same place; expected strokes"
    ]
    assert source.readable("train").texts == ["a b", ""]
    assert source.notes() == ["1 of 3 pieces without a text, a.json#3 among them"]


def test_a_point_far_from_all_others_is_noted(tmp_path):
    far = entry(at=[*AT[:4], [1e6, 5]])
    source = StrokeJson(write_json(tmp_path / "a.json", [entry(at=OTHER)] + [entry()] * 3 + [far]))
    (note,) = source.notes()
    assert note.startswith(
        "1 piece with a step more than 100 times as long as the usual longest (6), such as 999990 in"
    )


@pytest.mark.parametrize(("bits", "noted"), [([0, 0, 0, 0, 0], True), ([0, 0, 0, 0, 1], True), (LIFTED, False)])
def test_pens_that_are_never_lifted_are_noted(tmp_path, bits, noted):
    """A single piece that lifts the pen is enough: others may be written in one line."""
    still = [entry(f"w{i}", pen=[0, 0, 0, 0, 0]) for i in range(2)]
    moved = [[x, y + i] for i, (x, y) in enumerate(AT)]
    source = StrokeJson(write_json(tmp_path / "a.json", [*still, entry("c", pen=bits, at=moved)]), pen="lifted")
    notes = [note for note in source.notes() if note.startswith("the pen is never lifted before the end of a piece")]
    assert len(notes) == noted
