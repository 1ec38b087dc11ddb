"""`firstread models`: lists, shows and checks models, and calibrates one on local images."""

import json
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from models.artifact import Artifact
    from models.errors import ArtifactError
    from models.registry import Registry
    from serving.catalogue.local_version import Fitted

models = typer.Typer(no_args_is_help=True, help="List, show, check and recalibrate models.")


class Format(StrEnum):
    """How the result is printed."""

    TABLE = "table"
    JSON = "json"


class Point(StrEnum):
    """An operating point."""

    RULE_OUT = "rule-out"
    BALANCED = "balanced"
    RULE_IN = "rule-in"


Folders = Annotated[
    list[Path] | None,
    typer.Option(
        "--models", exists=True, file_okay=False, help="Folder of models, repeatable; else those installed."
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="Without a version the one in charge.")]
Output = Annotated[Format, typer.Option("--format", help="For people or for programs.")]


@models.command("list")
def list_models(*, folders: Folders = None, output: Output = Format.TABLE) -> None:
    """List the models, those in charge, and those that were refused."""
    from models.registry import Registry

    registry = Registry(_folders(folders))
    in_charge = _in_charge(registry)
    if output is Format.TABLE:
        from serving.catalogue.view import print_list

        print_list(registry.artifacts(), in_charge, registry.refused, _console())
        return
    listed = {
        "models": [
            {
                "name": artifact.card.name,
                "version": artifact.card.version,
                "in_charge": artifact.label in in_charge,
                "modalities": [str(modality) for modality in artifact.card.applies_to.modalities],
                "classes": list(artifact.card.class_keys),
                "licence": artifact.card.licence,
                "folder": str(artifact.folder),
            }
            for artifact in registry.artifacts()
        ],
        "refused": [_refusal(error) for error in registry.refused],
    }
    typer.echo(json.dumps(listed, ensure_ascii=False))


@models.command("show")
def show_model(name: Name, *, folders: Folders = None, output: Output = Format.TABLE) -> None:
    """Show a model's card."""
    from models.registry import Registry

    registry = Registry(_folders(folders))
    artifact = _choose(registry, name)
    if output is Format.JSON:
        typer.echo(artifact.card.model_dump_json())
        return
    from serving.catalogue.view import print_card

    print_card(artifact, is_in_charge=artifact.label in _in_charge(registry), console=_console())


@models.command("verify")
def verify_models(
    folder: Annotated[
        Path | None,
        typer.Argument(exists=True, file_okay=False, help="Folder of models, or of one version."),
    ] = None,
) -> None:
    """Check hashes, cards and networks; the exit status is 1 if anything is refused."""
    from models.artifact import CARD, ONNX, read_artifact
    from models.errors import ArtifactError
    from models.registry import Registry
    from models.runtime import Session

    artifacts: Sequence[Artifact]
    refused: list[ArtifactError]
    if folder is not None and any((folder / file).exists() for file in (CARD, ONNX)):
        try:
            artifacts, refused = [read_artifact(folder)], []
        except ArtifactError as error:
            artifacts, refused = [], [error]
    else:
        registry = Registry([folder] if folder else _folders(None))
        artifacts, refused = registry.artifacts(), list(registry.refused)
    for artifact in artifacts:
        try:
            for precision in artifact.precisions:
                Session(artifact, precision=precision)
        except ArtifactError as error:
            refused.append(error)
        else:
            typer.echo(f"sound    {artifact.label}  {artifact.folder} ({', '.join(artifact.precisions)})")
    for refusal in refused:
        typer.echo(f"refused  {refusal}", err=True)
    if not artifacts and not refused:
        typer.echo("there are no models", err=True)
    if refused:
        raise typer.Exit(1)


@models.command("recalibrate")
def recalibrate_model(
    name: Name,
    *,
    labels: Annotated[
        Path,
        typer.Option(
            metavar="CSV", exists=True, dir_okay=False, help="Columns path, label, group; study joins images."
        ),
    ],
    version: Annotated[
        str | None, typer.Option("--as", metavar="VERSION", help="Of the new version; 1.1 after 1.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder of models; by default that in the home.")
    ] = None,
    group: Annotated[str, typer.Option(metavar="COLUMN", help="Names patient or lesion.")] = "group",
    encoding: Annotated[str, typer.Option(help="Of the table.")] = "utf-8",
    sensitivity: Annotated[
        float | None, typer.Option(min=0.01, max=0.999, help='Of "rule-out"; else as the card states.')
    ] = None,
    specificity: Annotated[
        float | None, typer.Option(min=0.01, max=0.999, help='Of "rule-in"; else as the card states.')
    ] = None,
    use: Annotated[Point | None, typer.Option(help="The operating point that flags; else as before.")] = None,
    novelty_acceptance: Annotated[
        float | None,
        typer.Option(
            min=0.5, max=1.0, help="Part of these studies that is not to be novel; else the limit is kept."
        ),
    ] = None,
    skip_unusable: Annotated[
        bool, typer.Option("--skip-unusable", help="Go on without images that cannot be scored.")
    ] = False,
    folders: Folders = None,
    jobs: Annotated[int | None, typer.Option(min=1, max=256, help="Studies at a time; one a core.")] = None,
) -> None:
    """Fit calibration and operating points on labelled local images, as a new version.

    Needs 30 studies of 10 groups with a finding that is flagged, and as many without. Label studies as they
    come in: probabilities will fit the share of findings in the table. The old version stays.
    """
    from data.errors import DataError
    from models.errors import ModelError
    from models.registry import Registry
    from serving.catalogue.local_version import Wish, fit_local
    from serving.scoring.pool import usable_cores

    artifact = _choose(Registry(_folders(folders)), name)
    wish = Wish(
        table=labels,
        group_column=group,
        encoding=encoding,
        sensitivity=sensitivity,
        specificity=specificity,
        in_use=None if use is None else use.value,
        novelty_acceptance=novelty_acceptance,
        skips_unusable=skip_unusable,
    )
    destination = to or _home_models()
    chosen = _new_version(artifact, version, [*_folders(folders), *_folders(None), destination])
    folder = destination / artifact.card.name / chosen
    try:
        with tempfile.TemporaryDirectory(prefix="firstread-") as scratch:
            fitted = fit_local(
                artifact, wish, scratch=Path(scratch), jobs=jobs or usable_cores(), on_progress=_progress()
            )
        _write(fitted, chosen, folder)
    except (DataError, ModelError) as error:
        typer.echo(f"firstread: {error}", err=True)
        raise typer.Exit(1) from error
    _record_new_version(artifact, chosen)
    _say_who_is_in_charge(artifact, chosen, destination)


def _record_new_version(artifact: "Artifact", version: str) -> None:
    """Write the new version into the audit trail of the home, where there is one."""
    from serving.audit.opening import opened_trail, operator
    from serving.errors import StartError
    from serving.settings import Settings
    from serving.store.audit_chain import Action, AuditEvent
    from serving.store.sites import LOCAL_SITE

    settings = Settings()
    if isinstance(settings.database, Path) and not settings.database.is_file():
        return
    try:
        with opened_trail(settings) as trail:
            made = AuditEvent(
                Action.MODEL_CHANGED,
                operator(),
                LOCAL_SITE,
                trail.clock(),
                model=f"{artifact.card.name}/{version}",
                model_sha256=artifact.card.onnx_sha256,
                details={"recalibrated_from": artifact.label},
            )
            trail.note(made)
    except StartError as error:
        typer.echo(f"the audit trail could not be told: {error}", err=True)


def _write(fitted: "Fitted", version: str, folder: Path) -> None:
    from datetime import UTC, datetime

    from serving.catalogue.local_version import new_card, write_local
    from serving.catalogue.view import print_change

    for one in fitted.unusable:
        typer.echo(f"left out: line {one.line}: {one.problem}", err=True)
    card = new_card(fitted, version=version, created=datetime.now(UTC))
    write_local(fitted, card, folder)
    print_change(fitted, card, _console())
    if fitted.result.keeps_scaling:
        typer.echo("temperature and offsets stay: on groups left out, none fitted here were better")
    if fitted.local.table_sha256 in fitted.artifact.card.calibration.fitted_on:
        typer.echo(
            f"{fitted.artifact.label} was fitted on this very table, so its figures here flatter it; start "
            "from another version by NAME@VERSION"
        )
    if fitted.n_novel:
        n_all = fitted.n_novel + len(fitted.local.names)
        typer.echo(
            f"{fitted.n_novel} of {n_all} studies were left out: the model abstains on them as novel "
            "(--novelty-acceptance moves the limit)"
        )
    typer.echo(f"written: {folder}")


def _say_who_is_in_charge(artifact: "Artifact", version: str, destination: Path) -> None:
    from models.registry import PINS, Registry

    name, folders = artifact.card.name, _folders(None)
    if destination.resolve() not in {folder.resolve() for folder in folders}:
        typer.echo(f"{destination} is none of the folders that are looked in: add it to FIRSTREAD_MODELS")
        return
    in_charge = Registry(folders).get(name).label
    if in_charge == f"{name}/{version}":
        typer.echo(
            f"{in_charge} is now in charge, as the highest version; a running service takes it when it is "
            f'started again. To go back: in_charge = ["{artifact.label}"] in {destination / PINS}'
        )
    else:
        typer.echo(
            f'{in_charge} stays in charge; to change that: in_charge = ["{name}/{version}"] in '
            f"{destination / PINS}"
        )


def _new_version(artifact: "Artifact", asked: str | None, folders: "Sequence[Path]") -> str:
    from models.registry import is_version, local_version

    card = artifact.card
    # also what was refused or is broken keeps its number
    places = [folder / card.name for folder in folders if (folder / card.name).is_dir()]
    taken = {path.name for place in places for path in place.iterdir() if is_version(path.name)}
    if asked is None:
        maker = card.recalibrated_from
        return local_version(card.version if maker is None else maker.version, taken)
    if not is_version(asked):
        raise typer.BadParameter(f"--as {asked}: a version is numbers with dots between them, such as 1.1")
    if asked in taken:
        typer.echo(f"firstread: {card.name}/{asked} exists and is never overwritten; name another", err=True)
        raise typer.Exit(1)
    return asked


def _choose(registry: "Registry", name: str) -> "Artifact":
    from models.errors import NoModelError

    plain, _, version = name.partition("@")
    try:
        return registry.get(plain, version or None)
    except NoModelError as error:
        for refused in registry.refused:
            typer.echo(f"left out: {refused}", err=True)
        raise typer.BadParameter(f"{name}: {error.problem}") from error


def _folders(named: "list[Path] | None") -> "Sequence[Path]":
    from serving.settings import Settings

    return named or Settings().model_folders


def _home_models() -> Path:
    from serving.settings import Settings

    return Settings().home / "models"


def _in_charge(registry: "Registry") -> frozenset[str]:
    names = {artifact.card.name for artifact in registry.artifacts()}
    return frozenset(registry.get(name).label for name in names)


def _refusal(error: "ArtifactError") -> dict[str, str]:
    return {
        "folder": str(error.folder),
        "file": error.file,
        "problem": error.problem,
        "remedy": error.remedy,
    }


def _console() -> "Console":
    from rich.console import Console

    # a pipe has no width of its own, and what is cut off cannot be searched
    return Console() if sys.stdout.isatty() else Console(width=200)


def _progress() -> "Callable[[int, int], None] | None":
    """Count on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        return None

    def count(n_done: int, n_all: int) -> None:
        sys.stderr.write(f"\r{n_done:,} of {n_all:,} studies" + ("\n" if n_done == n_all else ""))
        sys.stderr.flush()

    return count
