"""Untrained models of every family in model folders, and servers of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from served_models import BUILDERS, Server

from foveate.store import save_model


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """folder(family): an untrained model of a family, saved once."""
    root = tmp_path_factory.mktemp("models")

    def saved(family: str) -> Path:
        path = root / family
        if not path.exists():
            torch.manual_seed(0)
            model, name, tables, task = BUILDERS[family]()
            save_model(path, model.eval(), name, tables, task)
        return path

    return saved


@pytest.fixture
def serve(folder: Callable[[str], Path]) -> Iterator[Callable[..., Server]]:
    """serve("semantic", ...) or serve(paths={name: path}): a server; queue, deadline, start, fields of a Policy."""
    servers: list[Server] = []

    def run(
        *families: str,
        paths: dict[str, Path] | None = None,
        queue: int = 8,
        deadline: float = 60.0,
        start: bool = True,
        **policy: Any,
    ) -> Server:
        servers.append(Server(paths or {f: folder(f) for f in families}, policy, queue, deadline, start))
        return servers[-1]

    yield run
    for server in servers:
        assert server.work.stop(10)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
