"""Runs the service: the program's verbs `serve` and `demo`, the server and its orderly end."""
