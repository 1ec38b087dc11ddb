"""`firstread admin users`: who may sign in and as what, at the machine's own keyboard."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serving.identity.caller import Role

if TYPE_CHECKING:  # the program says --help before it loads a database
    from serving.store.people import Person

users = typer.Typer(help="People who may sign in.", no_args_is_help=True)

Home = Annotated[
    Path | None, typer.Option(help="Folder of the database and the images.", envvar="FIRSTREAD_HOME")
]
LoginName = Annotated[str, typer.Argument(help="The name that they sign in with.")]
Roles = Annotated[list[Role] | None, typer.Option("--role", help="May be given several times.")]
SitesSeen = Annotated[
    list[str] | None,
    typer.Option("--sees", help="A site whose studies they see; may be given several times."),
]
SeesEverySite = Annotated[bool, typer.Option("--sees-every-site", help="The whole network's studies.")]
Specialties = Annotated[list[str] | None, typer.Option("--specialty", help="What they read.")]


@users.command("create")
def create_user(
    login_name: LoginName,
    *,
    name_zh: Annotated[str, typer.Option(help="Name in Chinese.")] = "",
    name_en: Annotated[str, typer.Option(help="Name in English.")] = "",
    site: Annotated[str | None, typer.Option(help="The site that what they send belongs to.")] = None,
    role: Roles = None,
    sees: SitesSeen = None,
    sees_every_site: SeesEverySite = False,
    specialty: Specialties = None,
    home: Home = None,
) -> None:
    """Enter somebody and print the link by which they choose their password; it works once."""
    from serving.administration.opening import administering_people
    from serving.store.people import Grants
    from serving.store.tenancy import Scope

    with administering_people(home) as (people, by):
        scope = Scope(None) if sees_every_site else Scope(frozenset(sees or ()))
        grants = Grants(frozenset(str(one) for one in role or ()), frozenset(specialty or ()), scope)
        person, token = people.enter(
            login_name, name_zh=name_zh, name_en=name_en, home_site=site, grants=grants, by=by
        )
    typer.echo(_line(person), err=True)
    typer.echo(_address_of(home, token))


@users.command("list")
def list_users(*, home: Home = None) -> None:
    """List everybody."""
    from serving.administration.opening import administering_people
    from serving.identity.caller import EVERY_SITE

    with administering_people(home) as (people, _):
        for person in people.all(scope=EVERY_SITE):
            typer.echo(_line(person))


@users.command("deactivate")
def deactivate_user(login_name: LoginName, *, home: Home = None) -> None:
    """Keep somebody out, and sign them out everywhere at once."""
    _set_active(login_name, home, is_active=False)


@users.command("activate")
def activate_user(login_name: LoginName, *, home: Home = None) -> None:
    """Let somebody in again."""
    _set_active(login_name, home, is_active=True)


@users.command("roles")
def set_roles(
    login_name: LoginName,
    *,
    role: Roles = None,
    sees: SitesSeen = None,
    sees_every_site: SeesEverySite = False,
    specialty: Specialties = None,
    site: Annotated[str | None, typer.Option(help="The site that what they send belongs to.")] = None,
    home: Home = None,
) -> None:
    """Replace what somebody may do: all that is named; what is not named stays."""
    from serving.administration.opening import administering_people
    from serving.administration.people.service import Change
    from serving.store.tenancy import Scope

    with administering_people(home) as (people, by):
        scope = Scope(frozenset(sees)) if sees else None
        change = Change(
            roles=None if role is None else frozenset(role),
            specialties=None if specialty is None else frozenset(specialty),
            scope=Scope(None) if sees_every_site else scope,
            home_site="" if site is None else site,
        )
        typer.echo(_line(people.change(people.named(login_name).key, change, by=by)))


@users.command("licence")
def verify_licence(
    login_name: LoginName,
    *,
    number: Annotated[str | None, typer.Option(help="The licence's number, once it was checked.")] = None,
    issuer: Annotated[str | None, typer.Option(help="Who issued it.")] = None,
    expires: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Its last day.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take it away.")] = False,
    home: Home = None,
) -> None:
    """Write down that a licence was checked, or take it away."""
    from serving.administration.opening import administering_people
    from serving.errors import StartError

    with administering_people(home) as (people, by):
        key = people.named(login_name).key
        if remove:
            typer.echo(_line(people.remove_licence(key, by=by)))
            return
        if number is None or issuer is None:
            raise StartError("a licence needs --number and --issuer (or --remove).")
        day = None if expires is None else expires.date()
        person = people.verify_licence(key, number=number, issuer=issuer, expires_on=day, by=by)
        typer.echo(_line(person))


@users.command("link")
def link_user(
    login_name: LoginName,
    *,
    subject: Annotated[str, typer.Option(help="Who they are at the provider: the claim sub.")],
    issuer: Annotated[str | None, typer.Option(help="The provider.", envvar="FIRSTREAD_OIDC_ISSUER")] = None,
    home: Home = None,
) -> None:
    """Let somebody come in by the identity provider with the account that they have here."""
    from serving.administration.opening import administering_people

    with administering_people(home) as (people, by):
        key = people.named(login_name).key
        typer.echo(_line(people.link(key, issuer=issuer or "", subject=subject, by=by)))


@users.command("reset-link")
def make_reset_link(login_name: LoginName, *, home: Home = None) -> None:
    """Print a link by which somebody chooses a new password; it works once, for a day."""
    from serving.administration.opening import administering_people

    with administering_people(home) as (people, by):
        typer.echo(_address_of(home, people.make_link(people.named(login_name).key, by=by)))


def _address_of(home: Path | None, token: str) -> str:
    """Give what is handed to the person: without FIRSTREAD_PUBLIC_URL a path behind the service's address."""
    from serving.administration.people.links import link_path
    from serving.hosting.command import read_settings

    return f"{read_settings(home=home).public_url.rstrip('/')}{link_path(token)}"


def _set_active(login_name: str, home: Path | None, *, is_active: bool) -> None:
    from serving.administration.opening import administering_people
    from serving.administration.people.service import Change

    with administering_people(home) as (people, by):
        person = people.change(people.named(login_name).key, Change(is_active=is_active), by=by)
        typer.echo(_line(person))


def _line(person: "Person") -> str:
    from serving.store.times import from_us

    roles = ",".join(sorted(person.grants.roles)) or "no role"
    sites = person.grants.scope.sites
    seen = "every site" if sites is None else ",".join(sorted(sites)) or "no site"
    licence = "no licence"
    if person.licence is not None:
        until = person.licence.expires_at_us
        licence = f"licence {person.licence.number}" + (
            "" if until is None else f" to {from_us(until):%Y-%m-%d}"
        )
    names = " ".join(name for name in (person.name_zh, person.name_en) if name)
    state = "active" if person.is_active else "kept out"
    home = person.home_site or "-"
    return f"{person.login_name}  {state}  {roles}  sees {seen}  of {home}  {licence}  {names}"
