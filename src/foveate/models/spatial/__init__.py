"""Spatial attention models: spatial transformers for classification and co-localisation."""
