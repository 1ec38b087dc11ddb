"""`firstread admin collect`: clears away what nobody refers to; links for people; who may do what."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serving.housekeeping.scoring_command import pause_scoring, resume_scoring, retry_study, stuck, workers

if TYPE_CHECKING:  # the program says --help before it loads a database
    from serving.housekeeping.collection import Collected

admin = typer.Typer(help="Look after what the service keeps.", no_args_is_help=True)
for verb in (pause_scoring, resume_scoring, retry_study, workers, stuck):
    admin.command()(verb)

Home = Annotated[
    Path | None, typer.Option(help="Folder of the database and the images.", envvar="FIRSTREAD_HOME")
]
Grace = Annotated[float, typer.Option(help="Hours since an object was last put; longer than any upload.")]
Aside = Annotated[float, typer.Option(min=0, help="Hours that an object lies aside before it is removed.")]
Answers = Annotated[float, typer.Option(min=1, help="Hours that an Idempotency-Key is remembered.")]
Delete = Annotated[bool, typer.Option("--delete", help="Do it; without this it is only said.")]
EvenMost = Annotated[bool, typer.Option("--even-most", help="Although most of the store would go.")]


@admin.callback()
def look_after() -> None:
    """Look after what the service keeps."""


@admin.command()
def collect(
    *,
    home: Home = None,
    grace_hours: Grace = 24.0,
    aside_hours: Aside = 168.0,
    answer_hours: Answers = 168.0,
    delete: Delete = False,
    even_most: EvenMost = False,
) -> None:
    """Set aside stored files that no study refers to, and remove those set aside long ago.

    It may run beside the service, and without --delete it only says what it would do.
    """
    from serving.errors import ServiceError, StartError
    from serving.hosting.command import one_sentence_on_failure, read_settings
    from serving.housekeeping.collection import Collection, Terms
    from serving.store.database import open_database
    from serving.store.opening import open_objects

    with one_sentence_on_failure():
        settings = read_settings(home=home)
        if grace_hours * 3600 <= settings.max_upload_s:
            raise StartError(
                f"--grace-hours {grace_hours:g} is not longer than the longest upload "
                f"({settings.max_upload_s / 3600:g} h, FIRSTREAD_MAX_UPLOAD_S): files on their way would go."
            )
        place = settings.database
        if isinstance(place, Path) and not place.is_file():
            raise StartError(f"there is no database at {place}: name its folder by --home.")
        database = open_database(place)
        try:
            terms = Terms(grace_hours, aside_hours, answer_hours)
            collection = Collection(database, open_objects(settings), terms)
            _say(collection.run(even_most=even_most) if delete else collection.look(), is_done=delete)
        except ServiceError as error:
            raise StartError(error.detail) from error
        finally:
            database.close()


@admin.command("setup-link")
def make_setup_link(
    *,
    home: Home = None,
    address: Annotated[
        str, typer.Option(help="Where browsers reach the service, as https://triage.hospital.org/.")
    ] = "http://127.0.0.1:8080/",
) -> None:
    """Make the link by which the first person sets the service up; an older one loses its use.

    May run while the service does.
    """
    from serving.audit.opening import operator
    from serving.errors import StartError
    from serving.hosting.command import one_sentence_on_failure, read_settings
    from serving.identity.opening import opened_links

    with one_sentence_on_failure(), opened_links(read_settings(home=home)) as links:
        token = links.for_set_up(operator())
        if token is None:
            raise StartError(
                "there are accounts already: firstread admin password-link NAME lets one in again."
            )
        typer.echo(f"{address.rstrip('/')}/set-up?token={token}")


@admin.command("password-link")
def make_password_link(
    name: Annotated[str, typer.Argument(help="Login name.")],
    *,
    home: Home = None,
    address: Annotated[
        str, typer.Option(help="Where browsers reach the service, as https://triage.hospital.org/.")
    ] = "http://127.0.0.1:8080/",
) -> None:
    """Make the link by which somebody chooses a new password; their sessions end once they do.

    May run while the service does.
    """
    from serving.audit.opening import operator
    from serving.errors import StartError
    from serving.hosting.command import one_sentence_on_failure, read_settings
    from serving.identity.login_names import login_name
    from serving.identity.opening import opened_links
    from serving.store.people import find_person

    with one_sentence_on_failure(), opened_links(read_settings(home=home)) as links:
        with links.database.reading() as connection:
            person = find_person(connection, login_name=login_name(name))
        if person is None or not person.is_active:
            raise StartError(f"there is nobody of the login name {name!r} who may sign in.")
        typer.echo(f"{address.rstrip('/')}/password?token={links.for_password(person, operator())}")


@admin.command("permissions")
def show_permissions(
    *, markdown: Annotated[bool, typer.Option("--markdown", help="As the document in docs/.")] = False
) -> None:
    """Say which role may use which address."""
    from serving.identity.permissions import PERMISSIONS
    from serving.identity.permissions_table import as_markdown, as_text

    typer.echo(as_markdown(PERMISSIONS) if markdown else as_text(PERMISSIONS), nl=False)


def _say(found: "Collected", *, is_done: bool) -> None:
    would = "" if is_done else "would be "
    n_aside = found.n_set_aside if is_done else found.n_unreferenced
    typer.echo(f"{found.n_objects:,} objects, {found.n_young:,} of them too young to be looked at")
    typer.echo(f"unreferenced: {found.n_unreferenced:,} ({found.unreferenced_bytes:,} bytes)")
    typer.echo(f"{would}set aside: {n_aside:,}")
    typer.echo(
        f"{would}removed of those set aside before: {found.n_removed:,} ({found.removed_bytes:,} bytes)"
    )
    typer.echo(f"{would}brought back: {found.n_brought_back:,}")
    typer.echo(f"{would}forgotten of the answers to idempotency keys: {found.n_answers:,}")
    if is_done:
        typer.echo(f"unfinished files removed: {found.n_unfinished:,}")
    else:
        typer.echo("nothing was changed; add --delete")
