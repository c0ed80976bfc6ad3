"""Label files in the formats of other tools, written an image at a time; `foveate.datasets` reads them.

`open_writer(name, folder, classes)` gives the writer of a format. FORMATS has their names with a line each.
"""

from __future__ import annotations

from pathlib import Path

from foveate.errors import ConfigError, OutputError, unknown
from foveate.labels.base import NO_OBJECT as NO_OBJECT
from foveate.labels.base import Labelled as Labelled
from foveate.labels.base import Labels as Labels
from foveate.labels.base import LabelWriter as LabelWriter
from foveate.labels.base import background_of as background_of
from foveate.labels.base import labels_of_objects as labels_of_objects
from foveate.labels.base import predicted as predicted
from foveate.labels.coco import COCOWriter
from foveate.labels.cvat import CVATWriter
from foveate.labels.labelme import LabelMeWriter
from foveate.labels.maps import (
    BesideWriter,
    ColorWriter,
    FolderWriter,
    NumberWriter,
    SampleFolderWriter,
    SegNetWriter,
    VOCWriter,
)
from foveate.labels.yolo import YOLOWriter
from foveate.records import ClassTable

WRITERS: dict[str, type[LabelWriter]] = {
    "folders": FolderWriter,
    "colors": ColorWriter,
    "masks_beside": BesideWriter,
    "camvid": SegNetWriter,
    "voc": VOCWriter,
    "coco": COCOWriter,
    "labelme": LabelMeWriter,
    "cvat": CVATWriter,
    "yolo": YOLOWriter,
    "numbers": NumberWriter,
    "sample_folders": SampleFolderWriter,
}


def open_writer(name: str, folder: str | Path, classes: ClassTable) -> LabelWriter:
    """The writer of a format.

    Raises ConfigError for an unknown name and for classes that do not fit, OutputError for a folder that is not empty.
    """
    if name not in WRITERS:
        raise ConfigError(unknown("format", name, WRITERS))
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} exists already and is not empty; choose another folder, or move it away")
    return WRITERS[name](folder, classes)
