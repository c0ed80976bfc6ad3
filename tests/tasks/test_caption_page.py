"""The page of captions: words with their maps, hard and soft, in one file without a script."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.errors import OutputError
from foveate.pictures.given import open_picture
from foveate.records import CaptionPrediction, Sentence
from foveate.tasks.captioning.attention import most, veil
from foveate.tasks.captioning.figure import peak_position
from foveate.tasks.captioning.page import MAX_SIDE, CaptionPage

BRIGHT = np.full((40, 60, 3), 200, np.uint8)


def sentence(words=("a", "red", "cow"), maps=True, score=-0.5):
    """Each word looks mostly at one cell of a row of a 2x3 grid, the first at the first."""
    attention = np.full((len(words), 2, 3), 0.1, np.float32)
    for i in range(len(words)):
        attention[i, 0, i % 3] = 0.5
    probabilities = np.linspace(0.9, 0.3, len(words)).astype(np.float32)
    return Sentence(" ".join(words), score, tuple(words), probabilities, attention if maps else None)


def page(*names, sentences=None, model="show_attend_tell", hard=False):
    made = CaptionPage(model)
    for name in names or ("cow.jpg",):
        found = sentences or (sentence(), sentence(("a", "cow"), score=-0.75))
        made.add(name, CaptionPrediction(found, hard=hard), {"image": open_picture(BRIGHT)})
    return made.render()


def test_the_page_holds_every_word_with_its_map():
    text = page("cow.jpg", "b.jpg")
    assert "show_attend_tell on 2 pictures" in text and "show_attend_tell on one picture" in page()
    assert text.count('class="word w1"') == text.count('class="word w3"') == 2
    assert "looked most at the top left" in text and "probability 0.90" in text
    assert "score -0.500" in text and "a cow" in text and "-0.750" in text
    for number in (1, 2):
        assert text.count(f'<symbol id="p{number}m') == 3
        assert text.count(f'href="#p{number}m2"') == 2  # in large, and in the strip
    for i in range(1, 4):
        assert f".captioned:has(.w{i}:hover) .m{i}" in text and f":has(.w{i}:focus) .m{i}" in text
    assert ".w4" not in text


def test_maps_on_the_page_are_the_veils():
    encoded = re.findall(r"data:image/png;base64,([^\"]+)", page())
    assert len(encoded) == 3
    for i, one in enumerate(encoded):
        with Image.open(io.BytesIO(base64.b64decode(one))) as image:
            grey, cover = np.moveaxis(np.asarray(image), 2, 0)
        assert (grey == 0).all()
        assert cover / 255 == pytest.approx(veil(sentence().attention[i]), abs=0.002)


def test_the_page_needs_nothing_from_elsewhere_and_no_script():
    text = page()
    assert "<script" not in text and "http" not in text.replace("http-equiv", "")
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'sha256-{digest}';" in html.unescape(text)
    assert not re.findall(r"\sstyle=|\son\w+=", text)
    assert all(a.startswith(("data:", "#")) for a in re.findall(r'(?:href|src)="([^"]*)"', text))
    assert "prefers-color-scheme: dark" in text
    assert "<details open>" in text  # the strip is seen without pointing at anything


def test_hard_attention_on_the_page_is_a_cell():
    text = page(hard=True)
    assert "data:image/png" not in text
    assert text.count('class="cell"') == 3
    assert 'x="1" y="0" width="1" height="1" class="cell"' in text


def test_without_attention_the_page_has_words_alone():
    text = page(sentences=(sentence(maps=False),))
    assert "<button" not in text and "<details" not in text and "Point at a word" not in text
    assert all(f">{word}</span>" in text for word in ("a", "red", "cow"))


def test_words_and_names_are_escaped():
    evil = "<img src=x onerror=alert(1)>"
    text = page(evil, sentences=(sentence((evil,)),), model=evil)
    assert evil not in text
    assert text.count("&lt;img src=x") >= 3


def test_a_page_of_noise_stays_small(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    made = CaptionPage()
    for i in range(5):
        prediction = CaptionPrediction((sentence(tuple("abcdefghijkl")),))
        made.add(str(i), prediction, {"image": torch.from_numpy(noise).permute(2, 0, 1)})
    made.write(tmp_path)
    assert (tmp_path / "captions.html").stat().st_size < 5 * 70_000
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*file/captions\.html"):
        made.write(tmp_path / "file")


def test_a_large_image_is_read_in_strips_and_left_open(tmp_path):
    class Large:
        height, width, channels = 4000, 6000, 3
        closed = False
        largest = 0

        def read(self, top, left, height, width):
            self.largest = max(self.largest, height * width)
            return np.full((height, width, 3), 200, np.uint8)

        def close(self):
            self.closed = True

    windows, made = Large(), CaptionPage()
    made.add("large.tif", CaptionPrediction((sentence(),)), {"image": windows})
    assert windows.largest <= 2**22 < 4000 * 6000 and not windows.closed
    assert MAX_SIDE == 960


def test_an_empty_page_is_not_written(tmp_path):
    CaptionPage().write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_position_of_the_peak_in_words():
    attention = np.zeros((6, 6))
    for row, column, words in ((0, 0, "at the top left"), (2, 3, "in the middle"), (5, 2, "at the bottom"),
                               (3, 5, "at the right"), (1, 4, "at the top right")):  # fmt: skip
        attention[:] = 0
        attention[row, column] = 1
        assert most(attention) == (row, column)
        assert peak_position(attention) == words
    assert peak_position(np.ones((1, 1))) == "in the middle"
