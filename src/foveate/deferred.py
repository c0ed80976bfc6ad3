"""torchvision and timm, imported at the first use of one of their names.

Their import takes longer than that of torch, and most of what a user asks first needs neither: the fields of a recipe,
the help of a verb. `from foveate.deferred import tv_tensors` stands for `from torchvision import tv_tensors`.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["functional", "timm", "torchvision_models", "torchvision_ops", "tv_tensors", "v2"]


class Deferred(ModuleType):
    """A stand-in for a module, which is imported when the first of its names is asked for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


if TYPE_CHECKING:
    import timm
    from torchvision import models as torchvision_models
    from torchvision import ops as torchvision_ops
    from torchvision import tv_tensors
    from torchvision.transforms import v2
    from torchvision.transforms.v2 import functional
else:
    timm = Deferred("timm")
    torchvision_models = Deferred("torchvision.models")
    torchvision_ops = Deferred("torchvision.ops")
    tv_tensors = Deferred("torchvision.tv_tensors")
    v2 = Deferred("torchvision.transforms.v2")
    functional = Deferred("torchvision.transforms.v2.functional")
