"""Instance segmentation: single objects with their outlines."""
