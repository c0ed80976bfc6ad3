"""Region proposals that were computed before: on disk, and of the last image."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from foveate.errors import ConfigError
from foveate.ops import region_cache as module
from foveate.ops.region_cache import RegionCache, pack_regions, unpack_regions
from foveate.ops.regions import RegionSet, propose_regions


def picture(seed: int = 0) -> np.ndarray:
    """Squares of random colours, (24, 30, 3) uint8."""
    colors = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return colors.repeat(6, 0).repeat(6, 1)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path))
    return tmp_path / "regions"


def same(one: RegionSet, other: RegionSet) -> None:
    for name in ("boxes", "atoms", "members", "leaves", "origin"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_packed_and_unpacked_they_are_the_same() -> None:
    found = propose_regions(picture())
    same(unpack_regions(pack_regions(found)), found)
    with pytest.raises(ConfigError, match="not stored regions"):
        unpack_regions(b"something else")
    with pytest.raises(ConfigError, match="not stored regions"):
        unpack_regions(pack_regions(found)[:-40])


def test_files_are_read_and_damaged_ones_computed_again(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    image = picture()
    first = RegionCache().regions(image, 30, keep=True)
    (file,) = folder.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(module, "propose_regions", lambda *given: pytest.fail("proposed again"))
        same(RegionCache().regions(image, 30), first)
    file.write_bytes(b"damaged")
    same(RegionCache().regions(image, 30, keep=True), first)
    assert torch.equal(unpack_regions(file.read_bytes()).members, first.members)
    # Another image, another limit, another share: another file.
    cache = RegionCache()
    cache.regions(image[:, ::-1], 30, keep=True)
    cache.regions(image, 31, keep=True)
    cache.regions(image, 30, 0.5, keep=True)
    assert len(list(folder.iterdir())) == 4


def test_the_last_image_is_remembered_without_a_file(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    cache, proposed = RegionCache(), []
    monkeypatch.setattr(module, "propose_regions", lambda *given: (proposed.append(given), propose_regions(*given))[1])
    first = cache.regions(picture(), 30)
    assert cache.regions(picture(), 30) is first and len(proposed) == 1 and not folder.exists()
    assert cache.regions(picture(), 29) is not first and len(proposed) == 2
    cache.regions(picture(), 29, keep=True)  # known, and now kept
    assert len(proposed) == 2 and len(list(folder.iterdir())) == 1


def test_threads_get_the_regions_of_their_own_image(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [picture(seed) for seed in range(4)]
    wanted = [propose_regions(image) for image in images]
    by_content = {image.tobytes(): found for image, found in zip(images, wanted, strict=True)}
    monkeypatch.setattr(module, "propose_regions", lambda image, *given: by_content[image.tobytes()])
    cache, together = RegionCache(), threading.Barrier(4)

    def run(number: int) -> bool:
        together.wait()
        return all(cache.regions(images[k % 4]) is wanted[k % 4] for k in range(number, 400 + number))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(4)))
