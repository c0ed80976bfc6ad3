"""`foveate serve` as a process of its own: the address line, load, hostile connections, and SIGTERM."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from served_models import noise, png

from foveate import cli
from foveate.errors import ModelError
from foveate.server import serving
from foveate.server.serving import Settings, serve

QUEUE = 16
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@contextlib.contextmanager
def process(*words: str, stderr: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and its address, which it prints first."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "foveate", "serve", *words, "--port", "0", "--device", "cpu", "--threads", "1"]
    with stderr.open("w") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    try:
        assert server.stdout is not None
        yield server, server.stdout.readline().strip()
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


def wait_until_ready(url: str, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if httpx.get(f"{url}/readyz", timeout=60).status_code == 200:
            return
        time.sleep(0.1)
    raise AssertionError("never ready")


def raw(url: str, request: bytes, seconds: float = 30) -> bytes:
    """Bytes that a server answers to bytes."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=seconds) as connection:
        connection.sendall(request)
        found = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while chunk := connection.recv(65536):
                found += chunk
                if b"\r\n\r\n" in found and b'"request_id"' in found:
                    break
    return found


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    text = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", text)[1])


def request(headers: bytes, body: bytes = b"") -> bytes:
    return b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n" + headers + b"\r\n" + body


@posix
def test_a_server_under_load_hostile_clients_and_sigterm(folder, tmp_path):
    """One process for all, since starting one takes longest."""
    log = tmp_path / "log"
    data = png(noise(64, 64))
    with process(str(folder("semantic")), "--queue", str(QUEUE), stderr=log) as (server, url):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        assert httpx.get(f"{url}/healthz", timeout=60).status_code == 200  # while the model is loaded
        wait_until_ready(url)
        expected = httpx.post(f"{url}/v1/predict", content=data, timeout=60).json()["mask"]
        idle = memory(server.pid) if sys.platform == "linux" else 0

        # 50 clients of 4 requests
        def client(number: int) -> list[tuple[int, bool]]:
            found = []
            with httpx.Client(base_url=url, timeout=120) as one:
                for _ in range(4):
                    answer = one.post("/v1/predict", content=data)
                    right = answer.json().get("mask") == expected if answer.status_code == 200 else True
                    found.append(
                        (answer.status_code, right and ("retry-after" in answer.headers) == (answer.status_code == 429))
                    )
            return found

        with ThreadPoolExecutor(50) as clients:
            found = [one for each in clients.map(client, range(50)) for one in each]
        statuses = Counter(status for status, _ in found)
        assert len(found) == 200 and set(statuses) <= {200, 429} and statuses[200] >= QUEUE
        assert all(right for _, right in found)
        if idle:
            assert memory(server.pid) < idle + 600_000_000
        assert "foveate_queue_depth 0" in httpx.get(f"{url}/metrics", timeout=60).text

        # Hostile connections
        too_large = raw(url, request(b"Content-Length: 30000000\r\n"))
        assert b" 413 " in too_large.partition(b"\r\n")[0] and b'"code": "too-large"' in too_large
        assert b" 400 " in raw(url, b"GARBAGE\r\n\r\n").partition(b"\r\n")[0]
        assert b" 400 " in raw(url, request(b"Content-Length: x\r\n")).partition(b"\r\n")[0]
        parts = urlsplit(url)
        cut = socket.create_connection((parts.hostname, parts.port))
        cut.sendall(request(b"Content-Length: 5000\r\n", data[:100]))
        cut.close()  # in mid-body
        chunk = b"186a0\r\n" + bytes(100_000) + b"\r\n"
        endless = raw(url, request(b"Transfer-Encoding: chunked\r\n", chunk * 230 + b"0\r\n\r\n"))
        assert b'"code": "too-large"' in endless
        assert httpx.post(f"{url}/v1/predict", content=data, timeout=60).json()["mask"] == expected
        assert "foveate_queue_depth 0" in httpx.get(f"{url}/metrics", timeout=60).text

        # SIGTERM under load: everything that was admitted is answered
        outcomes: list[int | str] = []
        started = threading.Barrier(9)
        stopped = [float("inf")]

        def last(number: int) -> None:
            with httpx.Client(base_url=url, timeout=120) as one:
                one.get("/healthz")  # connected before the signal, whenever this thread has its turn
                started.wait()
                for _ in range(200):
                    begin = time.monotonic()
                    try:
                        outcomes.append(one.post("/v1/predict", content=data).status_code)
                    except httpx.HTTPError as error:
                        if begin < stopped[0]:  # a request of before the signal must have an answer
                            outcomes.append(type(error).__name__)
                        return
                    if outcomes[-1] == 503:
                        return

        with ThreadPoolExecutor(8) as clients:
            running = [clients.submit(last, number) for number in range(8)]
            started.wait()
            time.sleep(0.5)
            stopped[0] = time.monotonic()
            server.send_signal(signal.SIGTERM)
            assert server.wait(300) == 0
            for one in running:
                one.result()
        assert set(outcomes) <= {200, 503} and outcomes.count(200) > 0, Counter(outcomes)
        assert server.stdout.read() == ""
    text = log.read_text()
    assert "Traceback" not in text and "semantic: recurrent_cnn, semantic segmentation (torch)" in text


def test_a_model_that_cannot_be_loaded_ends_the_server(folder, tmp_path, capsys):
    broken = shutil.copytree(folder("semantic"), tmp_path / "broken")
    (weights,) = broken.rglob("model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ModelError, match="broken"):
        serve(Settings({"broken": broken}, port=0))
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+\n", capsys.readouterr().out)


# What the verb refuses before it listens


@pytest.mark.parametrize("content", [None, "{}"])
def test_each_of_several_models_is_looked_at_before_the_first_is_loaded(content, folder, tmp_path, capsys, monkeypatch):
    broken = tmp_path / "broken"
    broken.mkdir()
    if content is not None:
        (broken / "config.json").write_text(content)
    monkeypatch.setattr(serving, "load", lambda *given: pytest.fail(f"{given[0]} was loaded"))
    with pytest.raises(ModelError, match="broken"):
        serve(Settings({"good": folder("semantic"), "broken": broken}, port=0))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none/there"], "none/there does not exist; "),
        (["a=none/there"], "none/there does not exist; "),
        (["{model}", "{model}"], "two models are called 'semantic'"),
        (["{model}", "--host", "0.0.0.0"], "--host 0.0.0.0 is reached from other machines; give --token FILE as well"),
        (["{model}", "--queue", "0"], "--queue is '0'; give a whole number from 1 on, such as 64, 500k or 20M"),
        (["{model}", "--max-bytes", "20MB"], "--max-bytes is '20MB'; give a whole number"),
        (["{model}", "--deadline", "never"], "--deadline is 'never'; give seconds above 0"),
        (["{model}", "--port", "-1"], "--port is '-1'"),
        (["{model}", "--token", "none"], "--token none cannot be read"),
        (["{model}", "--prot", "1"], "unknown flag '--prot'; the nearest is '--port'"),
        (["{model}", "--runtime", "openvino"], "--runtime and --precision are for exported files, and none is served"),
        ([], "the following arguments are required: MODEL"),
    ],
)
def test_lines_that_are_refused(words, message, folder, capsys):
    assert cli.main(["serve", *(word.format(model=folder("semantic")) for word in words)]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith(f"foveate: {message}"), captured.err


def test_without_the_extra_the_line_says_what_to_install(folder, capsys, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "uvicorn" else real(name, *a))
    assert cli.main(["serve", str(folder("semantic"))]) == 1
    assert "this needs uvicorn: pip install 'foveate[studio]'" in capsys.readouterr().err


def test_sizes():
    from foveate.cli.serve import size

    assert [size("--x", text) for text in ("64", "500k", "20M", "1G")] == [64, 500_000, 20_000_000, 10**9]
