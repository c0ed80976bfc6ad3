"""Claims about SDS, on made-up features, and with the masks of the network broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stand_ins import examined

from foveate.claims import segments
from foveate.claims.segments import Described, filled, part
from foveate.models.instances.sds import SDS, Config
from foveate.models.instances.sds.fitting import Example
from foveate.ops.regions import RegionSet
from foveate.records.instances import encode_mask, instances_of

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool).repeat(4, 0).repeat(4, 1)
HIDDEN = segments.CONFIG.hidden


@pytest.fixture(autouse=True)
def forget() -> Any:
    yield
    segments.described.cache_clear()
    segments.fitted_svms.cache_clear()


def made_up(useful: str, seed: int = 0) -> Described:
    """Images with two crosses of two classes and two regions that are none.

    The features of `useful`, 'box' or 'region', tell them apart, or each says half: 'both'. The rest is noise.
    """
    random = torch.Generator().manual_seed(seed)
    atoms = torch.zeros(24, 40, dtype=torch.int64)
    masks = []
    for k, (top, left) in enumerate([(1, 1), (11, 14), (1, 27), (12, 28)], 1):
        place = atoms[top : top + 12, left : left + 12]
        place[torch.from_numpy(CROSS)] = k
        masks.append(encode_mask(CROSS, (24, 40), left, top))
    members = torch.eye(5, dtype=torch.bool)[1:]
    regions = RegionSet(torch.zeros(4, 4), atoms, members, torch.arange(5)[None], torch.zeros(4).long())
    regions = RegionSet(regions.boxes_of(members), atoms, members, regions.leaves, regions.origin)
    kinds = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    halves = {"first": kinds[:, [0]], "second": kinds[:, [1]]}
    said = {"box": [kinds, None], "region": [None, kinds], "both": [halves["first"], halves["second"]]}[useful]
    images = []
    for _ in range(24):
        features = 0.3 * torch.rand(4, 2 * HIDDEN, generator=random)
        for offset, one in zip((0, HIDDEN), said, strict=True):
            if one is not None:
                features[:, offset : offset + one.shape[1]] += 20 * one
        overlaps = torch.eye(4)[:, :2]
        none = torch.zeros(0)
        images.append(
            Example(regions, features, overlaps, features[:2], torch.tensor([0, 1]), none, none, none, none, none, none)
        )
    truth = instances_of((24, 40), masks[:2], [0, 1])
    return Described(images[:12], images[12:], [truth] * 12)


def test_filled_boxes() -> None:
    objects = instances_of((20, 30), [encode_mask(CROSS, (20, 30), 3, 5)], [0])
    box = filled(objects).mask(0)
    assert box.sum() == 144 and box[5:17, 3:15].all() and objects.mask(0).sum() == 80


def test_segments_outline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "described", lambda seed: made_up("region"))
    assert examined("segments_outline_objects") == "holds"
    monkeypatch.setattr(segments, "filled", lambda objects: objects)  # boxes that outline as well
    assert examined("segments_outline_objects") == "does not hold"


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [("masked_background_helps", "region", "box"), ("box_and_region_beat_either", "both", "region")],
)
def test_the_features_that_tell_objects_apart_win(
    name: str, good: str, bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "described", lambda seed: made_up(good))
    assert examined(name) == "holds"
    segments.fitted_svms.cache_clear()
    monkeypatch.setattr(segments, "described", lambda seed: made_up(bad))
    assert examined(name) == "does not hold"


def test_the_arms_read_their_own_features() -> None:
    features = torch.arange(2 * HIDDEN).expand(3, -1)
    assert part(features, "box").max() == HIDDEN - 1 and part(features, "region").min() == HIDDEN
    assert torch.equal(part(features, "both"), features)


def test_without_masks_both_arms_are_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The arms differ in the background alone: with masks of ones and equal networks there is no effect."""
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path))
    monkeypatch.setattr(segments, "DATA", {"height": 48, "width": 48, "train": 5, "val": 1, "test": 4})
    tiny = Config(num_classes=5, backbone="test_efficientnet", side=32, context=4, hidden=8, proposals=40, refine=False)
    monkeypatch.setattr(segments, "CONFIG", tiny)
    features, crops = SDS.features, SDS.crops

    def alike(self: SDS, seen: torch.Tensor) -> torch.Tensor:
        self.backbone["region"].load_state_dict(self.backbone["box"].state_dict())
        return features(self, seen)

    monkeypatch.setattr(SDS, "features", alike)
    seen = segments.described(0).test[0].features
    assert not torch.equal(seen[:, :8], seen[:, 8:])
    segments.described.cache_clear()
    monkeypatch.setattr(SDS, "crops", lambda self, image, at, mask: crops(self, image, at, torch.ones_like(mask)))
    effect, region, box = segments._masked_background_helps(0)
    assert effect == 0 and region == box
