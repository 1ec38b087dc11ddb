"""Tokens by HTTP, and `firstread admin tokens`."""
