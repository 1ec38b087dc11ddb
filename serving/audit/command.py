"""`firstread audit`: checks, exports and purges the trail of who saw and did what."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serving.audit.export import Format

if TYPE_CHECKING:
    from serving.audit.trail import AuditTrail
    from serving.settings import Settings
    from serving.store.audit_chain import Action

audit = typer.Typer(no_args_is_help=True, help="Check, export and purge the trail of who saw and did what.")

Home = Annotated[Path | None, typer.Option(help="Home of the service.", envvar="FIRSTREAD_HOME")]
Moment = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="In UTC.")]


@audit.command("verify")
def verify_trail(
    *,
    public_key: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True, dir_okay=False, help="That the auditor keeps, repeatable; else the home's."
        ),
    ] = None,
    home: Home = None,
) -> None:
    """Check every row, signature and the end; the exit status is 1 if any row was touched.

    May run while the service does.
    """
    from serving.audit.head import HeadFile
    from serving.audit.keys import read_public_key
    from serving.audit.opening import head_file_of, public_key_file
    from serving.audit.verify import verify
    from serving.errors import StartError
    from serving.store.database import open_existing

    settings = _settings(home)
    try:
        keys = [read_public_key(file) for file in public_key or [public_key_file(settings.home)]]
        database = open_existing(settings.database)
    except StartError as error:
        raise _failed(error) from error
    try:
        report = verify(database, keys, HeadFile(head_file_of(settings)))
    finally:
        database.close()
    for finding in report.findings:
        typer.echo(f"{finding.fault:10} {finding.text}", err=True)
    for note in report.notes:
        typer.echo(f"note       {note}", err=True)
    rows = f"{report.n_rows:,} rows, {report.first} to {report.last}"
    signed = f"{report.n_checkpoints:,} checkpoints, the last at row {report.last_checkpoint}"
    if report.findings:
        typer.echo(
            f"the audit trail was touched: {len(report.findings)} findings in {rows}; {signed}", err=True
        )
        raise typer.Exit(1)
    typer.echo(f"the audit trail is whole: {rows}; {signed}")


@audit.command("export")
def export_trail(
    *,
    form: Annotated[Format, typer.Option("--format", help="One document or row a line.")] = Format.CSV,
    since: Moment = None,
    until: Moment = None,
    study: Annotated[str | None, typer.Option(metavar="UID", help="Rows of one study.")] = None,
    home: Home = None,
) -> None:
    """Write rows to standard output, as FHIR AuditEvent (NDJSON), DICOM audit messages or a table."""
    from serving.audit.export import Selection, export
    from serving.audit.opening import opened_trail
    from serving.errors import StartError
    from serving.store.audit_chain import Action
    from serving.store.times import to_us

    settings = _settings(home)
    selection = Selection(
        None if since is None else to_us(since), None if until is None else to_us(until), study
    )
    try:
        with opened_trail(settings) as trail:
            n_rows = 0
            with trail.database.reading_at_leisure() as connection:
                for line in export(connection, selection, form):
                    sys.stdout.write(line)
                    n_rows += 1
            _record(trail, Action.TRAIL_EXPORTED, {"format": str(form), "lines": n_rows, "study": study})
    except StartError as error:
        raise _failed(error) from error


@audit.command("purge")
def purge_trail(
    *,
    before: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Rows older than this day, UTC.")],
    allow_recent: Annotated[
        bool, typer.Option("--allow-recent", help="Also rows of the last six months, which are to be kept.")
    ] = False,
    home: Home = None,
) -> None:
    """Remove old rows, up to a signed checkpoint; the rest can be verified as before, and records it."""
    from serving.audit.head import HeadFile
    from serving.audit.opening import head_file_of, opened_trail, operator
    from serving.audit.retention import SHORTEST, PurgeRefusedError, purge_before
    from serving.audit.verify import verify
    from serving.errors import StartError
    from serving.store.times import to_us

    settings = _settings(home)
    limit = datetime.now(UTC) - SHORTEST
    if before.replace(tzinfo=UTC) > limit and not allow_recent:
        raise typer.BadParameter(
            f"rows are kept for six months: name a day up to {limit:%Y-%m-%d}, or add --allow-recent"
        )
    try:
        with opened_trail(settings) as trail:
            report = verify(trail.database, [trail.public_key], HeadFile(head_file_of(settings)))
            if report.findings:
                typer.echo("firstread: the trail was touched; see firstread audit verify", err=True)
                raise typer.Exit(1)
            purged = purge_before(trail, to_us(before), who=operator())
    except (StartError, PurgeRefusedError) as error:
        raise _failed(error) from error
    typer.echo(f"{purged.n_rows:,} rows were removed, {purged.first} to {purged.last}")


@audit.command("public-key")
def show_public_key(*, home: Home = None) -> None:
    """Write the public key to standard output: for the auditor, who keeps it elsewhere."""
    from serving.audit.keys import read_public_key
    from serving.audit.opening import public_key_file
    from serving.errors import StartError

    try:
        key = read_public_key(public_key_file(_settings(home).home))
    except StartError as error:
        raise _failed(error) from error
    sys.stdout.write(key.pem().decode("ascii"))


def _record(trail: "AuditTrail", action: "Action", details: dict[str, object]) -> None:
    from serving.audit.opening import operator
    from serving.store.audit_chain import AuditEvent
    from serving.store.sites import LOCAL_SITE

    trail.note(AuditEvent(action, operator(), LOCAL_SITE, trail.clock(), details=details))


def _settings(home: Path | None) -> "Settings":
    from serving.settings import Settings

    return Settings() if home is None else Settings(home=home)


def _failed(error: Exception) -> typer.Exit:
    typer.echo(f"firstread: {error}", err=True)
    return typer.Exit(1)
