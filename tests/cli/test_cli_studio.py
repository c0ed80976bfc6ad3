"""`foveate studio` on the command line."""

import signal
import threading

import pytest
from PIL import Image

from foveate import cli
from foveate.cli import studio


@pytest.fixture(autouse=True)
def no_signals(monkeypatch):
    """The verb takes over Ctrl-C, which these tests leave to pytest."""
    monkeypatch.setattr(studio.signal, "signal", lambda number, handler: None)


def said(argv, capsys):
    assert cli.main(["studio", *argv]) == 1
    return capsys.readouterr().err


def test_what_cannot_be_labelled_says_why(tmp_path, capsys):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert "none: no such folder; expected the folder that holds the pictures" in said([str(tmp_path / "none")], capsys)
    assert "a.png: a file; expected the folder" in said([str(tmp_path / "a.png")], capsys)
    assert (
        "a.png: no model" in (text := said([str(tmp_path), "--run", str(tmp_path / "a.png")], capsys))
        or "model" in text
    )
    assert "unknown flag '--prot'; the nearest is '--port'" in said([str(tmp_path), "--prot", "1"], capsys)
    assert "cannot listen on 203.0.113.1" in said([str(tmp_path), "--host", "203.0.113.1"], capsys)
    assert not (tmp_path / ".foveate").exists()


def test_the_extra_is_asked_for(tmp_path, capsys, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert 'install it with: pip install "foveate[studio]"' in said([str(tmp_path)], capsys)


def test_flags_reach_the_server(tmp_path, monkeypatch):
    from foveate.studio import serve

    given = {}
    monkeypatch.setattr(serve, "serve", lambda data, stop, **more: given.update(more, data=data, stop=stop))
    argv = ["studio", str(tmp_path), "--port", "0", "--no-open", "--read-only", "--allow-host", "Lab.example"]
    assert cli.main(argv) == 0
    assert isinstance(given.pop("stop"), threading.Event)
    assert given == {
        "data": str(tmp_path), "run": None, "host": "127.0.0.1", "port": 0, "hosts": frozenset({"lab.example"}),
        "read_only": True, "opened": None,
    }  # fmt: skip


def test_ctrl_c_stops_the_server(tmp_path, monkeypatch):
    from foveate.studio import serve

    handlers, stopped = {}, []
    monkeypatch.setattr(studio.signal, "signal", handlers.__setitem__)

    def wait(data, stop, **more):
        handlers[signal.SIGINT](signal.SIGINT, None)
        stopped.append(stop.is_set())

    monkeypatch.setattr(serve, "serve", wait)
    assert cli.main(["studio", str(tmp_path)]) == 0 and stopped == [True]
    assert set(handlers) == {signal.SIGINT, signal.SIGTERM}
