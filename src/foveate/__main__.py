"""`python -m foveate`."""

from foveate.cli import program

program()
