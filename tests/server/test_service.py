"""Health, readiness, metrics, the description of the interface, what is told of a model, and the page."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest
from served_models import BUILDERS, CLASSES, png
from starlette.routing import Route

import foveate
from foveate.errors import ConfigError, DataError
from foveate.server import app as served_app
from foveate.server import listen
from foveate.server.app import ENDPOINTS
from foveate.server.guard import SECURITY_HEADERS
from foveate.server.metrics import FAMILIES, Metrics
from foveate.server.models import load, named
from foveate.server.openapi import schema_of
from foveate.server.predict import encoded, preferred, warm_up
from foveate.server.serving import Limits, host_names, read_token, require_safe
from foveate.tasks import all_tasks, find_task
from foveate.tasks.contract import require_contract
from foveate.tasks.inputs import Input
from foveate.tasks.options import Options, option

STATIC = Path(served_app.__file__).parent / "static"


def test_ready_only_when_every_model_is_loaded_and_not_while_draining(serve):
    server = serve("semantic", start=False)
    get = server.client.get
    assert get("/healthz").json() == {"status": "alive"}
    assert (get("/readyz").status_code, get("/readyz").json()["code"]) == (503, "loading")
    refused = server.post("/v1/predict", png())
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "loading", "2")
    assert "foveate_ready 0" in get("/metrics").text
    assert get("/v1/models").json() == {"models": [], "ready": False}
    server.models._loaded["first"] = SimpleNamespace(about=lambda: {"name": "first"})
    assert get("/v1/models").json() == {"models": [{"name": "first"}], "ready": False}, "others may follow"
    del server.models._loaded["first"]
    server.start()
    assert get("/v1/models").json()["ready"] is True
    assert get("/readyz").json() == {"status": "ready"}
    assert server.post("/v1/predict", png()).status_code == 200
    assert "foveate_ready 1" in get("/metrics").text
    server.work.draining = True
    assert (get("/readyz").status_code, get("/healthz").status_code) == (503, 200)
    assert server.post("/v1/predict", png()).json()["code"] == "draining"


def test_the_icon_of_the_page_needs_no_token(serve):
    server = serve("semantic", token="0123456789abcdef")
    response = server.client.get("/favicon.ico", headers={"Authorization": ""})
    assert (response.status_code, response.headers["content-type"]) == (200, "image/svg+xml")
    assert response.content.startswith(b"<svg ") and b'href="/favicon.ico"' in (STATIC / "index.html").read_bytes()


LINE = re.compile(r'[a-z_]+(\{([a-z]+="[^"\\\n]*",?)+\})? [0-9.e+-]+')


def test_metrics_add_up(serve):
    server = serve("semantic")
    for data in (png(), png(), b"no picture"):
        server.post("/v1/predict", data)
    server.client.get("/v1/nothing")
    response = server.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = response.text.splitlines()
    assert all(LINE.fullmatch(line) for line in lines if not line.startswith("#")), response.text
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert values['foveate_requests_total{model="semantic",status="200"}'] == "2"
    assert values['foveate_requests_total{model="semantic",status="422"}'] == "1"
    assert values['foveate_requests_total{model="",status="404"}'] == "1"
    assert values['foveate_inputs_total{model="semantic"}'] == "2"
    assert values['foveate_received_bytes_total{model="semantic"}'] == str(2 * len(png()))
    for stage in ("wait", "decode", "run", "encode"):
        assert values[f'foveate_stage_seconds_count{{model="semantic",stage="{stage}"}}'] == "2"
        assert float(values[f'foveate_stage_seconds_sum{{model="semantic",stage="{stage}"}}']) >= 0
    assert values["foveate_queue_depth"] == "0" and values["foveate_rejected_total"] == "0"
    for name, (kind, _) in FAMILIES.items():
        assert lines.count(f"# TYPE {name} {kind}") == 1


def test_labels_are_escaped():
    metrics = Metrics()
    metrics.count_request('a"b\\c\n', 200)
    assert r'{model="a\"b\\c\n",status="200"} 1' in metrics.text(True, 0, 0)


# What is told


def test_what_a_client_is_told_of_a_model(serve, folder):
    server = serve("semantic", "translation")
    about = server.client.get("/v1/models/semantic").json()
    weights = (folder("semantic") / "model.safetensors").read_bytes()
    assert about["sha256"] == hashlib.sha256(weights).hexdigest()
    assert about["task"] == "semantic" and about["runtime"] == "torch" and about["score"] is None
    assert about["tables"]["classes"]["classes"][1] == {"index": 1, "name": "cow", "color": "#783c14"}
    assert len(about["tables"]["classes"]["classes"]) == len(CLASSES)
    assert about["inputs"][0]["key"] == "image" and ".tif" in about["inputs"][0]["suffixes"]
    assert {one["name"] for one in about["parts"]} == {"overlay", "confidence"}
    assert {one["name"] for one in about["options"]} >= {"flip", "scales", "tile", "crf"}
    assert about["versions"]["foveate"] == foveate.__version__ and about["limits"]["inputs"] == 16
    assert about["preprocessing"]["mean"]
    both = server.client.get("/v1/models").json()["models"]
    assert [one["name"] for one in both] == ["semantic", "translation"] and both[0] == about
    assert both[1]["tables"] == {"source": {"entries": 13}, "target": {"entries": 13}}
    assert str(folder("semantic").parent) not in json.dumps(both)  # no path of the machine


def test_files_of_the_machine_are_offered_nowhere(serve):
    server = serve("instances", "speech", "handwriting")
    told = server.client.get("/v1/models").text + server.client.get("/openapi.json").text
    assert not re.search(r'"name": "(boxes|language|style)"', told)


def test_the_score_of_a_run_and_names(tmp_path, folder):
    run = tmp_path / "my run"
    run.mkdir()
    (run / "model").symlink_to(folder("semantic"), target_is_directory=True)
    (run / "evaluation.json").write_text(json.dumps({"mean_iou": 0.5}))
    served = load("a", run, "cpu", {})
    assert served.score == {"name": "mean_iou", "value": 0.5}
    assert named([str(run), "other=x/y"]) == {"my-run": run, "other": Path("x/y")}
    assert list(named(["x/first.onnx"])) == ["first"]
    for words, message in (
        (["a/b", "c/b"], r"two models are called 'b': a/b and c/b; name one, as in other=c/b"),
        (["a b=x"], r"'a b' cannot be a name in an address; give letters, digits and"),
        (["../x=y"], r"cannot be a name"),
    ):
        with pytest.raises(ConfigError, match=message):
            named(words)


def test_openapi_describes_every_route(serve):
    families = ["semantic", "translation", "drawing"]
    server = serve(*families)
    description = server.client.get("/openapi.json").json()
    assert description["openapi"] == "3.1.0"
    described = {(m.upper(), p) for p, methods in description["paths"].items() for m in methods}
    starlette = server.service.app(server.client.app.policy).app
    routes = {(one.path, method) for one in starlette.routes if isinstance(one, Route) for method in one.methods}
    assert {(e.path, e.method) for e in ENDPOINTS} == {(p, m) for p, m in routes if m != "HEAD"}
    for one in ENDPOINTS:
        paths = [one.path.replace("{name}", f) for f in families] if one.of_model else [one.path]
        if one.path != "/v1/predict":  # there is none where several models are served
            assert {(one.method, path) for path in paths} <= described
    ids = [o["operationId"] for methods in description["paths"].values() for o in methods.values()]
    assert len(set(ids)) == len(ids)
    operation = description["paths"]["/v1/models/semantic/predict"]["post"]
    assert {"flip", "scales", "overlay", "confidence"} <= {p["name"] for p in operation["parameters"]}
    assert set(operation["requestBody"]["content"]) == {"application/json", "application/octet-stream"}
    assert "image/png" in operation["responses"]["200"]["content"]
    for methods in description["paths"].values():
        for one in methods.values():
            for answer in one["responses"].values():
                for content in answer.get("content", {}).values():
                    jsonschema.Draft202012Validator.check_schema(content.get("schema", {}))
    assert "/v1/predict" in serve("semantic").client.get("/openapi.json").json()["paths"]


def test_every_familys_reply_has_a_schema_with_words():
    for task in all_tasks():
        schema = schema_of(task.Reply)
        missing = [name for name, one in schema.get("properties", {}).items() if not one.get("description")]
        assert not missing, (task.name, missing)


def test_a_type_without_schema_is_refused():
    with pytest.raises(TypeError, match="has no JSON Schema"):
        schema_of(set)


# Families of other packages


class Numbers(Input):
    name = "numbers"
    noun = "list"
    nouns = "lists"
    suffixes = frozenset({".csv", ".txt"})

    def open(self, given, preprocessing, model, name="", max_pixels=None):
        if given.suffix != ".csv" or not given.read_text().strip():
            raise DataError(f"{given}: no numbers; give some")
        return [float(word) for word in given.read_text().split(",")]


def test_an_input_of_another_package_comes_by_way_of_a_file():
    one = Numbers()
    assert (one.key, one.is_text, one.weigh(b"1,2"), one.example(None)) == ("numbers", False, 3, None)
    assert one.decode(b"1,2", None, "m") == one.decode(b"1,2", None, "m", "a.csv") == [1, 2]
    for name, expected in (("", "the list: no numbers; give some"), ("b.txt", "b.txt: no numbers; give some")):
        with pytest.raises(DataError, match=f"^{expected}$"):  # and nothing of the temporary file
            one.decode(b" ", None, "m", name)


@dataclass(frozen=True)
class Clashing(Options):
    """flip: as of the options."""

    flip: bool = option(False, "also the mirrored one")


def test_a_part_that_is_called_as_an_option_breaks_the_contract():
    base = find_task("semantic")
    with pytest.raises(ConfigError, match=r"whose Clashing.flip has the name of another parameter of a request"):
        require_contract("semantic", type("Other", (base,), {"Parts": Clashing}))
    with pytest.raises(ConfigError, match=r"whose Parts are 3; derive a dataclass"):
        require_contract("semantic", type("Other", (base,), {"Parts": 3}))


# Small parts


def test_preferred_kind():
    kinds = ["application/json", "image/png"]
    for accept, expected in (
        ("", kinds[0]), ("application/json;q=0, */*", kinds[1]),
        ("*/*", kinds[0]), ("image/png", kinds[1]), ("image/*;q=0.9, application/json;q=0.1", kinds[1]),
        ("text/*", None), ("image/png;q=x", None), ("application/*", kinds[0]),
    ):  # fmt: skip
        assert preferred(accept, kinds) == expected, accept


def test_numbers_that_are_none_are_null():
    assert encoded({"a": float("nan"), "b": (1, float("inf"))}) == {"a": None, "b": [1, None]}


@pytest.mark.parametrize("family", BUILDERS)
def test_every_family_is_tried_before_it_is_ready(folder, family, monkeypatch):
    predictor = foveate.load(folder(family), device="cpu")
    kind = type(predictor.family)
    name = "answer" if kind.inputs else "generate"
    real, answers = getattr(kind, name), []
    monkeypatch.setattr(kind, name, lambda *args: answers.append(real(*args)) or answers[-1])
    warm_up(predictor, lambda: False)
    assert len(answers) == 1 or family == "handwriting"  # which has nothing to write without a text


# Starting


def test_what_is_refused_before_anything_is_served(tmp_path):
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.5"):
        require_safe(host, None)
    for host in ("0.0.0.0", "::", "192.168.1.5", "gpu.example", ""):
        with pytest.raises(ConfigError, match="is reached from other machines; give --token FILE as well"):
            require_safe(host, None)
        require_safe(host, "x" * 16)
    assert host_names("0.0.0.0", ["GPU.example"]) == {"gpu.example"}
    assert host_names("fe80::1", []) == {"[fe80::1]"} and host_names("10.0.0.7", []) == {"10.0.0.7"}
    (tmp_path / "token").write_text("short\n")
    with pytest.raises(ConfigError, match="its first line has 5 characters; give 16 or more without blanks"):
        read_token(tmp_path / "token")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_token(tmp_path / "none")
    (tmp_path / "token").write_text("0123456789abcdef\nrest")
    assert read_token(tmp_path / "token") == "0123456789abcdef"
    with pytest.raises(ConfigError, match="--queue is 0; give more than 0"):
        Limits(queue=0)


def test_a_port_that_is_taken_and_one_that_is_free():
    with listen.bind("127.0.0.1", 0) as first:
        address = listen.address_of(first)
        port = int(address.rpartition(":")[2])
        assert address == f"http://127.0.0.1:{port}" and port > 0
        with pytest.raises(ConfigError, match=rf"cannot listen on 127.0.0.1, port {port}: .*choose another --port"):
            listen.bind("127.0.0.1", port)
    with pytest.raises(ConfigError, match="no such name or address here"):
        listen.bind("no-such-host.invalid", 0)
    with pytest.raises(ConfigError, match="--port is 70000"):
        listen.bind("127.0.0.1", 70000)


# The page


def test_the_page_loads_nothing_from_elsewhere_and_writes_text_alone(serve):
    server = serve("semantic")
    response = server.client.get("/")
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["content-security-policy"] == SECURITY_HEADERS["content-security-policy"]
    files = {path.name for path in STATIC.iterdir()}
    assert files == {"index.html", "icon.svg", *served_app.STATIC}
    linked = set(re.findall(r'(?:src|href)="/static/([^"]+)"', response.text)) | {"show.js"}
    assert linked == set(served_app.STATIC)
    for name, kind in served_app.STATIC.items():
        file = server.client.get(f"/static/{name}")
        assert file.headers["content-type"].startswith(kind) and file.content == (STATIC / name).read_bytes()
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 400
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
        assert not re.search(r"https?://", text.replace("http://www.w3.org/2000/svg", "")), path.name
        assert not re.search(r"\son\w+=|<style|style=", text), path.name
