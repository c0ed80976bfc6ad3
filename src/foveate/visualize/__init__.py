"""Pictures and pages from predictions: overlays, contact sheets, error maps, curves, the HTML report."""
