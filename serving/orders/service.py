"""Takes orders: written down, matched to studies and in the trail in one transaction, then answered.

An order and its study may come in either order. Whichever is second finds the first, for both hold the
accession number while they write.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.audit.trail import AuditTrail
from serving.intake.service import Queue, UnscoredPlacer
from serving.orders.traces import received_order, refused_order
from serving.store.audit_chain import Who
from serving.store.database import Database
from serving.store.events import add_events
from serving.store.order_matching import Match, apply_order
from serving.store.orders import Order, StoredOrder, add_order, change_order, hold_orders
from serving.store.times import now_us

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to become of an order: a new one, or a known one that is to be so."""

    order: Order
    known: StoredOrder | None


@dataclass(frozen=True, slots=True)
class TakenOrder:
    """An order as it is kept now, and the studies that are there under its accession number."""

    stored: StoredOrder
    matches: tuple[Match, ...]
    is_new: bool


@dataclass(frozen=True)
class Orders:
    """Takes orders into one database."""

    database: Database
    trail: AuditTrail
    placer: UnscoredPlacer
    queue: Queue
    clock: Callable[[], int] = now_us

    def take(
        self,
        names: Sequence[str],
        decide: Callable[["Connection"], Sequence[Wanted] | None],
        *,
        site: str,
        who: Who,
        then: Callable[["Connection", int], None] = lambda _connection, _now_us: None,
    ) -> list[TakenOrder]:
        """Carry out what is asked for, all of it or nothing.

        Parameters
        ----------
        names : sequence of str
            What nobody else may change meanwhile: see :func:`serving.store.orders.turns_of`.
        decide : callable
            Finds what is known and says what is to be; None: nothing is to be done. It may refuse.
        site : str
            Whose orders they are.
        who : Who
            Who sent them.
        then : callable
            Writes down what else belongs to it, with the time in microseconds since 1970 UTC.
        """
        with self.trail.acting() as act:
            connection = act.connection
            hold_orders(connection, names)
            wanted = decide(connection)
            if wanted is None:
                return []
            moment = self.clock()
            taken = [self._carry_out(connection, one, site=site, now_us=moment) for one in wanted]
            then(connection, moment)
            add_events(
                connection, [event for one in taken for match in one.matches for event in match.events]
            )
            act.record(*(event for one in taken for event in received_order(one, who=who, at_us=moment)))
        return taken

    def note_refusal(self, reason: str, *, site: str, who: Who) -> None:
        """Write into the trail that an order was refused."""
        self.trail.note(refused_order(reason, site=site, who=who, at_us=self.clock()))

    def _carry_out(self, connection: "Connection", wanted: Wanted, *, site: str, now_us: int) -> TakenOrder:
        if wanted.known is None:
            stored = add_order(connection, wanted.order, site=site, now_us=now_us)
        else:
            stored = change_order(connection, wanted.known, wanted.order, now_us=now_us)
        matches = apply_order(
            connection,
            stored,
            now_us=now_us,
            place_unscored=self.placer.unscored,
            enqueue=self.queue.enqueue,
        )
        return TakenOrder(stored, tuple(matches), wanted.known is None)
