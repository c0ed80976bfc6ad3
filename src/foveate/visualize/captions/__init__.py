"""What captioners say, on a page on which pointing at a word shows where the model looked.

page = CaptionPage("show_attend_tell")
page.add(Told("cow.jpg", picture, prediction))
page.write("captions.html")
"""

from __future__ import annotations

from foveate.visualize.captions.figure import Told, told_figure, told_style
from foveate.visualize.captions.page import CaptionPage

__all__ = ["CaptionPage", "Told", "told_figure", "told_style"]
