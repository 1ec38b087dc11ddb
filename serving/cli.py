"""The program `firstread`: each verb lives in the room it belongs to and is put together here."""

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def main() -> None:
    """Run the program."""
    app()
