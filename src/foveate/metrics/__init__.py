"""Metrics of predictions, one file a task: small objects with `update` and `compute`."""
