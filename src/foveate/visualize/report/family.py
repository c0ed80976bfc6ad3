"""What differs between the reports of the families: words, and which scores they are about."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """The words of one family's report.

    title: of the page. score: key, name and meaning of the large score. found: the key of the share that the summary
        tells, and how it tells it. facts: key, name and meaning of the smaller scores.
    class_score: what a class's own score is called. unit: what is counted. curves: key -> name in the chart of scores.
    classes, confusion: how the table of classes and the matrix are to be read.
    """

    title: str
    score: tuple[str, str, str]
    found: tuple[str, str]
    facts: tuple[tuple[str, str, str], ...]
    class_score: str
    unit: str
    curves: tuple[tuple[str, str], ...]
    classes: str
    confusion: str


FAMILIES = {
    "semantic": Family(
        title="Segmentation report",
        score=(
            "mean_iou",
            "Mean IoU",
            "For each class, the area where label and truth agree, divided by the area that either one claims; "
            "then averaged over the classes. 1 is perfect.",
        ),
        found=("pixel_accuracy", "{share:.1f} % of the pixels in {pictures} the right label"),
        facts=(
            ("pixel_accuracy", "Pixel accuracy", "of all pixels got the right label"),
            ("mean_accuracy", "Mean accuracy", "the same for each class, then averaged"),
            ("frequency_weighted_iou", "Weighted IoU", "IoU with each class counted by its size"),
            ("boundary_iou", "Boundary IoU", "IoU near the outlines only"),
        ),
        class_score="IoU",
        unit="pixel",
        curves=(("mean_iou", "mean IoU"), ("pixel_accuracy", "pixel accuracy")),
        classes="The longer the bar, the better label and truth agree. Found is how much of the class got its label; "
        "pixels is how much of the pictures the class covers. Rare classes are hard.",
        confusion="Each row is one true class: of its pixels, how many per cent got which label. Blue is right, "
        "orange is mistaken, the stronger the more; a dot is less than half a per cent.",
    ),
    "classification": Family(
        title="Classification report",
        score=("top1", "Top-1 accuracy", "The share of pictures whose likeliest class is the right one. 1 is perfect."),
        found=("top1", "{share:.2f} % of {pictures} the right class"),
        facts=(
            ("top5", "Top-5 accuracy", "have the right class among the five likeliest"),
            ("error_percent", "Error, %", "of the pictures got a wrong class"),
            ("mean_accuracy", "Mean accuracy", "the share of each class, then averaged"),
            ("calibration_error", "Calibration error", "how far confidence and accuracy are apart, on average"),
        ),
        class_score="accuracy",
        unit="picture",
        curves=(("top1", "top-1 accuracy"),),
        classes="The longer the bar, the more pictures of the class were recognised. Pictures is each class's share.",
        confusion="Each row is one true class: of its pictures, how many per cent were taken for which. Blue is right, "
        "orange is mistaken, the stronger the more; a dot is less than half a per cent.",
    ),
}
