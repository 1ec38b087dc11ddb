"""Receives, scores, ranks and shows studies."""
