"""Models of what a whole picture shows."""
