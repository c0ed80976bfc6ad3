"""What `foveate predict` leaves of its pictures, and says of them: one class a family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from foveate.cli.inputs import Job
    from foveate.pictures import Windows
    from foveate.predictor import Predictor
    from foveate.records import (
        CaptionPrediction,
        ClassificationPrediction,
        ColocalisationPrediction,
        SemanticPrediction,
        Sentence,
    )
    from foveate.visualize.clips import Motion

LONGEST_OVERLAY = 4096  # pixels; overlays of larger pictures are scaled down
LONGEST_PICTURE = 960  # pixels; of a picture that is drawn for each word
DIGITS = 5  # of a map's numbers in predictions.json


class Results:
    """What a family leaves. `write` is called in a thread of its own, a picture at a time, in order."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def write(self, job: Job, windows: Windows, prediction: Any) -> dict[str, Any]:
        """Write what belongs to one picture and let it go; its record for predictions.json."""
        raise NotImplementedError

    def finish(self, out: Path) -> None:
        """Write what belongs to all pictures that could be looked at."""

    def tell(self, jobs: Sequence[Job]) -> Iterator[str]:
        """The lines to print of them."""
        yield from ()


def results_of(predictor: Predictor) -> Results:
    """Those of the predictor's family."""
    families: dict[str, type[Results]] = {
        "classification": ClassResults,
        "captioning": CaptionResults,
        "colocalisation": WindowResults,
    }
    return families.get(predictor.task, LabelResults)(predictor)


class ClassResults(Results):
    """Of a classifier: the drawing of what was seen, where the model looked and what it says."""

    def write(self, job: Job, windows: Windows, prediction: ClassificationPrediction) -> dict[str, Any]:
        """See the class."""
        from foveate.pictures import atomic_write
        from foveate.visualize.looks import draw_classification

        windows.close()
        with atomic_write(job.overlay) as temporary:
            draw_classification(prediction).save(temporary, format="JPEG", quality=92)
        top = [{"class": name, "probability": round(p, 6)} for name, p in prediction.top(5)]
        looks = [{"corners": corners(look.grid)} for look in prediction.transforms]
        record = {"overlay": job.told(job.overlay), "class": top[0]["class"], "top": top}
        return record | ({"looks": looks} if looks else {})


class WindowResults(Results):
    """Of a co-localiser: the drawing of its windows and what they hold."""

    def write(self, job: Job, windows: Windows, prediction: ColocalisationPrediction) -> dict[str, Any]:
        """See the class. Boxes are left, top, right, bottom in pixels of the picture."""
        from foveate.pictures import atomic_write
        from foveate.visualize.looks import draw_colocalisation

        windows.close()
        with atomic_write(job.overlay) as temporary:
            draw_colocalisation(prediction).save(temporary, format="JPEG", quality=92)
        boxes = [[round(float(v), 2) for v in box] for box in prediction.boxes]
        return {"overlay": job.told(job.overlay), "boxes": boxes}


class LabelResults(Results):
    """Of a label map: the mask, and its overlay with a legend."""

    def write(self, job: Job, windows: Windows, prediction: SemanticPrediction) -> dict[str, Any]:
        """See the class."""
        from foveate.pictures import atomic_write
        from foveate.visualize import index_png, overlay, with_legend

        shares = _shares(prediction)
        with atomic_write(job.mask) as temporary:
            index_png(prediction.mask, prediction.classes, temporary)
        picture, mask = _reduced(windows, prediction.mask)
        windows.close()
        drawn = with_legend(overlay(picture, mask, prediction.classes), prediction.classes, shares)
        with atomic_write(job.overlay) as temporary:
            drawn.save(temporary, format="JPEG", quality=90)
        files = {"mask": job.told(job.mask), "overlay": job.told(job.overlay)}
        return files | {"height": windows.height, "width": windows.width, "shares": shares}


class CaptionResults(Results):
    """Of captions: for each picture a strip and an animation of where the model looked; one page of all of them."""

    def __init__(self, predictor: Predictor) -> None:
        from foveate.visualize.captions import CaptionPage

        super().__init__(predictor)
        self.hard = getattr(predictor, "attention", "none") == "hard"
        self.page = CaptionPage(predictor.name)

    def write(self, job: Job, windows: Windows, prediction: CaptionPrediction) -> dict[str, Any]:
        """See the class. A model without attention leaves no drawings."""
        from foveate.visualize.captions import Told

        picture = _shrunk(windows, LONGEST_PICTURE)
        windows.close()
        best, *others = prediction.sentences
        self.page.add(Told((job.name.parent / job.source.name).as_posix(), picture, prediction, self.hard))
        files = self._draw(job, picture, best) if best.attention is not None and best.words else {}
        return files | {
            "caption": best.text,
            "score": round(best.score, 6),
            "alternatives": [{"caption": s.text, "score": round(s.score, 6)} for s in others],
            "words": list(self._words(best)),
        }

    def _draw(self, job: Job, picture: np.ndarray, best: Sentence) -> dict[str, str]:
        from foveate.pictures import atomic_write
        from foveate.visualize.attention import attention_frames, attention_strip
        from foveate.visualize.clips import write_clip

        with atomic_write(job.strip) as temporary:
            attention_strip(picture, best, self.hard).save(temporary, format="PNG")
        frames, milliseconds = attention_frames(picture, best, self.hard)
        write_clip(frames, job.animation, milliseconds, photographs=True)
        return {"strip": job.told(job.strip), "animation": job.told(job.animation)}

    def _words(self, best: Sentence) -> Iterator[dict[str, Any]]:
        """Each word with its probability, and its map (h, w); of hard attention also the one cell, [row, column]."""
        from foveate.visualize.attention import most

        for i, word in enumerate(best.words):
            record: dict[str, Any] = {"word": word, "probability": round(float(best.probabilities[i]), 6)}
            if best.attention is not None:
                record["attention"] = [[round(float(a), DIGITS) for a in row] for row in best.attention[i]]
            if best.attention is not None and self.hard:
                record["cell"] = list(most(best.attention[i]))
            yield record

    def finish(self, out: Path) -> None:
        """captions.html."""
        if len(self.page):
            self.page.write(out / "captions.html")

    def tell(self, jobs: Sequence[Job]) -> Iterator[str]:
        """One picture with all its sentences; of several, the best sentence of each."""
        if len(jobs) > 1:
            yield from (f"{job.source}: {job.record['caption']} ({job.record['score']:.3f})" for job in jobs)
            return
        for job in jobs:
            yield f"{job.source}:"
            for said in (job.record, *job.record["alternatives"]):
                yield f"  {said['score']:7.3f}  {said['caption']}"


def write_clip_of(job: Job, predictor: Predictor, motion: Motion) -> Path:
    """The picture in motion, each pose drawn with the model's answer to it."""
    import torch

    from foveate.visualize.clips import poses, write_clip
    from foveate.visualize.looks import draw_classification

    seen = torch.from_numpy(predictor.predict(job.source).seen).permute(2, 0, 1) / 255
    background = float(getattr(getattr(predictor.model, "config", None), "background", 0.0))
    frames = [predictor.predict(pose) for pose in poses(seen, motion, background)]
    write_clip([draw_classification(frame) for frame in frames], job.clip)
    return job.clip


def corners(grid: np.ndarray) -> list[list[float]]:
    """The corners of a look's grid (h, w, 2), clockwise from its upper left, each x, y in -1..1."""
    return [[round(float(v), 4) for v in grid[row, column]] for row, column in ((0, 0), (0, -1), (-1, -1), (-1, 0))]


def _shares(prediction: SemanticPrediction) -> dict[str, float]:
    """`prediction.shares()`, a strip at a time: counting takes eight bytes a pixel, which a large mask cannot have."""
    from dataclasses import replace

    import numpy as np

    totals = dict.fromkeys(prediction.classes.names, 0.0)
    for strip in np.array_split(prediction.mask, -(-prediction.mask.size // 2**20)):
        for name, share in replace(prediction, mask=strip).shares().items():
            totals[name] += share * (strip.size / prediction.mask.size)
    return totals


def _reduced(windows: Windows, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture and its mask, shrunk by a whole factor until the longest side is at most LONGEST_OVERLAY.

    The picture is averaged over f x f pixels and read in strips; of the mask, one label in f x f is kept.
    """
    factor = _factor(windows, LONGEST_OVERLAY)
    small = _shrunk(windows, LONGEST_OVERLAY)
    if factor == 1:
        return small, mask
    middle = factor // 2
    return small, mask[middle::factor, middle::factor][: small.shape[0], : small.shape[1]]


def _factor(windows: Windows, longest: int) -> int:
    """By which whole number a picture is shrunk until its longest side is at most `longest`."""
    return min(-(-max(windows.height, windows.width) // longest), windows.height, windows.width)


def _shrunk(windows: Windows, longest: int) -> np.ndarray:
    """The picture (H, W, C), shrunk by a whole factor, the mean of factor x factor pixels; read in strips."""
    import numpy as np

    height, width = windows.height, windows.width
    factor = _factor(windows, longest)
    if factor == 1:
        return windows.read(0, 0, height, width)
    rows, columns = height // factor, width // factor
    small = np.empty((rows, columns, windows.channels), windows.read(0, 0, 1, 1).dtype)
    step = max(1, 2**21 // (width * factor))
    for top in range(0, rows, step):
        count = min(step, rows - top)
        strip = windows.read(top * factor, 0, count * factor, columns * factor)
        blocks = strip.reshape(count, factor, columns, factor, -1)
        mean = blocks.mean((1, 3), dtype=np.float32)
        small[top : top + count] = mean if small.dtype.kind == "f" else mean.round()
    return small
