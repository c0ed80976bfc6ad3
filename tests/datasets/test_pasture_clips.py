"""Clips of the Pasture data set: labels are true of what is drawn, and no order is more frequent than its reverse."""

from collections import Counter

import numpy as np
import pytest

from foveate.datasets.pasture import Pasture
from foveate.datasets.pasture.clips import Film
from foveate.datasets.pasture.clips.motion import light_share, things_at
from foveate.datasets.pasture.clips.plot import ACTS, DUSK, KINDS, plot
from foveate.datasets.pasture.clips.sentences import PHRASES
from foveate.datasets.pasture.scene import BIRD, FRISBEE
from foveate.metrics.video import named_events, order_of
from foveate.records import ClipFormat, Preprocessing, spaced

FORM = ClipFormat(8, image=Preprocessing(size=(32, 32), stretch=True))
DATA = Pasture(48, 48, train=300, val=20, test=20, captions=3)
CLIPS = DATA.open("train", "video")
PLOTS = [CLIPS.plot(i) for i in range(300)]


def test_a_plot_depends_on_its_seed_alone():
    assert plot((0, 0, 7), 1.0) == PLOTS[7] == Pasture(48, 48, train=8).open("train", "video").plot(7)
    assert CLIPS.plot(3) != DATA.open("val", "video").plot(3)
    assert Pasture(48, 48, seed=1).open("train", "video").plot(3) != PLOTS[3]
    assert CLIPS.name(12) == "pasture/train/000012" and CLIPS.captions(5) == CLIPS[5]["captions"]
    with pytest.raises(IndexError, match="clip 300 of pasture/train, which has 300"):
        CLIPS[300]


def test_labels_are_the_same_on_every_machine():
    found = [(one.frames, one.order, one.camera, *one.events) for one in PLOTS[:3]]
    assert found == [
        (27, "sequence", "still", ("person walks right", 10, 16), ("cow turns around", 20, 25)),
        (16, "sequence", "still", ("dusk falls", 2, 7), ("person walks left", 9, 15)),
        (19, "sequence", "still", ("dusk falls", 3, 9), ("cow walks right", 10, 16)),
    ]


def test_intervals_lie_within_the_clip_and_apart():
    for one in PLOTS:
        assert 16 <= one.frames <= 32
        for event in one.events:
            assert event.start >= 1 and event.end <= one.frames - 1 and 4 <= event.end - event.start <= 6
        if one.order == "sequence":
            first, second = one.events
            assert first.end < second.start
        if one.order == "together":
            assert one.events[0].start == one.events[1].start


def test_no_order_of_two_events_is_more_frequent_than_its_reverse():
    many = [plot((1, 0, i), 1.0) for i in range(1200)]
    names = {kind: name for name, kinds in ACTS.items() for kind in kinds}
    pairs = Counter(tuple(names[e.kind] for e in one.events) for one in many if one.order == "sequence")
    for (first, second), count in pairs.items():
        other = pairs[second, first]
        assert abs(count - other) <= 4 * (count + other) ** 0.5
    assert set(Counter(e.kind for one in many for e in one.events)) == set(KINDS)
    assert 0.15 < sum(one.camera != "still" for one in many) / 1200 < 0.25


@pytest.mark.parametrize("index", range(40))
def test_captions_name_what_happens_and_its_order(index):
    one, texts = PLOTS[index], [caption.text for caption in CLIPS.captions(index)]
    assert len(set(texts)) == 3
    ways = set()
    for text in texts:
        words = text.split()
        named = named_events(words, PHRASES)
        assert {event.kind for event in one.events} == {event.kind for event in named} and len(named) == len(one.events)
        ways |= {" ".join(words[event.start : event.end]) for event in named}
        if one.order != "alone":
            said = order_of(words, *named)
            first = "together" if one.order == "together" else "as told"
            assert said == (first if one.order == "together" or named[0].kind == one.events[0].kind else "reversed")
    assert len(ways) == 3 * len(one.events)


@pytest.mark.parametrize("kind", KINDS)
def test_things_move_while_their_event_happens_and_at_no_other_time(kind):
    one = next(p for p in PLOTS if any(e.kind == kind for e in p.events) and p.order != "together")
    act = next(a for a in one.acts if a.event.kind == kind)
    others = [a for a in one.acts if a is not act]
    states = [
        ([t for t in things_at(one, n) if act.actor < 0 or t.depth >= 0], light_share(one, n))
        for n in range(one.frames)
    ]
    moving = {n for n in range(1, one.frames) if states[n] != states[n - 1]}
    own = set(range(act.event.start, act.event.end + 1))
    rest = {n for a in others for n in range(a.event.start, a.event.end + 1)}
    assert moving and moving <= own | rest
    if act.actor >= 0:
        assert own & moving


def test_who_comes_and_goes():
    def seen(kind, category):
        one = next(p for p in PLOTS if [e.kind for e in p.events] == [kind] or (
            p.order == "sequence" and kind in [e.kind for e in p.events]))  # fmt: skip
        event = next(e for e in one.events if e.kind == kind)
        return [
            any(t.category == category for t in things_at(one, n))
            for n in (0, event.start, event.end - 1, one.frames - 1)
        ]

    assert seen("bird lands", BIRD) == [False, True, True, True]
    assert seen("bird takes off", BIRD) == [True, True, True, False]
    assert seen("person throws", FRISBEE) == [True, True, True, False]
    assert seen("person catches", FRISBEE) == [False, True, True, True]


def test_walks_go_where_they_say():
    for one in PLOTS[:120]:
        for act in one.acts:
            if act.event.kind.endswith(("left", "right")):
                category = one.actors[act.actor].category
                x = [next(t.x for t in things_at(one, n) if t.category == category) for n in (0, one.frames - 1)]
                assert (x[1] > x[0]) is act.event.kind.endswith("right") and abs(x[1] - x[0]) == pytest.approx(
                    act.distance
                )


class TestFrames:
    def test_dusk_darkens_the_picture_and_stays(self):
        index = next(i for i, p in enumerate(PLOTS) if [e.kind for e in p.events] == [DUSK] and p.camera == "still")
        one = PLOTS[index]
        before, after, last = (
            float(frame.mean()) for frame in Film(one, 32, 32).frames([0, one.events[0].end, one.frames - 1])
        )
        assert after < 0.8 * before and last == pytest.approx(after, abs=2)

    def test_a_still_camera_sees_a_still_land(self):
        index = next(i for i, p in enumerate(PLOTS) if p.camera == "still" and DUSK not in [e.kind for e in p.events])
        frames = Film(PLOTS[index], 32, 32).frames([0, PLOTS[index].frames - 1]).astype(int)
        assert np.median(np.abs(frames[0, :, 0] - frames[1, :, 0])) <= 8  # the noise of the camera

    def test_a_panning_camera_shifts_the_land(self):
        index = next(i for i, p in enumerate(PLOTS) if p.camera == "right" and DUSK not in [e.kind for e in p.events])
        one = PLOTS[index]
        first, last = Film(one, 64, 64).frames([0, one.frames - 1]).astype(float)
        shift = round(one.pan * 64)
        rows = slice(0, 20)
        moved = np.abs(first[:, rows, shift:] - last[:, rows, : 64 - shift]).mean()
        assert moved < np.abs(first[:, rows] - last[:, rows]).mean()

    def test_a_frame_is_the_same_whichever_others_are_drawn(self):
        film = Film(PLOTS[1], 32, 32)
        assert np.array_equal(film.frames([3, 9, 12])[1], film.frames([9])[0])

    def test_a_clip_holds_equally_spaced_frames_with_their_times(self):
        clip = CLIPS[0]["video"].sampled(FORM)
        assert clip.frames.shape == (8, 3, 32, 32) and clip.numbers == tuple(spaced(27, 8))
        assert clip.count == 27 and clip.duration == 27 / 8 and clip.shape == (48, 48)
        assert clip.seconds == tuple(n / 8 for n in clip.numbers)


def test_spaced_frames_by_hand():
    assert spaced(10, 5) == [1, 3, 5, 7, 9]
    assert spaced(3, 5) == [0, 1, 2] and spaced(1, 4) == [0] and spaced(7, 1) == [3]


def test_it_says_what_it_is():
    assert DATA.describe("video").endswith("clips of what happens there, 3 captions each")
