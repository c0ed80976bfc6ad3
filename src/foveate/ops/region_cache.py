"""Region proposals that were computed before: those of the last image in memory, those of training images on disk.

Selective search takes a second or more an image, and asks for the same regions again: every epoch of a training reads
those of all its images, and an evaluation first answers an image and then scores its proposals.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from importlib.metadata import version

import numpy as np
import torch

from foveate.disk import cache_folder, write_atomically
from foveate.errors import ConfigError
from foveate.ops.regions import RegionSet, propose_regions

VERSION = 1  # of what `propose_regions` computes; a new number makes files of earlier ones stale


class RegionCache:
    """`propose_regions` with a memory. Several threads may share one: `last` is read and replaced as a whole."""

    def __init__(self) -> None:
        self.last: tuple[str, RegionSet] | None = None  # key and regions of the last image

    def regions(
        self, image: np.ndarray, limit: int | None = None, largest: float = 1.0, keep: bool = False
    ) -> RegionSet:
        """Return the regions of an image, computed only if they are not known. Arguments as of `propose_regions`.

        keep: write them to `regions/` of FOVEATE_CACHE, which may be deleted at any time; a file there is read whether
        or not `keep` is set. Raises DataError for an invalid image.
        """
        about = f"{image.shape} {image.dtype} {limit} {largest} {VERSION} {version('scikit-image')}"
        key = hashlib.blake2b(about.encode() + np.ascontiguousarray(image).tobytes(), digest_size=16).hexdigest()
        file = cache_folder() / "regions" / f"{key}.npz"
        try:
            return unpack_regions(file.read_bytes())
        except (OSError, ConfigError):  # not there, or damaged
            last = self.last
        found = last[1] if last is not None and last[0] == key else propose_regions(image, limit, largest)
        if keep:
            write_atomically(file, pack_regions(found))
        self.last = (key, found)
        return found


def pack_regions(regions: RegionSet) -> bytes:
    """Return a set of regions as the content of a file, some tens of kilobytes."""
    content = io.BytesIO()
    np.savez_compressed(
        content, boxes=regions.boxes.numpy(), atoms=regions.atoms.numpy().astype(np.int32),
        members=np.packbits(regions.members.numpy(), axis=1), leaves=regions.leaves.numpy().astype(np.int32),
        origin=regions.origin.numpy().astype(np.int8),
    )  # fmt: skip
    return content.getvalue()


def unpack_regions(content: bytes) -> RegionSet:
    """Return what `pack_regions` packed. Raises ConfigError for other content."""
    try:
        with np.load(io.BytesIO(content)) as arrays:
            leaves = arrays["leaves"].astype(np.int64)
            members = np.unpackbits(arrays["members"], axis=1, count=leaves.shape[1]).astype(bool)
            parts = (arrays["boxes"], arrays["atoms"].astype(np.int64), members, leaves, arrays["origin"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"not stored regions ({type(error).__name__}: {error}); compute them again") from error
    tensors = [torch.from_numpy(np.asarray(part)) for part in parts]
    return RegionSet(tensors[0], tensors[1], tensors[2], tensors[3], tensors[4].long())
