"""What was refused, in the audit trail: everything, unless one address is refused again and again.

A flood of refused requests would else fill the disk. Beyond a few rows a minute an address's refusals are
counted, and the next row says how many were left out.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import Request

from serving.audit.trail import AuditTrail
from serving.identity.caller import Caller
from serving.store.audit_chain import Action, AuditEvent, Result
from serving.store.sites import LOCAL_SITE

ROWS_A_MINUTE = 20
_MOST_ADDRESSES = 10_000


@dataclass
class _Minute:
    begun_s: float
    n_rows: int = 0
    n_left_out: int = 0


class Refusals:
    """Notes what was refused; see the module's text."""

    def __init__(self, trail: AuditTrail, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._trail = trail
        self._clock_s = clock_s
        self._turn = threading.Lock()
        self._minutes: OrderedDict[str, _Minute] = OrderedDict()

    def note(self, request: Request, caller: Caller, details: Mapping[str, object]) -> None:
        """Append a row, unless the address has had its share."""
        n_left_out = self._take_share(caller.who.address or "")
        if n_left_out is None:
            return
        route = request.scope.get("route")
        said: dict[str, object] = {
            "method": request.method,
            "address": getattr(route, "path", None),
            **details,
        }
        if n_left_out:
            said["left_out_before"] = n_left_out
        site = caller.home_site or LOCAL_SITE
        self._trail.note(
            AuditEvent(
                Action.ACCESS_REFUSED,
                caller.who,
                site,
                self._trail.clock(),
                result=Result.REFUSED,
                details=said,
            )
        )

    def _take_share(self, address: str) -> int | None:
        """Give how many were left out before, None if this one is left out too."""
        now_s = self._clock_s()
        with self._turn:
            minute = self._minutes.get(address)
            if minute is None or now_s - minute.begun_s >= 60:
                n_left_out = 0 if minute is None else minute.n_left_out
                self._minutes[address] = _Minute(now_s, n_rows=1)
                self._minutes.move_to_end(address)
                while len(self._minutes) > _MOST_ADDRESSES:
                    self._minutes.popitem(last=False)
                return n_left_out
            if minute.n_rows >= ROWS_A_MINUTE:
                minute.n_left_out += 1
                return None
            minute.n_rows += 1
            return 0
