"""Loggers of a training: TensorBoard, MLflow or Weights & Biases, each as Lightning has it.

All get the numbers of metrics.csv, a step an epoch. MLflow and Weights & Biases also get the recipe's fields, under the
name of the run folder; where they log to is set as for every program: by MLFLOW_TRACKING_URI, WANDB_MODE and so on.
`logger.json` in the run folder holds the id under which a resumed run goes on.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from foveate.engine import fields
from foveate.engine.processes import is_first
from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder
from foveate.errors import ConfigError

TITLES = {"mlflow": "MLflow", "wandb": "Weights & Biases"}  # package -> its name
PROJECT = "foveate"  # MLflow's experiment and Weights & Biases' project, unless the environment names another
FILE = "logger.json"


class _Forgiving:
    """Go on with the training where a tracking service fails: metrics.csv has every number."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log one epoch."""
        with self._noted():
            super().log_metrics(metrics, step)  # type: ignore[misc]

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each package has errors of its own
            print(f"note: not logged ({_reason(error)}); metrics.csv has it", file=sys.stderr, flush=True)


class _MLflow(_Forgiving, MLFlowLogger):
    def finalize(self, status: str = "success") -> None:
        """End the run."""
        with self._noted():
            super().finalize(status)


class _Wandb(_Forgiving, WandbLogger):
    def finalize(self, status: str) -> None:
        """End the run, so that the next training of this process begins another."""
        with self._noted():
            super().finalize(status)
            if self._experiment is not None:
                self._experiment.finish(exit_code=0 if status == "success" else 1)


def require_logger(name: str) -> None:
    """Raise ConfigError for a logger whose package is not installed."""
    if name in TITLES and importlib.util.find_spec(name) is None:
        raise ConfigError(f'--logger {name} needs its extra; install it with: pip install "foveate[{name}]"')


def open_logger(recipe: Recipe, run: RunFolder, resumed: bool) -> Logger | bool:
    """The logger of a training, False for none; that of a tracking service has begun its run, or goes on with it.

    Raises ConfigError where the service cannot be reached or refuses.
    """
    if recipe.logger == "none":
        return False
    if recipe.logger == "tensorboard":
        return TensorBoardLogger(run.path, name="", version="tensorboard")
    earlier = run.read_json(FILE) if resumed and (run.path / FILE).is_file() else {}
    known = earlier.get("id") if earlier.get("logger") == recipe.logger else None
    try:
        logger = _service(recipe.logger, run, known)
        if is_first():
            if known is None:
                logger.log_hyperparams(fields.to_json(recipe))
            _ = logger.experiment  # begins the run, or finds that of the id
            run.write_json(FILE, {"logger": recipe.logger, "id": logger.version})
    except Exception as error:  # each package has errors of its own
        raise ConfigError(
            f"{TITLES[recipe.logger]} cannot begin a run ({_reason(error)}); check its address and login, or train "
            "with --logger none"
        ) from error
    return logger


def _service(name: str, run: RunFolder, known: str | None) -> MLFlowLogger | WandbLogger:
    title = run.path.resolve().name
    if name == "wandb":
        return _Wandb(title, run.path, project=os.environ.get("WANDB_PROJECT", PROJECT), id=known)
    import mlflow

    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
    return _MLflow(experiment, title, mlflow.get_tracking_uri(), run_id=known)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
