"""Handwriting: texts written with a pen, point by point."""
