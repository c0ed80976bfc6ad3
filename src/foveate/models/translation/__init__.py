"""Translation: models that write a sentence in another language, token by token."""
