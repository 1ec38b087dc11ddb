"""What an ID token's claims mean here: a name, roles, sites, specialties, a licence."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from serving.identity.openid.terms import OpenIdTerms

_MOST_VALUES = 200
_MOST_OF_A_TEXT = 200


@dataclass(frozen=True, slots=True)
class ProvidedLicence:
    """A doctor's licence as the provider vouches for it."""

    number: str
    issuer: str
    expires_on: date | None


@dataclass(frozen=True, slots=True)
class ProvidedPerson:
    """A person as the provider describes them; (issuer, subject) is who they are, all else may change.

    `roles` is None where operators give the roles here; `sites` and `specialties` likewise.
    """

    issuer: str
    subject: str
    login: str
    name: str
    roles: frozenset[str] | None
    sites: frozenset[str] | None
    specialties: frozenset[str] | None
    licence: ProvidedLicence | None


def person_of(claims: Mapping[str, object], terms: OpenIdTerms) -> ProvidedPerson:
    """Read a person out of claims that were verified; what is malformed counts as absent.

    Examples
    --------
    >>> terms = OpenIdTerms("https://idp", "us", None, "https://we/cb", roles={"radiology": "reader"})
    >>> person = person_of({"sub": "7", "name": "Li Na", "groups": ["radiology", "chess"]}, terms)
    >>> person.name, sorted(person.roles)
    ('Li Na', ['reader'])
    """
    names = terms.claims
    subject = str(claims["sub"])
    login = _text(claims, names.login) or subject
    return ProvidedPerson(
        issuer=terms.issuer,
        subject=subject,
        login=login,
        name=_text(claims, names.name) or login,
        roles=_roles(claims, terms) if terms.roles else None,
        sites=frozenset(_texts(claims, names.sites)) if names.sites else None,
        specialties=frozenset(_texts(claims, names.specialties)) if names.specialties else None,
        licence=_licence(claims, terms),
    )


def _roles(claims: Mapping[str, object], terms: OpenIdTerms) -> frozenset[str]:
    return frozenset(
        terms.roles[value] for value in _texts(claims, terms.claims.roles) if value in terms.roles
    )


def _licence(claims: Mapping[str, object], terms: OpenIdTerms) -> ProvidedLicence | None:
    names = terms.claims
    number = _text(claims, names.licence) if names.licence else ""
    if not number:
        return None
    issuer = (_text(claims, names.licence_issuer) if names.licence_issuer else "") or terms.issuer
    expiry = _at(claims, names.licence_expiry) if names.licence_expiry else None
    return ProvidedLicence(number, issuer, _day(expiry))


def _day(value: object) -> date | None:
    if isinstance(value, str) and re.match(r"\d{4}-\d{2}-\d{2}", value):
        try:
            return date.fromisoformat(value[:10])
        except ValueError:
            return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value, UTC).date()
        except (OverflowError, ValueError, OSError):
            return None
    return None


def _text(claims: Mapping[str, object], path: str) -> str:
    value = _at(claims, path)
    return value.strip()[:_MOST_OF_A_TEXT] if isinstance(value, str) else ""


def _texts(claims: Mapping[str, object], path: str) -> list[str]:
    """Give the texts of a list, or of one text in which spaces or commas part them."""
    value = _at(claims, path)
    if isinstance(value, str):
        return re.split(r"[\s,]+", value.strip())[:_MOST_VALUES] if value.strip() else []
    if isinstance(value, list):
        return [one for one in value[:_MOST_VALUES] if isinstance(one, str)]
    return []


def _at(claims: Mapping[str, object], path: str) -> object:
    if path in claims:  # a name may hold dots itself, as an address does (https://example.org/roles)
        return claims[path]
    value: object = claims
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value
