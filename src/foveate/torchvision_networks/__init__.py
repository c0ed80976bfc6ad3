"""Networks of torchvision with their published weights, by name: torchvision/fcn_resnet50.

Such a name stands wherever a run or a model folder is opened to predict, evaluate or serve. A file or folder at a path
of that name comes first. Nothing heavy is imported until a network is opened.
"""

from __future__ import annotations

from pathlib import Path

from foveate.errors import ModelError, unknown

SOURCE = "torchvision"
# torchvision's builder -> the family of models that it belongs to.
FAMILIES = {
    "deeplabv3_mobilenet_v3_large": "semantic",
    "deeplabv3_resnet101": "semantic",
    "deeplabv3_resnet50": "semantic",
    "fcn_resnet101": "semantic",
    "fcn_resnet50": "semantic",
    "lraspp_mobilenet_v3_large": "semantic",
    "maskrcnn_resnet50_fpn": "instances",
    "maskrcnn_resnet50_fpn_v2": "instances",
}


def builder_of(path: str | Path) -> str:
    """The builder that a name such as torchvision/fcn_resnet50 means; '' for any other path.

    Raises ModelError for torchvision/NAME that is neither a path nor a network that is read here, naming the nearest.
    """
    parts = Path(path).parts
    if len(parts) != 2 or parts[0] != SOURCE or Path(path).exists():
        return ""
    if parts[1] not in FAMILIES:
        raise ModelError(unknown("network", f"{SOURCE}/{parts[1]}", [f"{SOURCE}/{name}" for name in FAMILIES]))
    return parts[1]


def refuse(path: str | Path, use: str) -> None:
    """Raise ModelError for the name of a network, where only a folder or a file will do. use: what asks for one."""
    if name := builder_of(path):
        raise ModelError(
            f"{SOURCE}/{name} is a network of torchvision, which {use} does not take; give a run folder or a model "
            "folder"
        )
