"""Drawing: images that are generated step by step, on a canvas."""
