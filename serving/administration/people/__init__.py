"""People by HTTP, and `firstread admin users`."""
