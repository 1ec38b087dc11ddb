"""The sites of the network: made and renamed; one that has studies is never removed."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from serving.audit.trail import AuditTrail
from serving.errors import Problem, ServiceError
from serving.identity.shown_names import shown_name
from serving.store.audit_chain import Action, AuditEvent, Who
from serving.store.database import Database
from serving.store.sites import Site, add_site, find_site, read_sites, rename_site
from serving.store.tenancy import Scope

# Stands in addresses, headers and the trail.
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_MOST_OF_A_NAME = 200


@dataclass(frozen=True)
class Sites:
    """Administers sites."""

    database: Database
    trail: AuditTrail

    def all(self, *, scope: Scope) -> list[Site]:
        """Give the sites in scope, by id."""
        with self.database.reading() as connection:
            return [site for site in read_sites(connection) if scope.sites is None or site.id in scope.sites]

    def make(self, site: str, name: str, *, who: Who) -> Site:
        """Make a site.

        Raises
        ------
        ServiceError
            `INVALID_REQUEST` if id or name is none, `CONFLICT` if the id is taken.
        """
        if _ID.fullmatch(site) is None:
            raise ServiceError(
                Problem.INVALID_REQUEST,
                f"{site!r} is no id of a site: small letters, digits and dashes, at most 64.",
            )
        made = Site(site, _checked(name))
        with self.trail.acting() as act:
            if find_site(act.connection, site) is not None:
                raise ServiceError(Problem.CONFLICT, f"There is a site {site!r} already.")
            add_site(act.connection, site, made.name)
            self._record(act.record, made, who, before=None)
        return made

    def rename(self, site: str, name: str, *, who: Who) -> Site:
        """Give a site another name; its id stays.

        Raises
        ------
        ServiceError
            `NOT_FOUND`, or `INVALID_REQUEST` if the name is none.
        """
        renamed = Site(site, _checked(name))
        with self.trail.acting() as act:
            before = find_site(act.connection, site)
            if before is None:
                raise ServiceError(Problem.NOT_FOUND, f"There is no site {site!r}.")
            rename_site(act.connection, site, renamed.name)
            self._record(act.record, renamed, who, before=before.name)
        return renamed

    def _record(
        self, record: Callable[[AuditEvent], object], site: Site, who: Who, *, before: str | None
    ) -> None:
        details = {"site": site.id, "before": before, "after": site.name}
        record(AuditEvent(Action.PERMISSION_CHANGED, who, site.id, self.trail.clock(), details=details))


def _checked(name: str) -> str:
    checked = shown_name(name, of="a site")
    if not 0 < len(checked) <= _MOST_OF_A_NAME:
        raise ServiceError(Problem.INVALID_REQUEST, f"A site's name has 1 to {_MOST_OF_A_NAME} letters.")
    return checked
