"""`firstread admin quarantine`: what could not be taken, from the machine that the service runs on."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the program says --help before it loads a database
    from serving.quarantine.service import Asker, Quarantine
    from serving.store.quarantine import Entry, Sought

quarantine = typer.Typer(help="What could not be taken.", no_args_is_help=True)

Home = Annotated[
    Path | None, typer.Option(help="Folder of the database and the images.", envvar="FIRSTREAD_HOME")
]
Key = Annotated[str, typer.Argument(help="The entry's id, as the list gives it.")]
Reason = Annotated[str | None, typer.Option(help="The stable code.")]
DoorName = Annotated[str | None, typer.Option("--door", help="upload, resumable, stow or c-store.")]
SiteName = Annotated[str | None, typer.Option("--site", help="Whose files.")]
Most = Annotated[int, typer.Option(min=1, max=1000, help="At most this many.")]
Why = Annotated[str, typer.Option("--why", help="Why it is given up; kept with it.")]
Days = Annotated[
    float | None, typer.Option(min=0, help="That came last so long ago; else FIRSTREAD_QUARANTINE_DAYS.")
]


@quarantine.command("list")
def list_entries(
    *,
    home: Home = None,
    reason: Reason = None,
    door: DoorName = None,
    site: SiteName = None,
    most: Most = 100,
) -> None:
    """List what waits, the newest first."""
    with _opened(home) as (opened, asker):
        page = opened.read(_sought(reason, door, site), asker=asker, limit=most)
    for entry in page.entries:
        typer.echo(_line(entry))
    if page.n_found > len(page.entries):
        typer.echo(f"the first {len(page.entries):,} of {page.n_found:,}")


@quarantine.command("show")
def show_entry(key: Key, *, home: Home = None) -> None:
    """Show one with what its header says, as JSON."""
    from serving.quarantine.schemas import QuarantineDetail

    with _opened(home) as (opened, asker):
        view = opened.find(key, asker=asker)
    typer.echo(QuarantineDetail.of_view(view).model_dump_json(indent=2))


@quarantine.command("retry")
def retry_entries(
    key: Annotated[str | None, typer.Argument(help="The entry's id; else what the options find.")] = None,
    *,
    home: Home = None,
    reason: Reason = None,
    door: DoorName = None,
    site: SiteName = None,
) -> None:
    """Take in again, each corrected as was said of it; at most 200 at a time."""
    from serving.errors import StartError

    with _opened(home) as (opened, asker):
        if key is not None:
            retried = opened.retry(key, asker=asker)
            for study, uid in retried.retaken.studies:
                typer.echo(f"{study}  {uid}")
            return
        if reason is door is site is None:
            raise StartError("name an entry, or which ones by --reason, --door or --site.")
        bulk = opened.retry_all(_sought(reason, door, site), asker=asker)
    for line in bulk.refused:
        typer.echo(f"{line.quarantine}  {line.reason}: {line.file} {line.problem}")
    typer.echo(f"taken in: {len(bulk.done):,}; refused again: {len(bulk.refused):,}; left: {bulk.n_left:,}")


@quarantine.command("discard")
def discard_entry(key: Key, why: Why, *, home: Home = None) -> None:
    """Give one up; its bytes stay until it is purged."""
    with _opened(home) as (opened, asker):
        typer.echo(_line(opened.discard(key, why, asker=asker)))


@quarantine.command("purge")
def purge_entries(
    *,
    home: Home = None,
    older_than_days: Days = None,
    delete: Annotated[bool, typer.Option("--delete", help="Do it; without this it is only said.")] = False,
) -> None:
    """Remove what is old, whatever became of it, but the originals of corrected files."""
    with _opened(home) as (opened, asker):
        purged = opened.purge(asker=asker, older_than_days=older_than_days, is_done=delete)
    typer.echo(f"{'' if delete else 'would be '}removed: {purged.n_entries:,} ({purged.n_bytes:,} bytes)")
    if not delete:
        typer.echo("nothing was changed; add --delete")


@contextmanager
def _opened(home: Path | None) -> Iterator[tuple["Quarantine", "Asker"]]:
    """Open the quarantine of a home beside its service."""
    from serving.audit.opening import opened_trail, operator
    from serving.errors import ServiceError, StartError
    from serving.hosting.command import one_sentence_on_failure, read_settings
    from serving.hosting.quarantine import open_quarantine
    from serving.identity.caller import EVERY_SITE
    from serving.quarantine.service import Asker

    with one_sentence_on_failure():
        settings = read_settings(home=home)
        try:
            with (
                opened_trail(settings) as trail,
                _spool_in(settings.home) as spool,
            ):
                yield open_quarantine(settings, trail, Path(spool)), Asker(operator(), EVERY_SITE, None)
        except ServiceError as error:
            named = "; ".join(f"{line.reason}: it {line.problem}" for line in error.rejected)
            raise StartError(f"{error.detail} {named}".strip()) from error


@contextmanager
def _spool_in(home: Path) -> Iterator[str]:
    """Make a folder on the disk of the home that no backup copies."""
    cache = home / "cache"
    cache.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="quarantine-") as folder:
        yield folder


def _sought(reason: str | None, door: str | None, site: str | None) -> "Sought":
    from serving.store.quarantine import Sought

    return Sought(reason=reason, door=door, site=site)


def _line(entry: "Entry") -> str:
    from serving.store.times import from_us

    at = from_us(entry.last_at_us).strftime("%Y-%m-%d %H:%M")
    size = f"{entry.n_bytes:,} bytes" if entry.object_sha256 is not None else "not kept"
    times = f" ({entry.n_times} times)" if entry.n_times > 1 else ""
    return (
        f"{entry.key}  {at}  {entry.site}  {entry.arrived.door}  {entry.reason}  {entry.state}  "
        f"{entry.file_name}{times}, {size}"
    )
