"""`foveate push` and `foveate pull`, against a stand-in of the Hugging Face hub on this machine."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import logging
import re
import shlex
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import torch
import yaml

import foveate
from foveate import cli
from foveate.cli.hub import _command, _without_paths, model_card
from foveate.records import ClassTable
from foveate.remote import quiet_hub
from foveate.store import load_model, save_model

COMMIT = "c0ffee" + "0" * 34


class Hub(http.server.BaseHTTPRequestHandler):
    """What the client asks of the hub: repositories, commits, trees and files; `repos` holds name -> file -> bytes."""

    repos: dict[str, dict[str, bytes]]
    log: list[tuple[str, Any]]

    def reply(self, status: int, content: Any = None, head: bool = False, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content or {}).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if not head:
            self.wfile.write(body)

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}"
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.log.append((path, body))
        if self.headers.get("Authorization") != "Bearer secret":
            return self.reply(401, {"error": "log in"})
        if path == "/api/validate-yaml":  # of the card
            return self.reply(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            about = json.loads(body)
            name = f"{about.get('organization') or 'me'}/{about['name']}"
            self.repos.setdefault(name, {})
            return self.reply(200, {"url": f"http://{self.headers['Host']}/{name}", "name": name})
        if match := re.fullmatch(r"/api/models/(.+)/preupload/main", path):
            files = json.loads(body)["files"]
            return self.reply(
                200, {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
            )
        if match := re.fullmatch(r"/api/models/(.+)/commit/main", path):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.repos[match[1]][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return self.reply(
                200, {"commitUrl": f"http://{self.headers['Host']}/{match[1]}/commit/{COMMIT}", "commitOid": COMMIT}
            )
        return self.reply(404)

    def do_GET(self, head: bool = False) -> None:
        path = unquote(urlsplit(self.path).path)
        if match := re.fullmatch(r"/api/models/(.+?)(?:/tree|/revision)/main", path):
            files = self.repos.get(match[1])
            if files is None:
                return self.reply(404, {"error": "not found"}, X_Error_Code="RepoNotFound")
            if "/tree/" in path:
                return self.reply(
                    200, [{"type": "file", "path": n, "size": len(c), "oid": "0" * 40} for n, c in files.items()]
                )
            return self.reply(200, {"id": match[1], "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]})
        if match := re.fullmatch(r"/(.+?/.+?)/resolve/\w+/(.+)", path):
            content = self.repos[match[1]][match[2]]
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            return self.reply(200, content, head, ETag=etag, X_Repo_Commit=COMMIT)
        return self.reply(404, {"error": "not found"}, head)

    def do_HEAD(self) -> None:
        self.do_GET(head=True)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Hub]]:
    handler = type("Running", (Hub,), {"repos": {}, "log": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    from huggingface_hub import constants

    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setattr(constants, "ENDPOINT", address)  # read once, when the client is imported
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
    yield handler
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = foveate.create("fcn32s", num_classes=2, backbone="test_efficientnet", head_channels=8, head_kernel=1)
    folder = tmp_path / "runs" / "cows"
    save_model(folder / "model", model, "fcn32s", {"classes": ClassTable(("meadow", "cow"))}, "semantic")
    write = {
        "recipe.json": {"name": "fcn32s", "epochs": 5, "seed": 3},
        "data.json": {"source": "Folders: 8 train, 2 val pictures in /home/me/secret/farm", "train": [], "val": []},
        "environment.json": {"command": "foveate train fcn32s --data /home/me/secret/farm", "commit": "a" * 40},
        "evaluation.json": {"mean_iou": 0.51234, "pixel_accuracy": 0.9, "samples": 2, "split": "val"},
    }
    for name, content in write.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "report.html").write_text("<html>")
    return folder


def test_there_and_back(
    hub: type[Hub], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], complaint: Callable[..., str]
) -> None:
    assert cli.main(["push", str(run), "me/cows", "--private"]) == 0
    assert capsys.readouterr().out.strip().endswith("/me/cows")
    assert set(hub.repos["me/cows"]) == {"config.json", "model.safetensors", "README.md", "evaluation.json"}
    created = next(json.loads(body) for path, body in hub.log if path == "/api/repos/create")
    assert created.get("private") is True or created.get("visibility") == "private"
    assert cli.main(["pull", "me/cows", "--out", str(tmp_path / "got")]) == 0
    assert "fcn32s, semantic" in capsys.readouterr().out
    ours, theirs = (load_model(folder).model.state_dict() for folder in (run / "model", tmp_path / "got"))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert sorted(p.name for p in (tmp_path / "got").iterdir()) == sorted(hub.repos["me/cows"])
    assert "got exists already and is not empty" in complaint("pull", "me/cows", "--out", str(tmp_path / "got"))
    assert cli.main(["push", str(run), "me/cows", "--report"]) == 0
    assert hub.repos["me/cows"]["report.html"] == b"<html>"


def test_pulled_into_the_empty_folder_that_a_shell_is_in(
    hub: type[Hub], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["push", str(run), "me/cows"]) == 0
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert cli.main(["pull", "me/cows", "--out", "."]) == 0
    assert sorted(p.name for p in Path().iterdir()) == sorted(hub.repos["me/cows"])  # the folder is still the same one
    assert [p.name for p in tmp_path.glob("*unfinished*")] == [p.name for p in tmp_path.glob(".*unfinished*")] == []


def test_what_is_no_model_and_what_is_not_there(
    hub: type[Hub], run: Path, tmp_path: Path, complaint: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos["me/other"] = {"pytorch_model.bin": b"", "config.json": b"{}"}
    told = complaint("pull", "me/other", "--out", str(tmp_path / "got"))
    assert told.startswith("me/other holds no model.safetensors, so it is no model of Foveate")
    hub.repos["me/broken"] = {"model.safetensors": b"x", "config.json": b"{}"}
    complaint("pull", "me/broken", "--out", str(tmp_path / "got"))
    assert not list(tmp_path.glob("*got*"))  # nothing is left behind
    assert "me/none: the hub answers 404; check the name" in complaint(
        "pull", "me/none", "--out", str(tmp_path / "got")
    )
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert "me/cows: the hub answers 401; log in with `hf auth login`" in complaint("push", str(run), "me/cows")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9 cannot be reached" in complaint("push", str(run), "me/cows")
    assert complaint("push", str(run), "cows").startswith("'cows' names no repository; give NAMESPACE/NAME")


def test_a_hub_that_cannot_be_reached_is_one_line_at_once(
    run: Path, tmp_path: Path, complaint: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client would try six times, and print two lines each time."""
    import huggingface_hub  # noqa: F401 - sets the level of its log

    printed: list[str] = []
    log, handler = logging.getLogger("huggingface_hub"), logging.Handler()
    handler.emit = lambda record: printed.append(record.getMessage())  # type: ignore[method-assign]
    monkeypatch.setattr(log, "handlers", [*log.handlers, handler])
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail(f"waits for {seconds} s"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    level = log.level
    for words in (["pull", "me/cows", "--out", str(tmp_path / "got")], ["push", str(run), "me/cows"]):
        assert complaint(*words).startswith("me/cows: http://127.0.0.1:9 cannot be reached (")
    assert not printed and log.level == level
    with quiet_hub():
        log.getChild("utils").warning("Retrying in 1s")
    assert not printed


def test_the_card_says_what_a_reader_needs_and_nothing_of_the_machine(run: Path) -> None:
    card = model_card(run, "me/cows")
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "foveate", "pipeline_tag": "image-segmentation",
        "tags": ["foveate", "fcn32s", "semantic-segmentation"],
    }  # fmt: skip
    for expected in (
        "# cows", "- Recipe: `fcn32s`, 5 epochs, seed 3", "| mean_iou | 0.5123 |", "On 2 pictures of the split val:",
        "slightly optimistic", "meadow, cow", "foveate pull me/cows", "@inproceedings{long2015fcn", "--data farm",
    ):  # fmt: skip
        assert expected in body
    assert "/home" not in card and "secret" not in card
    alone = model_card(run / "model", "me/cows")
    assert "## Training" not in alone and "## Scores" not in alone and "meadow, cow" in alone


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train --data /a/b/cows --epochs 3", "train --data cows --epochs 3"),
        (r"train --data C:\Users\me\cows", "train --data cows"),
        ("Folders: 8 train, 1/2 val", "Folders: 8 train, 1/2 val"),
    ],
)
def test_folders_of_the_machine_are_left_out(text: str, expected: str) -> None:
    assert _without_paths(text) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["foveate", "train", "--data", "/home/me (x)/my, cows/photos"], "foveate train --data photos"),
        (["foveate", "train", "--data=/home/me/my cows/", "--optim.lr", "1e-3"],
         "foveate train '--data=my cows' --optim.lr 1e-3"),
        (["foveate", "train", "--data", r"C:\Users\me\my cows"], "foveate train --data 'my cows'"),
        (["foveate", "train", "--data", "my cows", "--augment.crop", "96,96"],
         "foveate train --data 'my cows' --augment.crop 96,96"),
    ],
)  # fmt: skip
def test_a_command_on_the_card_can_be_copied_and_holds_no_folder_of_the_machine(line: list[str], expected: str) -> None:
    assert _command(shlex.join(line)) == expected
    assert _command(r"foveate train --data C:\Users\me\cows") == "foveate train --data cows"  # written without quotes
    assert _command("foveate train --data /home/me's/cows").endswith("cows")
