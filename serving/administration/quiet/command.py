"""`firstread admin quiet-times`: for how long a study is waited for after its last image."""

from pathlib import Path
from typing import Annotated

import typer

quiet_times = typer.Typer(help="How long studies are waited for after an image.", no_args_is_help=True)

Home = Annotated[
    Path | None, typer.Option(help="Folder of the database and the images.", envvar="FIRSTREAD_HOME")
]
SiteId = Annotated[str, typer.Argument(help="The site's id; '*': every site.")]
Modality = Annotated[str, typer.Argument(help="Such as CT; '*': every modality.")]
Seconds = Annotated[int, typer.Argument(help="0: scored as its images come.", min=0)]


@quiet_times.command("list")
def list_quiet_times(*, home: Home = None) -> None:
    """List what is set, then the defaults."""
    from serving.administration.opening import administering
    from serving.administration.quiet.service import QuietTimes
    from serving.identity.caller import EVERY_SITE

    with administering(home) as (database, trail, _):
        for quiet in QuietTimes(database, trail).all(scope=EVERY_SITE):
            typer.echo(f"{quiet.site}  {quiet.modality}  {quiet.seconds} s  {quiet.set_by}")


@quiet_times.command("set")
def change_quiet_time(site: SiteId, modality: Modality, seconds: Seconds, *, home: Home = None) -> None:
    """Set a quiet time; the nearest counts: of the site and modality, the site's, the modality's."""
    _change(site, modality, seconds, home)


@quiet_times.command("unset")
def unset_quiet_time(site: SiteId, modality: Modality, *, home: Home = None) -> None:
    """Let what is less near count again."""
    _change(site, modality, None, home)


def _change(site: str, modality: str, seconds: int | None, home: Path | None) -> None:
    from serving.administration.opening import administering
    from serving.administration.quiet.service import QuietTimes
    from serving.identity.caller import EVERY_SITE

    with administering(home) as (database, trail, who):
        QuietTimes(database, trail).change(site, modality, seconds, scope=EVERY_SITE, who=who)
