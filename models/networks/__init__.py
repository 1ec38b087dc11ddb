"""The networks, in torch; opened by training only."""
