"""Bad and hostile requests: each gets one clear problem, nothing is lost, and the server goes on."""

from __future__ import annotations

import base64
import io
import json
import random
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from served_models import noise, png

from foveate.tasks.inputs import SERVED_CHARACTERS


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def problem(response):
    body = response.json()
    assert response.headers["content-type"] == "application/problem+json", response.text
    assert body["request_id"] == response.headers["x-request-id"] and "Traceback" not in response.text
    return response.status_code, body["code"], body["detail"]


def bomb(side: int = 30_000, bits: int = 8) -> bytes:
    """A PNG whose header names side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, bits, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 10_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def tiled_tiff() -> bytes:
    """A TIFF of 8192 x 8192 pixels, read by windows, which takes little room in a file."""
    buffer = io.BytesIO()
    tiles = (np.zeros((1024, 1024, 3), np.uint8) for _ in range(8 * 8))
    tifffile.imwrite(
        buffer, tiles, shape=(8192, 8192, 3), dtype=np.uint8, tile=(1024, 1024), photometric="rgb", compression="zlib"
    )
    return buffer.getvalue()


def movie(frames: int = 10_000) -> bytes:
    """A GIF of many frames: the first one's blocks, over and over."""
    one = png(noise(4, 4), format="GIF")
    start = one.index(b",", 13 + (3 * 2 ** ((one[10] & 7) + 1) if one[10] & 0x80 else 0))
    block = one[start:-1]
    return one[:start] + block * frames + b";"


LIMIT = "if the file can be trusted, raise it with --max-pixels"


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (bomb(), f"the picture: 30000x30000 is 900,000,000 pixels, above the limit of 20,000,000; {LIMIT} 900000000"),
        (bomb(bits=16), "the picture: 30000x30000 is 900,000,000 pixels"),
        (tiled_tiff(), "the picture: 8192x8192 is 67,108,864 pixels"),
        (b"plain text", "the picture: not a picture in a known format; replace or remove the file"),
        (png(format="JPEG")[:-200], "the picture: damaged or truncated (image file is truncated"),
        (png()[:60], "the picture: "),
        (b"\x89PNG\r\n\x1a\n", "the picture: "),
        (b"GIF89a", "the picture: "),
        (b"II*\0" + b"\xff" * 40, "the picture: "),
        (b"PK\x03\x04" + bytes(100), "the picture: not a picture in a known format"),
        (b"\x80\x04\x95", "the picture: not a picture in a known format"),
    ],
    ids=["bomb", "bomb16", "tiff", "text", "jpeg", "png", "magic", "gif", "tiff2", "zip", "pickle"],
)
def test_files_that_are_no_pictures_or_too_large(serve, data, detail):
    server = serve("semantic")
    status, code, text = problem(server.post("/v1/predict", data))
    assert (status, code) == (422, "input") and text.startswith(detail)
    assert server.post("/v1/predict", png()).status_code == 200


def test_a_film_of_ten_thousand_frames_is_its_first_frame(serve):
    response = serve("semantic").post("/v1/predict", movie())
    assert response.status_code == 200 and (response.json()["height"], response.json()["width"]) == (4, 4)


def test_a_picture_with_other_channels_is_refused_as_predict_does(serve):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, noise(channels=5), planarconfig="contig", photometric="minisblack")
    status, code, text = problem(serve("semantic").post("/v1/predict", buffer.getvalue()))
    assert (status, code) == (422, "input") and "has 5 channels; recurrent_cnn was trained on 3" in text


def test_flipped_bytes_never_fail_the_server(serve):
    server = serve("classification")
    whole = png(noise(24, 24), format="JPEG")
    draw = random.Random(0)
    damaged = []
    for _ in range(1008):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        damaged.append(b64(bytes(data)))
    statuses = []
    for begin in range(0, len(damaged), 16):
        answer = server.post("/v1/predict", {"images": damaged[begin : begin + 16]})
        assert answer.status_code == 200, answer.text
        statuses += [one["problem"]["status"] if "problem" in one else 200 for one in answer.json()["results"]]
    assert len(statuses) == 1008 and set(statuses) <= {200, 422} and statuses.count(422) > 50


@pytest.mark.parametrize(
    ("content", "expected", "detail"),
    [
        (b"", (422, "input"), 'no picture came; send the bytes of a file, or JSON with {"image"}'),
        (b"{}", (422, "input"), "no picture came"),
        (b"{", (400, "bad-json"), "the body is not JSON"),
        (b"[1]", (400, "bad-json"), "the body is a list; send an object"),
        (b'"x"', (400, "bad-json"), "the body is text; send an object"),
        (b"\xff\xfe{\0}\0", (400, "bad-json"), "the body is not UTF-8"),
        (b'{"image": "\\ud800"}', (400, "bad-json"), "the body is not UTF-8"),
        (b'{"image": NaN}', (400, "bad-json"), "the body is not JSON (NaN is no number of JSON)"),
        (b'{"image": "", "image": ""}', (400, "bad-json"), "the body is not JSON (the key 'image' comes twice)"),
        (b"[" * 100_000, (400, "bad-json"), "the body is not JSON (nested too deeply)"),
        (b'{"image": ' + b"9" * 5000 + b"}", (400, "bad-json"), "the body is not JSON"),
        (b'{"image": "%%%"}', (400, "bad-json"), "'image' is not base64; encode the bytes of the picture's file"),
        (b'{"image": "AAA"}', (400, "bad-json"), "'image' is not base64"),
        (b'{"image": ""}', (422, "input"), "'image' is empty"),
        (b'{"image": {"path": "/etc/passwd"}}', (400, "bad-json"), "'image' is an object; give base64 text"),
        (b'{"image": null}', (400, "bad-json"), "'image' is null"),
        (b'{"images": []}', (400, "bad-json"), "'images' holds 0 entries; give a list of 1 to 16"),
        (b'{"images": "AAAA"}', (400, "bad-json"), "'images' holds text"),
        (json.dumps({"images": ["AAAA"] * 17}).encode(), (400, "bad-json"), "'images' holds 17 entries"),
        (b'{"images": [{"file": "/etc/passwd"}]}', (400, "bad-json"), "an entry of 'images' has the key 'file'"),
        (b'{"images": [{"name": "a"}]}', (422, "input"), "no picture came"),
        (b'{"image": "AAAA", "name": 3}', (400, "bad-json"), "'name' is a number; give text"),
        (b'{"image": "AAAA", "url": "http://127.0.0.1"}', (422, "option"), "have no option 'url'; theirs are flip, "),
    ],
)
def test_bodies_that_are_no_request(serve, content, expected, detail):
    server = serve("semantic")
    status, code, text = problem(server.post("/v1/predict", content, headers={"content-type": "application/json"}))
    assert (status, code) == expected and detail in text


@pytest.mark.parametrize(
    ("family", "query", "expected", "detail"),
    [
        ("semantic", "tile=33", (422, "option"), ""),
        ("semantic", "flip=maybe", (422, "option"), "--flip is 'maybe'; expected true or false"),
        ("semantic", "flip=1&flip=0", (422, "option"), "the option 'flip' came twice"),
        ("semantic", "fliip=1", (422, "option"), "models for semantic segmentation have no option 'fliip'"),
        ("semantic", "scales=3", (422, "option"), "--scales is 3; at most 2 is taken here"),
        ("semantic", "scales=" + "1," * 20, (422, "option"), "--scales has 20 values; at most 8 are taken here"),
        ("captioning", "beams=1000", (422, "option"), "--beams is 1000; at most 100 is taken here"),
        ("semantic", "proposals=100000", (422, "option"), "--proposals is 100000; at most 500 is taken here"),
        ("semantic", "objects=1&pixel_size=2", (422, "option"), "--pixel-size is about files of this machine"),
        ("captioning", "length_penalty=1e308", (422, "option"), "--length-penalty is 1e+308; at most 10 is taken here"),
        ("speech", "cut=1e308", (422, "option"), "--cut is 1e+308; at most 900 is taken here"),
        ("semantic", "beams=3", (422, "option"), "have no option 'beams'"),
        ("semantic", "&".join(f"a{i}=1" for i in range(60)), (400, "bad-request"), "the query cannot be read"),
        ("semantic", "flip=%ff", (400, "bad-request"), "the query cannot be read"),
        (
            "instances",
            "boxes=/etc",
            (422, "option"),
            "--boxes is about files of this machine, and is not taken",
        ),
        ("speech", "language=/etc/passwd", (422, "option"), "--language is about files of this machine"),
        ("captioning", "beams=50", (422, "option"), "cannot search with 50 beams over a vocabulary of 11 tokens"),
        ("classification", "top=0", (422, "option"), "top is 0; give 1 or more"),
    ],
)
def test_options_that_do_not_fit(serve, family, query, expected, detail):
    status, code, text = problem(serve(family).post(f"/v1/predict?{query}", png()))
    assert (status, code) == expected and detail in text


def test_numbers_that_are_too_large_are_refused(serve):
    server = serve("semantic")
    for option, value in (("tile", 10**400), ("least_area", 1e30), ("overlap", -(10**20)), ("scales", [10**400])):
        body = json.dumps({"image": b64(png()), "objects": True, option: value})
        response = server.post("/v1/predict", body.encode(), headers={"content-type": "application/json"})
        status, code, text = problem(response)
        assert (status, code) == (422, "option"), text
    assert (
        "--overlap has 22 digits; give a number of at most 2,147,483,647"
        in problem(server.post("/v1/predict", {"image": b64(png()), "overlap": -(10**20)}))[2]
    )


def test_options_of_what_is_generated(serve):
    server = serve("drawing", "handwriting")

    def refused(family, body):
        status, code, text = problem(server.post(f"/v1/models/{family}/predict", body))
        assert (status, code) == (422, "option")
        return text

    assert refused("drawing", {"count": 17}) == "--count is 17; give a whole number from 1 to 16"
    assert refused("drawing", {"count": True}) == "--count is True; expected a whole number"
    assert refused("drawing", {"seed": -1}) == f"--seed is -1; give a whole number from 0 to {2**63 - 1}"
    assert refused("drawing", {"seed": 2**63}).startswith("--seed is 9223372036854775808")
    assert "no option 'image'" in refused("drawing", {"image": "AAAA"})
    assert "--style is about files of this machine" in refused("handwriting", {"text": "ab", "style": "/etc/passwd"})
    assert "there is no text to write" in refused("handwriting", {})
    response = server.post("/v1/models/drawing/predict", png())
    assert problem(response)[:2] == (415, "content-type")


def test_texts_and_recordings_have_a_longest(serve):
    server = serve("translation", "speech")
    status, code, text = problem(server.post("/v1/models/translation/predict", {"text": "s1 " * SERVED_CHARACTERS}))
    assert (status, code) == (422, "input") and text.startswith("the sentence has 15,000 characters; at most 5,000")
    samples = bytes(16 * 60 * 2000)  # of 8 bits at 2000 Hz: 16 minutes
    long = (
        b"RIFF"
        + struct.pack("<I", 36 + len(samples))
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 2000, 2000, 1, 8)
    )
    long += b"data" + struct.pack("<I", len(samples)) + samples
    status, code, text = problem(server.post("/v1/models/speech/predict", long))
    assert (status, code) == (422, "input") and "16 minutes; at most 15 are taken here" in text
    status, code, _ = problem(server.post("/v1/models/speech/predict", b"no sound at all"))
    assert (status, code) == (422, "input")


@pytest.mark.parametrize(
    ("content", "expected", "detail"),
    [
        (
            b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
            (422, "input"),
            "the clip: not a video in a known format; give MP4",
        ),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", (422, "input"), "the clip: not a video in a known format"),
        (b"\0\0\0\x18ftypisom" + bytes(100), (422, "input"), "the clip: "),
        (movie(4000), (422, "input"), "the clip: 3,001 frames of 4x4 pixels; at most 3,000 frames and 2,000,000,000"),
        (b'{"frames": []}', (400, "bad-json"), "'frames' is a list; give a list of base64 texts"),
        (b'{"frames": ["AAAA"]}', (422, "input"), "the clip, frame 0: not a picture in a known format"),
        (b'{"frames": [3]}', (400, "bad-json"), "'frames' is a number; give base64 text"),
    ],
    ids=["m3u8", "concat", "empty", "long", "none", "frame", "number"],
)
def test_videos_that_are_none_or_too_long(serve, content, expected, detail):
    """A list that FFmpeg would follow to files and addresses is no video."""
    kind = "application/json" if content[:1] == b"{" else "video/mp4"
    status, code, text = problem(serve("video").post("/v1/predict", content, headers={"content-type": kind}))
    assert (status, code) == expected and text.startswith(detail) and "/tmp" not in text


def test_a_network_never_sees_too_many_pixels_at_once(serve):
    server = serve("semantic", "instances")
    wide = png(np.zeros((2100, 2000, 3), np.uint8))
    for family, query in (("semantic", "crf=1"), ("semantic", "tile=0"), ("instances", "tile=0")):
        status, code, text = problem(server.post(f"/v1/models/{family}/predict?{query}", wide))
        assert (status, code) == (422, "option") and "pixels at once" in text


# Addresses


def test_addresses_that_there_are_not(serve):
    server = serve("semantic", "classification")
    assert problem(server.post("/v1/models/semantik/predict", png())) == (
        404, "not-found", "unknown model 'semantik'; the nearest is 'semantic'",
    )  # fmt: skip
    assert problem(server.post("/v1/predict", png()))[2].startswith("several models are served (semantic, classific")
    for path in ("/v1", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/..%2f..%2fetc/passwd", "/static/app.py"):
        assert problem(server.client.get(path))[:2] == (404, "not-found"), path
    for method, path in (("GET", "/v1/predict"), ("PUT", "/v1/predict"), ("DELETE", "/v1/models"), ("TRACE", "/")):
        response = server.client.request(method, path)
        assert problem(response)[:2] == (405, "method") and response.headers["allow"]


def test_what_is_accepted_and_what_is_not(serve):
    server = serve("semantic")

    def kind(accept):
        response = server.post("/v1/predict", png(), headers={"content-type": "image/png", "accept": accept})
        return response.headers["content-type"] if response.status_code == 200 else problem(response)[:2]

    assert kind("*/*") == kind("application/json") == kind("image/png;q=0.5, application/json") == "application/json"
    assert kind("image/png") == kind("image/*") == kind("image/png, */*;q=0.8") == "image/png"
    assert kind("text/html") == kind("image/jpeg") == kind("image/png;q=0") == (406, "not-acceptable")
    coded = server.post("/v1/predict", png(), headers={"content-type": "image/png", "content-encoding": "gzip"})
    assert problem(coded)[:2] == (415, "content-type")


def test_a_body_that_is_too_large(serve):
    server = serve("semantic", max_bytes=2000)
    assert problem(server.post("/v1/predict", png()))[:2] == (413, "too-large")
    assert server.post("/v1/predict", png(noise(4, 4))).status_code == 200


def test_with_a_token_only_the_page_and_health_are_open(serve):
    server = serve("semantic", token="0123456789abcdef")
    paths = ("/", "/static/page.js", "/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/models")
    statuses = {path: server.client.get(path).status_code for path in paths}
    assert [path for path, status in statuses.items() if status == 200] == list(paths[:4])
    assert set(statuses.values()) == {200, 401}
    assert problem(server.post("/v1/predict", png()))[:2] == (401, "token")
    headers = {"authorization": "Bearer 0123456789abcdef", "content-type": "image/png"}
    assert server.post("/v1/predict", png(), headers=headers).status_code == 200


def test_a_fault_is_logged_and_not_told(serve, monkeypatch, caplog):
    server = serve("semantic")
    family = server.models.find("semantic").predictor.family
    monkeypatch.setattr(type(family), "answer", lambda *args: 1 / 0)
    response = server.post("/v1/predict", png())
    assert problem(response)[:2] == (500, "internal") and "division" not in response.text
    assert "ZeroDivisionError" in caplog.text and response.headers["x-request-id"] in caplog.text
    monkeypatch.undo()
    assert server.post("/v1/predict", png()).status_code == 200 and server.work.depth == 0


def test_a_picture_of_one_pixel(serve):
    response = serve("classification").post("/v1/predict", png(np.zeros((1, 1, 3), np.uint8)))
    assert response.status_code == 200 and Image.open(io.BytesIO(png(noise(1, 1)))).size == (1, 1)


VALUES = (
    None, True, 0, -1, 3, 10**30, 1.5, -1e308, "", "a", "s1 s2", "what is this", "1,2", "none", "\u0000", "🐄" * 50,
    "ab", b64(png(noise(8, 8))), b64(b"no picture"), [], [1, 2], ["a"], [[]], {}, {"image": "a"}, [{"text": "s1"}],
    "../etc",
)  # fmt: skip
KEYS = (
    "image", "images", "text", "texts", "question", "audio", "frames", "name", "count", "seed", "flip", "scales",
    "tile", "overlap", "crf", "superpixels", "objects", "least_area", "beams", "n_best", "length_penalty", "top",
    "overlay", "confidence", "attention", "bias", "width", "points", "least", "inputs", "parameters",
    "no_repeat_ngram", "cut",
)  # fmt: skip


PICTURE = b64(png(noise(8, 8)))
GOOD = {
    "semantic": {"image": PICTURE},
    "translation": {"text": "s1 s2"},
    "speech": {},
    "handwriting": {"text": "ab"},
    "questions": {"image": PICTURE, "question": "what is this"},
    "drawing": {},
    "video": {"frames": [PICTURE]},
}


@pytest.mark.parametrize("family", GOOD)
def test_random_requests_never_fail_the_server(serve, family, caplog):
    """Objects of known and unknown keys with values of every kind: an answer, or a problem that is the client's."""
    server = serve(family)
    draw = random.Random(family)
    codes = []
    for _ in range(60):
        body = dict(GOOD[family]) if draw.random() < 0.7 else {}
        body |= {draw.choice(KEYS): draw.choice(VALUES) for _ in range(draw.randint(0, 3))}
        query = {draw.choice(KEYS): str(draw.choice(VALUES)) for _ in range(draw.randint(0, 1))}
        path = draw.choice([f"/v1/models/{family}/predict", f"/hf/{family}"])
        codes.append(server.post(path, body, params=query).status_code)
        assert codes[-1] in (200, 400, 404, 415, 422), (path, body, query, caplog.text)
    assert codes.count(422) > 5
