"""What differs between the reports of the families: words, and which scores they are about."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """The words of one family's report.

    title: of the page. score, beside: key, name and meaning of the large score, and of a second one.
    found: the key of the score that the summary tells, and how it tells it. facts: key, name and meaning of the smaller
        scores. curves: key -> name in the chart of scores.
    chosen: key and name of the score that says which epoch is best, where it is not `score`.
    class_score: what a class's own score is called. unit: what is counted. classes, confusion: how the table of classes
        and the matrix are to be read. None of a family without classes.
    """

    title: str
    score: tuple[str, str, str]
    found: tuple[str, str]
    facts: tuple[tuple[str, str, str], ...]
    curves: tuple[tuple[str, str], ...]
    beside: tuple[str, str, str] | None = None
    chosen: tuple[str, str] | None = None
    class_score: str = ""
    unit: str = ""
    classes: str = ""
    confusion: str = ""


FAMILIES = {
    "semantic": Family(
        title="Segmentation report",
        score=(
            "mean_iou",
            "Mean IoU",
            "For each class, the area where label and truth agree, divided by the area that either one claims; "
            "then averaged over the classes. 1 is perfect.",
        ),
        found=("pixel_accuracy", "gave {share:.1f} % of the pixels in {pictures} the right label"),
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
        found=("top1", "gave {share:.2f} % of {pictures} the right class"),
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
    "captioning": Family(
        title="Captioning report",
        score=(
            "cider_d",
            "CIDEr-D",
            "How much a sentence agrees with what people said of its picture, in groups of one to four words, the rare "
            "ones counting more; the mean over pictures. 0 is nothing in common, 10 the same words.",
        ),
        found=("cider_d", "described {pictures}, with a CIDEr-D of {score:.3f}"),
        facts=(
            ("bleu1", "BLEU-1", "of its words, how many people used, too"),
            ("rouge_l", "ROUGE-L", "the longest part in the same order as a person's sentence"),
            ("distinct", "Different sentences", "for each picture; low where it says the same of all"),
            ("mean_length", "Words a sentence", "on average"),
            ("vocabulary_used", "Vocabulary used", "of the different words that people used of these pictures"),
        ),
        curves=(("cider_d", "CIDEr-D"), ("bleu4", "BLEU-4")),
        beside=(
            "bleu4",
            "BLEU-4",
            "Of the groups of one to four words in all sentences, how many people used of the same picture. 1 is all.",
        ),
    ),
    "colocalisation": Family(
        title="Co-localisation report",
        score=(
            "corloc",
            "CorLoc",
            "The share of windows that lie on an object of the common kind: their intersection is more than half of "
            "their union. No box was seen in training.",
        ),
        found=("corloc", "looked for what {pictures} have in common; {share:.1f} % of its windows lie on it"),
        facts=(
            ("mean_iou", "Mean IoU", "of windows and the objects they fit best"),
            ("pointing", "Pointing", "have their middle in an object's box"),
            ("random_corloc", "CorLoc at random", "of windows of this size at any place"),
            ("centre_corloc", "CorLoc of the middle", "of windows in the middle of the picture"),
            ("contrast", "Contrast", "how much more alike windows are to each other than to windows at random"),
        ),
        curves=(("corloc", "CorLoc"), ("contrast", "contrast")),
        chosen=("contrast", "contrast"),
    ),
}
