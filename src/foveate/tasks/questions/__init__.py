"""Visual question answering: an answer to a question about an image."""
