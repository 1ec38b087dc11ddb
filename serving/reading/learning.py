"""What the reads of a hospital teach: where its readers and the models differ."""

from dataclasses import dataclass

from serving.audit.trail import AuditTrail
from serving.identity.caller import Caller
from serving.store.audit_chain import Action, AuditEvent
from serving.store.database import Database
from serving.store.discrepancies import (
    Discrepancy,
    Total,
    Wanted,
    count_discrepancies,
    read_discrepancies,
)
from serving.store.tenancy import NETWORK


@dataclass(frozen=True, slots=True)
class Differing:
    """A page of discrepancies, the newest first; `following` is where the next goes on, None on the last."""

    rows: tuple[Discrepancy, ...]
    totals: tuple[Total, ...]
    following: int | None


@dataclass(frozen=True)
class Learning:
    """Gives the discrepancies of the stored studies; that they were seen stands in the audit trail."""

    database: Database
    trail: AuditTrail

    def discrepancies(
        self, wanted: Wanted, caller: Caller, *, limit: int, before: int | None = None
    ) -> Differing:
        """Give at most `limit` discrepancies of the caller's scope, and how many there are of each."""
        with self.database.reading() as connection, connection.begin():
            rows = read_discrepancies(
                connection, scope=caller.scope, wanted=wanted, limit=limit + 1, before=before
            )
            totals = count_discrepancies(connection, scope=caller.scope, wanted=wanted)
        shown = tuple(rows[:limit])
        details = {"shown": "discrepancies", "studies": [row.study_uid for row in shown]}
        self.trail.note(
            AuditEvent(
                Action.VIEWED_LIST,
                caller.who,
                caller.home_site or NETWORK,
                self.trail.clock(),
                details=details,
            )
        )
        return Differing(shown, tuple(totals), shown[-1].id if len(rows) > limit else None)
