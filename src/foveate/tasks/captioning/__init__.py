"""Captioning: a sentence for an image, and the attention of each word."""
