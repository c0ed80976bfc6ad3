"""Scores of predictions, one family a file: a small object with update() and compute()."""
