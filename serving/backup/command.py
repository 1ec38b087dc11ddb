"""`firstread backup` copies a home while the service runs; `firstread restore` makes a home of the copy."""

from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[
    Path | None, typer.Option(help="Folder of the database and the images.", envvar="FIRSTREAD_HOME")
]
To = Annotated[Path, typer.Option("--to", help="Folder, to which each backup adds what is new; or new .tar.")]
WithoutKeys = Annotated[
    bool,
    typer.Option(
        "--without-keys",
        help="Leave out the keys that sign the audit trail and seal second factors; keep them elsewhere.",
    ),
]
From = Annotated[Path, typer.Option("--from", help="Folder or .tar of a backup.")]
NewHome = Annotated[Path, typer.Option("--home", help="Home that is made; must not hold anything.")]


def backup(*, to: To, home: Home = None, without_keys: WithoutKeys = False) -> None:
    """Back up rows, images, models made here and keys, while the service runs or while it does not.

    With its keys a backup can do whatever the service can: keep it as you keep the service's own disk.
    """
    from serving.audit.opening import opened_trail, operator
    from serving.backup.making import make_backup
    from serving.hosting.command import one_sentence_on_failure, read_settings
    from serving.store.audit_chain import Action, AuditEvent
    from serving.store.sites import LOCAL_SITE

    with one_sentence_on_failure():
        settings = read_settings(home=home)
        made = make_backup(settings, to, with_keys=not without_keys)
        manifest = made.manifest
        with opened_trail(settings) as trail:
            details = {
                "what": "backup",
                "objects": manifest.n_objects,
                "audit_seq": manifest.audit_seq,
                "has_keys": manifest.has_keys,
            }
            trail.note(AuditEvent(Action.EXPORTED, operator(), LOCAL_SITE, trail.clock(), details=details))
    typer.echo(
        f"{to}: rows as of {manifest.made_at}, {manifest.n_objects:,} images "
        f"({manifest.object_bytes:,} bytes), {made.n_new_objects:,} of them new ({made.n_new_bytes:,} bytes)"
    )
    keys = "with the keys: keep it as the service's own disk" if manifest.has_keys else "without the keys"
    typer.echo(f"audit trail to row {manifest.audit_seq}; {keys}")


def restore(*, place: From, home: NewHome) -> None:
    """Make a new home of a backup; every byte is checked, and the audit trail is verified.

    The exit status is 1, and there is no new home, if the backup is damaged. It is 2 if all is as it was
    backed up and the trail had been touched before that.
    """
    import os

    from serving.audit.head import HeadFile
    from serving.audit.keys import read_public_key
    from serving.audit.opening import audit_folder, public_key_file
    from serving.audit.verify import verify
    from serving.backup.restoring import EARLIER_KEY
    from serving.backup.restoring import restore as restore_home
    from serving.hosting.command import one_sentence_on_failure
    from serving.store.database import open_existing
    from serving.store.schema import NEWEST

    with one_sentence_on_failure():
        restored = restore_home(place, home)
        typer.echo(
            f"{home}: rows as of {restored.manifest.made_at}, {restored.n_objects:,} images, each checked"
        )
        if os.environ.get("FIRSTREAD_AUDIT_HEAD"):
            typer.echo(
                "FIRSTREAD_AUDIT_HEAD names a file that knows a later end of the trail: move it away "
                "before the next start",
                err=True,
            )
        if restored.manifest.schema_revision != NEWEST:
            typer.echo("rows of an earlier version: the next start brings them to this one")
            return
        candidates = (public_key_file(home), audit_folder(home) / EARLIER_KEY)
        keys = [read_public_key(file) for file in candidates if file.is_file()]
        database = open_existing(home / "firstread.sqlite")
        try:
            report = verify(database, keys, HeadFile(audit_folder(home) / "head"))
        finally:
            database.close()
        typer.echo(f"audit trail: {report.n_rows:,} rows, {len(report.findings)} findings")
        for finding in report.findings:
            typer.echo(f"{finding.fault:10} {finding.text}", err=True)
        if not restored.manifest.has_keys:
            typer.echo("a new key signs from the next start on: hand it, and the earlier, to the auditor")
        if report.findings:
            raise typer.Exit(2)
