"""The list of all samples in a report: its order, its pictures and what it says of both."""

from __future__ import annotations

import base64
import html
import io
import re

import numpy as np
import pytest
from PIL import Image

from foveate.visualize.document import document
from foveate.visualize.report import Report, ReportPart, ReportText, write_report
from foveate.visualize.report.listing import LONGEST, MAX_BYTES, list_picture, pictured, ranking

TEXT = ReportText("Report", ("iou", "IoU", "Overlap."), ("iou", "scored {samples}"), (), ())
NAN = float("nan")
SAMPLES = [("b.png", 0.9), ("<a>.png", 0.25), ("none.png", NAN), ("c.png", 0.5)]
GREY = np.full((30, 40, 3), 120, np.uint8)


@pytest.fixture
def listed(tmp_path):
    """The section of the list on a report's page; '' without one."""

    def write(samples=SAMPLES, pictures=(), columns=(), **changes) -> str:
        part = ReportPart(TEXT, pictures=dict(pictures), columns=columns)
        report = Report("Run", "tiny", "foveate train tiny", "photos", {}, part, samples=samples,
                        nouns=("picture", "pictures"), **changes)  # fmt: skip
        page = write_report(report, tmp_path / "report.html").read_text(encoding="utf-8")
        assert ('href="#each"' in page) == ('id="each"' in page)
        return page[page.index('id="each"') : page.index('id="again"')] if 'id="each"' in page else ""

    return write


def rows(section: str) -> list[list[str]]:
    """The text of every cell, row by row."""
    body = section[section.index("<tbody>") : section.index("</tbody>")]
    lines = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", body)]
    return [[html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in line] for line in lines]


def text(section: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", section))


def test_every_sample_is_listed_the_worst_first(listed) -> None:
    section = listed()
    assert rows(section) == [["<a>.png", "0.250"], ["c.png", "0.500"], ["b.png", "0.900"], ["none.png", "–"]]
    assert "Every picture of val with its own score, the worst first. 1 without a score of their own" in text(section)
    assert '<th scope="col" data-sort="number" aria-sort="ascending">score</th>' in section
    assert "<img" not in section and "of this file" not in section and ">Pictures<" not in section


def test_the_highest_is_the_worst_where_smaller_is_better(listed) -> None:
    section = listed(greater_is_better=False, own_score="WER")
    assert [name for name, _ in rows(section)] == ["b.png", "c.png", "<a>.png", "none.png"]
    assert '<th scope="col" data-sort="number" aria-sort="descending">WER</th>' in section


def test_there_is_no_list_without_scores(listed) -> None:
    assert listed(samples=()) == "" and listed(samples=[("a.png", NAN)]) == ""


def test_more_values_stand_in_columns_of_their_own(listed) -> None:
    values = [{"objects": 3, "iou cow": 0.12345}, {"objects": 0}, {}, {"iou cow": NAN, "objects": None}]
    section = listed(values=values, columns=[("objects", "True objects"), ("iou cow", "IoU cow")])
    assert rows(section) == [
        ["<a>.png", "0.250", "0", "–"],
        ["c.png", "0.500", "–", "–"],
        ["b.png", "0.900", "3", "0.123"],
        ["none.png", "–", "–", "–"],
    ]
    assert re.findall(r'data-sort="number"[^>]*>([^<]+)', section) == ["score", "True objects", "IoU cow"]


def test_pictures_are_embedded_and_their_size_is_stated(listed) -> None:
    picture = list_picture("Truth", "labels over the picture", GREY)
    section = listed(pictures={1: [picture, picture], 0: [picture]})
    images = re.findall(r'<img src="([^"]+)" alt="([^"]+)"', section)
    assert [alt for _, alt in images] == [
        *["&lt;a&gt;.png: labels over the picture"] * 2,
        "b.png: labels over the picture",
    ]
    assert {source for source, _ in images} == {picture.source}
    assert f"The pictures take {round(3 * len(picture.source) / 1e3)} kB of this file." in text(section)
    assert "2 of 4 are shown with pictures: the worst, and others of every rank." in text(section)
    everything = listed(pictures={k: [picture] for k in range(4)})
    assert everything.count("<img") == 4 and "are shown with pictures" not in everything


def test_the_size_of_many_pictures_is_in_megabytes(listed) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    picture = list_picture("Picture", "noise", noise)
    section = listed(pictures={k: [picture] * 5 for k in range(4)})
    assert f"take {20 * len(picture.source) / 1e6:.1f} MB of this file" in text(section)


def test_a_long_list_says_where_it_ends(listed) -> None:
    section = listed(samples=[(f"{k}.png", k / 3000) for k in range(2001)])
    assert len(rows(section)) == 2000 and rows(section)[-1] == ["1999.png", "0.666"]
    assert "Of 2,001 pictures, these are the first 2,000; foveate evaluate --csv writes all of them." in section


@pytest.mark.parametrize("shape", [(900, 500, 3), (1000, 20), (64, 48, 1), (300, 400, 3)])
def test_a_picture_of_the_list_is_small(shape: tuple[int, ...]) -> None:
    picture = list_picture("Picture", "noise", np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    data = base64.b64decode(picture.source.split(",")[1])
    assert len(data) <= MAX_BYTES
    assert max(picture.width, picture.height) == min(LONGEST, max(shape[:2]))
    with Image.open(io.BytesIO(data)) as decoded:
        assert decoded.width / decoded.height == pytest.approx(shape[1] / shape[0], rel=0.1)


def test_a_few_samples_all_have_pictures() -> None:
    scores = [0.5, NAN, 0.1, 0.9]
    assert ranking(scores) == [2, 0, 3, 1]
    assert ranking(scores, greater_is_better=False) == [3, 0, 2, 1]
    assert pictured(scores, most=4) == [2, 0, 3, 1]


def test_of_many_the_worst_and_some_of_every_rank_have_pictures() -> None:
    scores = [k / 100 for k in range(100)]
    assert pictured(scores, most=8) == [0, 1, 2, 3, 4, 36, 67, 99]
    assert pictured(scores, greater_is_better=False, most=4) == [99, 98, 97, 0]
    for total in range(48, 120):
        places = pictured(scores[:total] if total <= 100 else [k / 200 for k in range(total)])
        assert len(set(places)) == len(places) == 48


def test_a_page_without_a_script_forbids_all() -> None:
    page = document("Title", "", "text")
    assert "script" not in page
