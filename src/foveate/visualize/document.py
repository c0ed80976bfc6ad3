"""The page around what is shown: one file, no script, nothing fetched, nothing unescaped."""

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

PICTURE_BYTES = 40_000  # of a JPEG: a report of twelve examples, four pictures each, stays below 3 MB
NOTICE = "Written by Foveate. This page loads nothing and sends nothing."


def stylesheet(folder: str) -> str:
    """The style sheet of a folder of `visualize`."""
    return files(f"foveate.visualize.{folder}").joinpath("style.css").read_text(encoding="utf-8")


def document(title: str, style: str, *body: object) -> str:
    """A whole page as HTML text.

    title: of the browser's window. style: the page's only style sheet; its policy forbids all others, and any script.
    """
    foot = tag("footer", tag("p", NOTICE))
    page = tag("html", _head(title, style), tag("body", tag("main", body), foot), lang="en")
    return f"<!doctype html>\n{page}\n"


def write_page(page: str, path: str | Path) -> Path:
    """Write a page and return its path. Raises OutputError where it cannot be written; an older one then stays."""
    path = Path(path)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _head(title: str, style: str) -> Markup:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
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


def data_uri(pixels: np.ndarray) -> str:
    """(H, W, 3) uint8 as a JPEG data URI of at most PICTURE_BYTES before base64, as good as that allows."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    for quality in (85, 74, 62, 50, 38, 25):
        encoded = _jpeg(picture, quality)
        if len(encoded) <= PICTURE_BYTES:
            break
    while len(encoded) > PICTURE_BYTES:  # noise that no quality makes small: fewer pixels
        picture = picture.resize((max(1, picture.width * 3 // 4), max(1, picture.height * 3 // 4)))
        encoded = _jpeg(picture, 38)
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode()


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    # Full-resolution colour: thin contours and small regions are all colour.
    picture.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
