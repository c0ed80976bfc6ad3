"""What other recorded results say of a claim: one sentence or two each, judged by the claim's own bounds.

A remark is a function from the claim and all results (file stem -> record) to text, '' where nothing was recorded.
Each system, or data set, counts as a seed does in the claim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import photographs

from foveate.claims import Claim

Results = Mapping[str, Any]
Remark = Callable[[Claim, Results], str]
LINK = "[results](results.md#camvid)"


def verdict(claim: Claim, effects: Sequence[float]) -> str:
    """The verdict that these effects would have."""
    return f"by the bounds above it **{claim.judge(effects)}**"


def refinement(flags: str, *, boundaries: bool) -> Remark:
    """Effect of an option of `foveate evaluate` on each system that was trained on CamVid.

    boundaries: judged by the smaller gain, of boundary IoU and of mean IoU; else by mean IoU.
    """

    def remark(claim: Claim, results: Results) -> str:
        systems = {}
        for name, result in results.items():
            rows = {row["flags"]: row for row in result.get("refinement", {}).get("rows", ())}
            if name.endswith("_camvid") and {"", flags} <= set(rows):
                systems[name] = [100 * (rows[flags][key] - rows[""][key]) for key in ("boundary_iou", "mean_iou")]
                images = rows[""]["images"]
        if not systems:
            return ""
        boundary, mean = zip(*systems.values(), strict=True)
        effects = [min(pair) for pair in systems.values()] if boundaries else mean
        better = sum(effect > 0 for effect in effects)
        return (
            f"on {images} validation images of CamVid, `{flags}` changes boundary IoU by {_range(boundary)} and mean "
            f"IoU by {_range(mean)} points, and helps {better} of {len(systems)} systems (one seed each, {LINK}); "
            f"{verdict(claim, effects)}."
        )

    return remark


def skips(claim: Claim, results: Results) -> str:
    """Gain from FCN-32s to FCN-8s in the recorded results."""
    found = []
    for name, words in (("camvid", "CamVid"), ("pasture", "the Pasture data set, with the whole recipe")):
        coarse, fine = (results.get(f"fcn{stride}s_{name}", {}).get("scores") for stride in (32, 8))
        if coarse and fine:
            gains = [100 * (fine[key] - coarse[key]) for key in ("boundary_iou", "mean_iou")]
            found.append(
                f"on {words}, FCN-8s gains {gains[0]:+.1f} points of boundary IoU and {gains[1]:+.1f} of mean IoU over "
                f"FCN-32s (one seed); {verdict(claim, [min(gains)])}"
            )
    return f"{'. O'.join(text.removeprefix('o') if i else text for i, text in enumerate(found))}." if found else ""


def many_looks(claim: Claim, results: Results) -> str:
    """CIDEr-D of the recorded captioners."""
    plain, attending = (
        results.get(f"{name}_pasture", {}).get("scores") for name in ("show_and_tell", "show_attend_tell")
    )
    if not (plain and attending):
        return ""
    ratio = attending["cider_d"] / plain["cider_d"]
    return (
        f"with the whole recipes, Show, Attend and Tell reaches {ratio:.2f} times the CIDEr-D of Show and Tell (one "
        f"seed, [results](results.md#captioning)); {verdict(claim, [ratio])}."
    )


def named_objects(claim: Claim, results: Results) -> str:
    """Hits against chance of the recorded captioners, and on photographs."""
    found = []
    for name, words in (("show_attend_tell_pasture", "soft"), ("show_attend_tell_hard_pasture", "hard")):
        scores = results.get(name, {}).get("scores", {})
        if scores.get("attention_chance"):
            found.append((words, scores["attention_hit"] / scores["attention_chance"]))
    if not found:
        return ""
    ratios = " and ".join(f"{ratio:.1f} times with {words} attention" for words, ratio in found)
    drawn = (
        f"with the whole recipes, what the word names is hit more often than by chance: {ratios} (one seed each, "
        f"[results](results.md#captioning)); {verdict(claim, [ratio for _, ratio in found])}."
    )
    return f"{drawn}{_on_photographs(claim)}"


def _on_photographs(claim: Claim) -> str:
    found = photographs.ratios(photographs.read_photographs())
    if not found:
        return ""
    listed = " and ".join(f"{ratio:.1f} times with {kind} attention" for kind, ratio in found.items())
    return (
        f" On photographs of COCO, {listed} (one seed, [results](results.md#attention-on-photographs)); "
        f"{verdict(claim, list(found.values()))}."
    )


def asked_objects(claim: Claim, results: Results) -> str:
    """Attention on what is asked about, over that by chance, of the recorded recipe."""
    scores = results.get("ask_attend_answer_pasture", {}).get("scores", {})
    if not scores.get("attention_chance"):
        return ""
    ratio = scores["attention_mass"] / scores["attention_chance"]
    return (
        f"with the whole recipe, on more scenes, {ratio:.1f} times as much attention lies there as by chance "
        f"(one seed, [results](results.md#questions)); {verdict(claim, [ratio])}."
    )


def related_things(claim: Claim, results: Results) -> str:
    """Accuracy of the recorded recipe on questions that relate two things."""
    share = results.get("ask_attend_answer_pasture", {}).get("scores", {}).get("per_kind", {}).get("relation")
    if share is None:
        return ""
    return (
        "words alone are right half of the time, and networks about there have not learned to relate, with one hop or "
        f"two; with the whole recipe, on more scenes, two hops answer {100 * share:.1f} % of such questions (one seed, "
        "[results](results.md#questions)), and one hop was not recorded."
    )


def distorted_digits(claim: Claim, results: Results) -> str:
    """Error on each kind of distorted MNIST without and with an affine transformer."""
    errors: dict[str, list[float]] = {}
    for result in results.values():
        errors.setdefault(result["recipe"], []).append(result["scores"].get("error_percent"))
    gains = {}
    for recipe in sorted(errors):
        network, found, kind = recipe.partition("_mnist_")
        other = f"st_cnn_affine_mnist_{kind}"
        if found and network == "cnn" and other in errors:
            gains[kind] = fmean(errors[recipe]) - fmean(errors[other])
    if not gains:
        return ""
    listed = ", ".join(f"{gain:+.2f} on {kind}" for kind, gain in gains.items())
    return (
        f"on distorted MNIST an affine transformer takes away {listed} points of the CNN's error "
        f"([results](results.md#distorted-mnist)); {verdict(claim, list(gains.values()))}."
    )


def inception_pairs(claim: Claim, results: Results) -> str:
    """Error of both Inception networks on each data set where both were recorded; the mean over seeds."""
    errors: dict[tuple[str, str], list[float]] = {}
    for result in results.values():
        for network in ("inception_v4", "inception_resnet_v2"):
            if result["recipe"].startswith(f"{network}_") and "error_percent" in result["scores"]:
                data = result["recipe"].removeprefix(f"{network}_")
                errors.setdefault((data, network), []).append(result["scores"]["error_percent"])
    pairs = {
        data: (fmean(found), fmean(errors[data, "inception_resnet_v2"]))
        for (data, network), found in sorted(errors.items())
        if network == "inception_v4" and (data, "inception_resnet_v2") in errors
    }
    if not pairs:
        return ""
    listed = "; ".join(f"{data}: {plain:.1f} and {residual:.1f} %" for data, (plain, residual) in pairs.items())
    effects = [-abs(plain - residual) for plain, residual in pairs.values()]
    return (
        "with the recorded recipes, errors of Inception-v4 and Inception-ResNet are, by data set, "
        f"{listed} ([results](results.md#classification)); {verdict(claim, effects)}."
    )


def _range(values: Sequence[float]) -> str:
    return f"{min(values):+.1f} to {max(values):+.1f}"


REMARKS: dict[str, Remark] = {
    "scales_help_testing": refinement("--scales 0.75,1,1.25", boundaries=False),
    "superpixels_refine_boundaries": refinement("--superpixels felzenszwalb", boundaries=True),
    "segmentation_trees_refine_boundaries": refinement("--superpixels tree", boundaries=True),
    "skips_improve_boundaries": skips,
    "many_looks_beat_one": many_looks,
    "attention_falls_on_what_is_named": named_objects,
    "two_hops_relate_two_things": related_things,
    "evidence_is_where_the_asked_object_is": asked_objects,
    "transformer_helps_a_classifier": distorted_digits,
    "residual_inception_ends_equal": inception_pairs,
}
