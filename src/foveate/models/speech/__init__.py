"""Models for speech: recordings to text."""
