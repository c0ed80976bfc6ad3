"""Image captioning: models that generate a sentence for an image."""
