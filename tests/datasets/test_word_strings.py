"""Strings composed from recordings of single words: their texts, speakers, spans and seeds."""

import numpy as np
import pytest
import torch
from sound_files import PITCHES, tone, write_wav, write_words

from foveate.datasets.word_strings import WordStrings
from foveate.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_words(tmp_path_factory.mktemp("words"))


def source(folder, **more):
    return WordStrings(str(folder), **({"train": 40, "val": 20, "test": 30, "longest": 4} | more))


def test_strings_have_one_speaker_each_and_val_one_that_train_lacks(folder):
    found = source(folder, held="bob")
    whole = found.undivided()
    assert (found.splits(), whole.splits()) == (("train", "val"), ("test",))
    speakers = {
        split: {sample["speaker"] for sample in map(one.open(split).__getitem__, range(20))}
        for one in (found, whole)
        for split in one.splits()
    }
    assert speakers["val"] == {"bob"} and speakers["train"] == {"ann", "cy"}
    assert speakers["test"] == {"ann", "bob", "cy"}
    assert "speaker 'bob' in val alone" in found.describe()
    assert "40 train, 20 val, seed 0, composed of 18 recordings of 3 words by 3 speakers" in found.describe()
    assert whole.describe().startswith("strings of 1 to 4 words: 30 test, seed 0, composed of 18 recordings")


def test_every_length_from_one_to_the_longest(folder):
    dataset = source(folder).undivided().open("test")
    lengths = [len(dataset.transcript(i).split()) for i in range(30)]
    assert sorted(set(lengths)) == [1, 2, 3, 4]
    assert all(dataset[i]["transcript"] == dataset.transcript(i) for i in range(30))
    assert dataset.name(3) == "test/00003"


def test_each_span_holds_the_tone_of_its_word(folder):
    dataset = source(folder).undivided().open("test")
    for i in range(8):
        sample = dataset[i]
        values, rate = sample["audio"].values.numpy(), sample["audio"].rate
        scale = {"ann": 1.0, "bob": 1.05, "cy": 1.1}[sample["speaker"]]
        assert len(sample["spans"]) == len(sample["transcript"].split())
        for word, (start, end) in zip(sample["transcript"].split(), sample["spans"], strict=True):
            part = values[int(start * rate) : int(end * rate)]
            spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part))))
            pitch = np.argmax(spectrum) * rate / len(part)
            assert 0.88 <= pitch / (PITCHES[word] * scale) <= 1.12  # the speed changes it by up to 10 %
        quiet = values[: int(sample["spans"][0][0] * rate) - 8]
        assert np.abs(quiet).max() < 0.1 or not len(quiet)


def test_train_is_drawn_again_each_epoch_and_the_others_once(folder):
    found = source(folder)
    train, val = found.open("train"), found.open("val")
    a, b, again = (train.draw([(epoch, 5)])[0] for epoch in (0, 1, 0))
    assert torch.equal(a["audio"].values, again["audio"].values)
    assert a["audio"].values.shape != b["audio"].values.shape or not torch.equal(a["audio"].values, b["audio"].values)
    assert torch.equal(*(val.draw([(epoch, 5)])[0]["audio"].values for epoch in (0, 3)))
    other = source(folder, seed=1).open("val")
    assert [other.transcript(i) for i in range(20)] != [val.transcript(i) for i in range(20)]


def test_the_ramp_begins_with_single_words(folder):
    train = source(folder, ramp=4).open("train")
    longest = [max(len(s["transcript"].split()) for s in train.draw([(e, i) for i in range(40)])) for e in range(5)]
    assert longest == [1, 2, 3, 4, 4]
    # Tables of characters are learned from these texts: a blank is among them.
    assert {len(train.transcript(i).split()) for i in range(40)} == {1, 2, 3, 4}
    assert all(train.transcript(i) == train.draw([(4, i)])[0]["transcript"] for i in range(8))


def test_a_single_speaker_keeps_a_fifth_of_the_recordings_for_val(tmp_path):
    found = source(write_words(tmp_path, speakers=("ann",), takes=5))
    names = [{one.name for one in found.open(split).words.utterances} for split in ("train", "val")]
    assert len(names[0]) == 12 and len(names[1]) == 3 and not names[0] & names[1]
    assert "a fifth of the recordings in val alone" in found.describe()


def test_a_test_has_a_thousand_strings_of_up_to_seven_words(folder):
    dataset = WordStrings(str(folder)).undivided().open("test")
    assert len(dataset) == 1000
    assert {len(dataset.transcript(i).split()) for i in range(50)} == set(range(1, 8))


def test_errors(folder, tmp_path):
    with pytest.raises(ConfigError, match="name a folder with --data PATH"):
        WordStrings().open("train")
    with pytest.raises(ConfigError, match=r"unknown speaker to hold out 'dan'; (known: ann, bob, cy|the nearest is)"):
        source(folder, held="dan").open("train")
    with pytest.raises(ConfigError, match="longest is 0; expected 1 or more"):
        WordStrings(longest=0)
    for i in range(3):
        write_wav(tmp_path / f"{i}.wav", tone(300))
    (tmp_path / "t.tsv").write_text("0.wav\tone\n1.wav\ttwo three\n2.wav\tone\n")
    with pytest.raises(DataError, match="'two three' is several words; strings are composed of recordings of single"):
        source(tmp_path).open("train")
    assert source(folder).made_from(tmp_path) is None  # they are read as they are
    assert source("").made_from(folder) == source(folder)
