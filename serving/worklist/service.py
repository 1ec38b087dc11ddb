"""The worklist: the studies that wait, the first due first, a page at a time."""

import base64
import binascii
import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from serving.audit.trail import AuditTrail
from serving.errors import Problem, ServiceError
from serving.store.audit_chain import Action, AuditEvent, Who
from serving.store.claims import Claim, open_claims
from serving.store.database import Database
from serving.store.queue import Cursor, QueueRow, count_waiting, read_page
from serving.store.tenancy import NETWORK, Scope
from serving.store.times import now_us

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

# The due time and the study's number, as two signed 64-bit integers.
_CURSOR = struct.Struct(">qq")

# Nobody plans by a longer list; counting a million takes longer than reading the page.
COUNTED_UP_TO = 10_000

# A short list is counted anew for each page, a long one is not: to count it took as long as to read the page.
COUNTED_ANEW_UP_TO = 1_000
_COUNTED_FOR_US = 5_000_000
_MOST_COUNTS = 1_000


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the worklist; `next_cursor` is None on the last page, `read_at_us` the time of reading.

    `n_waiting` is exact below :data:`COUNTED_UP_TO` and means "so many or more" there; above
    :data:`COUNTED_ANEW_UP_TO` it may be five seconds old. `claims` says who holds which study's number.
    """

    rows: tuple[QueueRow, ...]
    n_waiting: int
    next_cursor: str | None
    read_at_us: int
    claims: Mapping[int, tuple[Claim, ...]] = field(default_factory=dict)

    def held(self, row: QueueRow) -> tuple[Claim, ...]:
        """Give the claims of a study that keep others off."""
        return tuple(claim for claim in self.claims.get(row.study_id, ()) if claim.is_held(self.read_at_us))


@dataclass(frozen=True)
class Worklist:
    """Reads the queue of some sites or of all; who reads what stands in the trail before it is shown."""

    database: Database
    trail: AuditTrail
    clock: Callable[[], int] = now_us
    _counts: dict[Scope, tuple[int, int]] = field(default_factory=dict, init=False, repr=False)

    def read(
        self, *, scope: Scope, site: str | None, who: Who, limit: int, cursor: str | None = None
    ) -> Page:
        """Give at most `limit` studies of the scope behind `cursor`, the first due first.

        `site` is that of the one who asks, where they belong to one.

        Raises
        ------
        ServiceError
            `INVALID_REQUEST` if the cursor is none that a page gave.
        """
        after = None if cursor is None else decode_cursor(cursor)
        with self.database.reading() as connection, connection.begin():
            rows = read_page(connection, scope=scope, limit=limit + 1, after=after)
            n_waiting = self._count(connection, scope)
            claims = open_claims(connection, scope=scope, study_ids=[row.study_id for row in rows])
        has_more = len(rows) > limit
        shown = tuple(rows[:limit])
        following = encode_cursor(shown[-1]) if has_more else None
        page = Page(shown, n_waiting, following, self.clock(), claims)
        self.trail.note(_viewed(page, scope=scope, site=site, who=who, cursor=cursor))
        return page

    def _count(self, connection: "Connection", scope: Scope) -> int:
        n_waiting, counted_at_us = self._counts.get(scope, (0, 0))
        if n_waiting > COUNTED_ANEW_UP_TO and 0 <= self.clock() - counted_at_us < _COUNTED_FOR_US:
            return n_waiting
        n_waiting = count_waiting(connection, scope=scope, at_most=COUNTED_UP_TO)
        if len(self._counts) >= _MOST_COUNTS:
            self._counts.clear()
        self._counts[scope] = (n_waiting, self.clock())
        return n_waiting


def _viewed(page: Page, *, scope: Scope, site: str | None, who: Who, cursor: str | None) -> AuditEvent:
    uids = [row.study_uid for row in page.rows]
    return AuditEvent(
        Action.VIEWED_LIST,
        who,
        site or NETWORK,
        page.read_at_us,
        policy_version=", ".join(sorted({row.placement.policy_version for row in page.rows})) or None,
        details={
            "studies": uids,
            "studies_sha256": hashlib.sha256("\n".join(uids).encode()).hexdigest(),
            "waiting": page.n_waiting,
            "behind": cursor,
            "sites": None if scope.sites is None else sorted(scope.sites),
        },
    )


def encode_cursor(row: QueueRow) -> str:
    """Write down behind which row the next page goes on."""
    packed = _CURSOR.pack(row.placement.due_at_us, row.study_id)
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode("ascii")


def decode_cursor(text: str) -> Cursor:
    """Read a cursor back.

    Raises
    ------
    ServiceError
        `INVALID_REQUEST` if it is none.

    Examples
    --------
    >>> decode_cursor("AAAAAAAAAAEAAAAAAAAAAg")
    Cursor(due_at_us=1, study_id=2)
    """
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return Cursor(*_CURSOR.unpack(packed))
    except (binascii.Error, ValueError, struct.error) as error:
        raise ServiceError(
            Problem.INVALID_REQUEST,
            f"The cursor {text[:64]!r} is none: take 'next' of the page before, or leave it out.",
        ) from error
