"""One published system, one file, named as the lecture names it; a folder a family. No model imports another."""
