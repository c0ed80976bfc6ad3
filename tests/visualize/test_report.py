"""The frame of a report, which every family shares: curves, data, notes, and one file that loads nothing."""

from __future__ import annotations

import ast
import base64
import dataclasses
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import foveate
from foveate.errors import DataError, OutputError
from foveate.visualize.document import data_uri
from foveate.visualize.markup import join, tag
from foveate.visualize.report import Report, ReportPart, ReportText, section, write_report
from foveate.visualize.report.learning import best_epoch
from foveate.visualize.report.listing import script
from foveate.visualize.report.parts import best_and_worst, counted, example_figure, in_sentence
from foveate.visualize.report.sections import flat

TEXT = ReportText(
    title="Translation report",
    score=("bleu", "BLEU", "Agreement with the references."),
    found=("bleu", "translated {samples}, with a BLEU of {score:.2f} ({share:.0f} %)"),
    facts=(("chrf", "chrF", "over characters"), ("length", "Length", "")),
    curves=(("bleu", "BLEU"),),
    beside=("ter", "TER", "Edits a word."),
)
SCORES = {"bleu": 0.312345, "chrf": 0.5, "length": None, "ter": 0.75, "samples": 7}
HISTORY = [
    {"epoch": 1, "train_loss": 1.2, "val_loss": 1.3, "bleu": 0.2, "lr": 1e-3},
    {"epoch": 2, "train_loss": 0.8, "val_loss": None, "bleu": 0.5, "lr": 5e-4},
    {"epoch": 3, "train_loss": 0.7, "val_loss": "", "bleu": 0.4, "lr": float("nan")},
]


def drawing(name: str) -> str:
    """The section that the family adds."""
    figures = best_and_worst(
        [name, "mid", "worst"], lambda n: example_figure(n, Image.new("RGB", (8, 6)), "black", 0.5, f"About {n}.")
    )
    return section("words", "Words", "Word by word", "How to read it.", figures)


def part(**changes) -> ReportPart:
    values = {
        "sections": [drawing("best"), section("lengths", "Lengths", "Lengths", "By length.")],
        "strip": tag("p", "a strip"),
        "summary": join("It is best at ", tag("b", "short sentences"), "."),
        "rows": [("Vocabulary", "9 tokens")],
        "notes": ["Tokenized first."],
        "style": ".word { color: inherit; }",
    }
    return ReportPart(TEXT, **(values | changes))


def report(**changes) -> Report:
    values = {
        "title": "First run",
        "recipe": "seq2seq",
        "command": "foveate train seq2seq --data books",
        "data": "pairs of sentences at books",
        "scores": SCORES,
        "part": part(),
        "splits": {"train": 40, "val": 7},
        "history": HISTORY,
        "settings": {"optim": {"lr": 0.001, "betas": [0.9, 0.999]}, "ema": None},
        "environment": {"torch": "2.9"},
        "minutes": 3.25,
        "notes": ["Measured on whole sentences."],
        "files": {"Best weights": "runs/first/model"},
        "nouns": ("sentence", "sentences"),
    }
    return Report(**(values | changes))


class Page(HTMLParser):
    """The parsed page: elements with their attributes, and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "link", "wbr", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture
def written(tmp_path):
    def write(**changes) -> tuple[str, Page]:
        path = write_report(report(**changes), tmp_path / "report.html")
        text = path.read_text(encoding="utf-8")
        page = Page(text)
        assert len(page.all("script")) == 1 and text.endswith(f"<script>{script()}</script></body></html>\n")
        assert page.open == []  # every element is closed
        return text, page

    return write


def test_the_frame_and_the_part_of_a_family(written) -> None:
    _, page = written()
    for words in (
        "Translation report",
        "First run",
        "seq2seq translated 7 val sentences, with a BLEU of 0.31 (31 %). It is best at short sentences.",
        "a strip",
        "pairs of sentences at books",
        "Vocabulary9 tokens",
        "3 min 15 s",
        "foveate train seq2seq --data books",
        "runs/first/model",
        "Measured on whole sentences.Tokenized first.",
        "optim.betas0.9, 0.999",
        "emanone",
        "torch2.9",
        "best: 0.500",
        "pass over all training sentences",
        "Measured on val sentences after each epoch. The dotted line marks the epoch with the best BLEU.",
        "40sentences",
        "7scored here",
    ):
        assert words in page.text
    headings = [attributes["id"] for attributes in page.all("h2")]
    assert headings == ["notes", "training", "learning", "words", "lengths", "again"]
    assert [a["href"] for a in page.all("a")] == [f"#{name}" for name in headings[1:]]


def test_every_score_stands_on_the_page_exactly(written) -> None:
    _, page = written()
    assert {0.312345, 0.5, 0.75, 40.0, 7.0} <= {float(d["value"] or "nan") for d in page.all("data")}
    labels = " ".join(svg.get("aria-label") or "" for svg in page.all("svg"))
    assert "training: from 1.2 to 0.7" in labels and "val: from 1.3 to 1.3" in labels
    assert "BLEU: from 0.2 to 0.4" in labels
    assert "Length" not in page.text.replace("Lengths", "")  # not defined


def test_the_best_epoch_is_the_lowest_where_smaller_is_better(written) -> None:
    _, page = written(greater_is_better=False)
    assert "best: 0.200" in page.text


def test_the_best_epoch_is_the_last_of_equal_ones() -> None:
    history = [{"epoch": e, "bleu": bleu} for e, bleu in enumerate((0.1, 0.5, 0.5, float("nan")), start=1)]
    assert best_epoch(report(history=history)) == (3, 0.5)
    assert best_epoch(report(history=history, greater_is_better=False)) == (1, 0.1)
    assert best_epoch(report(history=[{"epoch": 1, "bleu": float("nan")}])) is None


def test_of_equal_epochs_the_lower_validation_loss_is_best_as_in_trainings() -> None:
    losses = (0.9, 0.4, 0.6, float("nan"))
    history = [{"epoch": e, "bleu": 0.5, "val_loss": loss} for e, loss in enumerate(losses, start=1)]
    assert best_epoch(report(history=history)) == (2, 0.5)
    assert best_epoch(report(history=history, greater_is_better=False)) == (2, 0.5)


def test_another_score_may_rank_the_epochs() -> None:
    text = dataclasses.replace(TEXT, chosen=("ter", "TER"))
    history = [{"epoch": e, "ter": ter, "bleu": 0.1 * e} for e, ter in enumerate((0.5, 0.25, 0.75), start=1)]
    assert best_epoch(report(history=history, part=ReportPart(text), greater_is_better=False)) == (2, 0.25)


def test_nothing_unescaped_gets_in(written) -> None:
    evil = "</style><script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"
    text, page = written(
        title=evil, recipe=evil, command=evil, data=evil, splits={evil: 1}, notes=[evil], scored_split=evil,
        chosen_split=evil, settings={evil: {evil: evil}}, environment={evil: evil}, files={evil: evil},
        part=part(sections=[drawing(evil)], rows=[(evil, evil)], notes=[evil]),
    )  # fmt: skip
    assert len(page.all("img")) == 3 and len(page.all("style")) == 1
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert evil in " ".join(page.words) and text.count("<script") == 1


def test_the_policy_allows_its_own_style_and_script_and_nothing_else(written) -> None:
    text, page = written()
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    code = re.search(r"<script>(.*?)</script>", text, re.S)[1]
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in (style, code)]
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not any("style" in attributes for _, attributes in page.elements)  # a strict policy would drop them
    addresses = [a.get(key) or "" for _, a in page.elements for key in ("src", "href") if key in a]
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "url(" not in style and "@import" not in style
    assert any(m.get("name") == "viewport" and "width=device-width" in (m["content"] or "") for m in page.all("meta"))


def test_examples_are_best_and_worst(written) -> None:
    _, page = written()
    assert [i["alt"] for i in page.all("img")] == ["best: black", "mid: black", "worst: black"]
    assert page.text.index("Best results") < page.text.index("About mid") < page.text.index("Worst results")
    assert all(i["width"] == "8" and i["height"] == "6" for i in page.all("img"))
    assert best_and_worst([], str) == []
    assert best_and_worst(["one"], lambda n: tag("p", n)) == ["<h3>Best results</h3>", "<p>one</p>"]


def test_a_family_may_add_nothing(written) -> None:
    _, page = written(part=ReportPart(TEXT), notes=[])
    assert [attributes["id"] for attributes in page.all("h2")] == ["training", "learning", "again"]
    assert "(31 %)." in page.text


def test_calm_images_keep_their_quality() -> None:
    calm = np.zeros((360, 480, 3), np.uint8)
    calm[:, 240:] = (200, 30, 60)
    with Image.open(io.BytesIO(base64.b64decode(data_uri(calm).split(",")[1]))) as decoded:
        assert np.abs(np.asarray(decoded).astype(int) - calm).max() <= 6


def test_what_is_missing_is_left_out(written) -> None:
    _, page = written(
        scores={"bleu": None}, splits={}, history=[], settings={}, environment={}, minutes=None, notes=[], files={},
        part=part(sections=[], notes=[], rows=[]),
    )  # fmt: skip
    assert [attributes["id"] for attributes in page.all("h2")] == ["training", "again"]
    assert "was trained and scored." in page.text
    assert "nan" not in page.text.lower() and "None" not in page.text


def test_two_sections_of_one_name_are_refused() -> None:
    for names in (("words", "words"), ("training",)):
        with pytest.raises(DataError, match=f"the report has two sections named '{names[0]}'; give each a name of"):
            report(part=part(sections=[section(name, "A", "A", "") for name in names]))


def test_a_report_that_cannot_be_written(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*file/report\.html: "):
        write_report(report(), tmp_path / "file" / "report.html")


def test_an_older_report_survives_a_failed_one(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("older")

    def full(self, text: str, encoding: str) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_text", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_report(report(), path)
    assert path.read_text() == "older"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_small_texts() -> None:
    assert dict(flat({"a": {"b": 1, "c": {}}, "d": [], "e": (1, "x")})) == {
        "a.b": "1", "a.c": "none", "d": "none", "e": "1, x"
    }  # fmt: skip
    assert [counted(n, "picture", "pictures") for n in (0, 1, 2)] == ["0 pictures", "one picture", "2 pictures"]


@pytest.mark.parametrize(
    ("name", "inside"), [("Mean IoU", "mean IoU"), ("CIDEr-D", "CIDEr-D"), ("Top-1", "top-1"), ("A", "a")]
)
def test_names_inside_a_sentence(name: str, inside: str) -> None:
    assert in_sentence(name) == inside


def test_entries_of_the_contents_are_the_headings_unless_these_are_long() -> None:
    found = []
    for path in (Path(foveate.__file__).parent).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "section":
                found.append([one.value if isinstance(one, ast.Constant) else None for one in node.args[1:3]])
    known = [(label, title) for label, title in found if label is not None and title is not None]
    assert len(known) > 25
    assert [(label, title) for label, title in known if label != title and len(title.split()) < 3] == []
