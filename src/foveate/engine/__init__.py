"""Training, evaluation and run folders. It knows tasks and the contract of a model, never a model by name.

Lightning is imported here and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foveate.engine.recipe import Optim, Recipe

if TYPE_CHECKING:
    from foveate.engine.evaluate import evaluate_run
    from foveate.engine.train import train_recipe

__all__ = ["Optim", "Recipe", "evaluate_run", "train_recipe"]


def __getattr__(name: str) -> Any:
    """Recipes need the types alone: Lightning is imported when something is trained or evaluated."""
    if name == "train_recipe":
        from foveate.engine.train import train_recipe

        return train_recipe
    if name == "evaluate_run":
        from foveate.engine.evaluate import evaluate_run

        return evaluate_run
    raise AttributeError(name)
