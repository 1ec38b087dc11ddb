"""`firstread score`: scores files, folders and archives, for people or for programs."""

import json
import signal
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from models.registry import Registry
    from serving.intake.gather import Accepted, Rejected
    from serving.scoring.contract import Outcome
    from serving.scoring.result import StudyScore
    from serving.worklist.policy import Policy


class Format(StrEnum):
    """How the result is printed."""

    TABLE = "table"
    JSON = "json"


class Provider(StrEnum):
    """On what the model runs."""

    CPU = "CPU"
    CUDA = "CUDA"
    TENSORRT = "TensorRT"


# Nodes that the first does not take run on those that follow; a provider that is missing is an error.
PROVIDERS_OF = {
    Provider.CPU: ("CPUExecutionProvider",),
    Provider.CUDA: ("CUDAExecutionProvider", "CPUExecutionProvider"),
    Provider.TENSORRT: ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}


class SexOption(StrEnum):
    """The patient's sex."""

    FEMALE = "F"
    MALE = "M"
    OTHER = "O"


def score(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", exists=True, help="Images, folders of images, zip archives."),
    ],
    *,
    output: Annotated[
        Format, typer.Option("--format", help="For people, or a JSON object a line for programs.")
    ] = Format.TABLE,
    model: Annotated[
        str | None, typer.Option(metavar="NAME[@VERSION]", help="Instead of the model in charge.")
    ] = None,
    models: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True, file_okay=False, help="Folder of models, repeatable; else those that are installed."
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes; one a core where there are many studies.")
    ] = None,
    provider: Annotated[Provider, typer.Option(help="On what the model runs.")] = Provider.CPU,
    age: Annotated[
        float | None, typer.Option(min=0, max=130, help="Age of the patient of the photographs, years.")
    ] = None,
    sex: Annotated[SexOption | None, typer.Option(help="Sex of the patient.")] = None,
    body_site: Annotated[
        str | None, typer.Option("--body-site", "--site", help="Where on the body, in words.")
    ] = None,
    skin_type: Annotated[
        int | None, typer.Option(min=1, max=6, help="Fitzpatrick's I to VI as 1 to 6.")
    ] = None,
    question: Annotated[str | None, typer.Option(help="The clinical question.")] = None,
) -> None:
    """Score studies and say in which order to read them; for prioritisation only.

    Every file is accounted for: in a study, or rejected with a reason. The exit status is 0 also where files
    were rejected.
    """
    from data.study import PatientContext, Sex
    from serving.intake.gather import Accepted, find_studies
    from serving.scoring.stream import score_each
    from serving.settings import Settings
    from serving.worklist.policy import PolicyError, read_policy

    context = PatientContext(
        age_years=age,
        sex=None if sex is None else Sex(sex.value),
        body_site=body_site,
        skin_type=skin_type,
        clinical_question=question,
    )
    folders = _model_folders(models)
    registry = _read_models(folders, model, provider)
    try:
        policy = read_policy(Settings().policy)
    except PolicyError as error:
        raise typer.BadParameter(f"FIRSTREAD_POLICY: {error}") from error
    # A terminated program still removes what it unpacked.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="firstread-") as scratch:
        found = find_studies(paths, scratch=Path(scratch), context=context)
        results = score_each(
            ((item, item.study if isinstance(item, Accepted) else None) for item in found),
            registry=registry,
            folders=folders,
            model=model,
            providers=PROVIDERS_OF[provider],
            jobs=jobs,
        )
        outcomes = _with_progress(_outcomes(results, registry, policy))
        if output is Format.JSON:
            _print_json(outcomes)
        else:
            _print_table(outcomes)


def _model_folders(named: "list[Path] | None") -> "Sequence[Path]":
    from serving.settings import Settings

    return named or Settings().model_folders


def _read_models(folders: "Sequence[Path]", model: str | None, provider: Provider) -> "Registry":
    """Read the models and refuse, before any work, what was asked for and is not there."""
    from models.errors import NoModelError
    from models.registry import Registry
    from models.runtime import available_providers

    registry = Registry(folders)
    for refused in registry.refused:
        typer.echo(f"left out: {refused}", err=True)
    if not registry.artifacts():
        typer.echo(f"there are no models in {', '.join(map(str, folders))}", err=True)
    if model is not None:
        name, _, version = model.partition("@")
        try:
            registry.get(name, version or None)
        except NoModelError as error:
            raise typer.BadParameter(f"--model {model}: {error.problem}") from error
    missing = [name for name in PROVIDERS_OF[provider][:1] if name not in available_providers()]
    if missing:
        raise typer.BadParameter(
            f"--provider {provider}: this installation has {', '.join(available_providers())}"
        )
    return registry


def _outcomes(
    results: "Iterable[tuple[Accepted | Rejected, StudyScore | None]]", registry: "Registry", policy: "Policy"
) -> "Iterator[Outcome]":
    from serving.intake.gather import Accepted
    from serving.scoring.contract import outcomes_of
    from serving.scoring.result import Status, StudyScore

    for item, scored in results:
        if isinstance(item, Accepted) and scored is not None:
            names = dict(zip(item.study.paths, item.names, strict=True))
            yield from outcomes_of(scored, registry, policy, names=names, copies=item.copies)
        else:
            assert not isinstance(item, Accepted)
            shown = tuple(Path(name) for name in item.names)
            uid = item.study_uid or item.names[0]
            rejected = StudyScore(uid, shown, Status.REJECTED, 0.0, error=item.error)
            yield from outcomes_of(rejected, registry, policy, names={})


def _print_json(outcomes: "Iterable[Outcome]") -> None:
    from serving.scoring.contract import as_object

    for outcome in outcomes:
        sys.stdout.write(json.dumps(as_object(outcome), allow_nan=False) + "\n")
        sys.stdout.flush()


def _print_table(outcomes: "Iterable[Outcome]") -> None:
    from rich.console import Console

    from serving.scoring.table import print_outcomes

    print_outcomes(outcomes, Console())


def _with_progress(outcomes: "Iterable[Outcome]") -> "Iterator[Outcome]":
    """Count on stderr while outcomes pass, where that is a terminal."""
    if not sys.stderr.isatty():
        yield from outcomes
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed} studies"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("scoring", total=None)
        for outcome in outcomes:
            progress.advance(task)
            yield outcome
