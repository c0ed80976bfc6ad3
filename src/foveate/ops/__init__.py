"""Tensor operators and small modules that models share, without a paper of their own."""
