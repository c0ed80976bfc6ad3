"""Where to look: spatial transformers, and attention that moves over a canvas."""
