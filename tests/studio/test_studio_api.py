"""The page's API over HTTP: what it gives, what it refuses, and with which words."""

import gzip
import json

import numpy as np
import pytest
from labelling import CLASSES, HEIGHT, WIDTH, Page, write_pictures
from PIL import Image

from foveate.datasets import recognise
from foveate.studio.tiles import tiles_from_json, tiles_to_json


def body(value=1, label="sky", **more):
    paint = np.zeros((HEIGHT, WIDTH), np.uint16)
    paint[:50] = value
    objects = [{"number": value, "label": label, "group": None, "flags": {}}]
    return {"objects": objects, "tiles": tiles_to_json(paint), "outlines": [], "state": "done"} | more


def test_a_new_folder(page):
    found = page.get("/project").json()
    assert found["counts"] == {"pictures": 6, "untouched": 6, "draft": 0, "done": 0, "skipped": 0, "blocked": 0}
    assert found["classes"] == [] and found["unlabelled"] == "" and found["run"] is None
    assert found["train"]["ready"] is False and found["train"]["command"].startswith("foveate train fcn8s --data ")
    assert found["validation"] == 1
    assert not (page.studio.folder.root / "splits.json").exists(), "looking changes nothing"


def test_labels_go_round(page):
    page.with_classes()
    key = page.id()
    empty = page.get(f"/pictures/{key}/labels")
    assert empty.headers["etag"] == '"none"' and empty.json()["state"] == "untouched" and empty.json()["tiles"] == {}
    saved = page.put(f"/pictures/{key}/labels", body(seconds=12.5, strokes=3), '"none"')
    assert saved.status_code == 200 and saved.json()["objects"] == 1
    got = page.get(f"/pictures/{key}/labels")
    assert got.headers["etag"] == saved.headers["etag"]
    assert (got.json()["seconds"], got.json()["strokes"], got.json()["state"]) == (12.5, 3, "done")
    tiles = tiles_from_json(got.json()["tiles"], HEIGHT, WIDTH)
    assert (tiles[0, 0][:50] == 1).all() and not tiles[0, 0][50:].any() and set(tiles) == {(0, 0), (1, 0)}
    project = page.get("/project").json()
    assert project["counts"]["done"] == 1 and project["seconds"]["plain"] == {"pictures": 1, "median": 12.5}
    assert page.get("/classes").json()["used"] == {"sky": 1}


def test_a_compressed_body_is_taken(page):
    page.with_classes()
    content = gzip.compress(json.dumps(body()).encode())
    headers = {"If-Match": '"none"', "Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = page.client.put(f"/api/1/pictures/{page.id()}/labels", content=content, headers=headers)
    assert answer.status_code == 200, answer.text


def test_a_bomb_is_refused(page):
    content = gzip.compress(bytes(70_000_000))
    headers = {"If-Match": '"none"', "Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = page.client.put(f"/api/1/pictures/{page.id()}/labels", content=content, headers=headers)
    assert answer.status_code == 413 and "more than 64,000,000 bytes when it is unpacked" in answer.json()["detail"]


def test_two_tabs(page):
    page.with_classes()
    url = f"/pictures/{page.id()}/labels"
    mine = page.put(url, body(), '"none"').headers["etag"]
    theirs = page.put(url, body(2, "road"), '"none"')
    problem = theirs.json()
    assert (
        theirs.status_code == 412 and problem["code"] == "stale" and problem["etag"] == mine == theirs.headers["etag"]
    )
    assert (page.studio.folder.own / problem["kept"]).is_file()
    missing = page.put(url, body())
    assert missing.status_code == 428 and missing.json()["detail"].startswith("no If-Match came; send the ETag")
    assert page.put(url, body(2, "road"), problem["etag"]).status_code == 200


def test_the_version_that_another_one_replaces_is_kept(page):
    """What another program wrote is lost neither to a version that was chosen against it, nor without a word."""
    page.with_classes()
    url, own = f"/pictures/{page.id()}", page.studio.folder.own
    page.put(f"{url}/labels", body(), '"none"')
    theirs = json.loads(page.file().read_text()) | {"other": "of labelme"}
    page.file().write_text(json.dumps(theirs))
    problem = page.put(f"{url}/labels", body(2, "road"), '"none"').json()
    assert problem["whole"] is True
    assert page.put(f"{url}/labels", body(2, "road", over=True), problem["etag"]).status_code == 200
    kept = [json.loads(path.read_text()) for path in own.glob("IMG_0.json.theirs-*")]
    assert kept == [theirs], "to the last key"
    assert "over" not in json.loads(page.file().read_text())["foveate"]
    first = page.put(f"/pictures/{page.id('IMG_1.png')}/labels", body(over=True), '"none"')
    assert first.status_code == 200 and not list(own.glob("IMG_1*")), "there was no other version"


def test_labels_that_lost_can_be_kept_whole(page):
    page.with_classes()
    url, own = f"/pictures/{page.id()}", page.studio.folder.own
    page.put(f"{url}/labels", body(), '"none"')
    partial = page.put(f"{url}/labels", body(2, "road"), '"0123"').json()
    assert partial["whole"] is False, "the tiles that did not change were never seen here"
    answer = page.post(f"{url}/versions", body(2, "road"))
    kept = json.loads((own / answer.json()["kept"]).read_text())
    assert [shape["label"] for shape in kept["shapes"]] == ["road"] and kept["imagePath"] == "IMG_0.png"
    unknown = page.post(f"{url}/versions", body(2, "a class that is gone"))
    assert json.loads((own / unknown.json()["kept"]).read_text())["shapes"][0]["label"] == "a class that is gone"


WRONG = {
    "no objects": ({"secret": 1}, "objects is None; expected the list of all objects"),
    "a tile": (body(tiles={"0,0": "no base64"}), "tile '0,0' is not base64"),
    "a state": (body(state="perfect"), "state is 'perfect'; expected draft, done or skipped"),
    "a label": (body(label=3), "object 1: label is 3; expected the name of a class"),
    "a kind": (body(outlines=[{"key": "a", "kind": None}]), "outline 'a': kind is None; expected polygon, "),
}


@pytest.mark.parametrize(("given", "text"), WRONG.values(), ids=WRONG)
def test_what_are_no_labels_is_not_kept_as_a_version_that_lost(page, given, text):
    page.with_classes()
    url, own = f"/pictures/{page.id()}", page.studio.folder.own
    page.put(f"{url}/labels", body(), '"none"')
    page.file("IMG_1.png").write_text('{"shapes": 3}')
    blocked = f"/pictures/{page.id('IMG_1.png')}"
    for answer in (
        page.put(f"{url}/labels", given, '"none"'),  # made from no labels,
        page.put(f"{url}/labels", given, '"0123"'),  # from a revision that is not known here,
        page.post(f"{url}/versions", given),
        page.put(f"{blocked}/labels", given, '"none"'),
        page.post(f"{blocked}/versions", given),
    ):
        assert answer.status_code == 422 and text in answer.json()["detail"], answer.text
    assert not list(own.glob("*.mine-*"))


def test_a_group_that_another_tool_wrote_does_not_lose_a_version(page):
    """What it was made from is not known any more, as after a restart."""
    page.with_classes()
    url = f"/pictures/{page.id()}"
    page.put(f"{url}/labels", body(), '"none"')
    given = body(2, "road")
    given["objects"][0]["group"] = "left"
    lost, kept = page.put(f"{url}/labels", given, '"0123"'), page.post(f"{url}/versions", given)
    assert (lost.status_code, kept.status_code) == (412, 200)
    for answer in (lost, kept):
        assert json.loads((page.studio.folder.own / answer.json()["kept"]).read_text()) == given


def test_a_blocked_picture(page):
    page.file().write_text('{"shapes": 3}')
    key = page.id()
    answer = page.get(f"/pictures/{key}/labels")
    assert answer.status_code == 409 and answer.json()["reason"] == "blocked"
    assert "no list 'shapes', so not a LabelMe file; repair it" in answer.json()["detail"]
    assert page.put(f"/pictures/{key}/labels", body(), '"none"').status_code == 409
    assert page.file().read_text() == '{"shapes": 3}'
    listed = page.get("/pictures", params={"state": "blocked"}).json()
    assert listed["total"] == 1 and "not a LabelMe file" in listed["pictures"][0]["problem"]
    assert "IMG_0.png is blocked" in page.get("/project").json()["notes"][0]


# The gallery


def test_the_gallery_filters_and_pages(page):
    page.with_classes()
    page.put(f"/pictures/{page.id('IMG_2.png')}/labels", body(state="skipped"), '"none"')
    page.put(f"/pictures/{page.id('IMG_3.png')}/labels", body(2, "road", state="draft"), '"none"')

    def names(**query):
        return [p["name"] for p in page.get("/pictures", params=query).json()["pictures"]]

    assert names(state="skipped,draft") == ["IMG_2.png", "IMG_3.png"]
    assert names(**{"class": "road"}) == ["IMG_3.png"] and names(text="img_4") == ["IMG_4.png"]
    assert names(offset=4, limit=1) == ["IMG_4.png"]
    assert page.get("/pictures", params={"limit": 1}).json()["total"] == 6


def test_neighbours_follow_the_filter(page):
    page.with_classes()
    page.put(f"/pictures/{page.id('IMG_2.png')}/labels", body(), '"none"')
    found = page.get(f"/pictures/{page.id('IMG_1.png')}", params={"state": "untouched"}).json()
    assert (found["previous"], found["next"]) == (page.id("IMG_0.png"), page.id("IMG_3.png"))
    found = page.get(f"/pictures/{page.id('IMG_2.png')}", params={"state": "untouched"}).json()
    assert (found["previous"], found["next"]) == (page.id("IMG_1.png"), page.id("IMG_3.png"))
    assert page.get(f"/pictures/{page.id('IMG_5.png')}").json()["next"] is None


def test_pictures_that_come_later_appear(page):
    Image.new("RGB", (8, 8)).save(page.studio.folder.root / "new.png")
    assert page.get("/pictures").json()["total"] == 7
    assert page.get(f"/pictures/{page.id('new.png')}/labels").status_code == 200


# Images


def test_tiles_are_cached_by_their_version(page):
    key = page.id()
    found = page.get(f"/pictures/{key}").json()
    assert found["levels"][0] == {"level": 0, "height": 300, "width": 400, "rows": 2, "columns": 2}
    tile = page.get(f"/pictures/{key}/tile/0/1/1", params={"v": found["version"]})
    assert tile.headers["content-type"] == "image/png" and tile.headers["cache-control"] == "private, max-age=86400"
    assert page.get(f"/pictures/{key}/tile/0/1/1").headers["cache-control"] == "private, no-cache"
    again = page.get(f"/pictures/{key}/tile/0/1/1", headers={"If-None-Match": tile.headers["etag"]})
    assert again.status_code == 304 and not again.content
    assert page.get(f"/pictures/{key}/pixels", params={"size": 64}).headers["content-type"] == "image/jpeg"


# Assistance


def test_cut_fill_and_flatten(page):
    key = page.id()
    cut = page.post(f"/pictures/{key}/cut", {"box": [50, 20, 350, 280]}).json()
    area = sum(int(tile.sum()) for tile in tiles_from_json(cut["tiles"], HEIGHT, WIDTH).values())
    assert area == cut["area"]
    lines = [
        {"number": 4, "points": [[10, 20], [390, 20]], "width": 3},
        {"number": 9, "points": [[10, 280]], "width": 5},
    ]
    filled = page.post(f"/pictures/{key}/fill", {"scribbles": lines}).json()
    tiles = tiles_from_json(filled["tiles"], HEIGHT, WIDTH)
    assert (tiles[0, 0][:100] == 4).all() and (tiles[0, 1][30:, :150] == 9).all()
    outlines = [
        {"key": name, "kind": "rectangle", "label": "sky", "points": [[x, 0], [x + 20, 20]]}
        for name, x in (("a", 0), ("b", 10), ("c", 200))
    ]
    flat = page.post(f"/pictures/{key}/flatten", {"outlines": outlines, "touch": ["b"]}).json()
    assert flat["flattened"] == ["a", "b"]
    assert tiles_from_json(flat["tiles"]["b"], HEIGHT, WIDTH)[0, 0].sum() == 21 * 21


# Captions and questions


def test_captions_and_questions_are_what_their_readers_read(page):
    for name in page.studio.folder.pictures:
        url = f"/pictures/{name}/texts"
        etag = page.get(url).headers["etag"]
        texts = {
            "captions": ["A red bus, on a road.", 'the "second"'],
            "questions": [{"question": "how many?", "answer": "2"}],
        }
        assert page.put(url, texts, etag).json() == texts
        assert page.put(url, texts, etag).status_code == 412
    root = page.studio.folder.root
    captions = recognise(root, "captioning")
    assert {c.text for s in captions.open("train", "captioning") for c in s["captions"]} == {
        "A red bus, on a road.", 'the "second"',
    }  # fmt: skip
    questions = recognise(root, "questions")
    assert sum(len(questions.open(split, "questions")) for split in questions.splits()) == 6
    assert page.get("/pictures").json()["pictures"][0]["captions"] == 2
    families = {recipe["task"] for recipe in page.get("/recipes").json()["recipes"]}
    assert families == {"semantic", "instances", "captioning", "questions"}


def test_tables_of_others_keep_their_columns_and_their_order(page):
    root = page.studio.folder.root
    (root / "captions.csv").write_text("image,caption,author\nIMG_1.png,old,ann\nIMG_0.png,one,bob\nother.png,x,y\n")
    url = f"/pictures/{page.id()}/texts"
    found = page.get(url)
    assert found.json()["captions"] == ["one"]
    page.put(url, {"captions": ["two", "one"], "questions": []}, found.headers["etag"])
    lines = (root / "captions.csv").read_text().splitlines()
    assert lines == [
        "image,caption,author",
        "IMG_1.png,old,ann",
        "IMG_0.png,two,",
        "IMG_0.png,one,bob",
        "other.png,x,y",
    ]
    assert not (root / "questions.csv").exists()
    (root / "captions.csv").write_text("file,text\na,b\n")
    assert "begins with the columns file, text; expected image, caption" in page.get(url).json()["detail"]


# Refusals


@pytest.mark.parametrize(
    ("method", "path", "given", "status", "reason", "text"),
    [
        ("GET", "/pictures/0000", None, 404, "picture", "there is no picture '0000'; reload the gallery"),
        ("GET", "/pictures/ID/tile/0/9/0", None, 404, "tile", "there is no tile 0/9/0 of IMG_0.png"),
        ("GET", "/pictures/ID/tile/x/0/0", None, 404, "tile", "there is no tile x/0/0"),
        ("GET", "/pictures/ID/pixels?size=9", None, 422, "query", "size is '9'; expected a whole number of 16 to 2048"),
        (
            "GET",
            "/pictures/ID/prelabel",
            None,
            409,
            "blind",
            "of the validation fifth, which is labelled without pre-labels",
        ),
        (
            "GET",
            "/pictures/OTHER/prelabel",
            None,
            404,
            "no-prelabel",
            "IMG_1.png has no pre-label yet; start a prelabel job",
        ),
        ("GET", "/pictures?state=finished", None, 422, "query", "unknown state 'finished'"),
        ("GET", "/pictures?order=size", None, 422, "query", "order is 'size'; expected name or doubt"),
        ("GET", "/jobs/train-1", None, 404, "job", "there is no job 'train-1'"),
        ("GET", "/runs/a", None, 404, "run", "unknown run 'a'"),
        ("POST", "/jobs", {"kind": "shell"}, 422, "query", "unknown kind of job 'shell'"),
        ("POST", "/jobs", {}, 422, "query", "no kind of job came; give train, export or prelabel"),
        ("POST", "/jobs", {"kind": 3}, 422, "query", "kind is 3; give train, export or prelabel"),
        ("POST", "/jobs", {"kind": "train"}, 422, "recipe", "no recipe came; give fcn8s or another of /recipes"),
        ("POST", "/jobs", {"kind": "train", "recipe": ["fcn8s"]}, 422, "recipe", "recipe is ['fcn8s']; give fcn8s"),
        ("POST", "/jobs", {"kind": "export"}, 422, "run", "no run came; give the name of one"),
        (
            "POST",
            "/jobs",
            {"kind": "train", "recipe": "fcn8"},
            422,
            "recipe",
            "unknown recipe 'fcn8'; the nearest is 'fcn8s'",
        ),
        ("POST", "/jobs", {"kind": "train", "recipe": "fcn8s"}, 422, "too-few", "0 pictures done; a training needs 4"),
        ("POST", "/jobs", {"kind": "prelabel"}, 404, "run", "there is no run yet; train one first"),
        ("POST", "/jobs", {"kind": "export", "run": "x"}, 404, "run", "unknown run 'x'"),
        ("POST", "/pictures/ID/cut", {"box": [0, 0, 2, 2]}, 422, "box", "the box is 2x2 pixels; expected 3x3 or more"),
        ("POST", "/pictures/ID/cut", {"box": [900, 0, 990, 9]}, 422, "box", "holds no pixel of the picture of 400x300"),
        ("POST", "/pictures/ID/cut", {"box": [0, 0, 9, 9], "add": [[500, 2]]}, 422, "box", "outside of the picture"),
        ("POST", "/pictures/ID/fill", {"scribbles": []}, 422, "scribbles", "must be a list of lines with a number"),
        (
            "POST",
            "/pictures/ID/fill",
            {"scribbles": [{"number": 1, "points": [[1, 1]]}] * 1001},
            422,
            "scribbles",
            "1,001 scribbles at once; expected at most 1,000: take the fill, then draw on",
        ),
        (
            "POST",
            "/pictures/ID/fill",
            {"scribbles": [{"number": 1, "points": [[1, 1]]}]},
            422,
            "scribbles",
            "at least two",
        ),
        (
            "POST",
            "/pictures/ID/flatten",
            {"outlines": [], "touch": ["a"]},
            422,
            "outline",
            "touch names 'a', which is none",
        ),
        ("PUT", "/pictures/ID/labels", {"objects": []}, 422, "labels", "expected the list of all outlines"),
        ("PUT", "/pictures/ID/labels", {"origin": {}}, 409, "blind", "which is labelled without pre-labels"),
        (
            "PUT",
            "/pictures/ID/texts",
            {"captions": [" "]},
            422,
            "text",
            "a caption is ' '; expected 1 to 1000 printable",
        ),
        ("PUT", "/classes", {"unlabelled": "x"}, 422, "class", "unlabelled is 'x'; expected ignore or background"),
    ],
)
def test_every_refusal_says_what_came_and_what_to_do(page, method, path, given, status, reason, text):
    path = path.replace("ID", page.id()).replace("OTHER", page.id("IMG_1.png"))
    etag = '"none"'
    if method == "PUT":
        etag = page.get(path).headers["etag"]
    answer = page.client.request(method, f"/api/1{path}", json=given, headers={"If-Match": etag})
    found = answer.json()
    assert (answer.status_code, found["reason"]) == (status, reason), found
    assert text in found["detail"] and answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"{", "the body is no JSON"),
        (b"\xff", "the body is no JSON"),
        (b"[]", "expected a JSON object"),
        (b'{"seconds": NaN}', "NaN is no number of JSON"),
        (b"[" * 100_000, "nested too deeply"),
        # Written into a labels file, these would make it one that is not read again.
        (rb'{"objects": [{"description": "\ud83d"}]}', "half of a surrogate pair"),
        (b'{"objects": [{"description": "\xed\xa0\xbd"}]}', "the body is no JSON"),
    ],
)
def test_bodies_that_are_no_json(page, content, text):
    headers = {"If-Match": '"none"', "Content-Type": "application/json"}
    answer = page.client.put(f"/api/1/pictures/{page.id()}/labels", content=content, headers=headers)
    assert answer.status_code == 400 and answer.json()["code"] == "bad-json" and text in answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd", "/static/%00",
        "/api/1/pictures/..%2f..%2fetc/labels", "/api/1/runs/..%2f..", "/runs/..%2f..%2fetc/report", "/static/",
        "/api/1/jobs/..%2flock", "/api/2/project", "/api/1/pictures/%2e%2e/pixels",
    ],
)  # fmt: skip
def test_no_path_leads_out(page, path):
    answer = page.client.get(path)
    assert answer.status_code == 404, answer.text
    assert "root:" not in answer.text and "import" not in answer.text


def test_nothing_is_answered_without_the_cookie(photos):
    page = Page(photos)
    page.client.cookies.clear()
    for path in ("/", "/api/1/project", "/static/tokens.css", "/runs/a/report"):
        answer = page.client.get(path)
        assert answer.status_code == 401 and answer.json()["code"] == "token", path
    assert page.client.get(f"/?t={page.launch.token}").status_code in (200, 404)
    assert page.get("/project").status_code == 200
    page.studio.close()


def test_the_icon_needs_no_cookie(page):
    page.client.cookies.clear()
    answer = page.client.get("/favicon.ico")
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/svg+xml"
    assert answer.content.startswith(b"<svg ")


def test_a_method_that_is_not_there_names_all_that_are(page):
    answer = page.post(f"/pictures/{page.id()}/labels", {})
    assert answer.status_code == 405 and set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "PUT"}
    assert "PUT" in answer.json()["detail"]
    assert page.client.head(f"/api/1/pictures/{page.id()}/labels").status_code == 200


def test_other_pages_cannot_write(page):
    url, headers = f"/api/1/pictures/{page.id()}/labels", {"If-Match": '"none"', "Origin": "http://evil.example"}
    assert page.client.put(url, json=body(), headers=headers).status_code == 403
    assert page.client.get(url, headers={"Host": "evil.example"}).status_code == 403
    assert not page.file().exists()


def test_read_only_refuses_every_change(photos):
    page = Page(photos, read_only=True)
    for method, path in page.studio.routes():
        if method in ("PUT", "POST"):
            url = "/api/1" + path.replace("{id}", page.id()).replace("{name}", "a")
            answer = page.client.request(method, url, json={}, headers={"If-Match": '"none"'})
            assert answer.status_code == 403 and answer.json()["code"] == "read-only", path
    assert page.get("/project").json()["read_only"] is True
    assert not (photos / ".foveate").exists()


def test_an_unexpected_error_says_nothing_of_the_inside(page, monkeypatch):
    def broken(ask):
        raise RuntimeError("secret path /root")

    monkeypatch.setattr(page.studio.store, "classes", lambda: broken(None))
    answer = page.get("/classes")
    assert answer.status_code == 500 and "secret" not in answer.text and answer.json()["code"] == "internal"


STRANGE = [None, True, -1, 1e300, "x" * 5000, [], {}, [[]], [{}], "\ud800"]
FIELDS = {
    "PUT /pictures/ID/labels": ("objects", "tiles", "outlines", "state", "seconds", "strokes", "origin"),
    "PUT /pictures/ID/texts": ("captions", "questions"),
    "PUT /classes": ("classes", "unlabelled"),
    "PUT /runs/current": ("run",),
    "POST /pictures/ID/cut": ("box", "add", "remove"),
    "POST /pictures/ID/fill": ("scribbles", "box"),
    "POST /pictures/ID/flatten": ("outlines", "touch"),
    "POST /jobs": ("kind", "recipe", "resume", "run"),
}
WITHIN = {
    "objects": ("number", "label", "group", "flags", "description"),
    "outlines": ("key", "kind", "label", "points", "group", "flags"),
    "classes": ("name", "color", "was"),
    "scribbles": ("number", "points", "width"),
    "questions": ("question", "answer"),
}


@pytest.mark.parametrize("place", FIELDS)
def test_no_value_is_answered_by_a_fault_of_the_server(page, place):
    page.with_classes()
    method, path = place.split()
    path = path.replace("ID", page.id("IMG_1.png"))
    whole = {
        "objects": [{"number": 1, "label": "sky"}],
        "outlines": [{"key": "a", "label": "sky", "points": [[0, 0], [9, 0], [9, 9]]}],
        "classes": [{"name": "sky"}],
        "scribbles": [{"number": 1, "points": [[1, 1]], "width": 1}, {"number": 2, "points": [[9, 9]], "width": 1}],
        "questions": [{"question": "a", "answer": "b"}],
        "unlabelled": "ignore", "tiles": {}, "touch": ["a"], "box": [1, 1, 90, 90], "kind": "train",
    }  # fmt: skip
    bodies = [whole | {name: value} for name in FIELDS[place] for value in STRANGE]
    for name in set(FIELDS[place]) & set(WITHIN):
        first, *others = whole[name]
        bodies += [whole | {name: [first | {key: value}, *others]} for key in WITHIN[name] for value in STRANGE]
    etag = page.get(path).headers["etag"] if method == "PUT" and path != "/runs/current" else '"none"'
    for given in bodies:
        headers = {"If-Match": etag, "Content-Type": "application/json"}
        content = json.dumps(given).encode()
        answer = page.client.request(method, f"/api/1{path}", content=content, headers=headers)
        assert answer.status_code < 500, (given, answer.text)
        assert answer.status_code < 300 or answer.json()["detail"], given
        etag = answer.headers.get("etag", etag)
    assert page.get("/project").status_code == 200


# The validation fifth


def test_the_validation_fifth_is_the_one_that_training_draws(tmp_path):
    page = Page(write_pictures(tmp_path / "photos", 20)).with_classes()
    for picture in list(page.studio.folder.pictures.values()):
        page.put(f"/pictures/{picture.id}/labels", body(), '"none"')
    blind = {page.studio.folder[key].path.name for key in page.studio.folder.validation()}
    source = recognise(page.studio.folder.root)
    assert len(blind) == 4 and {source.open("val").name(i) for i in range(4)} == blind
    assert {page.studio.folder[key].path.name for key in page.studio.folder.validation()} == blind, (
        "as splits.json says"
    )
    page.studio.close()


def test_pictures_that_come_later_are_divided_as_the_reader_divides_them(page):
    page.with_classes()
    folder = page.studio.folder
    for picture in list(folder.pictures.values()):
        page.put(f"/pictures/{picture.id}/labels", body(), '"none"')
    recognise(folder.root).open("train")  # writes splits.json
    for number in range(10, 30):
        Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8) + 9).save(folder.root / f"IMG_{number}.png")
    folder.refresh()
    blind = {folder[key].path.name for key in folder.validation()}
    for number in range(10, 30):
        page.put(f"/pictures/{page.id(f'IMG_{number}.png')}/labels", body(), '"none"')
    source = recognise(folder.root)
    val = source.open("val")
    assert {val.name(i) for i in range(len(val))} == blind and len(blind) > 1


def test_a_training_without_a_picture_to_validate_on_is_refused(tmp_path):
    page = Page(write_pictures(tmp_path / "photos", 10)).with_classes()
    page.studio.folder.settle()
    blind = page.studio.folder.validation()
    for key in [key for key in page.studio.folder.pictures if key not in blind][:5]:
        page.put(f"/pictures/{key}/labels", body(), '"none"')
    answer = page.post("/jobs", {"kind": "train", "recipe": "fcn8s"}).json()
    names = sorted(page.studio.folder[key].path.name for key in blind)
    assert answer["reason"] == "too-few" and answer["detail"].endswith(f"finish one of {', '.join(names)}")
    page.studio.close()


def test_a_run_lists_its_worst_pictures_with_their_pages(page):
    run = page.studio.training.runs.place / "a"
    run.mkdir(parents=True)
    recipe = {"name": "mnc", "model": "mnc", "task": "instances", "epochs": 1}
    (run / "recipe.json").write_text(json.dumps(recipe | {"data": {"path": str(page.studio.folder.root)}}))
    rows = [(0, 0.5), (1, None), (2, 0.1), (9, 0.3)]
    samples = [{"name": f"IMG_{number}.png", "tp_ratio50": own, "objects": 3} for number, own in rows]
    (run / "samples.json").write_text(json.dumps(samples))
    found = page.get("/runs/a").json()
    ids = [(page.id("IMG_2.png"), 0.1), (None, 0.3), (page.id("IMG_0.png"), 0.5)]
    assert [(one["id"], one["score"]) for one in found["worst"]] == ids, "of three objects each; one is gone"
    assert found["state"] == "done" and not found["ready"] and page.get("/project").json()["runs"] == ["a"]
    (run / "samples.json").write_text("[[1]]")
    assert page.get("/runs/a").json()["worst"] == []
    other = run.with_name("b")
    other.mkdir()
    (other / "recipe.json").write_text(json.dumps(recipe | {"data": {"path": "/elsewhere"}}))
    assert page.get("/project").json()["runs"] == ["a"], "runs of other data are not shown"


@pytest.mark.parametrize(("given", "came"), [({}, "no run came"), ({"run": 3}, "run is 3")])
def test_a_run_has_to_be_named(page, given, came):
    for answer in (page.put("/runs/current", given), page.post("/jobs", {"kind": "export"} | given)):
        assert answer.status_code == 422 and answer.json()["detail"] == f"{came}; give the name of one"


def test_a_page_of_the_package_is_served_with_its_policy(page):
    answer = page.client.get("/static/tokens.css")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/css")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert page.client.get("/static/tokens.css", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


def test_classes_change_only_from_their_revision(page):
    page.with_classes()
    answer = page.put("/classes", CLASSES, '"none"')
    assert answer.status_code == 412 and "the classes were changed elsewhere" in answer.json()["detail"]


def renamed(page, *names, **was):
    """Change the classes as another tab does: names in their order; new name -> old name of those that are renamed."""
    listed = [{"name": name, "was": was.get(name)} for name in names]
    revision = page.get("/classes").headers["etag"]
    answer = page.put("/classes", {"classes": listed, "unlabelled": "ignore"}, revision)
    assert answer.status_code == 200, answer.text


def names_of(page):
    return [one["name"] for one in page.get("/classes").json()["classes"]]


RENAMES = {
    "renamed": (lambda a, b, *more: ({"cloud": a}, ["cloud", b, *more]), {0: "cloud"}),
    "swapped": (lambda a, b, *more: ({b: a, a: b}, [b, a, *more]), {0: 1, 1: 0}),  # both are there, and mean another
    "reused": (lambda a, b, *more: ({"cloud": a}, ["cloud", b, *more, a]), {0: "cloud"}),
}


@pytest.mark.parametrize("kind", RENAMES)
@pytest.mark.parametrize("before", [False, True])
def test_a_tab_saves_on_while_its_classes_are_renamed(page, kind, before):
    """Also where the picture has labels, which the renaming writes anew: the tab has their earlier revision."""
    page.with_classes()
    known = names_of(page)
    url, etag = f"/pictures/{page.id()}/labels", '"none"'
    if before:
        etag = page.put(url, body(label=known[1], classes=known), etag).headers["etag"]
    others, expected = RENAMES[kind]
    was, names = others(*known)
    renamed(page, *names, **was)
    now = {known[i]: known[name] if isinstance(name, int) else name for i, name in expected.items()}
    assert page.post("/classes/renamed", {"classes": known}).json()["renamed"] == now
    answer = page.put(url, body(label=known[0], classes=known), etag)
    assert answer.status_code == 200, answer.text
    assert json.loads(page.file().read_text())["shapes"][0]["label"] == now[known[0]]
    renamed(page, *[f"{name} 2" for name in names], **{f"{name} 2": name for name in names})
    again = page.put(url, body(label=known[0], classes=known), answer.headers["etag"])
    assert again.status_code == 200, again.text
    assert json.loads(page.file().read_text())["shapes"][0]["label"] == f"{now[known[0]]} 2"


def test_a_tab_saves_on_where_a_class_was_renamed_back(page):
    """The file has its earlier bytes again, and so its earlier revision."""
    page.with_classes()
    known = names_of(page)
    url = f"/pictures/{page.id()}/labels"
    page.put(url, body(label=known[0], classes=known), '"none"')
    first = page.file().read_bytes()
    renamed(page, "cloud", *known[1:], cloud=known[0])
    between = page.get(url).headers["etag"]
    renamed(page, *known, **{known[0]: "cloud"})
    assert page.file().read_bytes() == first
    answer = page.put(url, body(label="cloud", classes=["cloud", *known[1:]]), between)
    assert answer.status_code == 200, answer.text
    assert json.loads(page.file().read_text())["shapes"][0]["label"] == known[0]


@pytest.mark.parametrize("how", ["gone", "in another order", "by another program"])
def test_a_tab_that_does_not_know_the_classes_saves_nothing(page, how):
    """The picture has no labels yet, so that its own revision tells nothing."""
    page.with_classes()
    known = names_of(page)
    url = f"/pictures/{page.id()}/labels"
    if how == "by another program":
        file = page.studio.folder.root / "classes.txt"
        file.write_text(file.read_text().replace(known[0], "cloud"))
        change = f"class 1 was '{known[0]}' and is 'cloud' now"
    elif how == "gone":
        renamed(page, *known[:-1])
        change = f"class {len(known)} was '{known[-1]}' and is gone now"
    else:
        renamed(page, *reversed(known))
        change = f"class 1 was '{known[0]}' and is '{known[-1]}' now"
    for answer in (page.put(url, body(label=known[0], classes=known), '"none"'),
                   page.post("/classes/renamed", {"classes": known})):  # fmt: skip
        assert answer.status_code == 409 and answer.json()["reason"] == "classes-changed"
        assert answer.json()["detail"] == (
            f"the classes were changed elsewhere since this page was opened: {change}; reload the page"
        )
    assert not page.file().exists()
    label = names_of(page)[0]
    assert page.put(url, body(label=label, classes=names_of(page)), '"none"').status_code == 200


def test_a_tab_saves_on_while_classes_are_added_or_their_colours_change(page):
    page.with_classes()
    known = names_of(page)
    renamed(page, *known, "cloud")
    answer = page.put(f"/pictures/{page.id()}/labels", body(label=known[0], classes=known), '"none"')
    assert answer.status_code == 200
    wrong = page.put(f"/pictures/{page.id()}/labels", body(classes="sky"), answer.headers["etag"])
    assert wrong.status_code == 422 and "classes is 'sky'; expected the list of the names" in wrong.json()["detail"]


def test_classes_that_were_changed_by_hand_are_seen_by_tabs_and_masks(page):
    page.with_classes()
    known = names_of(page)
    file = page.studio.folder.root / "classes.txt"
    for name in ("IMG_0.png", "IMG_1.png"):
        url = f"/pictures/{page.id(name)}/labels"
        saved = page.put(url, body(label=known[0], classes=known), '"none"')
    assert page.studio.store.masks.wait()
    mask = page.studio.folder[page.id("IMG_0.png")].mask
    before = np.asarray(Image.open(mask))[0, 0]
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[1], lines[0], *lines[2:], ""]))
    answer = page.put(url, body(label=known[0], classes=known), saved.headers["etag"])
    assert answer.status_code == 409 and f"class 1 was '{known[0]}' and is '{known[1]}' now" in answer.json()["detail"]
    answer = page.put(url, body(label=known[0], classes=names_of(page)), saved.headers["etag"])
    assert answer.status_code == 200
    assert page.studio.store.masks.wait()
    assert np.asarray(Image.open(mask))[0, 0] == before + 1, "the mask of the other picture follows, too"
