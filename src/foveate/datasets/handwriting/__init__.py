"""Handwriting as pen movements: readers of stroke files, and letters that the package draws itself."""
