"""The program `firstread-train`: fits, evaluates, calibrates, exports and reports."""


def main() -> None:
    """Run the program."""
    raise SystemExit(2)
