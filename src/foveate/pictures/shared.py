"""Tensors that several samples share, as the questions about one image share it."""

from __future__ import annotations

from collections.abc import Hashable
from weakref import WeakValueDictionary

from torch import Tensor


class SharedTensors(WeakValueDictionary[Hashable, Tensor]):
    """Tensors by key, each for as long as it is held elsewhere: all samples that are held at one time have one object.

    Which samples share a tensor then does not depend on the order in which they were read, nor on the process. It is
    empty in another process, which reads for itself.
    """

    def __reduce__(self) -> tuple[type[SharedTensors], tuple[()]]:
        return SharedTensors, ()
