"""The family of video: batches, predictions, files, pages, inspection, and kept features."""

import json
import re

import numpy as np
import pytest
import torch

import foveate
from foveate.datasets.pasture import Pasture
from foveate.engine.features import FeatureDataset, with_features
from foveate.errors import ConfigError, DataError
from foveate.records import Clip, ClipFormat, Preprocessing, Sentence, VideoPrediction
from foveate.tasks import create_task
from foveate.tasks.video.figure import VideoFigure, video_figure, video_style
from foveate.tasks.video.inspection import VideoFindings, clip_sheet
from foveate.tasks.video.page import VideoPage
from foveate.tasks.video.strip import HOT, MARGIN, ROW, attention_matrix, film_strip, frame_images
from foveate.text import END, PAD, SPECIALS, UNKNOWN, Vocabulary

TABLE = Vocabulary((*SPECIALS, "a", "cow", "walks", "left", "right"))
SIDE = 24
FORM = ClipFormat(4, image=Preprocessing((0.5,) * 3, (0.25,) * 3, size=(SIDE, SIDE), stretch=True))
DATA = Pasture(48, 64, train=4, val=2, test=0, captions=2)


def task():
    return create_task("video", {"text": TABLE}, FORM)


def clip(count=4, value=0):
    frames = torch.full((count, 3, SIDE, SIDE), value, dtype=torch.uint8)
    for i in range(count):
        frames[i] += 40 * i
    numbers = tuple(3 * i for i in range(count))
    return Clip(frames, numbers, 3 * count, tuple(n / 8 for n in numbers), 3 * count / 8, (48, 96))


def prediction(count=4, words=("a", "cow", "walks")):
    attention = np.full((len(words), count), 0.1, np.float32)
    for i in range(len(words)):
        attention[i, i % count] = 1 - 0.1 * (count - 1)
    sentence = Sentence(" ".join(words), -0.5, tuple(words), np.full(len(words), 0.5, np.float32), attention)
    other = Sentence("a", -1.5, ("a",), np.ones(1, np.float32), attention[:1])
    return VideoPrediction((sentence, other), clip(count).numbers, clip(count).seconds, "x.gif")


def model(**more):
    torch.manual_seed(0)
    return foveate.create(
        "video_attention", vocabulary=len(TABLE), backbone="plain", stride=8, image_size=(SIDE, SIDE), frames=4,
        embed=5, hidden=6, attend=4, init=0.0, **more,
    ).eval()  # fmt: skip


def test_a_batch_is_filled_up_with_zeros_after_normalisation():
    samples = [
        {"video": clip(4, 10), "tokens": torch.tensor([5, END]), "name": "x"},
        {"video": clip(2, 10), "tokens": torch.tensor([5, 6, END]), "name": "y"},
    ]
    batch = task().collate(samples)
    assert batch["clips"].shape == (2, 4, 3, SIDE, SIDE) and batch["clip_lengths"].tolist() == [4, 2]
    assert not batch["clips"][1, 2:].any() and float(batch["clips"][0, 0, 0, 0, 0]) == pytest.approx(
        (10 / 255 - 0.5) / 0.25
    )
    assert batch["tokens"].tolist() == [[5, END, PAD], [5, 6, END]]


def test_answers_of_clips_of_several_lengths_are_those_of_each_alone():
    family, network = task(), model(order="time", encoder=5)
    samples = [{"video": clip(n, 10 * n), "name": str(n)} for n in (4, 1, 2)]
    options = family.make_options({"beams": 2, "max_length": 6}, "predict")
    together = family.answer(network, samples, options)
    for sample, found in zip(samples, together, strict=True):
        (alone,) = family.answer(network, [sample], options)
        assert [s.text for s in alone.sentences] == [s.text for s in found.sentences] and len(found.sentences) == 2
        np.testing.assert_allclose(alone.attention(), found.attention(), atol=1e-5)
        assert found.attention().shape[1] == len(sample["video"].frames) == len(found.numbers)
        np.testing.assert_allclose(found.attention().sum(1), 1, atol=1e-5)
        assert found.seconds == sample["video"].seconds


def test_a_vocabulary_of_another_training_is_refused():
    from foveate.errors import ModelError

    other = create_task("video", {"text": Vocabulary((*SPECIALS, "a"))}, FORM)
    with pytest.raises(ModelError, match="the model writes 9 different tokens, but its vocabulary has 5"):
        other.answer(model(), [{"video": clip(), "name": "x"}], other.options)


def test_the_record_says_which_frame_each_word_attended_to():
    record = task().record(prediction())
    assert json.loads(json.dumps(record)) == record
    assert record["caption"] == "a cow walks" and record["alternatives"] == [{"caption": "a", "score": -1.5}]
    assert record["frames"] == [0, 3, 6, 9] and record["seconds"] == [0.0, 0.375, 0.75, 1.125]
    assert [(w["word"], w["frame"], w["second"]) for w in record["words"]] == [
        ("a", 0, 0.0), ("cow", 3, 0.375), ("walks", 6, 0.75),
    ]  # fmt: skip
    assert record["words"][0]["attention"] == [0.7, 0.1, 0.1, 0.1]


def test_the_film_and_the_matrix_show_the_attended_frames(tmp_path):
    one, found = clip(), prediction()
    images = frame_images(one, 96)
    assert [image.shape for image in images] == [(48, 96, 3)] * 4  # as the video is, not as the network sees it
    film = np.asarray(film_strip(one, found))
    assert (film == 80).all(2).sum() > 10000  # the third word's frame, of value 80
    assert not (film == 120).all(2).sum() > 10000  # no word attended to the last one
    matrix = np.asarray(attention_matrix(one, found)).astype(int)
    top = matrix.shape[0] - 3 * ROW - 8
    cells = matrix[top + ROW // 2 :: ROW][:3, MARGIN + 8 :: 64][:, :4]
    hot = np.abs(cells - np.array(HOT)).sum(2) < 6
    assert hot.tolist() == [[i == j for j in range(4)] for i in range(3)]
    files = task().files(found, {"video": one})
    assert {key: ending for key, (ending, _) in files.items()} == {"film": "_film.png", "matrix": "_attention.png"}
    for _, write in files.values():
        write(tmp_path / "x.png")
    features = Clip(torch.zeros(4, 5), (0, 1, 2, 3), 4)
    assert list(task().files(found, {"video": features})) == ["matrix"]
    assert attention_matrix(features, found).height == 3 * ROW + ROW + 8


def test_the_page_plays_every_clip_and_has_no_script_and_no_style_of_its_own(tmp_path):
    page = VideoPage("m")
    page.add("a <b>.gif", prediction(), {"video": clip()})
    page.add("c.gif", prediction(), {"video": Clip(torch.zeros(4, 5), (0, 1, 2, 3), 4)})
    page.write(tmp_path)
    text = (tmp_path / "captions.html").read_text(encoding="utf-8")
    assert text.count("data:image/webp;base64,") == 1 and text.count("data:image/jpeg;base64,") == 4
    assert "<script" not in text and " style=" not in text and "a &lt;b&gt;.gif" in text
    assert "attended most at 0.4 s" in text and "attended most at frame 1" in text and "12 frames, 1.5 s" in text
    heights = [int(h) for h in re.findall(r'<rect[^>]* height="(\d+)"', text)]
    assert heights[:4] == [28, 4, 4, 4]  # of the first word: 0.7 is the most, 0.1 a seventh of it
    assert video_style(2).count("{--bar:#c95214") == 2  # a rule a word
    figure = str(video_figure(VideoFigure("n", clip(), prediction(), ["people said so"], 1.0), "beneath"))
    assert "beneath" in figure and figure.count("<rect") == 12


def test_inspection_reads_every_clip_and_counts_what_happens():
    found = VideoFindings("pasture", "")
    found.total = 4
    dataset = DATA.open("train", "video")
    found.begin("train", dataset)
    for i in range(4):
        found.add("train", dataset[i])
    facts = found.details_to_json()
    assert facts["captions"] == {"train": 8} and facts["sizes"] == [{"size": [48, 64], "clips": 4}]
    assert sum(facts["events"].values()) == sum(len(dataset.plot(i).events) for i in range(4))
    assert facts["frames_a_clip"]["least"] >= 16 and "events: " in found.details()[-1]
    assert found.sheet().width > 400


def test_a_sheet_of_clips():
    assert clip_sheet([(clip(), "a cow walks", "x.gif")]).width >= 480
    samples = [{"video": clip(), "tokens": torch.tensor([4, 5, END]), "name": "x"}]
    assert task().preview(samples, None).width >= 480
    assert task().preview([{"video": Clip(torch.zeros(4, 5), (0, 1, 2, 3), 4), "name": "x"}], None) is None


def test_a_previewed_caption_shows_where_words_are_unknown():
    own = task()
    known = own.text.decode([4, 5])
    assert own.spelled([4, 5, END]) == known
    first, second = known.split()
    assert own.spelled([4, UNKNOWN, UNKNOWN, 5, END, PAD]) == f"{first} [unknown] {second}"


class TestKeptFeatures:
    def suited(self):
        family = task()

        class Suited:
            dataset = DATA.open("train", "video")

            def __len__(self):
                return 4

            def __getitem__(self, index):
                return family.suit(self.dataset[index])[0]

            def name(self, index):
                return self.dataset.name(index)

        return Suited()

    def test_they_are_those_of_the_frames_and_keep_their_times(self, tmp_path, monkeypatch):
        monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path))
        network, data = model(), self.suited()
        kept = FeatureDataset(data, network)
        kept.prepare("features")
        assert len(list(tmp_path.rglob("*.safetensors"))) == 4
        for i in range(4):
            one, whole = kept[i]["video"], data[i]["video"]
            with torch.no_grad():
                expected = network.encode(FORM(whole.frames)[None])[0]
            torch.testing.assert_close(one.frames.float(), expected, rtol=1e-2, atol=1e-2)
            assert (one.numbers, one.seconds, one.count) == (whole.numbers, whole.seconds, whole.count)
        family = task()
        options = family.make_options({"beams": 1, "max_length": 5}, "predict")
        (a,), (b,) = (family.answer(network, [s], options) for s in (kept[1], data[1]))
        assert a.text == b.text and a.numbers == b.numbers
        batch = family.collate([s | {"tokens": torch.tensor([5, END])} for s in (kept[0], kept[1])])
        assert "clips" not in batch and batch["features"].dtype == torch.float32

    def test_another_way_of_pooling_is_another_cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path))
        folders = {FeatureDataset(self.suited(), model(pool=pool)).folder for pool in ("mean", "max")}
        assert len(folders) == 2

    def test_a_motion_network_that_learns_is_refused(self):
        with pytest.raises(ConfigError, match="cannot be kept: its 3-D CNN, which learns, reads the frames"):
            with_features(self.suited(), self.suited(), model(motion="convolution", motion_size=4), 0, 1)


def test_captions_without_a_known_word_are_refused():
    class Unknown:
        def __len__(self):
            return 1

        def captions(self, index):
            from foveate.records import Caption

            return (Caption("zebra"),)

    with pytest.raises(DataError, match="none of the captions of 1 clip has a word of the vocabulary"):
        task().training_set(Unknown())
