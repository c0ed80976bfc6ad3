"""Trained models in formats that run elsewhere, each checked against PyTorch before it is kept."""
