"""HTML pages in one file: no external resources, all text escaped, and no script but the one that a page is given."""

from __future__ import annotations

import base64
import hashlib
import io
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from foveate.pictures import atomic_write
from foveate.visualize.markup import Markup, join, tag

MAX_JPEG_BYTES = 40_000  # so that a report of twelve examples with four images each stays below 3 MB
NOTICE = "Written by Foveate. This page loads nothing and sends nothing."


def tokens() -> str:
    """Read the colours and typefaces that reports and the pages of the studio share."""
    return files("foveate.visualize").joinpath("tokens.css").read_text(encoding="utf-8")


def stylesheet(folder: str) -> str:
    """Read the tokens and the style sheet of a subfolder of `visualize`."""
    return tokens() + files(f"foveate.visualize.{folder}").joinpath("style.css").read_text(encoding="utf-8")


def document(title: str, style: str, *body: object, sound: bool = False, script: str = "") -> str:
    """Build a complete page as HTML text.

    title: title of the browser window.
    style: the page's only style sheet; the content security policy forbids all others.
    body: children of the main element.
    sound: the page embeds sound as data URIs.
    script: JavaScript that runs at the end of the page; the content security policy forbids all other scripts.
    """
    foot = tag("footer", tag("p", NOTICE))
    code = join(Markup("<script>"), Markup(script), Markup("</script>")) if script else None
    page = tag("html", _head(title, style, sound, script), tag("body", tag("main", body), foot, code), lang="en")
    return f"<!doctype html>\n{page}\n"


def write_page(page: str, path: str | Path) -> Path:
    """Write a page and return its path. Raises OutputError if it cannot be written; an existing page is then kept."""
    path = Path(path)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _head(title: str, style: str, sound: bool, script: str) -> Markup:
    media = "media-src data:; " if sound else ""
    code = f"script-src '{_digest(script)}'; " if script else ""
    policy = (
        f"default-src 'none'; img-src data:; {media}style-src '{_digest(style)}'; {code}"
        "base-uri 'none'; form-action 'none'"
    )
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        join(Markup("<style>"), Markup(style), Markup("</style>")),
    )


def _digest(text: str) -> str:
    """The hash by which a content security policy allows an embedded style sheet or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def data_uri(pixels: np.ndarray, limit: int = MAX_JPEG_BYTES) -> str:
    """Encode an image (H, W, 3) uint8 as a JPEG data URI, at the best quality with at most `limit` bytes.

    limit: of the JPEG file, before base64.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels))
    for quality in (85, 74, 62, 50, 38, 25):
        encoded = _jpeg(image, quality)
        if len(encoded) <= limit:
            break
    while len(encoded) > limit:  # noise stays too large at every quality: reduce the resolution
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)))
        encoded = _jpeg(image, 38)
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode()


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    # No chroma subsampling, since thin contours and small regions differ in colour only.
    image.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
