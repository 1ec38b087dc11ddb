"""Fits, evaluates, calibrates, exports and reports on classifiers."""
