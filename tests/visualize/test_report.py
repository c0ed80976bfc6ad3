from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from foveate.errors import DataError, OutputError
from foveate.records import ClassTable
from foveate.visualize.report import ExamplePicture, Report, write_report
from foveate.visualize.report.examples import MAX_WIDTH, data_uri
from foveate.visualize.report.sections import duration, flat

CLASSES = ClassTable(("sky", "grass", "cow"))
SCORES = {
    "mean_iou": 0.512345,
    "pixel_accuracy": 0.8125,
    "mean_accuracy": 0.7,
    "frequency_weighted_iou": 0.65,
    "boundary_iou": 0.41,
    "trimap_iou": {"1": 0.3, "4": 0.4, "16": None},
    "per_class": {"sky": 0.9, "grass": 0.1246, "cow": None},
    "per_class_boundary_iou": {"sky": 0.5, "grass": 0.25, "cow": None},
    "images": 7,
}
HISTORY = [
    {"epoch": 1, "train_loss": 1.2, "val_loss": 1.3, "mean_iou": 0.2, "lr": 1e-3},
    {"epoch": 2, "train_loss": 0.8, "val_loss": None, "mean_iou": 0.5, "lr": 5e-4},
    {"epoch": 3, "train_loss": 0.7, "val_loss": "", "mean_iou": 0.4, "lr": float("nan")},
]


def example(name: str, iou: float | None, size: tuple[int, int] = (60, 80), seed: int = 0) -> ExamplePicture:
    rng = np.random.default_rng(seed)
    truth = np.zeros(size, np.uint8)
    truth[size[0] // 2 :] = 1
    prediction = truth.copy()
    prediction[:3] = 2
    return ExamplePicture(name, rng.integers(0, 256, (*size, 3), dtype=np.uint8), truth, prediction, iou)


def report(**changes) -> Report:
    values = {
        "title": "First run",
        "recipe": "fcn8s",
        "command": "foveate train fcn8s --data photos",
        "data": "images and labels folders at photos",
        "classes": CLASSES,
        "scores": SCORES,
        "confusion": np.array([[90, 10, 0], [30, 10, 0], [0, 0, 0]]),
        "splits": {"train": 40, "val": 7},
        "history": HISTORY,
        "settings": {"optim": {"lr": 0.001, "betas": [0.9, 0.999]}, "ema": None},
        "environment": {"torch": "2.9"},
        "minutes": 3.25,
        "examples": [example("a.png", 0.9), example("b.png", 0.2)],
        "notes": ["Measured on whole pictures."],
        "files": {"Best weights": "runs/first/model"},
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
        if "style" not in self.open:
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
        assert page.open == []  # every element is closed
        return text, page

    return write


def test_what_was_trained_on_what(written) -> None:
    _, page = written()
    for words in (
        "First run",
        "gave 81.2 % of the pixels in 7 val pictures the right label",
        "strongest at sky (IoU 0.90) and weakest at grass (0.12)",
        "images and labels folders at photos",
        "3: sky, grass, cow",
        "3.2 minutes",
        "foveate train fcn8s --data photos",
        "runs/first/model",
        "Measured on whole pictures.",
        "not in these pictures",
        "optim.betas0.9, 0.999",
        "emanone",
        "torch2.9",
        "best: 0.500",
    ):
        assert words in page.text
    headings = [attributes["id"] for attributes in page.all("h2")]
    assert headings == ["notes", "training", "learning", "classes", "confusion", "boundaries", "pictures", "again"]
    assert {a["href"] for a in page.all("a")} == {f"#{name}" for name in headings[1:]}


def test_every_score_stands_on_the_page_exactly(written) -> None:
    _, page = written()
    values = {float(attributes["value"] or "nan") for attributes in page.all("data")}
    assert {0.512345, 0.8125, 0.7, 0.65, 0.41, 0.9, 0.1246, 0.5, 0.25, 40.0, 7.0} <= values
    labels = " ".join(svg.get("aria-label") or "" for svg in page.all("svg"))
    assert "1 pixels: 0.300, 4 pixels: 0.400" in labels
    assert "training: from 1.2 to 0.7" in labels and "val: from 1.3 to 1.3" in labels


def test_nothing_unescaped_gets_in(written) -> None:
    evil = "</style><script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"
    classes = ClassTable((evil, "b" + evil, "cow"))
    scores = SCORES | {"per_class": {evil: 0.5, "b" + evil: 0.25}}
    text, page = written(
        title=evil, recipe=evil, command=evil, data=evil, classes=classes, scores=scores, splits={evil: 1},
        notes=[evil], scored_split=evil, settings={evil: {evil: evil}}, environment={evil: evil}, files={evil: evil},
        examples=[example(evil, 0.5)],
    )  # fmt: skip
    assert page.all("script") == []
    assert len(page.all("img")) == 4 and len(page.all("style")) == 1
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert evil in " ".join(page.words) and "<script" not in text


def test_the_policy_allows_its_own_style_and_nothing_else(written) -> None:
    text, page = written()
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert not any("style" in attributes for _, attributes in page.elements)  # a strict policy would drop them
    addresses = [a.get(key) or "" for _, a in page.elements for key in ("src", "href") if key in a]
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "url(" not in style and "@import" not in style
    assert any(m.get("name") == "viewport" and "width=device-width" in (m["content"] or "") for m in page.all("meta"))


def test_pictures_are_best_and_worst_with_words_for_each(written) -> None:
    names = [example("mid.png", 0.5), example("worst.png", 0.1), example("best.png", 0.9), example("lost.png", None)]
    _, page = written(examples=names)
    order = [m.split(":")[0] for i in page.all("img") if (m := i["alt"] or "").endswith(": the picture")]
    assert order == ["best.png", "mid.png", "lost.png", "worst.png"]
    assert all(i["alt"] and i["width"] and i["height"] for i in page.all("img"))
    # rows 0..2 of 60 are wrong, 30 rows and more from the contour
    assert "best.png: 5.0 % of the pixels are wrong, 0 % of those close to an outline" in [
        i["alt"] for i in page.all("img")
    ]
    for image in page.all("img"):
        kind, encoded = (image["src"] or "").split(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as decoded:
            decoded.load()
            assert decoded.width <= MAX_WIDTH


def test_twelve_pictures_of_pure_noise_stay_below_three_megabytes(tmp_path) -> None:
    noisy = [example(f"{i}.png", i / 12, (360, 480), seed=i) for i in range(12)]
    for one in noisy:
        one.prediction = np.random.default_rng(1).integers(0, 3, one.truth.shape, dtype=np.uint8)
    path = write_report(report(examples=noisy), tmp_path / "report.html")
    assert path.stat().st_size < 3_000_000


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 2), (500, 700)])
def test_pictures_of_any_size_are_embedded(written, size: tuple[int, int]) -> None:
    _, page = written(examples=[example("odd.png", 0.5, size)])
    assert all(int(i["width"] or 0) <= 480 and int(i["height"] or 0) <= 640 for i in page.all("img"))


def test_calm_pictures_keep_their_quality() -> None:
    calm = np.zeros((360, 480, 3), np.uint8)
    calm[:, 240:] = (200, 30, 60)
    with Image.open(io.BytesIO(base64.b64decode(data_uri(calm).split(",")[1]))) as decoded:
        assert np.abs(np.asarray(decoded).astype(int) - calm).max() <= 6


def test_what_is_missing_is_left_out(written) -> None:
    _, page = written(
        scores={"mean_iou": None, "per_class": {}}, splits={}, history=[], settings={}, environment={}, minutes=None,
        examples=[], notes=[], files={}, confusion=np.zeros((3, 3), int),
    )  # fmt: skip
    headings = [attributes["id"] for attributes in page.all("h2")]
    assert headings == ["training", "classes", "confusion", "again"]
    assert "nan" not in page.text.lower() and "None" not in page.text


def test_many_classes_get_a_list_instead_of_a_matrix(written) -> None:
    classes = ClassTable(tuple(f"class {i}" for i in range(31)))
    counts = np.eye(31, dtype=int) * 10
    counts[4, 9] = 30
    _, page = written(classes=classes, confusion=counts, scores=SCORES | {"per_class": {"class 4": 0.25}}, examples=[])
    assert "75.0 % of class 4 taken for class 9" in page.text
    assert not any(t.get("class") == "matrix" for t in page.all("table"))


def test_what_does_not_fit_is_refused(tmp_path) -> None:
    with pytest.raises(
        DataError, match=r"confusion matrix of shape \(2, 2\) does not fit 3 classes; give one of shape"
    ):
        report(confusion=np.zeros((2, 2)))
    with pytest.raises(DataError, match="a score of 'horse', which is not in the class table"):
        report(scores={"per_class": {"horse": 0.1}})
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*file/report\.html: "):
        write_report(report(examples=[]), tmp_path / "file" / "report.html")


def test_an_older_report_survives_a_failed_one(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("older")

    def full(self, text: str, encoding: str) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_text", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_report(report(examples=[]), path)
    assert path.read_text() == "older"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_small_texts() -> None:
    assert [duration(m) for m in (0.5, 1, 21.44, 150)] == ["30 seconds", "1.0 minutes", "21.4 minutes", "2.5 hours"]
    assert dict(flat({"a": {"b": 1, "c": {}}, "d": [], "e": (1, "x")})) == {
        "a.b": "1", "a.c": "none", "d": "none", "e": "1, x"
    }  # fmt: skip
