"""The report of co-localisation: the best and worst detections, and what its scores leave out."""

from __future__ import annotations

import numpy as np
from report_stand_ins import elements, evaluation, headings, image, text_of, write

from foveate.records import ClassTable, ColocalisationPrediction, TransformView
from foveate.tasks.colocalisation.report import draw_prediction, report
from foveate.tasks.views import GAP, HEIGHT

SCORES = {
    "corloc": 0.625, "mean_iou": 0.53, "pointing": 0.75, "random_corloc": 0.125, "centre_corloc": 0.25,
    "contrast": 0.375, "per_kind": {"cow": 0.6}, "samples": 8, "without_objects": 2,
}  # fmt: skip
HISTORY = [
    {"epoch": 1, "train_loss": 2.0, "val_loss": 2.5, "corloc": 0.6, "contrast": 0.1},
    {"epoch": 2, "train_loss": 1.0, "val_loss": 1.5, "corloc": 0.5, "contrast": 0.375},
]


def model(sample):
    grid = np.stack(np.meshgrid(np.linspace(-1, 0, 6), np.linspace(-1, 0, 6)), -1).astype(np.float32)
    view = TransformView(grid, np.full((6, 6, 3), 0.5, np.float32))
    seen = sample["image"].permute(1, 2, 0).numpy()
    return ColocalisationPrediction(np.array([[0, 0, 5, 4.4]], np.float32), seen, (view,))


def scored(count=3, without=2):
    dataset = [{"name": f"{i}.png", "image": image(np.full((10, 10, 3), 90, np.uint8))} for i in range(count)]
    scores = {"samples": 8, "without": without, "images": 8}
    own = [0.2, 0.8, 0.5][:count]
    return evaluation(model, dataset, scores, own, {"classes": ClassTable(("cow",))}, json=SCORES)


def test_scores_and_detections(tmp_path):
    page = write(tmp_path, report(scored()), SCORES, history=HISTORY)
    words = text_of(page)
    for part in (
        "Co-localisation report",
        "looked for what 8 val pictures have in common; 62.5 % of its windows lie on it",
        "Found at left 0, top 0, right 5, bottom 4.",
        "2 of these pictures hold no object; no share counts them.",
        "the epoch with the best contrast",
        "best: 0.375",
    ):
        assert part in words
    assert "Scores by class" not in words and "Each dot" not in words
    assert headings(page) == ["notes", "training", "learning", "pictures", "again"]
    assert [i["alt"].split(":")[0] for i in elements(page, "img")] == ["1.png", "2.png", "0.png"]
    assert {0.625, 0.53, 0.75, 0.125, 0.25, 0.375, 0.8} <= {float(d["value"]) for d in elements(page, "data")}
    labels = " ".join(svg.get("aria-label", "") for svg in elements(page, "svg"))
    assert "val: from 2.5 to 1.5" in labels and "contrast: from 0.1 to 0.375" in labels


def test_without_boxes_the_first_pictures_are_shown_unranked(tmp_path):
    unscored = scored(without=8)
    unscored.samples = [(index, float("nan")) for index in range(3)]
    page = write(tmp_path, report(unscored), SCORES | {"corloc": None}, history=HISTORY)
    assert [i["alt"].split(":")[0] for i in elements(page, "img")] == ["0.png", "1.png", "2.png"]
    words = text_of(page)
    assert "No boxes are known of these pictures, so that only the contrast has a value" in words
    assert "hold no object" not in words and "Worst results" not in words


def test_what_is_missing_is_left_out(tmp_path):
    part = report(scored(0, without=0))
    assert len(part.notes) == 1 and not part.sections
    page = write(tmp_path, part, {"corloc": None})
    assert headings(page) == ["notes", "training", "again"]
    assert "nan" not in text_of(page).lower() and "None" not in text_of(page)


def test_a_prediction_is_drawn_with_the_content_of_its_windows():
    (sample,) = scored(1).dataset
    assert draw_prediction(model(sample)).size == (2 * HEIGHT + 3 * GAP, HEIGHT + 2 * GAP)
