"""Record what more looks and refinement bring: results/refinement/<recipe>.json, from which the results page is made.

python docs/record_refinement.py RUN [NAME]     NAME as in docs/record_result.py

The run's model is scored on its validation pictures plainly, and in each way of `foveate evaluate`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foveate.disk import write_atomically
from foveate.engine import evaluate_run
from foveate.engine.run import RunFolder, environment
from foveate.errors import FoveateError
from foveate.tasks.inference import Inference

ROOT = Path(__file__).resolve().parent.parent
SCALES = (0.75, 1.0, 1.25)
# The flags of `foveate evaluate`, and what they mean.
WAYS = {
    "": Inference(),
    "--scales 0.75,1,1.25": Inference(scales=SCALES),
    "--scales 0.75,1,1.25 --flip": Inference(scales=SCALES, flip=True),
    "--superpixels felzenszwalb": Inference(superpixels="felzenszwalb"),
    "--superpixels slic": Inference(superpixels="slic"),
    "--superpixels tree": Inference(superpixels="tree"),
    "--crf": Inference(crf=True),
    "--scales 0.75,1,1.25 --flip --crf": Inference(scales=SCALES, flip=True, crf=True),
}
PROPOSALS = {"--proposals 50": Inference(proposals=50)}  # what DeconvNet was published with
KEPT = ("mean_iou", "pixel_accuracy", "mean_accuracy", "boundary_iou")


def main(argv: Sequence[str]) -> int:
    """Write one file."""
    if not 1 <= len(argv) <= 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        recipe = RunFolder.existing(argv[0]).recipe()
        ways = WAYS | (PROPOSALS if recipe.model == "deconvnet" else {})
        rows = [{"flags": flags, **measure(argv[0], how)} for flags, how in ways.items()]
    except FoveateError as error:
        print(f"record_refinement: {error}", file=sys.stderr)
        return 1
    about = {"recipe": recipe.name, "commit": environment()["commit"], "cpu": environment()["cpu"], "rows": rows}
    path = ROOT / "results" / "refinement" / f"{argv[1] if len(argv) == 2 else recipe.name}.json"
    write_atomically(path, json.dumps(about, indent=2) + "\n")
    print(f"recorded: {path}\nnext: make generated")
    return 0


def measure(run: str, how: Inference) -> dict[str, Any]:
    """The scores of one way, and its seconds a picture (scoring included)."""
    found = evaluate_run(run, how=how)
    scores = found.to_json()
    kept = {name: round(scores[name], 6) for name in KEPT}
    print(how.describe() or "plain", kept, flush=True)
    return kept | {"images": scores["images"], "seconds_a_picture": round(found.seconds / scores["images"], 3)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
