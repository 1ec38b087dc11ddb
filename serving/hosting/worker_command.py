"""`firstread worker` scores what a service elsewhere receives: same database, same object store."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the program says --help before it loads a database
    from serving.hosting.scoring import RunningScoring

Home = Annotated[
    Path | None,
    typer.Option(help="Folder for what this worker keeps at hand, and of models.", envvar="FIRSTREAD_HOME"),
]
Models = Annotated[
    list[Path] | None,
    typer.Option(exists=True, file_okay=False, help="Folder of models; may be given several times."),
]
Processes = Annotated[
    int | None, typer.Option(min=1, max=64, help="Scoring processes.", envvar="FIRSTREAD_WORKERS")
]
OnWhat = Annotated[
    str | None, typer.Option(help="On what models run: cpu, cuda, tensorrt.", envvar="FIRSTREAD_PROVIDER")
]


def worker(
    *, home: Home = None, models: Models = None, processes: Processes = None, provider: OnWhat = None
) -> None:
    """Score studies beside the service, on this machine or another, until Ctrl-C.

    It takes its work from the service's PostgreSQL database (FIRSTREAD_DATABASE_URL) and the images from its
    object store (FIRSTREAD_OBJECTS_URL). As many workers as wanted may run; one that dies is noticed by the
    others, which take up what it was at.
    """
    from serving.hosting.command import one_sentence_on_failure, read_settings
    from serving.hosting.worker import working
    from serving.telemetry.logs import LogTerms, start_logs

    with one_sentence_on_failure():
        settings = read_settings(
            home=home, models=tuple(models) if models else None, workers=processes, provider=provider
        )
        start_logs(LogTerms(settings.log_format, settings.log_level))
        with working(settings) as running:
            _say(running)
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                typer.echo("stopping; what is under way is finished or handed back", err=True)
    typer.echo("stopped", err=True)


def _say(running: "RunningScoring") -> None:
    one = running.worker
    labels = ", ".join(one.models) or "no model"
    typer.echo(f"worker {one.id} scores with {one.n_processes} processes on {one.provider}: {labels}")
