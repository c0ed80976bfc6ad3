"""Agreement of a model's class table with that of other data."""

from __future__ import annotations

from typing import Any

from foveate.errors import ConfigError, counted


def require_same_classes(model: Any, data: Any, path: str) -> None:
    """Raise ConfigError for data with other classes than the model's, naming the first difference.

    Names that were guessed say nothing, so that such classes must have the same colours, too. The names that an earlier
    version gave to classes without a list are today's.
    """
    if model == getattr(data, "earlier", data):
        return
    if model.names == data.names:
        if model.is_guessed and model.has_own_colors and data.has_own_colors:
            _require_same_colors(model, data, path)
        return
    listing = ", ".join(model.names[:6]) + (", ..." if len(model) > 6 else "")
    differing = [n for n in data.names if n not in model.names] or [n for n in model.names if n not in data.names]
    raise ConfigError(
        f"{path} was trained on {counted(len(model), 'class')} ({listing}), the data has {len(data)}; first "
        f"difference: "
        f"{differing[0] if differing else 'their order'}; evaluate on data with the model's classes.txt"
    )


def _require_same_colors(model: Any, data: Any, path: str) -> None:
    for name, mine, other in zip(model.names, model.colors, data.colors, strict=True):
        if mine != other:
            raise ConfigError(
                "{} was trained on classes whose names were guessed from the masks; '{}' is #{:02x}{:02x}{:02x} there, "
                "and #{:02x}{:02x}{:02x} in this data; write a classes.txt with names and colours beside both sets, "
                "and train again".format(path, name, *mine, *other)
            )
