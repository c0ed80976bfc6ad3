"""Networks that find and outline single objects."""
