"""Draw docs/assets/readme_*.webp: a report, an overlay and an attention page of models trained on the pasture.

python docs/draw_pictures.py          trains both models into a temporary folder first
python docs/draw_pictures.py RUNS     keeps them in a folder, or takes those that are there

The runs are RUNS/fcn8s_pasture and RUNS/show_attend_tell_pasture. Needs selenium, Chromium and chromedriver.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from chromium import open_browser
from PIL import Image

from foveate.cli import main as foveate
from foveate.datasets.pasture import Pasture
from foveate.engine.report import report_run

ASSETS = Path(__file__).resolve().parent / "assets"
TRAINING = {
    "fcn8s_pasture": ("--no-report",),
    "show_attend_tell_pasture": ("--no-report", "--data.train", "400", "--data.val", "100", "--epochs", "8"),
}
SEGMENTED, CAPTIONED = 54, 15  # scenes of the test split, which no recipe trains on
SIZE = (1040, 800)  # of every picture, in pixels
QUALITY = 86  # of WebP, which keeps a file below 100 kB
WORD = "tree"  # whose attention is shown; another caption shows its first word's


def main(argv: list[str]) -> int:
    """Train what is missing, and draw the three pictures."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        runs = Path(argv[0]).resolve() if argv else work / "runs"
        for recipe, flags in TRAINING.items():
            if not (runs / recipe / "model").is_dir():
                call("train", recipe, "--out", str(runs / recipe), *flags)
        draw_overlay(runs / "fcn8s_pasture", work)
        report = report_run(runs / "fcn8s_pasture")
        captions = caption_page(runs / "show_attend_tell_pasture", work)
        browser = open_browser(*SIZE)
        try:
            browser.get(report.as_uri())
            photograph(browser, "readme_report")
            browser.get(captions.as_uri())
            show_word(browser)
            photograph(browser, "readme_attention")
        finally:
            browser.quit()
    return 0


def call(*words: str) -> None:
    """Run `foveate` with these words. Raises SystemExit if it fails."""
    if code := foveate(list(words)):
        raise SystemExit(f"foveate {' '.join(words)} ended with {code}")


def scene(number: int, height: int, width: int, path: Path) -> Path:
    """A scene of the test split as a file."""
    pixels = Pasture(height=height, width=width, test=number + 1).open("test")[number]["image"]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.numpy().transpose(1, 2, 0)).save(path)
    return path


def draw_overlay(run: Path, work: Path) -> None:
    """The overlay of `foveate predict`, with its legend, on white of SIZE."""
    image = scene(SEGMENTED, 288, 416, work / "scene.png")
    call("predict", str(run), str(image), "--out", str(work / "overlays"))
    with Image.open(next((work / "overlays").glob("*_overlay.*"))) as drawn:
        factor = min(SIZE[0] / drawn.width, SIZE[1] / drawn.height)
        fitted = drawn.convert("RGB").resize(
            (round(drawn.width * factor), round(drawn.height * factor)), Image.Resampling.LANCZOS
        )
    canvas = Image.new("RGB", SIZE, (255, 255, 255))
    canvas.paste(fitted, ((SIZE[0] - fitted.width) // 2, (SIZE[1] - fitted.height) // 2))
    save(canvas, "readme_overlay")


def caption_page(run: Path, work: Path) -> Path:
    """The page of captions that `foveate predict` writes."""
    image = scene(CAPTIONED, 128, 128, work / "captioned" / "pasture.png")
    call("predict", str(run), str(image), "--out", str(work / "captions"))
    return work / "captions" / "captions.html"


def show_word(browser: Any) -> None:
    """Go to a word, so that the large picture shows its attention, and scroll to it."""
    browser.execute_script(
        """
        const words = [...document.querySelectorAll('.captioned .word')];
        const word = words.find(one => one.innerText === arguments[0]) ?? words[0];
        document.querySelector('.captioned').scrollIntoView({behavior: 'instant'});
        word.focus({preventScroll: true});
        """,
        WORD,
    )


def photograph(browser: Any, name: str) -> None:
    """The window as a file."""
    time.sleep(1)
    with Image.open(io.BytesIO(browser.get_screenshot_as_png())) as shot:
        save(shot.convert("RGB"), name)


def save(picture: Image.Image, name: str) -> None:
    """Write a picture as WebP."""
    file = ASSETS / f"{name}.webp"
    picture.save(file, quality=QUALITY, method=6)
    print(f"drew {file.name}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
