"""Videos in files: what is read of each kind, and what is refused."""

import json
import struct
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.videos.features import VideoFeatures
from foveate.engine.inspection import inspect
from foveate.errors import ConfigError, DataError
from foveate.records import Clip, ClipFormat, Preprocessing
from foveate.tasks.video.inputs import VIDEO
from foveate.videos import clip_from, frame_files, is_clip_folder, read_clip, turned

FORM = ClipFormat(4, image=Preprocessing(size=(16, 16), stretch=True))


def frames(count=9, size=(32, 24)):
    """Frame i is grey of value 20 i."""
    return [Image.new("RGB", size, (20 * i,) * 3) for i in range(count)]


def animate(path, images, ms=50, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".gif": "GIF", ".webp": "WEBP"}[path.suffix]
    images[0].save(path, kind, save_all=True, append_images=images[1:], duration=ms, **more)
    return path


def folder(path, images):
    path.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images, 1):
        image.save(path / f"frame{i}.png")
    return path


def encode(path, images, rate=25, codec="mpeg4", **options):
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = images[0].size
        stream.pix_fmt = "yuv420p"
        for image in images:
            for packet in stream.encode(av.VideoFrame.from_image(image)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def values(clip):
    """The grey value of each frame, in the steps of `frames`."""
    return [round(float(frame.float().mean()) / 20) for frame in clip.frames]


class TestRead:
    def test_equally_spaced_frames_of_an_animation(self, tmp_path):
        for name, more in (("a.gif", {}), ("a.webp", {"lossless": True})):
            clip = read_clip(animate(tmp_path / name, frames(), **more), FORM)
            assert clip.numbers == (1, 3, 5, 7) and values(clip) == [1, 3, 5, 7]
            assert clip.seconds == pytest.approx((0.05, 0.15, 0.25, 0.35)) and clip.duration == pytest.approx(0.45)
            assert clip.frames.shape == (4, 3, 16, 16) and clip.shape == (24, 32) and clip.count == 9

    def test_frames_that_are_shown_for_different_times(self, tmp_path):
        clip = read_clip(animate(tmp_path / "a.gif", frames(3), [100, 500, 200]), FORM)
        assert clip.seconds == pytest.approx((0.0, 0.1, 0.6)) and clip.duration == pytest.approx(0.8)

    def test_transparent_places_are_white(self, tmp_path):
        images = [Image.new("RGBA", (8, 8), (0, 0, 0, 0)), Image.new("RGBA", (8, 8), (0, 0, 0, 255))]
        clip = read_clip(animate(tmp_path / "a.webp", images, lossless=True), FORM)
        assert [int(frame.max()) for frame in clip.frames] == [255, 0]

    def test_a_folder_of_frames_in_the_order_of_their_numbers(self, tmp_path):
        path = folder(tmp_path / "clip", frames(12))
        assert [p.name for p in frame_files(path)][-3:] == ["frame10.png", "frame11.png", "frame12.png"]
        clip = read_clip(path, FORM)
        assert clip.numbers == (1, 4, 7, 10) and values(clip) == [1, 4, 7, 10] and clip.seconds == ()
        assert clip.time(1) == "frame 4" and is_clip_folder(path)

    @pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mpeg4"), ("a.mov", "mpeg4"), ("a.webm", "libvpx-vp9"),
                                                 ("a.mkv", "mpeg4"), ("a.avi", "mpeg4")])  # fmt: skip
    def test_containers(self, tmp_path, name, codec):
        path = encode(tmp_path / name, frames(10, (64, 48)), codec=codec)
        clip = read_clip(path, FORM)
        assert (clip.count, clip.numbers, clip.shape) == (10, (1, 3, 6, 8), (48, 64))
        assert values(clip) == [1, 3, 6, 8]
        assert clip.seconds == pytest.approx([n / 25 for n in clip.numbers], abs=0.002)
        assert clip.duration == pytest.approx(0.4, abs=0.05)

    def test_frames_that_are_coded_out_of_order_come_as_they_are_shown(self, tmp_path):
        path = encode(tmp_path / "a.mp4", frames(12, (64, 48)), codec="mpeg4", bf="2")
        clip = read_clip(path, FORM)
        assert values(clip) == [1, 4, 7, 10] and list(clip.seconds) == sorted(clip.seconds)

    def test_a_rotated_frame(self):
        frame = np.arange(6, dtype=np.uint8).reshape(2, 3, 1).repeat(3, 2)
        assert turned(frame, 0) is not None and turned(frame, 90).shape == (3, 2, 3)
        assert turned(frame, 90)[:, :, 0].tolist() == [[2, 5], [1, 4], [0, 3]]  # anticlockwise
        assert turned(frame, -90)[:, :, 0].tolist() == [[3, 0], [4, 1], [5, 2]]
        assert turned(frame, 180)[0, 0, 0] == 5

    def test_a_film_of_a_phone_held_upright(self, tmp_path):
        image = Image.new("RGB", (64, 48))
        image.paste((255, 255, 255), (0, 0, 32, 48))  # the left half is white
        path = encode(tmp_path / "a.mp4", [image] * 4)
        content = bytearray(path.read_bytes())
        at = content.index(b"tkhd") + 4 + 40
        one = 1 << 16
        content[at : at + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 48 * one, 0, 1 << 30)  # 90 degrees clockwise
        path.write_bytes(content)
        clip = read_clip(path, FORM)
        assert clip.shape == (64, 48)
        assert float(clip.frames[0, :, :7].float().mean()) > 200 > 50 > float(clip.frames[0, :, 9:].float().mean())

    def test_memory_does_not_grow_with_the_length(self, tmp_path):
        held, most = 0, 0
        import foveate.videos as module

        fit = module.fit

        def counting(frame, image):
            nonlocal held, most
            held += 1
            most = max(most, held)
            held -= 1
            return fit(frame, image)

        module.fit = counting
        try:
            clip = read_clip(animate(tmp_path / "long.gif", frames(12)), FORM)
        finally:
            module.fit = fit
        assert most == 1 and len(clip.frames) == 4  # one frame at a time, and only those that are read

    def test_a_still_picture_is_said(self, tmp_path):
        clip = read_clip(animate(tmp_path / "one.webp", frames(1)), FORM)
        assert clip.frames.shape[0] == 1 and clip.notes == ("one frame: it is read as a still picture",)
        assert VIDEO.note(clip) == clip.notes[0]


class TestRefused:
    @pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp", ".webm"])
    def test_files_that_are_no_video(self, tmp_path, suffix):
        pytest.importorskip("av")
        path = tmp_path / f"a{suffix}"
        with pytest.raises(DataError, match=f"a{suffix}: no such file"):
            read_clip(path, FORM)
        path.write_bytes(b"")
        with pytest.raises(DataError, match="an empty file; record it again, or remove it"):
            read_clip(path, FORM)
        path.write_bytes(b"no video at all" * 30)
        with pytest.raises(DataError, match=rf"a{suffix}: not an? (video|animation) that can be read \(.+\)"):
            read_clip(path, FORM)

    def test_a_video_that_breaks_off(self, tmp_path):
        path = encode(tmp_path / "a.mkv", [Image.effect_noise((64, 48), 60).convert("RGB") for _ in range(30)])
        content = path.read_bytes()
        whole = read_clip(path, FORM).count
        path.write_bytes(content[: len(content) // 2])
        clip_or_error = None
        try:
            clip_or_error = read_clip(path, FORM)
        except DataError as error:
            assert "damaged" in str(error)
        else:  # the container says of no frame that it is missing: the clip is what there is
            assert clip_or_error.count < whole
        moov = encode(tmp_path / "b.mp4", frames(30, (64, 48)), movflags="faststart")
        moov.write_bytes(moov.read_bytes()[:-400])
        with pytest.raises(DataError, match=r"b.mp4: .*(damaged|not a video)"):
            read_clip(moov, FORM)

    def test_a_gif_that_breaks_off(self, tmp_path):
        path = animate(tmp_path / "a.gif", [Image.effect_noise((32, 24), 80).convert("RGB") for _ in range(6)])
        content = path.read_bytes()
        for cut in (700, 1500):
            path.write_bytes(content[:-cut])
            try:
                clip = read_clip(path, FORM)
            except DataError as error:
                assert "a.gif: damaged at frame " in str(error)
            else:
                assert clip.notes[-1] == "it ends without the mark of a GIF's end, and may be cut off"
        assert read_clip(animate(path, frames()), FORM).notes == ()

    def test_sound_without_pictures(self, tmp_path):
        av = pytest.importorskip("av")
        path = tmp_path / "a.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=16000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
            for packet in [*stream.encode(frame), *stream.encode()]:
                container.mux(packet)
        with pytest.raises(DataError, match=r"a.mp4: no video, only audio; give a file with pictures"):
            read_clip(path, FORM)

    def test_frames_of_another_size_midway(self, tmp_path):
        path = folder(tmp_path / "clip", frames(3))
        Image.new("RGB", (16, 16)).save(path / "frame4.png")
        with pytest.raises(
            DataError, match=r"frame4.png: 16x16 pixels, the frames before it 32x24; give frames of one"
        ):
            read_clip(path, FORM)
        with pytest.raises(
            DataError, match=r"frames of shapes \(16, 16, 3\) and \(24, 32, 3\); give frames of one size"
        ):
            clip_from([*frames(2), Image.new("RGB", (16, 16))], FORM, "x")

    def test_frames_of_another_size_midway_in_a_stream(self, tmp_path):
        av = pytest.importorskip("av")
        path = tmp_path / "a.webm"
        with av.open(str(path), "w") as container:  # two streams of one codec, their packets in one
            streams = []
            for size in ((64, 48), (32, 32)):
                encoder = av.CodecContext.create("libvpx", "w")
                encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
                encoder.time_base = Fraction(1, 25)
                streams.append((encoder, size))
            stream = container.add_stream("libvpx", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            number = 0
            for encoder, size in streams:
                for _ in range(4):
                    frame = av.VideoFrame.from_image(Image.new("RGB", size, (90, 90, 90)))
                    frame.pts, frame.time_base = number, Fraction(1, 25)
                    number += 1
                    for packet in encoder.encode(frame):
                        packet.stream = stream
                        container.mux(packet)
                for packet in encoder.encode(None):
                    packet.stream = stream
                    container.mux(packet)
        with pytest.raises(DataError, match=r"a.webm: frame \d+ has 32x32 pixels, those before 64x48; cut the video"):
            read_clip(path, FORM)

    def test_without_pyav_its_formats_say_what_to_install(self, tmp_path, monkeypatch):
        import sys

        monkeypatch.setitem(sys.modules, "av", None)
        (tmp_path / "a.mp4").write_bytes(b"x")
        with pytest.raises(DataError, match=r".mp4 needs PyAV; install it with pip install 'foveate\[video\]'"):
            read_clip(tmp_path / "a.mp4", FORM)
        assert read_clip(animate(tmp_path / "a.gif", frames()), FORM).count == 9

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (np.zeros((0, 8, 8, 3), np.uint8), "no frames"),
            (np.zeros((3, 3, 8, 8), np.uint8), r"frames of shape \(3, 3, 8, 8\); give a video, a folder, or \(N, H, W"),
            (torch.zeros(3, 8, 8, 3), r"frames of shape \(3, 8, 8, 3\); give a video, a folder, or \(N, 3, H, W\)"),
            (np.full((2, 8, 8, 3), 2.0), "frames of float64 outside of uint8 and of floats in 0..1"),
            (np.zeros((2, 8, 8, 3), np.int32), "frames of int32 outside"),
            (np.full((2, 8, 8, 3), np.nan), "outside of uint8"),
            (7, "int; give a video"),
        ],
    )
    def test_arrays(self, given, message):
        with pytest.raises(DataError, match=message):
            VIDEO.open(given, FORM, "m", "x")


def test_frames_in_memory_are_those_of_a_file(tmp_path):
    images = frames(9)
    read = read_clip(animate(tmp_path / "a.webp", images, lossless=True), FORM)
    stack = np.stack([np.asarray(image) for image in images])
    ways = [stack, images, list(stack), torch.from_numpy(stack).permute(0, 3, 1, 2), stack / 255.0, stack[..., 0]]
    for given in ways:
        clip = VIDEO.open(given, FORM, "m", "x")
        assert torch.equal(clip.frames, read.frames) and clip.numbers == read.numbers and clip.seconds == ()
    assert VIDEO.open(read, FORM, "m", "x") == read
    with pytest.raises(DataError, match=r"frames of 16x16 pixels, but m reads 8x8"):
        VIDEO.open(read, ClipFormat(4, image=Preprocessing(size=(8, 8))), "m", "x")


class TestTables:
    def make(self, root, text, name="captions.tsv", clips=4):
        for i in range(clips):
            animate(root / "clips" / f"c{i}.gif", frames(3 + i))
        (root / name).write_text(text)
        return root

    def test_a_table_is_read_and_its_split_is_drawn_and_kept(self, tmp_path):
        rows = "".join(f"c{i}.gif\ta cow walks {i}\nc{i}.gif\tit is number {i}\n" for i in range(4))
        source = recognise(self.make(tmp_path, "video\tcaption\n" + rows), "video")
        assert type(source).__name__ == "VideoTable" and source.splits() == ("train", "val")
        train, val = source.open("train"), source.open("val")
        assert len(train) + len(val) == 4 and (tmp_path / "splits.json").is_file()
        assert "captions of clips (captions.tsv)" in source.describe() and "clips, 8 captions" in source.describe()
        sample = train[0]
        assert sample["name"].endswith(".gif") and len(sample["captions"]) == 2
        assert sample["video"].sampled(FORM).frames.shape[1:] == (3, 16, 16)
        assert not train.phrases and train.features == 0

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("captions.csv", 'clip,caption,split\nc0.gif,"a cow, then a bird",train\nc1,b,val\n'),
            ("captions.txt", "video,caption,split\nc0.gif,a cow then a bird,train\nc1.gif,b,val\n"),
            ("all.jsonl", '{"video": "clips/c0.gif", "caption": "a cow", "split": "train"}\n'
                          '{"video": "c1.gif", "caption": "b", "split": "val"}\n'),
            ("all.json", json.dumps([{"video": "c0.gif", "caption": "a cow", "split": "train"},
                                     {"video": "c1.gif", "caption": "b", "split": "val"}])),
            ("msrvtt.json", json.dumps({
                "videos": [{"video_id": "c0", "split": "train"}, {"video_id": "c1", "split": "validate"}],
                "sentences": [{"video_id": "c0", "caption": "a cow"}, {"video_id": "c1", "caption": "b"}]})),
        ],
    )  # fmt: skip
    def test_forms(self, tmp_path, name, text):
        source = recognise(self.make(tmp_path, text, name, 2), "video")
        assert [len(source.open(split)) for split in source.splits()] == [1, 1]
        assert source.open("train")[0]["captions"][0].text.startswith("a cow")
        assert source.open("val").name(0) == "c1.gif"

    def test_columns_about_captions_are_none_and_two_languages_are_refused(self, tmp_path):
        rows = "".join(f"c{i}.gif,{i}7,a cow\n" for i in range(4))
        source = recognise(self.make(tmp_path, "video,caption_id,caption_text\n" + rows, "captions.csv"), "video")
        assert [caption.text for caption in source.open("train")[0]["captions"]] == ["a cow"]
        rows = "".join(f"c{i}.gif,a cow,une vache\n" for i in range(4))
        source = recognise(self.make(tmp_path, "video,caption_en,caption_fr\n" + rows, "captions.csv"), "video")
        with pytest.raises(
            DataError, match=r"captions\.csv: the columns caption_en, caption_fr hold captions in several"
        ):
            source.open("train")

    def test_a_dictionary_of_captions_and_folders_of_frames(self, tmp_path):
        for i in range(3):
            folder(tmp_path / "frames" / f"c{i}", frames(4))
        (tmp_path / "captions.json").write_text(json.dumps({f"c{i}": [f"text {i}"] for i in range(3)}))
        source = recognise(tmp_path, "video")
        names = [source.open(s).name(i) for s in source.splits() for i in range(len(source.open(s)))]
        assert sorted(names) == ["c0", "c1", "c2"]
        assert source.open("train")[0]["video"].sampled(FORM).count == 4

    def test_a_damaged_table_is_still_one_of_clips(self, tmp_path):
        text = "video\tcaption\n" + "".join(f"c{i}.gif\ttext{chr(0) * (i == 1)}\n" for i in range(4))
        source = recognise(self.make(tmp_path, text))
        assert type(source).__name__ == "VideoTable"
        with pytest.raises(DataError, match=r"captions\.tsv: line 3: a zero byte; repair the line, or save the file"):
            source.open("train")

    def test_problems_are_named(self, tmp_path):
        text = "video\tcaption\n" + "".join(f"c{i}.gif\ttext {i}\n" for i in range(4)) + "c9.gif\tno clip\nc1.gif\t \n"
        root = self.make(tmp_path, text)
        (root / "clips" / "c2.gif").write_bytes(b"")
        source = recognise(root, "video")
        found = "\n".join(map(str, source.problems()))
        assert "captions of 'c9.gif', but there is no clip of that name; add it, or remove them" in found
        assert "c2.gif: an empty file" in found and "an empty caption of 'c1.gif'" in found
        with pytest.raises(DataError, match=r"c9\.gif"):
            source.open("train")

    def test_clips_without_captions(self, tmp_path):
        animate(tmp_path / "a.gif", frames(3))
        with pytest.raises(DataError, match=r"has clips \(a.gif, ...\), but no captions; add captions.tsv"):
            recognise(tmp_path, "video")
        (tmp_path / "captions.tsv").write_text("video\tcaption\nb.gif\tno such clip\n")
        with pytest.raises(DataError, match=r"captions.tsv, which names none of the clips \(a.gif, ...\)"):
            recognise(tmp_path, "video")

    def test_captions_of_images_stay_those_of_images(self, tmp_path):
        for i in range(3):
            Image.new("RGB", (8, 8)).save(tmp_path / f"p{i}.png")
        (tmp_path / "captions.csv").write_text("image,caption\n" + "".join(f"p{i}.png,text {i}\n" for i in range(3)))
        assert recognise(tmp_path).tasks[0] == "captioning"


class TestFeatures:
    def make(self, root, clips=20, **more):
        labels = np.repeat(np.arange(2), clips // 2)
        data = np.random.default_rng(0).normal(size=(clips, 6, 5)).astype(np.float16)
        np.savez(root / "features.npz", features=data, label=labels, ids=[f"v{i:02d}" for i in range(clips)], **more)
        (root / "classes.txt").write_text("BandMarching\nbaby_crawling\n")
        return root

    def test_the_class_is_the_caption_and_the_last_fifth_of_each_is_val(self, tmp_path):
        source = recognise(self.make(tmp_path), "video")
        train, val = source.open("train"), source.open("val")
        assert [len(train), len(val)] == [16, 4] and [val.name(i) for i in range(4)] == ["v08", "v09", "v18", "v19"]
        assert {train.captions(i)[0].text for i in range(16)} == {"band marching", "baby crawling"}
        sample = train[0]
        assert sample["events"] == (("band marching", 0, 6),) and train.features == 5
        clip = sample["video"].sampled(ClipFormat(3, features=5))
        assert clip.numbers == (1, 3, 5) and clip.is_features and clip.frames.shape == (3, 5)

    def test_joined_clips_know_their_parts(self, tmp_path):
        self.make(tmp_path)
        data = VideoFeatures(str(tmp_path), join=2).open("train")
        plain = VideoFeatures(str(tmp_path)).open("train")
        orders = set()
        for i in range(len(data)):
            sample = data[i]
            first, second = sample["events"]
            orders.add(first.kind)
            assert sample["captions"][0].text == f"{first.kind} then {second.kind}" and first.kind != second.kind
            assert 2 <= first.end <= 6 and first.end == second.start and 2 <= second.end - second.start <= 6
            clip = sample["video"].sampled(ClipFormat(50, features=5))
            assert clip.count == second.end == len(clip.frames)
            one = next(j for j in range(len(plain)) if plain.name(j) == data.name(i).split("+")[0])
            own = plain[one]["video"].sampled(ClipFormat(50, features=5)).frames
            assert torch.equal(clip.frames[: first.end], own[: first.end])
        assert orders == {"band marching", "baby crawling"}
        for epoch in (0, 1):
            drawn = data.draw([(epoch, i) for i in range(len(data))])
            same = [
                a["captions"] == b["captions"] and a["name"] == b["name"] for a, b in zip(drawn, data, strict=False)
            ]
            assert all(same) is (epoch == 0)  # later epochs have other pairs
            assert all(one["captions"][0].text == " then ".join(e.kind for e in one["events"]) for one in drawn)
        assert not hasattr(VideoFeatures(str(tmp_path), join=2).open("val"), "draw") and not hasattr(plain, "draw")
        assert data[3]["video"].sampled(ClipFormat(50, features=5)) == data[3]["video"].sampled(
            ClipFormat(50, features=5)
        )

    def test_undivided_all_clips_are_the_test(self, tmp_path):
        source = recognise(self.make(tmp_path), "video").undivided()
        assert source.splits() == ("test",) and len(source.open("test")) == 20

    def test_errors(self, tmp_path):
        with pytest.raises(ConfigError, match="say where they are with --data PATH"):
            VideoFeatures().open("train")
        with pytest.raises(ConfigError, match="join is 3; expected 1 or 2 clips"):
            VideoFeatures("x", join=3)
        self.make(tmp_path)
        (tmp_path / "classes.txt").write_text("one\n")
        with pytest.raises(DataError, match=r"labels 0..1, but classes.txt names 1 class"):
            VideoFeatures(str(tmp_path)).open("train")
        with pytest.raises(
            DataError, match=r"a video, but m was trained on 5 features a frame; give an array \(N, 5\)"
        ):
            VIDEO.open("a.mp4", ClipFormat(3, features=5), "m")
        with pytest.raises(DataError, match="x: 4 features a frame, but m reads 5 features a frame"):
            VIDEO.open(np.zeros((3, 4), np.float32), ClipFormat(3, features=5), "m", "x")
        with pytest.raises(DataError, match="features that are not numbers"):
            VIDEO.open(np.full((3, 5), np.nan, np.float32), ClipFormat(3, features=5), "m", "x")
        assert isinstance(VIDEO.open(np.zeros((9, 5), np.float32), ClipFormat(3, features=5), "m"), Clip)


def test_inspection_goes_on_past_clips_that_cannot_be_decoded(tmp_path):
    for name, count in (("a", 4), ("b", 4), ("c", 4), ("still", 1)):
        animate(tmp_path / f"{name}.gif", frames(count))
    for name in ("d", "e"):
        (tmp_path / f"{name}.gif").write_bytes(b"GIF89a garbage")
    rows = "".join(f"{name}.gif,a cow\n" for name in ("a", "b", "c", "d", "e", "still"))
    (tmp_path / "captions.csv").write_text("video,caption\n" + rows)
    found = inspect(recognise(tmp_path, "video"), "video")
    assert sorted(problem.file.name for problem in found.problems) == ["d.gif", "e.gif"]
    assert found.counts.total() == 4 and found.failed == 2
    assert list(found.notes.values()) == [["still.gif"]]
