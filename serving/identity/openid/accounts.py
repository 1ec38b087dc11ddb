"""The account of somebody whom a provider vouches for: found by issuer and subject, made, kept in step.

Never by e-mail address or login name: those are given anew to other people. What the operator has the
provider decide (roles, sites, specialties, licence) follows it at every sign-in; what not, stays as it is.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from serving.identity.caller import Role
from serving.identity.described import end_of
from serving.identity.openid.claims import ProvidedPerson
from serving.store.external_identities import find_linked, link_identity, note_seen
from serving.store.people import (
    Grants,
    Licence,
    Person,
    add_person,
    find_person,
    set_grants,
    set_licence,
)
from serving.store.people_changes import active_operators, set_home_and_names
from serving.store.sites import known_sites
from serving.store.tenancy import Scope

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

EVERY_SITE_CLAIM = "*"

_NOT_IN_A_NAME = re.compile(r"[^\w.@-]+")
_EAST_ASIAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True, slots=True)
class Step:
    """Somebody before and after they were brought in step with the provider; before is None of the new."""

    before: Person | None
    after: Person


def bring_in_step(connection: "Connection", provided: ProvidedPerson, *, now_us: int) -> Step | None:
    """Find or make the account of somebody; None for a stranger to whom the provider gives no role."""
    operators = active_operators(connection)
    user_id = find_linked(connection, issuer=provided.issuer, subject=provided.subject)
    if user_id is None:
        if provided.roles is not None and not provided.roles:
            return None
        return Step(None, _enter(connection, provided, now_us=now_us))
    note_seen(connection, issuer=provided.issuer, subject=provided.subject, now_us=now_us)
    before = find_person(connection, user_id=user_id)
    assert before is not None, "a link names a person"
    after = _followed(connection, before, provided, now_us=now_us)
    if operators == {before.id} and Role.OPERATOR not in after.grants.roles:
        # the provider's word is not enough to leave the service without anybody who looks after it
        after = replace(after, grants=replace(after.grants, roles=after.grants.roles | {str(Role.OPERATOR)}))
    _write(connection, before, after)
    return Step(before, after)


def _enter(connection: "Connection", provided: ProvidedPerson, *, now_us: int) -> Person:
    is_zh = _EAST_ASIAN.search(provided.name) is not None
    person = add_person(
        connection,
        login_name=_free_name(connection, provided),
        name_zh=provided.name if is_zh else "",
        name_en="" if is_zh else provided.name,
        home_site=None,
        grants=Grants(),
        now_us=now_us,
    )
    link_identity(
        connection, issuer=provided.issuer, subject=provided.subject, user_id=person.id, now_us=now_us
    )
    after = _followed(connection, person, provided, now_us=now_us)
    _write(connection, person, after)
    return after


def _followed(connection: "Connection", person: Person, provided: ProvidedPerson, *, now_us: int) -> Person:
    grants = person.grants
    home_site = person.home_site
    if provided.roles is not None:
        grants = replace(grants, roles=provided.roles)
    if provided.specialties is not None:
        grants = replace(grants, specialties=provided.specialties)
    if provided.sites is not None:
        sites = provided.sites & known_sites(connection)
        sees_all = EVERY_SITE_CLAIM in provided.sites
        grants = replace(grants, scope=Scope(None) if sees_all else Scope(sites))
        home_site = next(iter(sites)) if len(sites) == 1 else home_site
        if not sees_all and home_site not in sites:
            home_site = None
    return replace(
        person, home_site=home_site, grants=grants, licence=_licence(person, provided, now_us=now_us)
    )


def _licence(person: Person, provided: ProvidedPerson, *, now_us: int) -> Licence | None:
    if provided.licence is None:
        # a licence that an operator checked stays; one that the provider does not vouch for any more goes
        is_theirs = person.licence is not None and person.licence.verified_by == provided.issuer
        return None if is_theirs else person.licence
    told = provided.licence
    expires_at_us = None if told.expires_on is None else end_of(told.expires_on)
    licence = Licence(told.number, told.issuer, expires_at_us, now_us, provided.issuer)
    known = person.licence
    if known is not None and replace(known, verified_at_us=now_us) == licence:
        return known
    return licence


def _write(connection: "Connection", before: Person, after: Person) -> None:
    if after.grants != before.grants:
        set_grants(connection, after.id, after.grants)
    if after.licence != before.licence:
        set_licence(connection, after.id, after.licence)
    if after.home_site != before.home_site:
        set_home_and_names(
            connection, after.id, home_site=after.home_site, name_zh=after.name_zh, name_en=after.name_en
        )


def _free_name(connection: "Connection", provided: ProvidedPerson) -> str:
    """Give a login name that nobody has; whoever has the provider's one already is somebody else."""
    typed = unicodedata.normalize("NFKC", provided.login).strip().casefold()
    name = _NOT_IN_A_NAME.sub("-", typed).strip("-")[:50]
    digest = hashlib.sha256(f"{provided.issuer}\0{provided.subject}".encode()).hexdigest()
    if len(name) >= 2 and find_person(connection, login_name=name) is None:
        return name
    return f"{name}-{digest[:10]}" if name else f"person-{digest[:10]}"
