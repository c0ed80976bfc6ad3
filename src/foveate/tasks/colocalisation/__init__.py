"""Co-localisation: the place of what all images of a set have in common."""
