"""Whose a client's certificate is: `firstread admin certificates`."""
