"""Quiet times by HTTP, and `firstread admin quiet-times`."""
