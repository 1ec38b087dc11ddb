"""`firstread admin sites`: the sites of the network."""

from pathlib import Path
from typing import Annotated

import typer

sites = typer.Typer(help="Sites of the network.", no_args_is_help=True)

Home = Annotated[
    Path | None, typer.Option(help="Folder of the database and the images.", envvar="FIRSTREAD_HOME")
]
SiteId = Annotated[str, typer.Argument(help="Its id: small letters, digits and dashes; never changes.")]
Name = Annotated[str, typer.Argument(help="What people call it.")]


@sites.command("create")
def create_site(site: SiteId, name: Name, *, home: Home = None) -> None:
    """Make a site."""
    from serving.administration.opening import administering
    from serving.administration.sites.service import Sites

    with administering(home) as (database, trail, who):
        made = Sites(database, trail).make(site, name, who=who)
    typer.echo(f"{made.id}  {made.name}")


@sites.command("list")
def list_sites(*, home: Home = None) -> None:
    """List the sites."""
    from serving.administration.opening import administering
    from serving.administration.sites.service import Sites
    from serving.identity.caller import EVERY_SITE

    with administering(home) as (database, trail, _):
        for site in Sites(database, trail).all(scope=EVERY_SITE):
            typer.echo(f"{site.id}  {site.name}")


@sites.command("rename")
def rename_site(site: SiteId, name: Name, *, home: Home = None) -> None:
    """Give a site another name; its id stays."""
    from serving.administration.opening import administering
    from serving.administration.sites.service import Sites

    with administering(home) as (database, trail, who):
        renamed = Sites(database, trail).rename(site, name, who=who)
    typer.echo(f"{renamed.id}  {renamed.name}")
