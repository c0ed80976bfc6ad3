"""Two trainings at once: one a run folder, the other refused or in the next folder of its name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from foveate import disk
from foveate.engine import locking
from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder
from foveate.engine.train import train_recipe
from foveate.errors import ConfigError, TrainingError

Tiny = Callable[..., Recipe]
HOLD = "import sys; from pathlib import Path; from foveate.disk import locked_folder\n"
HOLD += "with locked_folder(Path(sys.argv[1])) as free: print(free, flush=True); sys.stdin.read()"


@pytest.fixture
def other(tiny: Tiny, tmp_path: Path) -> Iterator[Path]:
    """The usual folder of the recipe, which another process trains into."""
    folder = tmp_path / "runs" / tiny().name
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "True\n"
    yield folder
    process.communicate()


@pytest.mark.skipif(disk.fcntl is None, reason="folders cannot be locked here")
def test_a_folder_that_is_trained_into_is_refused_and_left_alone(tiny: Tiny, other: Path) -> None:
    for resume in (False, True):
        with pytest.raises(ConfigError, match=" is trained into by another process; wait until that ends, or"):
            train_recipe(tiny(epochs=1), out=other, resume=resume)
    assert list(other.iterdir()) == []


@pytest.mark.skipif(disk.fcntl is None, reason="folders cannot be locked here")
def test_without_a_name_the_next_folder_is_taken(tiny: Tiny, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(other.parent.parent)
    chosen = RunFolder(other)  # as it was chosen before the other process had made it
    with locking.locked_run(tiny(), chosen, None, resume=False) as run:
        assert run.path == Path("runs") / f"{other.name}-2" and run.path.is_dir()


def test_a_folder_is_free_again_after_a_training_and_gone_where_nothing_was_written(tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:

        def fail(*_: object) -> None:
            raise TrainingError("before the first file")

        patch.setattr("foveate.engine.train.learn_from", fail)
        with pytest.raises(TrainingError):
            train_recipe(tiny(epochs=1), out=out)
    assert not out.exists()
    train_recipe(tiny(epochs=1), out=out)
    with disk.locked_folder(out) as free:
        assert free
    with pytest.raises(ConfigError, match="already holds a run; add --resume"):
        train_recipe(tiny(epochs=1), out=out)
