"""Translation: a sentence in one language for a sentence in another, and the alignment of their words."""
