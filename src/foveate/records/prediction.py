"""Abilities that predictions of every family share: drawing, saving, plain values, and display in a notebook."""

from __future__ import annotations

import base64
import html
import io
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.errors import ModelError

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_CELL = 300  # characters of a value in a notebook


class Prediction:
    """A prediction that can draw, save and show itself, once the predictor that made it has attached itself.

    `Predictor.predict` and its siblings attach; one that was made by hand, or read from a pickle, has values alone.
    """

    _maker: Any = None  # (family, runner, sample, options)

    def attach(self, family: Any, runner: Any, sample: Any, options: Any) -> None:
        """Keep what made the prediction: family, model, sample (or a function that opens it) and options."""
        self._maker = (family, runner, sample, options)

    def overlay(self, **options: Any) -> Image:
        """The prediction drawn over its input, where there is one to draw on.

        options: the family's; of semantic segmentation alpha=0.55, colors={"cow": "#ff0000"}, legend=True and
        background=True, which paints the background, too; of instances colors. Raises ModelError for a family without
        a drawing, ConfigError for an option that it does not have.
        """
        family, _, sample, _ = self._made()
        drawn: Image | None = family.draw(self, sample, **options)
        if drawn is None:
            raise ModelError(f"predictions of {family.title} have no drawing; to_dict() has their values")
        return drawn

    def save(self, folder: str | Path, name: str = "") -> dict[str, Path]:
        """Write the files that `foveate predict` writes for an input, and return them by what they are.

        Where it writes none for each, as of translations, its values are written as JSON.
        name: beginning of the files' names, by default the input's own if it is a file, else "prediction".
        """
        from foveate.disk import atomic_write

        family, _, sample, _ = self._made()
        is_text = family.inputs and not family.inputs[0].suffixes
        stem = name or ("" if is_text else Path(str(sample.get("name", ""))).stem) or "prediction"
        files = family.files(self, sample) or {"values": (".json", self._write_values)}
        written = {}
        for key, (ending, write) in files.items():
            path = Path(folder) / f"{stem}{ending}"
            with atomic_write(path) as temporary:
                write(temporary)
            written[key] = path
        return written

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain JSON values, as in predictions.json, with its input's name."""
        family, _, sample, _ = self._made()
        return {"name": sample.get("name", ""), **family.record(self)}

    def show(self) -> None:
        """Show the prediction: in a notebook in place, else in the system's viewer, else as text.

        On a machine without a screen the text says how to keep the drawing.
        """
        try:
            from IPython import get_ipython
        except ImportError:
            get_ipython = lambda: None  # noqa: E731
        if get_ipython() is not None:
            from IPython.display import display

            display(self)
        elif has_screen() and (drawn := self._drawn()) is not None:
            drawn.show()
        else:
            print("\n".join(f"{key}: {value}" for key, value in self.to_dict().items()))
            if not has_screen():
                print("no screen is here to show it on; prediction.save(FOLDER) writes it")

    def _repr_html_(self) -> str:
        """The drawing and the values, for notebooks."""
        if self._maker is None:
            return f"<pre>{html.escape(repr(self))}</pre>"
        parts = []
        if (drawn := self._drawn()) is not None:
            file = io.BytesIO()
            drawn.convert("RGB").save(file, format="JPEG", quality=88)
            data = base64.b64encode(file.getvalue()).decode()
            parts.append(f'<img alt="prediction" style="max-width:100%" src="data:image/jpeg;base64,{data}">')
        rows = "".join(
            f"<tr><th>{html.escape(key)}</th><td>{html.escape(_short(value))}</td></tr>"
            for key, value in self.to_dict().items()
        )
        return f"{''.join(parts)}<table>{rows}</table>"

    def _write_values(self, path: Path) -> None:
        path.write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def _drawn(self) -> Image | None:
        try:
            return self.overlay()
        except ModelError:
            return None

    def _made(self) -> tuple[Any, Any, Any, Any]:
        if self._maker is None:
            raise ModelError(
                "this prediction does not know its model and input; use one that Predictor.predict returned, or its "
                "values alone"
            )
        family, runner, sample, options = self._maker
        return family, runner, sample() if callable(sample) else sample, options

    def __getstate__(self) -> dict[str, Any]:
        """The values alone: a pickle would hold the whole model."""
        return {key: value for key, value in vars(self).items() if key != "_maker"}


def _short(value: Any) -> str:
    """A value in one line: shares in per cent, numbers with four digits, long lists cut."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        shown = {k: v for k, v in value.items() if v}
        return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in shown.items())[
            :LONGEST_CELL
        ]
    text = str(value)
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 3] + "..."


def has_screen() -> bool:
    """True where a window can be opened: elsewhere than on Linux and its kin, or with a display server there."""
    return sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
