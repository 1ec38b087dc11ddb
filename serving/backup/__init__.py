"""Copies a home with its rows, images and keys while the service runs, and makes a home of such a copy."""
