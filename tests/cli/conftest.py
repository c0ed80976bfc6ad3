from __future__ import annotations

import csv
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foveate import cli
from foveate.datasets.pasture import CLASSES, Pasture
from foveate.engine import processes

# Turns any FCN recipe into the smallest training there is.
SMALLEST = shlex.split(
    "--config.pretrained false --config.backbone test_efficientnet --config.head_channels 8 --config.skip_channels 0 "
    "--config.head_kernel 1 --config.lovasz 0 --epochs 1 --batch_size 2 --ema 0 --freeze= --augment.crop="
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in processes.RANKS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail: its one line on stderr, without the name in front."""

    def run(*words: str) -> str:
        capsys.readouterr()
        code = cli.main(list(words))
        said = capsys.readouterr()
        assert code == 1, said.out
        lines = [line for line in said.err.splitlines() if not line.startswith("epoch ")]
        assert len(lines) == 1, said.err
        assert lines[0].startswith("foveate: ")
        return lines[0].removeprefix("foveate: ")

    return run


@pytest.fixture
def rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[dict[str, str]]]:
    """`foveate evaluate` of some words: the rows of its table of samples, as Python's csv reads them."""

    def read(*words: str) -> list[dict[str, str]]:
        table = tmp_path / "samples.csv"
        assert cli.main(["evaluate", *words, "--csv", str(table)]) == 0, capsys.readouterr().err
        with table.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Labelled pictures in plain folders: six to train with and two to choose by."""
    scenes = Pasture(height=32, width=40, train=8).open("train")
    root = tmp_path / "photos"
    for i in range(8):
        folder = root / ("train" if i < 6 else "val")
        for kind in ("images", "labels"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        sample = scenes[i]
        Image.fromarray(sample["image"].permute(1, 2, 0).numpy()).save(folder / "images" / f"{i}.png")
        Image.fromarray(np.asarray(sample["mask"])).save(folder / "labels" / f"{i}.png")
    (root / "classes.txt").write_text("\n".join(CLASSES.names) + "\n")
    return root


@pytest.fixture
def smallest() -> list[str]:
    return list(SMALLEST)
