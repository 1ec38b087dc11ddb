"""How long a study may be in each state; those that have been there for longer are named."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from serving.store.database import Database
from serving.store.stuck import LongInState, count_long_in_state, long_in_state
from serving.store.switch import Switch, read_switch
from serving.store.tenancy import Scope

log = logging.getLogger(__name__)

_US = timedelta(microseconds=1)

# A study that waits for its score stands in the queue all the same, as unscored; this long is a fault or a
# backlog, and either is somebody's to know of. A CT of 4,000 frames is given 2 h before it is stopped, and is
# through in minutes. What failed is a person's to look at: within a day somebody has.
LONGEST: Mapping[str, timedelta | None] = {
    "received": timedelta(minutes=10),
    "scoring": timedelta(minutes=20),
    "failed": timedelta(hours=24),
    "scored": None,  # the queue's own due time says when it should have been read
    "abstained": None,  # the same: it is read without a score
}


@dataclass(frozen=True, slots=True)
class Stuck:
    """A study that has been in its state for longer than that allows, and a sentence that says so."""

    study: LongInState
    for_s: float
    longest_s: float
    why: str


@dataclass
class Watchdog:
    """Finds studies that are stuck, and names each once in the log.

    `clock` gives the time in microseconds since 1970 UTC.
    """

    database: Database
    clock: Callable[[], int]
    longest: Mapping[str, timedelta | None] = field(default_factory=lambda: LONGEST)
    _named: set[tuple[str, str, int]] = field(default_factory=set)

    def stuck(self, *, scope: Scope, limit: int) -> list[Stuck]:
        """Give the studies that are stuck, at most `limit` of a state; while paused, none that waits."""
        now_us = self.clock()
        found: list[Stuck] = []
        with self.database.reading() as connection:
            switch = read_switch(connection)
            for state, longest in self._watched(switch):
                for study in long_in_state(
                    connection, state, scope=scope, before_us=now_us - longest // _US, limit=limit
                ):
                    for_s = (now_us - study.since_us) / 1e6
                    found.append(Stuck(study, for_s, longest.total_seconds(), _why(study, for_s)))
        return found

    def counts(self) -> dict[str, int]:
        """Give how many are stuck in each state."""
        now_us = self.clock()
        with self.database.reading() as connection:
            switch = read_switch(connection)
            counts = dict.fromkeys((state for state, longest in self.longest.items() if longest), 0)
            for state, longest in self._watched(switch):
                counts[state] = count_long_in_state(connection, state, before_us=now_us - longest // _US)
        return counts

    def name_new(self, *, limit: int = 100) -> int:
        """Write those into the log that were not in it before; gives their number."""
        stuck = self.stuck(scope=Scope(None), limit=limit)
        marks = {(one.study.study_key, one.study.state, one.study.since_us): one for one in stuck}
        new = [mark for mark in marks if mark not in self._named]
        for mark in new:
            log.warning("a study is stuck: %s", marks[mark].why, extra={"study": mark[0], "state": mark[1]})
        self._named = set(marks)
        return len(new)

    def _watched(self, switch: Switch) -> list[tuple[str, timedelta]]:
        return [
            (state, longest)
            for state, longest in self.longest.items()
            if longest is not None and not (switch.is_paused and state == "received")
        ]


def _why(study: LongInState, for_s: float) -> str:
    minutes = for_s / 60
    match study.state:
        case "received":
            what = f"has waited {minutes:.0f} min for its score"
        case "scoring":
            what = f"has been scored for {minutes:.0f} min by {study.worker}"
        case _:
            what = f"failed {minutes:.0f} min ago ({study.reason}) and needs a person"
    return f"{what}, begun {study.n_attempts} times"
