"""Predictions as a data set in the format of an annotation tool: `foveate predict --format NAME`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.cli.datasets import FORMATS
from foveate.cli.inputs import Job
from foveate.cli.places import read_summary
from foveate.errors import ConfigError, OutputError, unknown

if TYPE_CHECKING:
    from foveate.labels import LabelWriter
    from foveate.tasks.base import Task


def require_labels(form: str, family: type[Task]) -> None:
    """Raise ConfigError for a format that there is not, and for a family whose answers are no labels of images."""
    from foveate.tasks.base import Task

    if form not in FORMATS:
        raise ConfigError(unknown("format", form, FORMATS))
    if family.annotation is Task.annotation:
        raise ConfigError(
            f"--format {form}: models for {family.title} predict no label maps or objects; leave it out, "
            "predictions.json has their answers"
        )


class PredictedLabels:
    """A data set of the inputs and of what was predicted, in the folder `out/form`, which `finish` puts into place.

    Raises OutputError for a folder that no earlier call wrote.
    """

    def __init__(self, form: str, out: Path, family: Task) -> None:
        self.form, self.family, self.folder = form, family, out / form
        self.unfinished = out / f".{form}.unfinished"
        self.writer: LabelWriter | None = None
        before = read_summary(out)
        if self.folder.exists() and (before is None or before.get("label_format") != form):
            raise OutputError(f"{self.folder} exists already; move it away, or choose another --out")
        shutil.rmtree(self.unfinished, ignore_errors=True)

    def add(self, job: Job, sample: Any, prediction: Any) -> None:
        """Write one input with its prediction. Raises DataError, ConfigError for labels that the format cannot hold."""
        from foveate.labels import open_writer, predicted

        found = self.family.annotation(prediction)
        assert found is not None
        if self.writer is None:
            self.writer = open_writer(self.form, self.unfinished, found.classes)
        file = next((value for value in job.given.values() if isinstance(value, Path)), None)
        name = f"{job.name}{file.suffix if file is not None else '.png'}"
        self.writer.add(predicted(name, file if file is not None else sample["image"], found))

    def finish(self) -> None:
        """Write the files for all inputs, and replace the folder of an earlier call."""
        if self.writer is None:
            return
        self.writer.finish()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.unfinished.rename(self.folder)
