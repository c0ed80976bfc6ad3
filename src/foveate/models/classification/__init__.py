"""Image classification: models that predict one class for an image."""
