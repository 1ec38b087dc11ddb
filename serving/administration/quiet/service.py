"""For how long a study is waited for after its last image: set by site and modality, `*` for every one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from serving.audit.trail import AuditTrail
from serving.errors import Problem, ServiceError
from serving.intake.quiet import ANY, DEFAULT_S, MOST_S
from serving.store.audit_chain import Action, AuditEvent, Who
from serving.store.database import Database
from serving.store.quiet_times import QuietTime, read_quiet_times, set_quiet_time, unset_quiet_time
from serving.store.sites import has_site
from serving.store.tenancy import Scope

# A code string of DICOM (PS3.5 6.2).
_MODALITY = re.compile(r"[A-Z0-9_]{1,16}")


@dataclass(frozen=True)
class QuietTimes:
    """Administers quiet times; what is set counts from the next image on."""

    database: Database
    trail: AuditTrail

    def all(self, *, scope: Scope) -> Sequence[QuietTime]:
        """Give what is set at the sites of the scope and for all sites, then what counts where nothing is."""
        with self.database.reading() as connection:
            found = read_quiet_times(connection, scope=scope)
        return [*found, *(QuietTime(ANY, modality, s, "default", 0) for modality, s in DEFAULT_S.items())]

    def change(self, site: str, modality: str, seconds: int | None, *, scope: Scope, who: Who) -> None:
        """Set a quiet time; None lets what is less near count again.

        Raises
        ------
        ServiceError
            `INVALID_REQUEST` if it is no modality or too long; `NOT_FOUND` if there is no such site in the
            scope, as all sites are not for somebody of some.
        """
        if modality != ANY and _MODALITY.fullmatch(modality) is None:
            raise ServiceError(
                Problem.INVALID_REQUEST, f"{modality!r} is no modality such as CT, nor {ANY!r} for all."
            )
        if seconds is not None and not 0 <= seconds <= MOST_S:
            raise ServiceError(Problem.INVALID_REQUEST, f"A quiet time has 0 to {MOST_S} seconds.")
        with self.trail.acting() as act:
            is_there = scope.sites is None if site == ANY else has_site(act.connection, site)
            if not is_there or site not in scope:
                raise ServiceError(Problem.NOT_FOUND, f"There is no site {site!r}.")
            now_us = self.trail.clock()
            if seconds is None:
                before = unset_quiet_time(act.connection, site=site, modality=modality)
            else:
                quiet = QuietTime(site, modality, seconds, who.name, now_us)
                before = set_quiet_time(act.connection, quiet)
            details = {"modality": modality, "before_s": before, "after_s": seconds}
            act.record(AuditEvent(Action.QUIET_TIME_CHANGED, who, site, now_us, details=details))
