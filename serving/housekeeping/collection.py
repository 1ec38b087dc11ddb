"""Clears away stored files that nobody refers to, and never one that somebody does.

An upload puts its files first and writes the rows that refer to them afterwards; between the two they look
as if nobody needed them. So the collection works in steps, each of which would save them:

1. What was put within the grace, longer than any upload takes, is left alone; putting the same bytes again
   makes an object young again. Ages are read off the store's own clock.
2. An object is taken within a writing transaction, after another look at the rows and at its age. An upload
   makes sure within its own that what was there before it came still is, and brings it back if not. The
   two come one after the other, so either the collection sees the row or the upload the loss.
3. Taking is hiding: the object is set aside, and whoever asks for it has it back. It is removed only when it
   has lain there for days and, again within a transaction, still has no row.
4. Where most of the store looks unreferenced the database is more likely the wrong one: that is refused.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from serving.errors import ServiceError, StartError
from serving.store.database import Database
from serving.store.idempotency import count_answers, prune_answers
from serving.store.objects import KeptObject, ObjectStore
from serving.store.references import count_referenced, forget_object, hold_objects, unreferenced

log = logging.getLogger(__name__)

HOUR_US = 3600 * 1_000_000
_BATCH = 500

# With fewer than this many a share says nothing.
_MANY = 20


@dataclass(frozen=True, slots=True)
class Terms:
    """How old things must be, in hours; `grace_h` must be longer than the longest upload."""

    grace_h: float = 24.0
    aside_h: float = 7 * 24.0
    answers_h: float = 7 * 24.0


@dataclass(frozen=True, slots=True)
class Collected:
    """What was found or, if it was not only looked at, done."""

    n_objects: int
    n_unreferenced: int
    unreferenced_bytes: int
    n_young: int
    n_set_aside: int
    n_removed: int
    removed_bytes: int
    n_brought_back: int
    n_unfinished: int
    n_answers: int


class Collection:
    """Collects from one store by the rows of one database; it may run beside the service.

    Raises
    ------
    StartError
        From :meth:`run`, if more than half of the store would go.
    """

    def __init__(self, database: Database, objects: ObjectStore, terms: Terms) -> None:
        self._database = database
        self._objects = objects
        self._terms = terms

    def look(self) -> Collected:
        """Count what :meth:`run` would take, and change nothing."""
        now_us = self._objects.check_writable()
        n_objects, n_young, old = self._find(now_us)
        aside = [kept for kept in self._objects.each(aside=True) if self._is_done(kept, now_us)]
        with self._database.reading() as connection:
            done = set(unreferenced(connection, [kept.sha256 for kept in aside]))
            n_answers = count_answers(connection, before_us=now_us - self._us(self._terms.answers_h))
        return Collected(
            n_objects=n_objects,
            n_unreferenced=len(old),
            unreferenced_bytes=sum(old.values()),
            n_young=n_young,
            n_set_aside=0,
            n_removed=len(done),
            removed_bytes=sum(kept.n_bytes for kept in aside if kept.sha256 in done),
            n_brought_back=len(aside) - len(done),
            n_unfinished=0,
            n_answers=n_answers,
        )

    def run(self, *, even_most: bool = False) -> Collected:
        """Set aside what nobody refers to, and remove what was set aside long ago."""
        now_us = self._objects.check_writable()
        n_objects, n_young, old = self._find(now_us)
        if not even_most:
            self._refuse_most(n_objects, len(old))
        n_set_aside = sum(self._set_aside(sha256, now_us) for sha256 in old)
        removed, n_brought_back = self._clear_aside(now_us)
        with self._database.writing() as connection:
            n_answers = prune_answers(connection, before_us=now_us - self._us(self._terms.answers_h))
        return Collected(
            n_objects=n_objects,
            n_unreferenced=len(old),
            unreferenced_bytes=sum(old.values()),
            n_young=n_young,
            n_set_aside=n_set_aside,
            n_removed=len(removed),
            removed_bytes=sum(kept.n_bytes for kept in removed),
            n_brought_back=n_brought_back,
            n_unfinished=self._objects.clear_unfinished(before_us=now_us - self._us(self._terms.grace_h)),
            n_answers=n_answers,
        )

    def _find(self, now_us: int) -> tuple[int, int, dict[str, int]]:
        """Count all objects and the young ones, and give hash and size of the old that nobody refers to."""
        n_objects = n_young = 0
        old: dict[str, int] = {}
        for some in self._in_batches():
            n_objects += len(some)
            grown = {kept.sha256: kept.n_bytes for kept in some if self._is_old(kept, now_us)}
            n_young += len(some) - len(grown)
            with self._database.reading() as connection:
                old |= {sha256: grown[sha256] for sha256 in unreferenced(connection, list(grown))}
        return n_objects, n_young, old

    def _in_batches(self) -> Iterator[tuple[KeptObject, ...]]:
        kept = self._objects.each()
        while some := tuple(islice(kept, _BATCH)):
            yield some

    def _refuse_most(self, n_objects: int, n_old: int) -> None:
        with self._database.reading() as connection:
            n_referenced = count_referenced(connection)
        if n_old >= _MANY and n_old > n_objects / 2:
            raise StartError(
                f"{n_old:,} of the {n_objects:,} objects in {self._objects.place} are unknown to this "
                f"database, which knows {n_referenced:,}: is it the right one, and has no other service its "
                "images there? If so, add --even-most."
            )

    def _set_aside(self, sha256: str, now_us: int) -> bool:
        try:
            with self._database.writing() as connection:
                hold_objects(connection)
                kept = self._objects.head(sha256)
                if kept is None or not self._is_old(kept, now_us) or not unreferenced(connection, [sha256]):
                    return False
                is_aside = self._objects.set_aside(sha256)
                forget_object(connection, sha256)
                return is_aside
        except ServiceError as error:  # one that cannot be taken now is taken the next time
            log.warning("%s is left where it is: %s", sha256, error.detail)
            return False

    def _clear_aside(self, now_us: int) -> tuple[list[KeptObject], int]:
        removed: list[KeptObject] = []
        n_brought_back = 0
        for kept in list(self._objects.each(aside=True)):
            if not self._is_done(kept, now_us):
                continue
            with self._database.writing() as connection:
                hold_objects(connection)
                if unreferenced(connection, [kept.sha256]):
                    self._objects.remove(kept.sha256, aside=True)
                    removed.append(kept)
                else:
                    log.warning("%s was set aside though it is referred to: brought back", kept.sha256)
                    n_brought_back += self._objects.set_aside(kept.sha256, back=True)
        return removed, n_brought_back

    def _is_old(self, kept: KeptObject, now_us: int) -> bool:
        return kept.put_at_us < now_us - self._us(self._terms.grace_h)

    def _is_done(self, kept: KeptObject, now_us: int) -> bool:
        return kept.put_at_us < now_us - self._us(self._terms.aside_h)

    @staticmethod
    def _us(hours: float) -> int:
        return int(hours * HOUR_US)
