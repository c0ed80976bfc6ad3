"""docs/serve.md: its client works, and its tables are true."""

from __future__ import annotations

import configparser
import inspect
import re
import time
from pathlib import Path

import numpy as np
import pytest
from served_models import listening, noise, png

import foveate
from foveate.cli import serve as verb
from foveate.server.app import ENDPOINTS
from foveate.server.problem import PROBLEMS, Problem
from foveate.tasks import all_tasks

PAGE = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")


def block(title: str) -> str:
    return re.search(rf'^```\w+ title="{title}"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL)[1]


def test_the_client_gets_its_mask_waits_and_tells_what_is_wrong(serve, folder, monkeypatch):
    client: dict = {}
    code = block("client.py")
    assert len([line for line in code.splitlines() if line.strip()]) <= 32
    exec(compile(code, "client.py", "exec"), client)
    server = serve("semantic", token="0123456789abcdef")
    expected = foveate.load(folder("semantic"), device="cpu").predict(noise(), flip=True).mask
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    with listening(server) as address:
        url = f"{address}/v1/predict"
        answer = client["predict"](png(), url, token="0123456789abcdef", flip=True)
        np.testing.assert_array_equal(client["mask_of"](answer), expected)
        with pytest.raises(RuntimeError, match="The input cannot be used: the picture: not a picture"):
            client["predict"](b"no picture", url, token="0123456789abcdef")
        with pytest.raises(RuntimeError, match="A token is needed"):
            client["predict"](png(), url)
        full = iter([Problem("queue-full", "full", {"Retry-After": "3"})] * 2)
        admit = server.work.admit

        def admit_at_the_third() -> object:
            for problem in full:
                raise problem
            return admit()

        monkeypatch.setattr(server.work, "admit", admit_at_the_third)
        assert client["predict"](png(), url, token="0123456789abcdef", flip=True)["mask"] == answer["mask"]
    assert [seconds for seconds in waited if seconds == 3.0] == [3.0, 3.0]


def test_addresses_families_flags_and_statuses_of_the_page():
    named = set(re.findall(r"`(?:GET|POST) (/[^`]*)`|`(/v1/models/NAME)`", PAGE))
    addresses = {(a or b).replace("NAME", "{name}") for a, b in named}
    assert addresses == {one.path for one in ENDPOINTS if one.path != "/static/{file}"}
    section = PAGE[PAGE.index("| Family |") : PAGE.index("Every answer has")]
    rows = re.findall(r"^\| ([\w-]+) \|", section, re.MULTILINE)[1:]
    own = {task.name for task in all_tasks() if task.__module__.startswith("foveate.")}
    assert own <= {row.replace("-", "") for row in rows}
    for task in all_tasks():
        if task.name in own:
            (row,) = [line for line in section.splitlines() if line.replace("-", "").startswith(f"| {task.name} |")]
            for field in set(task.Reply.__annotations__) - {
                "note",
                "words",
                "unread",
                "duration",
                "cuts",
                "text",
                "finished",
            }:
                assert f"`{field}`" in row, (task.name, field)
    flags = set(re.findall(r'"(--[a-z-]+)"', inspect.getsource(verb)))
    assert set(re.findall(r"--[a-z]+(?:-[a-z]+)*", PAGE)) & flags == flags
    statuses = {int(status) for row in re.findall(r"^\| ([\d, ]+) \|", PAGE, re.MULTILINE) for status in row.split(",")}
    assert statuses == {status for status, _ in PROBLEMS.values()} - {409, 412, 428, 507}  # which are the studio's


def test_the_service_and_the_container_start_lines_that_parse():
    unit = configparser.ConfigParser()
    unit.optionxform = str
    unit.read_string(block("foveate.service"))
    words = unit["Service"]["ExecStart"].split()
    command = re.search(r"^CMD (.*)$", block("Dockerfile"), re.MULTILINE)[1]
    flags = set(re.findall(r'"(--[a-z-]+)"', inspect.getsource(verb)))
    for line in (words, re.findall(r'"([^"]+)"', command)):
        assert line[1] == "serve" and {word for word in line if word.startswith("--")} <= flags
