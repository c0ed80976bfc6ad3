"""Semantic segmentation: models that predict a class for every pixel."""
