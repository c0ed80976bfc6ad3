"""InkML's formats of traces: channels in any order, several formats in a file, and mappings."""

from __future__ import annotations

from pathlib import Path

import pytest

from foveate.datasets.handwriting.inkml import InkML
from foveate.errors import DataError

XML = 'xmlns="http://www.w3.org/2003/InkML" xmlns:xml="http://www.w3.org/XML/1998/namespace"'


def form(*channels: str, name: str = "", more: str = "") -> str:
    inside = "".join(f"<channel {one}/>" if "=" in one else f'<channel name="{one}"/>' for one in channels)
    return f'<traceFormat xml:id="{name}">{inside}{more}</traceFormat>'


def points(tmp_path: Path, *parts: str) -> list[list[float]]:
    """x and y of all points of a file, as they are read."""
    (tmp_path / "x.inkml").write_text(f'<ink {XML}>{"".join(parts)}<annotation type="truth">ab</annotation></ink>')
    inks, _ = InkML(str(tmp_path)).load(tmp_path / "x.inkml", problems := [])
    if problems:
        raise DataError(str(problems[0]))
    return [[float(x), float(y)] for x, y, _ in inks[0].points]


XY = [[1.0, 5.0], [3.0, 6.0]]


@pytest.mark.parametrize(
    ("channels", "trace"),
    [
        ("F X Y T", "9 1 5 0, 9 3 6 10"),
        ("T Y F X", "0 5 9 1, 10 6 9 3"),
        ("Y X", "5 1, 6 3"),
        ("S X Y", "T 1 5, F 3 6"),  # a channel of truth values
        ("x y", "1 5, 3 6"),
    ],
)
def test_channels_in_any_order(tmp_path: Path, channels: str, trace: str) -> None:
    assert points(tmp_path, form(*channels.split()), f"<trace>{trace}</trace>") == XY


def test_intermittent_channels_come_last(tmp_path: Path) -> None:
    more = '<intermittentChannels><channel name="F"/></intermittentChannels>'
    assert points(tmp_path, form("T", "X", "Y", more=more), "<trace>0 1 5, 10 3 6 99</trace>") == XY


TWO = (
    f'<definitions><context xml:id="c1">{form("X", "Y")}</context>'
    f'<context xml:id="c2">{form("T", "Y", "X", name="f2")}</context>'
    '<context xml:id="c3" traceFormatRef="#f2"/><context xml:id="c4" contextRef="#c3"/>'
    f'<inkSource xml:id="s">{form("F", "T", "X", "Y")}</inkSource><context xml:id="c5" inkSourceRef="#s"/>'
    "</definitions>"
)


class TestSeveralFormats:
    @pytest.mark.parametrize(
        ("context", "trace"),
        [
            ("c1", "1 5, 3 6"), ("c2", "0 5 1, 1 6 3"), ("c3", "0 5 1, 1 6 3"), ("c4", "0 5 1, 1 6 3"),
            ("c5", "9 0 1 5, 9 1 3 6"),
        ],
    )  # fmt: skip
    def test_that_of_the_trace(self, tmp_path: Path, context: str, trace: str) -> None:
        assert points(tmp_path, TWO, f'<trace contextRef="#{context}">{trace}</trace>') == XY
        group = f'<traceGroup contextRef="#{context}"><traceGroup><trace>{trace}</trace></traceGroup></traceGroup>'
        assert points(tmp_path, TWO, group) == XY

    def test_two_in_one_file(self, tmp_path: Path) -> None:
        body = '<trace contextRef="#c1">1 5</trace><trace contextRef="#c5">9 1 3 6</trace>'
        assert points(tmp_path, TWO, body) == XY

    def test_the_context_before_a_trace(self, tmp_path: Path) -> None:
        body = f'<context>{form("X", "Y")}</context><trace>1 5</trace><context contextRef="#c2"/><trace>0 6 3</trace>'
        assert points(tmp_path, TWO, body) == XY

    def test_units_of_two_formats(self, tmp_path: Path) -> None:
        forms = "".join(
            f'<context xml:id="{unit}">' + form(f'name="X" units="{unit}"', f'name="Y" units="{unit}"') + "</context>"
            for unit in ("cm", "mm", "dev")
        )
        body = '<trace contextRef="#cm">1 5</trace><trace contextRef="#{}">30 60</trace>'
        assert points(tmp_path, forms, body.format("mm")) == XY
        with pytest.raises(
            DataError, match=r"x.inkml: traces in cm and in dev, which cannot be compared; expected one"
        ):
            points(tmp_path, forms, body.format("dev"))

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (
                "<trace>1 5, 3 6</trace>",
                "formats of traces that differ in x and y, and a trace that does not say which",
            ),
            ('<trace contextRef="#c9">1 5</trace>', "contextRef '#c9' is of no element of this file; write it into"),
            (
                '<context xml:id="a" contextRef="#b"/><context xml:id="b" contextRef="#a"/><trace>1 5</trace>',
                "contexts that refer to each other in a circle",
            ),
        ],
    )
    def test_what_is_refused(self, tmp_path: Path, body: str, message: str) -> None:
        with pytest.raises(DataError, match=f"x.inkml: {message}"):
            points(tmp_path, TWO, body)

    def test_the_default_context(self, tmp_path: Path) -> None:
        assert points(tmp_path, '<trace contextRef="#DefaultContext">1 5, 3 6</trace>') == XY


class TestMappings:
    BODY = "<trace>1 5, 3 6</trace>"

    def channel(self, mapping: str, name: str = "X") -> str:
        others = "".join(f'<channel name="{other}"/>' for other in "XY" if other != name)
        return f'<traceFormat>{others}<channel name="{name}">{mapping}</channel></traceFormat>'

    @pytest.mark.parametrize(
        ("mapping", "kind"),
        [
            ('<mapping type="lookup"><table>0 0, 1 9</table></mapping>', "lookup"),
            ('<mapping type="mathml"/>', "mathml"),
            ("<mapping/>", "unknown"),
            ('<mapping mappingRef="#m"/>', "affine"),
        ],
    )
    def test_of_x_and_y_are_refused(self, tmp_path: Path, mapping: str, kind: str) -> None:
        defined = '<definitions><mapping xml:id="m" type="affine"><affine>2 0</affine></mapping></definitions>'
        with pytest.raises(
            DataError, match=f"x.inkml: channel Y with a mapping of type {kind}, which is not read; write the traces in"
        ):
            points(tmp_path, defined, self.channel(mapping, "Y"), self.BODY)

    def test_what_changes_nothing_is_read(self, tmp_path: Path) -> None:
        assert points(tmp_path, self.channel('<mapping type="identity"/>', "Y"), self.BODY) == XY
        # of another channel
        assert points(tmp_path, self.channel('<mapping type="lookup"/>', "F"), "<trace>1 5 9, 3 6 9</trace>") == XY

    @pytest.mark.parametrize(
        ("matrix", "plain"),
        [("1 0 0, 0 1 0", True), ("2.5 0 7, 0 2.5 -3", True), ("1 0 0, 0 -1 0", False), ("1 0 0, 0 2 0", False),
         ("0 1 0, 1 0 0", False), ("-1 0 0, 0 -1 0", False), ("1 0 0", False), ("a b c", False)],
    )  # fmt: skip
    def test_of_the_canvas(self, tmp_path: Path, matrix: str, plain: bool) -> None:
        """Shifts and scales of x and y alike leave the writing's form; flips, turns and others would not."""
        transform = (
            f'<context><canvasTransform><mapping type="affine"><affine>{matrix}</affine></mapping></canvasTransform>'
            "</context>"
        )
        if plain:
            assert points(tmp_path, transform, self.BODY) == XY
        else:
            with pytest.raises(DataError, match=r"x.inkml: a canvasTransform with a mapping of type affine, which is"):
                points(tmp_path, transform, self.BODY)
