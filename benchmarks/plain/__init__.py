"""Plain networks for `plain_networks.py`: what one would write first, with torch.nn alone."""
