"""Models that say what a picture shows."""
