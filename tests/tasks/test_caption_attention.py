"""Attention maps, drawn: the veil, the one cell, the strip, the frames."""

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.errors import DataError
from foveate.records import Sentence
from foveate.tasks.captioning.attention import (
    CAPTION_MS,
    MAX_OPACITY,
    PALE,
    PANEL,
    WORD_MS,
    attention_frames,
    attention_overlay,
    attention_strip,
    veil,
)
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
