"""Changes to pages before mkdocs reads them.

Pages link to source files as they lie in the repository, so that the links work there; on the site the same links lead
to the API reference. CONTRIBUTING.md and CHANGELOG.md stand in the repository's root and are shown here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SHOWN = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put root files in their pages' place, and turn links to source files into references."""
    if page.file.src_uri in SHOWN:
        markdown = (ROOT / SHOWN[page.file.src_uri]).read_text(encoding="utf-8")
        markdown = re.sub(r"\]\(docs/", "](", markdown)
        markdown = re.sub(r"\]\(src/", "](../src/", markdown)
    return re.sub(r"\]\(\.\./src/(foveate/[\w/]+?)(?:/__init__)?\.py\)", _reference, markdown)


def _reference(link: re.Match[str]) -> str:
    return f"][{link[1].replace('/', '.')}]"
