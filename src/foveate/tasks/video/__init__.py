"""Video: a sentence for a clip."""
