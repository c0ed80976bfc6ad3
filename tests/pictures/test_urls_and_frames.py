"""Images from the web, and frames of videos."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import re
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import foveate
from foveate.cli import main
from foveate.errors import DataError
from foveate.pictures import urls
from foveate.pictures.urls import download, fetch
from foveate.records import ClassTable
from foveate.store import save_model
from foveate.videos.frames import VideoWriter, frame_rate, read_frames

av = pytest.importorskip("av")
CLASSES = ClassTable(("sky", "grass", "cow"))


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3)).save(file, format="PNG")
    return file.getvalue()


class Answers(http.server.BaseHTTPRequestHandler):
    """/a.png, /plain, /gr%C3%BCn%20a.png: an image; /text: text; /away: leads to an address of ftp.

    /endless: never ends, and states no length; /stated: states a length of 1 GB, and sends nothing; /short, /chunk: end
    before they are whole.
    """

    sent = 0  # bytes of /endless

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/away":
            self.send_response(302)
            self.send_header("Location", "ftp://example.org/a.png")
            self.end_headers()
            return
        if path in ("/endless", "/stated", "/short", "/chunk"):
            self._send_unbounded(path)
            return
        kinds = dict.fromkeys(("/a.png", "/plain", "/gr%C3%BCn%20a.png"), "image/png") | {"/text": "text/plain"}
        if path not in kinds:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", kinds[path])
        self.end_headers()
        self.wfile.write(b"words" if path == "/text" else png())

    def _send_unbounded(self, path: str) -> None:
        self.protocol_version = "HTTP/1.1" if path == "/chunk" else "HTTP/1.0"
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        if path == "/chunk":
            self.send_header("Transfer-Encoding", "chunked")
        elif path != "/endless":
            self.send_header("Content-Length", str(10**9 if path == "/stated" else 10_000))
        self.end_headers()
        self.close_connection = True
        if path in ("/short", "/chunk"):
            self.wfile.write(b"ff\r\nshort" if path == "/chunk" else b"short")
        with contextlib.suppress(OSError):  # the client has closed
            while path == "/endless":
                self.wfile.write(b"x" * 10_000)
                Answers.sent += 10_000

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server of this machine; http is allowed for the test alone."""
    monkeypatch.setattr(urls, "SCHEMES", frozenset({"https", "http"}))
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def test_content_is_fetched_and_bounded(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fetch(f"{server}/a.png") == (png(), ".png")
    endings = frozenset({".png", ".jpg"})
    assert download(f"{server}/a.png?x=1", tmp_path, endings) == tmp_path / "a.png"
    assert download(f"{server}/plain", tmp_path, endings) == tmp_path / "plain.png"  # by its type
    assert (tmp_path / "plain.png").read_bytes() == png()
    with pytest.raises(DataError, match=r"/text: holds \.txt; expected one of \.jpg, \.png"):
        download(f"{server}/text", tmp_path, endings)
    with pytest.raises(DataError, match=r"/gone: the server answers 404 .*; check the address"):
        fetch(f"{server}/gone")
    with pytest.raises(DataError, match=r"/away: leads to ftp://example.org/a.png, and ftp:// is not read"):
        fetch(f"{server}/away")
    assert fetch(f"{server}/grün a.png") == fetch(f"{server}/gr%C3%BCn%20a.png") == (png(), ".png")


def test_no_more_is_downloaded_than_is_read(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "MAX_BYTES", 2**20)
    for name in ("endless", "stated"):
        with pytest.raises(DataError, match=f"/{name}: more than 1 MB; download it and give the file"):
            fetch(f"{server}/{name}")
    assert Answers.sent < 2**26  # what is under way when the client closes, not all that there is


@pytest.mark.parametrize(
    ("name", "reason"), [("short", "it ends after 5 of 10,000 bytes"), ("chunk", "IncompleteRead")]
)
def test_a_download_that_breaks_off_is_none(server: str, name: str, reason: str) -> None:
    with pytest.raises(DataError, match=rf"/{name} cannot be downloaded \({reason}.*\); check the network"):
        fetch(f"{server}/{name}")


def test_other_schemes_are_refused_before_anything_is_asked() -> None:
    for address in ("http://example.org/a.png", "file:///etc/passwd", "ftp://example.org/a.png"):
        scheme = address.partition(":")[0]
        with pytest.raises(
            DataError, match=f"^{address}: {scheme}:// is not read; give an address of https, or a file$"
        ):
            fetch(address)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = foveate.create("fcn32s", num_classes=3, backbone="test_efficientnet", head_channels=8, head_kernel=1)
    torch.nn.init.normal_(model.score.weight)
    folder = tmp_path_factory.mktemp("runs") / "first"
    save_model(folder / "model", model, "fcn32s", {"classes": CLASSES}, "semantic")
    return folder


def test_an_address_is_predicted_as_its_file_is(
    server: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(png())

    def predict(out: str, *inputs: str) -> int:
        return main(["predict", str(run), *inputs, "--device", "cpu", "--out", str(tmp_path / out)])

    assert predict("web", f"{server}/a.png", f"{server}/plain") == 0
    assert predict("disk", str(tmp_path / "a.png")) == 0
    found = json.loads((tmp_path / "web" / "predictions.json").read_text())["pictures"]
    assert [one["file"] for one in found] == [f"{server}/a.png", f"{server}/plain"]
    for one in found:
        assert (tmp_path / "web" / one["mask"]).read_bytes() == (tmp_path / "disk" / "a.png").read_bytes()
    assert predict("no", "http://localhost.invalid/a.png") == 1
    told = capsys.readouterr().err
    assert "http://localhost.invalid/a.png cannot be downloaded (" in told and "rrno" not in told


def test_an_address_with_nothing_at_it_is_named_and_the_others_go_on(
    server: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a file that cannot be read, also of another protocol; its name may be that of another input."""
    (tmp_path / "gone.png").write_bytes(png())
    (tmp_path / "bad.png").write_bytes(b"no picture")
    web, memory = f"{server}/gone.png?x=1", "memory://in/nothing.png"
    words = [web, memory, str(tmp_path / "bad.png"), f"{server}/a.png", f"{server}/a.png", str(tmp_path / "gone.png")]
    assert main(["predict", str(run), *words, "--device", "cpu", "--out", str(tmp_path / "out")]) == 1
    summary = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [one["file"] for one in summary["pictures"]] == [f"{server}/a.png", str(tmp_path / "gone.png")]
    assert [one["file"] for one in summary["failed"]] == [web, memory, str(tmp_path / "bad.png")]
    assert summary["failed"][0]["error"].startswith(f"{web}: the server answers 404 (Not Found); check the address")
    assert summary["failed"][1]["error"].startswith(f"no pictures at {memory}; expected files ending in")
    told = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in told[:2]] == [
        f"foveate: {web}: the server answers 404 (Not Found)", f"foveate: no pictures at {memory}",
    ]  # fmt: skip
    assert told[-1] == "foveate: 3 of 5 pictures failed; they are named above"


# Videos


def shade(number: int) -> np.ndarray:
    return np.full((32, 48, 3), 20 * number + 10, np.uint8)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten grey frames that grow lighter, ten a second."""
    writer = VideoWriter(tmp_path / "clip.mp4", Fraction(10))
    for number in range(10):
        writer.add(shade(number))
    writer.close()
    return tmp_path / "clip.mp4"


def test_frames_come_in_order_with_their_times(clip: Path) -> None:
    assert frame_rate(clip) == 10
    frames = list(read_frames(clip))
    assert [f.number for f in frames] == list(range(10))
    assert [f.seconds for f in frames] == pytest.approx([n / 10 for n in range(10)])
    for frame in frames:
        assert frame.pixels.shape == (32, 48, 3)
        assert frame.pixels.mean() == pytest.approx(shade(frame.number).mean(), abs=4)
    assert [f.number for f in read_frames(clip, 4)] == [0, 4, 8]


def test_files_that_are_no_videos(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(DataError, match=r"a\.mp4: not a video that can be read"):
        list(read_frames(tmp_path / "a.mp4"))


def test_frames_of_other_sizes_are_cut_or_padded(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", Fraction(5))
    for size in ((21, 33), (11, 50), (40, 20)):
        writer.add(np.full((*size, 3), 200, np.uint8))
    writer.close()
    first, second, third = (f.pixels for f in read_frames(tmp_path / "a.mp4"))
    assert first.shape == (20, 32, 3)
    assert second[:9].mean() > 180 and second[13:].mean() < 20
    assert third[:, :18].mean() > 180 and third[:, 22:].mean() < 20


def test_a_video_becomes_a_video_and_a_line_a_frame(
    run: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["predict", str(run), str(clip), "--device", "cpu", "--out", str(out)]
    assert main([*words, "--every", "3"]) == 0
    printed = capsys.readouterr().out
    assert f"{clip}: 4 frames -> clip_overlay.mp4" in printed
    assert re.search(r"^predicted: 1 of 1 video file \(4 frames\) in \S+ s \(.+\) -> ", printed, re.MULTILINE)
    lines = [json.loads(line) for line in (out / "clip_frames.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 3, 6, 9]
    predictor = foveate.load(run, device="cpu")
    for line, frame in zip(lines, read_frames(clip, 3), strict=True):
        assert line["shares"] == predictor.predict(frame.pixels).shares()
    assert frame_rate(out / "clip_overlay.mp4") == pytest.approx(10 / 3, rel=0.01)
    assert sum(1 for _ in read_frames(out / "clip_overlay.mp4")) == 4
    (record,) = json.loads((out / "predictions.json").read_text())["pictures"]
    assert record["overlay"] == "clip_overlay.mp4" and record["frames"] == 4 and record["every"] == 3
    assert not list(out.glob(".*"))
    assert main(words) == 0  # its own results are written again
    assert sum(1 for _ in read_frames(out / "clip_overlay.mp4")) == 10
    (tmp_path / "second.mp4").write_bytes(clip.read_bytes())
    several = [*words[:2], str(tmp_path / "*.mp4"), *words[2:-1], str(tmp_path / "all"), "--every", "5"]
    assert main(several) == 0  # clip.mp4 is named twice
    assert sorted(p.name for p in (tmp_path / "all").glob("*.mp4")) == ["clip_overlay.mp4", "second_overlay.mp4"]
    (tmp_path / "broken.mp4").write_bytes(clip.read_bytes()[:600])
    assert main([*words[:2], str(tmp_path / "broken.mp4"), "--out", str(tmp_path / "b")]) == 1
    assert "broken.mp4" in capsys.readouterr().err
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    inputs = [str(tmp_path / name) for name in ("a.png", "bad.png", "clip.mp4", "broken.mp4")]
    assert main([*words[:2], *inputs, "--device", "cpu", "--every", "5", "--out", str(tmp_path / "c")]) == 1
    said = capsys.readouterr()
    assert "predicted: 1 of 2 pictures and 1 of 2 video files (2 frames) in " in said.out
    assert "1 of 2 pictures and 1 of 2 video files failed; they are named above" in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.png", "--every", "2"], "--every chooses frames of videos, and none is given; leave it out"),
        (["gone.mp4"], "gone.mp4 does not exist; give a video file"),
        (["gone/*.mp4"], "gone/*.mp4 matches no video; give a video file"),
        (["https://example.com/a.mp4"], "https://example.com/a.mp4: videos are read from files; download it first"),
        (["gone.mp4", "--every", "0"], "--every is 0; give 1 or more"),
    ],
)
def test_lines_that_cannot_be_predicted(
    run: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(run), *words]) == 1
    assert message in capsys.readouterr().err
