"""`firstread export`: writes images without their patients, of files or of stored studies."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serving.store.uses import Consent, Purpose

if TYPE_CHECKING:
    from data.dicom.pseudonyms import Pseudonyms
    from serving.exporting.service import Exported
    from serving.settings import Settings
    from serving.store.database import Database
    from serving.store.exports import Selection
    from serving.store.tenancy import Scope


class Text(StrEnum):
    """What happens to an image with text in its pixels."""

    REFUSE = "refuse"
    MASK = "mask"


Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="In UTC.")]
_STORED = "Stored studies"


def export(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", exists=True, help="Images and folders of images."),
    ] = None,
    *,
    to: Annotated[Path, typer.Option(file_okay=False, help="Folder for the copies; made if absent.")],
    key_file: Annotated[
        Path, typer.Option(metavar="KEY", help="The project's secret: openssl rand -hex 32 > KEY")
    ],
    deidentified: Annotated[
        bool, typer.Option("--deidentified", help="Without the patient; nothing else is exported.")
    ] = False,
    text: Annotated[Text, typer.Option(help="Images with text in their pixels.")] = Text.REFUSE,
    report: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="JSON; by default beside the folder, for it names the originals."),
    ] = None,
    stored: Annotated[
        bool, typer.Option("--stored", help="Studies of the service's store.", rich_help_panel=_STORED)
    ] = False,
    purpose: Annotated[Purpose | None, typer.Option(help="What for.", rich_help_panel=_STORED)] = None,
    study: Annotated[
        list[str] | None,
        typer.Option(help="Key or Study Instance UID; may be given several times.", rich_help_panel=_STORED),
    ] = None,
    site: Annotated[str | None, typer.Option(help="Of one site.", rich_help_panel=_STORED)] = None,
    since: Day = None,
    until: Day = None,
    consent: Annotated[
        Consent | None, typer.Option(help="Of which this was said last.", rich_help_panel=_STORED)
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="CSV: study, label.", rich_help_panel=_STORED),
    ] = None,
    labels_from_reads: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="In place of --labels: what signed reads say, as classes of this model.",
            rich_help_panel=_STORED,
        ),
    ] = None,
    characteristics: Annotated[
        bool,
        typer.Option(
            "--characteristics",
            help="Age (90 for the oldest), sex, part of the body and skin type in the manifest.",
            rich_help_panel=_STORED,
        ),
    ] = False,
    home: Annotated[
        Path | None,
        typer.Option(help="Home of the service.", envvar="FIRSTREAD_HOME", rich_help_panel=_STORED),
    ] = None,
) -> None:
    """Write de-identified copies (PS3.15 Annex E) of DICOM images and photographs, under pseudonyms.

    Every file is accounted for in the report: written, or refused with a reason. The exit status is 0 also
    where files were refused. Nothing is overwritten. Faces on photographs are not looked for.

    Of stored studies, those leave whose consent allows the purpose: for training it must say so. What leaves
    is audited, and manifest.csv is what firstread-train reads.
    """
    from data.dicom.pseudonyms import read_key
    from data.errors import KeyFileError

    if not deidentified:
        raise typer.BadParameter("only de-identified images are exported: say --deidentified")
    if bool(paths) == stored:
        raise typer.BadParameter("name files and folders, or say --stored for studies of the store")
    if stored and purpose is None:
        raise typer.BadParameter("say what the stored studies are for: --purpose training, quality or care")
    is_narrowed = any(
        one is not None for one in (purpose, study, site, since, until, consent, labels, labels_from_reads)
    )
    if not stored and (is_narrowed or characteristics):
        raise typer.BadParameter(
            "a purpose, a choice of studies and labels are for stored studies (--stored): of other files no "
            "consent is known"
        )
    if labels is not None and labels_from_reads is not None:
        raise typer.BadParameter("labels come from a table or from signed reads, not from both")
    told = report or to.with_name(f"{to.name}-report.json")
    if told.exists():
        raise typer.BadParameter(f"{told} exists and is never overwritten; name another by --report")
    try:
        pseudonyms = read_key(key_file)
    except KeyFileError as error:
        typer.echo(f"firstread: {error}", err=True)
        raise typer.Exit(1) from error
    if not stored:
        _export_files(paths or [], to, told, pseudonyms, text)
        return
    assert purpose is not None
    _export_stored(
        _Asked(
            purpose,
            _selection(study, since, until, consent),
            site,
            labels,
            labels_from_reads,
            has_characteristics=characteristics,
            home=home,
        ),
        to,
        told,
        pseudonyms,
        text,
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of the store."""

    purpose: Purpose
    selection: "Selection"
    site: str | None
    labels: Path | None
    labels_from_reads: str | None
    has_characteristics: bool
    home: Path | None


def _export_files(paths: list[Path], to: Path, told: Path, pseudonyms: "Pseudonyms", text: Text) -> None:
    from data.dicom.deidentify import TextPolicy
    from serving.exporting.report import report_of, write_report
    from serving.exporting.service import export_each

    results: list[Exported] = []
    for result in export_each(paths, to, pseudonyms, text=TextPolicy(text.value)):
        results.append(result)
        _say_refused(result)
    write_report(report_of(results, to, pseudonyms.fingerprint), told)
    n_refused = sum(result.error is not None for result in results)
    typer.echo(
        f"{len(results) - n_refused:,} written to {to}, {n_refused:,} refused; report: {told} "
        "(it names the originals: keep it in the house)"
    )


def _export_stored(asked: _Asked, to: Path, told: Path, pseudonyms: "Pseudonyms", text: Text) -> None:
    from data.dicom.deidentify import TextPolicy
    from data.errors import ManifestError
    from serving.audit.opening import opened_trail, operator
    from serving.errors import ServiceError, StartError
    from serving.exporting.manifest import MANIFEST, read_labels, write_manifest
    from serving.exporting.report import report_of_stored, write_report
    from serving.exporting.stored import StoredExports
    from serving.settings import Settings
    from serving.store.opening import open_objects
    from serving.store.tenancy import Scope

    if (to / MANIFEST).exists():
        raise typer.BadParameter(f"{to / MANIFEST} exists and is never overwritten; export to another folder")
    try:
        label_of: Mapping[str, str] = {} if asked.labels is None else read_labels(asked.labels)
        settings = Settings() if asked.home is None else Settings(home=asked.home)
        with opened_trail(settings) as trail:
            exports = StoredExports(trail, open_objects(settings), pseudonyms, asked.purpose, operator())
            scope = Scope(None) if asked.site is None else Scope.of(asked.site)
            if asked.labels_from_reads is not None:
                label_of = _labels_of_reads(trail.database, settings, asked.labels_from_reads, scope)
            begun = exports.begin(asked.selection, scope=scope)
            files = []
            for file in exports.write(begun, to, text=TextPolicy(text.value)):
                files.append(file)
                _say_refused(file.result)
            if any(file.result.path is not None for file in files):
                write_manifest(
                    to, files, pseudonyms, labels=label_of, has_characteristics=asked.has_characteristics
                )
            sha256 = write_report(report_of_stored(begun, files, to, exports), told)
            exports.end(begun, report_sha256=sha256)
    except (StartError, ManifestError) as error:
        typer.echo(f"firstread: {error}", err=True)
        raise typer.Exit(1) from error
    except ServiceError as error:
        typer.echo(f"firstread: {error.detail}", err=True)
        raise typer.Exit(1) from error
    for kept in begun.kept:
        said = "" if kept.consent is None else f", consent {kept.consent}"
        typer.echo(f"kept     study {kept.study}: {kept.reason}{said}", err=True)
    n_written = sum(file.result.error is None for file in files)
    typer.echo(
        f"export {begun.key} for {asked.purpose}: {len(begun.leaving):,} studies, {len(begun.kept):,} kept; "
        f"{n_written:,} files written to {to}, {len(files) - n_written:,} refused; report: {told} (it names "
        "the originals: keep it in the house)"
    )
    if not begun.leaving:
        raise typer.Exit(1)


def _labels_of_reads(
    database: "Database", settings: "Settings", model: str, scope: "Scope"
) -> Mapping[str, str]:
    from models.registry import Registry
    from serving.errors import StartError
    from serving.reading.codes import ValueSet
    from serving.reading.labels import labels_of_reads

    codes = ValueSet.of(artifact.card for artifact in Registry(settings.model_folders).artifacts())
    if not codes.classes_of(model):
        raise StartError(
            f"there is no model {model!r} whose classes could be labels: see `firstread models list`."
        )
    return labels_of_reads(database, model, codes, scope=scope)


def _selection(
    study: list[str] | None,
    since: datetime | None,
    until: datetime | None,
    consent: Consent | None,
) -> "Selection":
    from serving.store.exports import Selection
    from serving.store.times import to_us

    return Selection(
        named=tuple(study or ()),
        since_us=None if since is None else to_us(since),
        until_us=None if until is None else to_us(until),
        consent=consent,
    )


def _say_refused(result: "Exported") -> None:
    if result.error is not None:
        typer.echo(f"refused  {result.error}", err=True)
