"""`firstread admin pause-scoring`, `resume-scoring`, `retry-study`, `workers`, `stuck`: steering scoring."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the program says --help before it loads a database
    from serving.operations.control import ScoringControl

Home = Annotated[Path | None, typer.Option(help="Folder of the service.", envvar="FIRSTREAD_HOME")]
Reason = Annotated[str, typer.Option(help="Why; shown to those who see the list without scores.")]
Key = Annotated[str, typer.Argument(help="The study's id, as in its address.")]


def pause_scoring(*, reason: Reason, home: Home = None) -> None:
    """Have all workers begin no more studies; uploads are taken and queued as before."""
    from serving.audit.opening import operator

    with _control(home) as control:
        control.pause(reason, who=operator())
    typer.echo("scoring is paused; what is being scored is finished")


def resume_scoring(*, home: Home = None) -> None:
    """Let all workers go on where they were."""
    from serving.audit.opening import operator

    with _control(home) as control:
        control.resume(who=operator())
    typer.echo("scoring goes on")


def retry_study(key: Key, *, home: Home = None) -> None:
    """Have a study tried again that failed, or that no model was for."""
    from serving.audit.opening import operator
    from serving.store.tenancy import Scope

    with _control(home) as control:
        control.retry(key, scope=Scope(None), who=operator())
    typer.echo(f"study {key} waits for a score again")


def workers(*, home: Home = None) -> None:
    """Say who scores, on what, and when it last gave a sign of life."""
    from serving.store.times import from_us

    with _control(home) as control:
        found, switch = control.workers(), control.switch()
    if switch.is_paused:
        typer.echo(f"paused by {switch.set_by}: {switch.reason}")
    for one in found:
        beat = from_us(one.beat_at_us).isoformat(timespec="seconds")
        typer.echo(
            f"{one.state}  {one.id}  {one.n_processes} processes on {one.provider}  last beat {beat}  "
            f"{', '.join(one.models) or 'no model'}"
        )
    if not found:
        typer.echo("nobody has scored yet")


def stuck(*, home: Home = None) -> None:
    """Name the studies that have been in one state for longer than that allows; exit status 1 if any."""
    from serving.audit.opening import operator
    from serving.store.tenancy import Scope

    with _control(home) as control:
        found = control.stuck(scope=Scope(None), limit=1000, who=operator())
    for one in found:
        problem = f": {one.study.problem}" if one.study.problem else ""
        typer.echo(f"{one.study.study_key}  {one.study.state}  {one.why}{problem}")
    if found:
        raise typer.Exit(1)
    typer.echo("nothing is stuck")


@contextmanager
def _control(home: Path | None) -> "Iterator[ScoringControl]":
    from serving.audit.opening import opened_trail
    from serving.errors import ServiceError, StartError
    from serving.hosting.command import one_sentence_on_failure, read_settings
    from serving.operations.control import ScoringControl
    from serving.scoring.durable import JobQueue
    from serving.scoring.watchdog import Watchdog
    from serving.store.times import now_us

    with one_sentence_on_failure():
        settings = read_settings(home=home)
        with opened_trail(settings) as trail:
            database = trail.database
            try:
                yield ScoringControl(
                    database, trail, JobQueue(database), Watchdog(database, clock=now_us), clock=now_us
                )
            except ServiceError as error:
                raise StartError(error.detail) from error
