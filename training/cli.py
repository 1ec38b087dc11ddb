"""The program `firstread-train`: fits, evaluates, calibrates, exports and reports."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.errors import TrainingError
from training.memory import keep_freed_memory

if TYPE_CHECKING:
    from training.work import Training, Work

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _known_device(name: str) -> str:
    if not re.fullmatch(r"cpu|cuda(:[0-9]+)?", name):
        raise typer.BadParameter(f"{name!r} is none of: cpu, cuda, cuda:0, cuda:1 and on")
    return name


RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe in TOML.")]
RunFolder = Annotated[
    Path | None, typer.Option("--run", help="The run's folder; runs/NAME by default.", file_okay=False)
]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", help="The folder of data sets.", envvar="FIRSTREAD_DATASETS", file_okay=False),
]
DeviceName = Annotated[
    str, typer.Option("--device", help="cpu, cuda, or cuda:N for that GPU.", callback=_known_device)
]
NumberOfProcesses = Annotated[
    int,
    typer.Option("--processes", min=1, help="So many train together, on CUDA one a GPU; torchrun does too."),
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="Threads of torch; its own choice by default.")
]
CheckpointMinutes = Annotated[
    float, typer.Option("--checkpoint-minutes", min=0.0, help="How much work a kill may cost at most.")
]
Fold = Annotated[
    int | None,
    typer.Option("--fold", min=0, help="One fold of a crossed recipe; its run lies in fold-N."),
]
CheckOnly = Annotated[
    bool,
    typer.Option("--check", help="Train nothing: look at the images, their folds, the time and the disk."),
]
CheckFile = Annotated[
    Path | None, typer.Option("--json", help="With --check: write all that was found here.", dir_okay=False)
]
Destination = Annotated[
    Path | None,
    typer.Option(
        "--to", help="The folder of models; models/ in the run's folder by default.", file_okay=False
    ),
]


@app.callback()
def program() -> None:
    """Train the models that firstread scores with; every verb takes the same recipe."""


@app.command()
def fit(
    recipe: RecipePath,
    *,
    fold: Fold = None,
    run: RunFolder = None,
    data: DataFolder = None,
    device: DeviceName = "cpu",
    threads: Threads = None,
    checkpoint_minutes: CheckpointMinutes = 5.0,
    processes: NumberOfProcesses = 1,
    check: CheckOnly = False,
    json: CheckFile = None,
) -> None:
    """Train; a run that was cut off is continued. A crossed recipe trains fold by fold."""
    from training.processes import launched_processes
    from training.work import Training, open_work

    if json is not None and not check:
        raise typer.BadParameter("it goes with --check only", param_hint="--json")
    if check:
        work = open_work(recipe, run=run, datasets=data, device=device, threads=threads, fold=fold)
        _check(work, recipe, threads, json)
        return
    if processes > 1 or launched_processes() > 1:
        _train_together(
            Training("fit", recipe, run, data, device, threads, fold, checkpoint_minutes), processes
        )
        return
    work = open_work(recipe, run=run, datasets=data, device=device, threads=threads, fold=fold)
    _say(work, f"the weights are in {work.fit(checkpoint_minutes)}")


@app.command()
def refit(
    recipe: RecipePath,
    *,
    run: RunFolder = None,
    data: DataFolder = None,
    device: DeviceName = "cpu",
    threads: Threads = None,
    checkpoint_minutes: CheckpointMinutes = 5.0,
    processes: NumberOfProcesses = 1,
) -> None:
    """Train the network of a crossed recipe that ships, on all folds."""
    from training.processes import launched_processes
    from training.work import Training, open_work

    if processes > 1 or launched_processes() > 1:
        _train_together(
            Training("refit", recipe, run, data, device, threads, None, checkpoint_minutes), processes
        )
        return
    work = open_work(recipe, run=run, datasets=data, device=device, threads=threads)
    _say(work, f"the weights are in {work.refit(checkpoint_minutes)}")


@app.command()
def evaluate(
    recipe: RecipePath,
    *,
    fold: Fold = None,
    run: RunFolder = None,
    data: DataFolder = None,
    device: DeviceName = "cpu",
    threads: Threads = None,
) -> None:
    """Measure on the test folds; a crossed recipe on all rows, each scored by a network that never saw it."""
    from training.work import open_work

    work = open_work(recipe, run=run, datasets=data, device=device, threads=threads, fold=fold)
    _say(work, f"the figures are in {work.evaluate()}")


@app.command()
def calibrate(recipe: RecipePath, run: RunFolder = None, data: DataFolder = None) -> None:
    """Fit calibration, operating points and, where the recipe asks, what the patient's context says."""
    from training.work import open_work

    work = open_work(recipe, run=run, datasets=data, device="cpu", threads=None)
    _say(work, f"calibration and operating points are in {work.calibrate()}")


@app.command()
def export(
    recipe: RecipePath,
    *,
    run: RunFolder = None,
    data: DataFolder = None,
    to: Destination = None,
    fold: Annotated[
        int | None,
        typer.Option(
            "--fold", min=0, help="Of a crossed recipe ship the network of this fold, not a refit on all."
        ),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8/--no-int8",
            help="Also in 8-bit integers, where that costs no accuracy; a CPU runs the faster.",
        ),
    ] = True,
) -> None:
    """Write the model as ONNX with its card, once torch and ONNX Runtime agree."""
    from training.quantise import verdict
    from training.work import open_work

    work = open_work(recipe, run=run, datasets=data, device="cpu", threads=None)
    artifact, difference = work.export(to, with_int8=int8, fold=fold)
    _say(
        work, f"the model is in {artifact.folder}; torch and ONNX Runtime differ by at most {difference:.1e}"
    )
    if artifact.card.variants is not None:
        _say(work, verdict(artifact.card.variants))


@app.command()
def report(recipe: RecipePath, run: RunFolder = None, to: Destination = None) -> None:
    """Write CARD.md and its pictures beside the exported model."""
    from training.work import open_work

    work = open_work(recipe, run=run, datasets=None, device="cpu", threads=None)
    _say(work, f"the card is {work.report(to)}")


@app.command()
def keep(recipe: RecipePath, run: RunFolder = None) -> None:
    """Keep a calibrated run's figures beside its recipe, for the README; its network need not ship."""
    from training.kept import keep as keep_figures
    from training.work import open_work

    work = open_work(recipe, run=run, datasets=None, device="cpu", threads=None)
    _say(work, f"the figures are kept in {keep_figures(work.recipe, recipe, work.run)}")


@app.command()
def table(
    models: Annotated[
        Path | None,
        typer.Argument(help="A folder of models; the shipped ones by default.", file_okay=False, exists=True),
    ] = None,
    readme: Annotated[
        Path | None,
        typer.Option(help="Write it between this file's markers instead of printing it.", dir_okay=False),
    ] = None,
) -> None:
    """Compare figures, of the models' cards and kept ones, with published ones, as the README shows them."""
    from models.registry import Registry, shipped_folder
    from training.published import figures_table, write_table

    recipes = Path(__file__).parent / "recipes"
    made = figures_table(Registry([models or shipped_folder()]), recipes)
    if readme is None:
        typer.echo(made)
        return
    write_table(readme, made)
    typer.echo(f"the table is in {readme}")


def _check(work: "Work", recipe: Path, threads: int | None, destination: Path | None) -> None:
    from rich.console import Console

    from training.check.report import check, write_report
    from training.check.tables import show

    found = check(work, n_threads=threads or os.cpu_count() or 1)
    show(found, Console())
    if destination is not None:
        write_report(found, destination)
    if found.errors:
        raise TrainingError(f"{recipe} is not ready to train: {'; '.join(found.errors)}")
    typer.echo("ready to train")


def _train_together(training: "Training", n: int) -> None:
    from training.processes import launch, launched_processes
    from training.work import train_together

    if launched_processes() > 1:  # by torchrun, which made this one too
        if n > 1:
            raise typer.BadParameter("torchrun has started the processes already", param_hint="--processes")
        train_together(training, "env://")
        return
    if ":" in training.device:
        raise typer.BadParameter("several processes take a GPU each; say cuda", param_hint="--device")
    n_threads = training.threads or max((os.cpu_count() or 1) // n, 1)
    launch(n, train_together, replace(training, threads=n_threads))


def _say(work: "Work", sentence: str) -> None:
    """Say a verb's result, and write it to the run's log."""
    from training.log import log

    typer.echo(sentence)
    log(work.run, sentence)


def main() -> None:
    """Run the program: exit 2 for wrong usage, 1 for what went wrong, said in one sentence."""
    keep_freed_memory()
    try:
        app()
    except TrainingError as error:
        typer.echo(f"firstread-train: {error}", err=True)
        raise SystemExit(1) from error
    except OSError as error:
        from training.saving import NO_ROOM, unsaved

        if error.errno not in NO_ROOM:
            raise
        typer.echo(f"firstread-train: {unsaved(error.filename or 'a file', error)}", err=True)
        raise SystemExit(1) from error
