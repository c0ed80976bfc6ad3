"""Inference over HTTP: `foveate serve`; guard and problems are shared with the studio."""
