"""The family of speech: recordings in, transcripts out."""
