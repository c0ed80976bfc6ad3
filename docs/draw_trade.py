"""Draw the semantic systems of the results page by what they cost and what they reach: assets/trade.svg.

python docs/draw_trade.py

Milliseconds come from benchmarks/results/semantic_latency.json, mean IoU from results/<recipe>.json; what has only one
of them is left out.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams.update({"svg.hashsalt": "foveate", "svg.fonttype": "none", "font.size": 10})
import matplotlib.pyplot as plt  # noqa: E402

from foveate.recipes import resolve  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
FROM_IMAGENET, FROM_NOTHING = "#d9480f", "#1c6fb3"
TIMES = ROOT / "benchmarks" / "results" / "semantic_latency.json"


def points() -> dict[str, tuple[float, float]]:
    """Recipe -> (milliseconds a picture, mean IoU)."""
    (table,) = json.loads(TIMES.read_text())["tables"]
    found = {}
    for row in table["rows"]:
        file = ROOT / "results" / f"{row['name']}.json"
        if file.is_file():
            found[row["name"]] = (row["median"], json.loads(file.read_text())["scores"]["mean_iou"])
    return found


def main() -> None:
    """Write the figure."""
    figure, axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    for name, (x, y) in points().items():
        label = name.removesuffix("_camvid")
        color = FROM_IMAGENET if getattr(resolve(name).config, "pretrained", False) else FROM_NOTHING
        axes.scatter(x, y, s=42, color=color, zorder=3)
        axes.annotate(label, (x, y), xytext=(7, 4), textcoords="offset points", fontsize=9)
    for color, words in ((FROM_IMAGENET, "from ImageNet weights"), (FROM_NOTHING, "from nothing")):
        axes.scatter([], [], s=42, color=color, label=words)
    axes.legend(loc="lower left", frameon=False)
    axes.set(xlim=(0, 1.25 * max(x for x, _ in points().values())), ylabel="mean IoU, CamVid val")
    axes.set_xlabel("milliseconds a picture of 480x360 (eager PyTorch, CPU)")
    axes.grid(color="#e3e6ea", zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(Path(__file__).parent / "assets" / "trade.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
