"""Drawings of attention: the veil, the outlined cell, the strip, the frames, and the captions page."""

import base64
import hashlib
import html
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.errors import DataError, OutputError
from foveate.records import CaptionPrediction, Sentence
from foveate.visualize.attention import (
    CAPTION_MS,
    MAX_OPACITY,
    PALE,
    PANEL,
    WORD_MS,
    attention_frames,
    attention_overlay,
    attention_strip,
    most,
    veil,
)
from foveate.visualize.captions import CaptionPage, Told
from foveate.visualize.captions.figure import whereabouts
from foveate.visualize.clips import write_clip

BRIGHT = np.full((40, 60, 3), 200, np.uint8)


def sentence(words=("a", "red", "cow"), maps=True, score=-0.5):
    """Each word looks mostly at one cell of a row of a 2x3 grid, the first at the first."""
    attention = np.full((len(words), 2, 3), 0.1, np.float32)
    for i in range(len(words)):
        attention[i, 0, i % 3] = 0.5
    probabilities = np.linspace(0.9, 0.3, len(words)).astype(np.float32)
    return Sentence(" ".join(words), score, tuple(words), probabilities, attention if maps else None)


def test_the_veil_is_thin_in_proportion_to_the_attention():
    attention = np.array([[0.4, 0.2], [0.1, 0.3]])
    assert veil(attention) == pytest.approx(MAX_OPACITY * np.array([[0, 0.5], [0.75, 0.25]]))
    assert veil(attention, hard=True) == pytest.approx(MAX_OPACITY * np.array([[0, 1], [1, 1]]))
    assert veil(np.full((3, 3), 1 / 9)) == pytest.approx(np.zeros((3, 3)))  # it looked everywhere alike
    assert np.isfinite(veil(np.zeros((2, 2)))).all()


def test_soft_maps_are_enlarged_bilinearly_about_the_centres_of_their_cells():
    """As torch does with align_corners=False."""
    attention = np.random.default_rng(0).dirichlet(np.ones(12)).reshape(3, 4).astype(np.float32)
    shade = torch.nn.functional.interpolate(
        torch.from_numpy(veil(attention))[None, None], (40, 60), mode="bilinear", align_corners=False
    )[0, 0]
    drawn = attention_overlay(BRIGHT, attention).astype(int)
    assert np.abs(drawn[..., 0] - 200 * (1 - shade.numpy())).max() <= 0.51


def test_hard_attention_is_one_cell_in_an_outline():
    attention = np.full((2, 3), 0.1)
    attention[1, 2] = 0.5
    drawn = attention_overlay(BRIGHT, attention, hard=True)
    cell = drawn[20:40, 40:60]
    assert (cell[3:-3, 3:-3] == 200).all()  # as it was
    assert (cell[0] == cell[0, 0]).all() and cell[0, 0].max() < 40  # the dark line
    assert tuple(cell[1, 5]) == (255, 214, 64)  # the bright line
    outside = drawn.copy()
    outside[20:40, 40:60] = 50
    assert (outside == 50).all()  # a quarter of 200


def test_a_dark_picture_is_veiled_in_pale():
    attention = np.array([[0.9, 0.1]])
    drawn = attention_overlay(np.full((10, 40, 3), 20, np.uint8), attention)
    assert (drawn[:, :5] == 20).all()
    cover = MAX_OPACITY * (1 - 1 / 9)
    assert drawn[5, 39].tolist() == [round(20 + (PALE - 20) * cover)] * 3


@pytest.mark.parametrize("picture", [BRIGHT[..., 0], BRIGHT[..., :1], BRIGHT.astype(np.uint16) * 257, BRIGHT / 255])
def test_pictures_of_every_kind_are_drawn_alike(picture):
    attention = np.array([[0.7, 0.1], [0.1, 0.1]])
    assert np.abs(attention_overlay(picture, attention).astype(int) - attention_overlay(BRIGHT, attention)).max() <= 1


def test_a_map_that_is_none_is_refused():
    with pytest.raises(
        DataError, match=r"a map of shape \(2, 3, 3\) cannot be drawn; give \(h, w\), one for each word"
    ):
        attention_overlay(BRIGHT, np.ones((2, 3, 3)))


def test_the_strip_shows_the_picture_and_then_a_panel_a_word():
    few, many = attention_strip(BRIGHT, sentence()), attention_strip(BRIGHT, sentence(tuple("abcdefgh")))
    gap = max(8, PANEL // 16)
    assert few.width == gap + 4 * (PANEL + gap)
    assert many.width == gap + 6 * (PANEL + gap)  # nine panels in two rows
    assert many.height == gap + 2 * (few.height - gap)
    pixels = np.asarray(few)
    # Panel i > 0 looks at cell i - 1 of the upper row; the image stands at the panel's full width.
    for i in range(1, 4):
        left = gap + i * (PANEL + gap)
        rim = round(PANEL * 40 / 60)
        panel = pixels[gap : gap + rim, left : left + PANEL, 0].astype(int)
        cells = [panel[rim // 4, round(PANEL * (c + 0.5) / 3)] for c in range(3)]
        assert int(np.argmax(cells)) == i - 1
        assert cells[i - 1] > 195 > 100 > min(cells)
    assert (pixels[gap : gap + 100, gap : gap + PANEL] == 200).all()


def test_frames_are_of_one_size_and_pick_out_their_word():
    frames, milliseconds = attention_frames(BRIGHT, sentence(("one",) * 30 + ("w" * 200,)))
    assert len(frames) == len(milliseconds) == 32
    assert milliseconds == [CAPTION_MS] + [WORD_MS] * 31
    assert len({frame.size for frame in frames}) == 1
    yellow = [(np.asarray(frame) == (255, 214, 64)).all(2) for frame in frames]
    assert not yellow[0].any()
    places = [tuple(np.argwhere(y).mean(0).round()) for y in yellow[1:]]
    assert len(set(places)) == 31  # each word elsewhere


def test_the_animation_goes_round_and_keeps_its_time(tmp_path):
    frames, milliseconds = attention_frames(BRIGHT, sentence())
    write_clip(frames, tmp_path / "a.gif", milliseconds, photographs=True)
    with Image.open(tmp_path / "a.gif") as clip:
        assert clip.n_frames == 4
        assert clip.info["loop"] == 0
        durations = []
        for i in range(4):
            clip.seek(i)
            durations.append(clip.info["duration"])
            close = np.abs(np.asarray(clip.convert("RGB")).astype(int) - np.asarray(frames[i]).astype(int))
            assert close.mean() < 6
    assert durations == milliseconds


def test_a_model_without_attention_has_nothing_to_draw():
    with pytest.raises(
        DataError, match="'a red cow' comes from a model without attention; expected a caption with an attention map"
    ):
        attention_strip(BRIGHT, sentence(maps=False))
    with pytest.raises(DataError, match="without attention"):
        attention_frames(BRIGHT, sentence(maps=False))


def test_where_the_most_is_in_words():
    attention = np.zeros((6, 6))
    for row, column, words in ((0, 0, "at the top left"), (2, 3, "in the middle"), (5, 2, "at the bottom"),
                               (3, 5, "at the right"), (1, 4, "at the top right")):  # fmt: skip
        attention[:] = 0
        attention[row, column] = 1
        assert most(attention) == (row, column)
        assert whereabouts(attention) == words
    assert whereabouts(np.ones((1, 1))) == "in the middle"


# The page


def page(*told, model="show_attend_tell"):
    made = CaptionPage(model)
    for one in told:
        made.add(one)
    return made.render()


def told(name="cow.jpg", **more):
    other = sentence(("a", "cow"), score=-0.75)
    return Told(name, BRIGHT, CaptionPrediction((sentence(), other)), **more)


def test_the_page_holds_every_word_with_its_map():
    text = page(told(), told("b.jpg"))
    assert text.count('class="word w1"') == text.count('class="word w3"') == 2
    assert "looked most at the top left" in text and "probability 0.90" in text
    assert "score -0.500" in text and "a cow" in text and "-0.750" in text
    for number in (1, 2):
        assert text.count(f'<symbol id="p{number}m') == 3
        assert text.count(f'href="#p{number}m2"') == 2  # in large, and in the strip
    for i in range(1, 4):
        assert f".told:has(.w{i}:hover) .m{i}" in text and f":has(.w{i}:focus) .m{i}" in text
    assert ".w4" not in text


def test_maps_on_the_page_are_the_veils():
    text = page(told())
    encoded = re.findall(r"data:image/png;base64,([^\"]+)", text)
    assert len(encoded) == 3
    for i, one in enumerate(encoded):
        with Image.open(io.BytesIO(base64.b64decode(one))) as image:
            grey, cover = np.moveaxis(np.asarray(image), 2, 0)
        assert (grey == 0).all()
        assert cover / 255 == pytest.approx(veil(sentence().attention[i]), abs=0.002)


def test_the_page_needs_nothing_from_elsewhere_and_no_script():
    text = page(told())
    assert "<script" not in text and "http" not in text.replace("http-equiv", "")
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'sha256-{digest}';" in html.unescape(text)
    assert not re.findall(r"\sstyle=|\son\w+=", text)
    assert all(a.startswith(("data:", "#")) for a in re.findall(r'(?:href|src)="([^"]*)"', text))
    assert "prefers-color-scheme: dark" in text
    assert "<details open>" in text  # the strip is seen without pointing at anything


def test_hard_attention_on_the_page_is_a_cell():
    text = page(told(hard=True))
    assert "data:image/png" not in text
    assert text.count('class="cell"') == 3
    assert 'x="1" y="0" width="1" height="1" class="cell"' in text


def test_without_attention_the_page_has_words_alone():
    text = page(Told("a.jpg", BRIGHT, CaptionPrediction((sentence(maps=False),))))
    assert "<button" not in text and "<details" not in text and "Point at a word" not in text
    assert all(f">{word}</span>" in text for word in ("a", "red", "cow"))


def test_words_and_names_are_escaped():
    evil = "<img src=x onerror=alert(1)>"
    text = page(Told(evil, BRIGHT, CaptionPrediction((sentence((evil,)),)), references=[evil]), model=evil)
    assert evil not in text
    assert text.count("&lt;img src=x") >= 3


def test_a_page_of_noise_stays_small(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    made = CaptionPage()
    for i in range(5):
        made.add(Told(str(i), noise, CaptionPrediction((sentence(tuple("abcdefghijkl")),))))
    assert made.write(tmp_path / "c.html").stat().st_size < 5 * 70_000
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*file/c\.html"):
        made.write(tmp_path / "file" / "c.html")
