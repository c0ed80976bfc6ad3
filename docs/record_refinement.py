"""Record the effect of several views and refinement: results/refinement/<recipe>.json, source of the results page.

python docs/record_refinement.py RUN [NAME] [--every N]     NAME as in docs/record_result.py

The run's model is scored on its validation images, or on every Nth of them, in one plain pass and with each of the
options of `foveate evaluate`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foveate.disk import write_atomically
from foveate.engine import evaluate_run
from foveate.engine.run import RunFolder, environment, peak_memory
from foveate.errors import FoveateError
from foveate.tasks.semantic.inference import SemanticOptions

ROOT = Path(__file__).resolve().parent.parent
SCALES = (0.75, 1.0, 1.25)
# Flags of `foveate evaluate` -> the same as options.
WAYS = {
    "": SemanticOptions(),
    "--scales 0.75,1,1.25": SemanticOptions(scales=SCALES),
    "--scales 0.75,1,1.25 --flip": SemanticOptions(scales=SCALES, flip=True),
    "--superpixels felzenszwalb": SemanticOptions(superpixels="felzenszwalb"),
    "--superpixels slic": SemanticOptions(superpixels="slic"),
    "--superpixels tree": SemanticOptions(superpixels="tree"),
    "--crf": SemanticOptions(crf=True),
    "--scales 0.75,1,1.25 --flip --crf": SemanticOptions(scales=SCALES, flip=True, crf=True),
}
PROPOSALS = {"--proposals 50": SemanticOptions(proposals=50)}  # what DeconvNet was published with
KEPT = ("mean_iou", "pixel_accuracy", "mean_accuracy", "boundary_iou")
ORIGIN = ("commit", "clean", "python", "packages", "cpu", "instructions", "threads")


def main(argv: Sequence[str]) -> int:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("name", nargs="?")
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args(argv)
    about, started = environment(), time.perf_counter()
    try:
        recipe = RunFolder.existing(options.run).recipe()
        ways = WAYS | (PROPOSALS if recipe.model == "deconvnet" else {})
        source = Thinned(recipe.data, options.every)
        rows = [{"flags": flags, **measure(options.run, source, way)} for flags, way in ways.items()]
    except FoveateError as error:
        print(f"record_refinement: {error}", file=sys.stderr)
        return 1
    name = options.name or recipe.name
    every = f" --every {options.every}" if options.every > 1 else ""
    result = {
        "recipe": recipe.name, "command": f"python docs/record_refinement.py runs/{name}{every}", "seed": recipe.seed,
        **{key: about[key] for key in ORIGIN}, "minutes": round((time.perf_counter() - started) / 60, 2),
        "peak_memory_mib": peak_memory(), "rows": rows,
    }  # fmt: skip
    path = ROOT / "results" / "refinement" / f"{name}.json"
    write_atomically(path, json.dumps(result, indent=2) + "\n")
    print(f"recorded: {path}\nnext: make generated")
    return 0


class Thinned:
    """A data source with every nth image of each split; frames of one drive are much alike."""

    def __init__(self, source: Any, every: int) -> None:
        self.source, self.every = source, every

    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""
        found: tuple[str, ...] = self.source.splits()
        return found

    def describe(self, task: str = "") -> str:
        """The source in one line."""
        return str(self.source.describe(task))

    def open(self, split: str, task: str = "") -> Any:
        """One split, thinned."""
        return _Every(self.source.open(split, task), self.every)


class _Every:
    def __init__(self, dataset: Any, every: int) -> None:
        self.dataset, self.every = dataset, every
        self.classes, self.channels = dataset.classes, dataset.channels

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.every)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index * self.every]

    def name(self, index: int) -> str:
        return str(self.dataset.name(index * self.every))


def measure(run: str, source: Thinned, options: SemanticOptions) -> dict[str, Any]:
    """Scores with these options, and seconds per image, scoring included."""
    found = evaluate_run(run, source=source, options=options)
    scores = found.to_json()
    kept = {name: round(scores[name], 6) for name in KEPT}
    print(options.describe() or "plain", kept, flush=True)
    return kept | {"images": scores["images"], "seconds_a_picture": round(found.seconds / scores["images"], 3)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
