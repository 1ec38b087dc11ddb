"""The program `firstread-train`: fits, evaluates, calibrates, exports and reports."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from training.errors import TrainingError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Device(StrEnum):
    """Where to compute."""

    CPU = "cpu"
    CUDA = "cuda"


RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe in TOML.")]
RunFolder = Annotated[
    Path | None, typer.Option("--run", help="The run's folder; runs/NAME by default.", file_okay=False)
]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", help="The folder of data sets.", envvar="FIRSTREAD_DATASETS", file_okay=False),
]
DeviceName = Annotated[Device, typer.Option("--device", help="Where to compute.")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="Threads of torch; its own choice by default.")
]


@app.callback()
def program() -> None:
    """Train the models that firstread scores with; every verb takes the same recipe."""


@app.command()
def fit(
    recipe: RecipePath,
    run: RunFolder = None,
    data: DataFolder = None,
    device: DeviceName = Device.CPU,
    threads: Threads = None,
) -> None:
    """Train; a run that was cut off is continued."""
    from training.work import open_work

    work = open_work(recipe, run=run, datasets=data, device=device, threads=threads)
    work.fit()


def main() -> None:
    """Run the program: exit 2 for wrong usage, 1 for what went wrong, said in one sentence."""
    try:
        app()
    except TrainingError as error:
        typer.echo(f"firstread-train: {error}", err=True)
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        typer.echo("firstread-train: stopped; the same command continues", err=True)
        os._exit(130)
