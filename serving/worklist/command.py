"""`firstread simulate`: what a policy does to the waits, before it is switched on."""

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serving.worklist.queueing import MeanWaits, QueuePolicy, Setting, mean_waits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from serving.worklist.simulator import SimulatedRun, SimulatedWaits

CLASSES = ("flagged", "unflagged", "diseased", "healthy", "missed")
FEWEST_STUDIES, MOST_STUDIES = 1_000, 10_000_000
# Two million give a mean a standard error of 0.8 % at two readers and load .8, of 1.3 % at one and .9.
DEFAULT_STUDIES = 2_000_000


class Format(StrEnum):
    """How the result is printed."""

    TABLE = "table"
    JSON = "json"


def simulate(
    *,
    readers: Annotated[int, typer.Option(help="Doctors who read at the same time.")] = 2,
    load: Annotated[float, typer.Option(help="Share of their time that arriving studies take.")] = 0.8,
    prevalence: Annotated[float, typer.Option(help="Share of the studies that show the disease.")] = 0.1,
    sensitivity: Annotated[float, typer.Option(help="The flag's sensitivity.")] = 0.9,
    specificity: Annotated[
        float, typer.Option(help="The flag's specificity; with --auc it follows from the curve instead.")
    ] = 0.9,
    read_minutes: Annotated[float, typer.Option(help="Mean time to read one study, minutes.")] = 10.0,
    policy: Annotated[QueuePolicy, typer.Option(help="The order of the queue.")] = QueuePolicy.DUE_AT,
    auc: Annotated[
        float | None,
        typer.Option(help="AUC of a graded, calibrated score; without it the model only flags."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal results.")] = 0,
    studies: Annotated[
        int, typer.Option(help="Studies that are measured, in runs of 100,000.")
    ] = DEFAULT_STUDIES,
    plot: Annotated[
        Path | None, typer.Option(help="Draw every policy's waits into this .png, .svg or .pdf.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="For people or for programs.")] = Format.TABLE,
) -> None:
    """Simulate the waits under a queue policy, and compare them with theory.

    A wait is the time from arrival to the end of the reading, less the reading itself. "longest" is the
    longest among the studies of a run of 100,000, the mean over the runs.
    """
    try:
        setting = Setting(readers, load, read_minutes, prevalence, sensitivity, specificity, auc)
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from problem
    if not FEWEST_STUDIES <= studies <= MOST_STUDIES:
        raise typer.BadParameter(f"studies is {studies}, expected {FEWEST_STUDIES} to {MOST_STUDIES}")
    if seed < 0:
        raise typer.BadParameter(f"seed is {seed}, expected 0 or more")
    if plot is not None:
        _check_plot(plot)
    wanted = [policy] if plot is None else list(QueuePolicy)
    runs_of_policy = _simulate(setting, wanted, n_studies=studies, seed=seed)
    if plot is not None:
        _draw(plot, setting, policy, runs_of_policy)
    theory = mean_waits(setting, policy)
    if output is Format.JSON:
        _print_json(policy, runs_of_policy[policy], theory)
    else:
        _print_table(setting, policy, runs_of_policy[policy], theory)


def _simulate(
    setting: Setting, policies: "Sequence[QueuePolicy]", *, n_studies: int, seed: int
) -> "dict[QueuePolicy, list[SimulatedRun]]":
    """Simulate each policy on the same arrivals; progress is shown on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    from serving.worklist import simulator
    from serving.worklist.policy import read_policy

    times = read_policy()
    runs_of_policy: dict[QueuePolicy, list[SimulatedRun]] = {policy: [] for policy in policies}
    stderr = Console(stderr=True)
    with Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as progress:
        task = progress.add_task("simulating", total=simulator.count_runs(n_studies) * len(policies))
        for policy, finished in runs_of_policy.items():
            for run in simulator.simulate(setting, policy, times, n_studies=n_studies, seed=seed):
                finished.append(run)
                progress.advance(task)
    return runs_of_policy


def _check_plot(plot: Path) -> None:
    from serving.worklist.plot import SUFFIXES

    if plot.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(
            f"--plot {plot} ends in {plot.suffix or 'nothing'}, expected {', '.join(SUFFIXES)}"
        )
    if not plot.parent.is_dir():
        raise typer.BadParameter(f"--plot {plot}: the folder {plot.parent} does not exist; make it first")


def _draw(
    plot: Path,
    setting: Setting,
    policy: QueuePolicy,
    runs_of_policy: "Mapping[QueuePolicy, Sequence[SimulatedRun]]",
) -> None:
    from serving.worklist.plot import draw_waits

    try:
        draw_waits(setting, policy, runs_of_policy).savefig(plot, dpi=150)
    except OSError as problem:
        raise typer.BadParameter(f"--plot {plot} cannot be written: {problem.strerror}") from problem


def _print_json(policy: QueuePolicy, runs: "Sequence[SimulatedRun]", theory: MeanWaits | None) -> None:
    import json

    from serving.worklist.simulator import summarise

    waits = summarise(runs)
    document = {
        "policy": policy,
        "waits": _rounded(waits, (*CLASSES, "longest")),
        "closed_form": None if theory is None else _rounded(theory, CLASSES),
    }
    typer.echo(json.dumps(document, indent=2, allow_nan=False))


def _rounded(waits: "SimulatedWaits | MeanWaits", names: "Sequence[str]") -> dict[str, float | None]:
    means = {name: getattr(waits, name) for name in names}
    return {name: None if mean is None else round(mean, 6) for name, mean in means.items()}


def _print_table(
    setting: Setting, policy: QueuePolicy, runs: "Sequence[SimulatedRun]", theory: MeanWaits | None
) -> None:
    from rich.console import Console
    from rich.table import Table

    from serving.worklist.simulator import summarise

    waits = summarise(runs)
    each_run = [summarise([run]) for run in runs]
    fifo = mean_waits(setting, QueuePolicy.FIFO)
    table = Table(title=f"Waits under {policy}, minutes", title_justify="left")
    table.add_column("studies")
    for heading in ("mean", "± std. error", "in theory", "fifo, in theory"):
        table.add_column(heading, justify="right")
    for name in CLASSES:
        table.add_row(
            name,
            _minutes(getattr(waits, name)),
            _minutes(_standard_error([getattr(run, name) for run in each_run])),
            _minutes(getattr(theory, name, None)),
            _minutes(getattr(fifo, name, None)),
        )
    table.add_row(
        "longest", _minutes(waits.longest), _minutes(_standard_error([run.longest for run in each_run]))
    )
    console = Console()
    console.print(table)
    console.print("missed: diseased, but not flagged. longest: among 100,000 studies, mean over the runs.")
    if setting.auc is not None:
        console.print(
            f"At AUC {setting.auc:g} the flag with sensitivity {setting.sensitivity:g} "
            f"has specificity {setting.flag_specificity:.3f}; --specificity is not used."
        )


def _standard_error(means: "Sequence[float | None]") -> float | None:
    """Give the standard error of a mean over runs, None where fewer than two runs have one."""
    present = [mean for mean in means if mean is not None]
    if len(present) < 2:
        return None
    centre = sum(present) / len(present)
    variance = sum((mean - centre) ** 2 for mean in present) / (len(present) - 1)
    return math.sqrt(variance / len(present))


def _minutes(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:,.2f}"
