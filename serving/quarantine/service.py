"""Shows, corrects, takes in again, discards and purges what lies in the quarantine; all of it is recorded.

Everything is asked within a scope: what another site's sender sent is not there. Rows of the trail name
entries by their key and corrections by their keywords: neither a patient nor a value stands in them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from data.dicom.correcting import ChangedText, CorrectionError, Corrections, changed_texts, checked
from data.dicom.files import is_dicom, malformed_is_corrupt, open_object
from data.dicom.header import header_of
from data.dicom.json_model import JsonDataset, json_of_object
from data.errors import ImageError
from serving.audit.trail import AuditTrail
from serving.errors import Problem, Rejection, ServiceError
from serving.quarantine.retrying import Filling, Retake, Retaken, as_kept, corrections_of
from serving.store.audit_chain import Action, AuditEvent, Result, Who
from serving.store.database import Database
from serving.store.objects import ObjectStore
from serving.store.quarantine import (
    Entry,
    HeldState,
    Sought,
    correct_entry,
    count_entries,
    end_entry,
    find_entry,
    known_refusals,
    list_entries,
    note_reason,
    remove_entry,
    turn_of,
)
from serving.store.references import hold_references
from serving.store.sites import has_site
from serving.store.tenancy import NETWORK, Scope
from serving.store.turns import take_turns_at
from serving.studies.rendering import Picture, Renderer

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

COUNTED_UP_TO = 10_000

# What one request does at once; the answer says how many are left.
MOST_AT_ONCE = 200

PREVIEW_PX = 768

_MOST_WORDS = 500
_DAY_US = 24 * 3600 * 1_000_000
_PURGED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, which sites they see, and whose they are."""

    who: Who
    scope: Scope
    site: str | None


@dataclass(frozen=True, slots=True)
class EntryPage:
    """A part of the list, the newest first; `n_found` is exact below :data:`COUNTED_UP_TO`."""

    entries: tuple[Entry, ...]
    n_found: int
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class EntryView:
    """An entry with its header as far as it can be read, and what the corrected character set reads anew."""

    entry: Entry
    header: JsonDataset | None
    texts: tuple[ChangedText, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody corrects; `site` assigns it to another one. These replace all corrections before."""

    corrections: Corrections = field(default_factory=Corrections)
    site: str | None = None


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of a file that was taken in again."""

    entry: Entry
    retaken: Retaken


@dataclass(frozen=True, slots=True)
class Bulk:
    """What became of many at once; `n_left` were not reached."""

    done: tuple[str, ...]
    refused: tuple[Rejection, ...]
    n_left: int


@dataclass(frozen=True, slots=True)
class Purged:
    """What was removed, or would be."""

    n_entries: int
    n_bytes: int


@dataclass(frozen=True)
class Quarantine:
    """What could not be taken, of one database and one object store.

    `retake` takes a file as every upload is taken; `days` is how long something is kept that nobody ends.
    """

    database: Database
    trail: AuditTrail
    objects: ObjectStore
    renderer: Renderer
    retake: Retake
    days: float = 90.0

    def read(self, sought: Sought, *, asker: Asker, limit: int, cursor: str | None = None) -> EntryPage:
        """Give at most `limit` entries behind the one whose key is `cursor`, the newest first.

        Raises
        ------
        ServiceError
            `INVALID_REQUEST` if there is no entry of that key.
        """
        with self.database.reading() as connection, connection.begin():
            after = None
            if cursor is not None:
                last = find_entry(connection, scope=asker.scope, key=cursor, is_read_only=True)
                if last is None:
                    raise ServiceError(
                        Problem.INVALID_REQUEST,
                        "There is no entry that the page could go on behind: begin anew.",
                    )
                after = last.id
            found = list_entries(connection, sought, scope=asker.scope, limit=limit + 1, after=after)
            n_found = count_entries(connection, sought, scope=asker.scope, at_most=COUNTED_UP_TO)
        shown = tuple(found[:limit])
        keys = [entry.key for entry in shown]
        self._note(Action.VIEWED_LIST, asker, {"list": "quarantine", "entries": keys, "found": n_found})
        return EntryPage(shown, n_found, shown[-1].key if len(found) > limit else None)

    def find(self, key: str, *, asker: Asker) -> EntryView:
        """Give an entry and what can be read of it.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is none of that key in the scope.
        """
        entry = self._found(key, asker, Action.QUARANTINE_VIEWED)
        self._note(Action.QUARANTINE_VIEWED, asker, {"entry": key, "shown": "header"}, entry)
        return self._view(entry)

    def picture(self, key: str, *, asker: Asker) -> Picture:
        """Give the first picture of an entry.

        Raises
        ------
        ServiceError
            `NOT_FOUND`; `FRAME_UNREADABLE` if it has none that can be shown.
        """
        entry = self._found(key, asker, Action.QUARANTINE_VIEWED)
        if entry.object_sha256 is None:
            raise ServiceError(
                Problem.FRAME_UNREADABLE, f"The bytes of {key} are not kept: nothing can be shown."
            )
        self._note(Action.QUARANTINE_VIEWED, asker, {"entry": key, "shown": "picture"}, entry)
        return self.renderer.preview(entry.object_sha256, width_px=PREVIEW_PX)

    def correct(self, key: str, change: Change, *, asker: Asker, is_preview: bool = False) -> EntryView:
        """Say what the next try changes and whose the file is; a preview only shows what would come of it.

        Raises
        ------
        ServiceError
            `NOT_FOUND` for an entry or a site that is not in the scope; `INVALID_REQUEST` for a value that
            its attribute cannot have; `CONFLICT` if it is ended, or the other site refused the same already.
        """
        try:
            corrections = checked(change.corrections)
        except CorrectionError as error:
            raise ServiceError(Problem.INVALID_REQUEST, f"{error}.") from error
        if is_preview:
            entry = self._found(key, asker, Action.QUARANTINE_VIEWED)
            self._note(Action.QUARANTINE_VIEWED, asker, {"entry": key, "shown": "preview"}, entry)
            return self._view(entry, corrections)
        moment = self.trail.clock()
        with self.trail.acting() as act:
            if change.site is not None:  # so that it is not refused there in this moment
                take_turns_at(act.connection, {turn_of(change.site)})
            entry = self._held(act.connection, key, asker)
            site = change.site or entry.site
            self._check_site(act.connection, entry, site, asker)
            if corrections:
                self._check_correctable(entry)
            kept = as_kept(corrections, at_us=moment)
            correct_entry(act.connection, entry, site=site, corrections=kept)
            details = {
                "entry": key,
                "keywords": sorted(corrections.edits),
                "character_set": corrections.character_set,
                "new_uid": corrections.has_new_uid,
                "site": site,
                "site_before": entry.site,
            }
            act.record(self._event(Action.QUARANTINE_CORRECTED, asker, details, entry))
            found = find_entry(act.connection, scope=asker.scope, key=key, is_read_only=True)
        assert found is not None
        return self._view(found)

    def retry(self, key: str, *, asker: Asker) -> Retried:
        """Take a file in again, corrected as was said; what is refused again stays.

        Raises
        ------
        ServiceError
            `NOT_FOUND`; `CONFLICT` if it is ended or its bytes are not kept; `INVALID_REQUEST` if it cannot
            be corrected; `NOTHING_TAKEN` if it is refused again, with the reason.
        """
        retried = self._retry(key, asker)
        if not retried.retaken.studies:
            raise ServiceError(
                Problem.NOTHING_TAKEN,
                f"{retried.entry.file_name} could not be taken in: its reason is named.",
                retried.retaken.rejected,
            )
        return retried

    def retry_all(self, sought: Sought, *, asker: Asker) -> Bulk:
        """Take in again what a filter finds, the oldest arrivals last, at most :data:`MOST_AT_ONCE`."""
        chosen, n_left = self._chosen(sought, asker)
        done: list[str] = []
        refused: list[Rejection] = []
        for entry in chosen:
            try:
                retried = self._retry(entry.key, asker)
            except ServiceError as error:
                if error.problem not in {Problem.CONFLICT, Problem.INVALID_REQUEST, Problem.NOT_FOUND}:
                    raise
                refused.append(Rejection(entry.file_name, str(error.problem), error.detail, "", entry.key))
                continue
            refused += [_of_entry(line, entry) for line in retried.retaken.rejected]
            if retried.retaken.is_whole:
                done.append(entry.key)
        return Bulk(tuple(done), tuple(refused), n_left)

    def discard(self, key: str, reason: str, *, asker: Asker) -> Entry:
        """Give a file up, and say why; its bytes stay until it is purged.

        Raises
        ------
        ServiceError
            `NOT_FOUND`; `CONFLICT` if it is ended; `INVALID_REQUEST` without a reason.
        """
        words = _words(reason)
        with self.trail.acting() as act:
            self._discard(act.connection, act.record, self._held(act.connection, key, asker), words, asker)
            found = find_entry(act.connection, scope=asker.scope, key=key, is_read_only=True)
        assert found is not None
        return found

    def discard_all(self, sought: Sought, reason: str, *, asker: Asker) -> Bulk:
        """Give up what a filter finds, at most :data:`MOST_AT_ONCE` in one transaction."""
        words = _words(reason)
        chosen, n_left = self._chosen(sought, asker)
        done: list[str] = []
        with self.trail.acting() as act:
            for one in sorted(chosen, key=lambda entry: entry.id):
                entry = find_entry(act.connection, scope=asker.scope, key=one.key)
                if entry is not None and entry.state is HeldState.HELD:
                    self._discard(act.connection, act.record, entry, words, asker)
                    done.append(entry.key)
        return Bulk(tuple(done), (), n_left)

    def purge(self, *, asker: Asker, older_than_days: float | None = None, is_done: bool = True) -> Purged:
        """Remove what came last so long ago, but the originals of corrected files: their studies need them.

        The bytes go with the next collection, if nobody else refers to them.
        """
        days = self.days if older_than_days is None else older_than_days
        before_us = self.trail.clock() - int(days * _DAY_US)
        n_entries = n_bytes = 0
        sought = Sought(state=None, before_us=before_us)
        after: int | None = None
        while some := self._some(sought, asker, after):
            after = some[-1].id
            old = [entry for entry in some if entry.corrected_sha256 is None]
            if is_done:
                self._remove(old, asker, days)
            n_entries += len(old)
            n_bytes += sum(entry.n_bytes for entry in old if entry.object_sha256 is not None)
        return Purged(n_entries, n_bytes)

    def _some(self, sought: Sought, asker: Asker, after: int | None) -> Sequence[Entry]:
        with self.database.reading() as connection:
            return list_entries(connection, sought, scope=asker.scope, limit=_PURGED_AT_ONCE, after=after)

    def _remove(self, entries: Sequence[Entry], asker: Asker, days: float) -> None:
        with self.trail.acting() as act:
            for entry in sorted(entries, key=lambda one: one.id):
                remove_entry(act.connection, entry)
                details = {
                    "entry": entry.key,
                    "sha256": entry.sha256,
                    "state": entry.state,
                    "reason": entry.reason,
                    "older_than_days": days,
                }
                act.record(self._event(Action.QUARANTINE_PURGED, asker, details, entry))

    def _retry(self, key: str, asker: Asker) -> Retried:
        entry = self._found(key, asker, Action.QUARANTINE_RETRIED)
        if entry.state is not HeldState.HELD:
            raise _ended(entry)
        filling = Filling(entry, self.objects)
        retaken = self.retake(filling, name=entry.file_name, site=entry.site, who=asker.who)
        details = {
            "entry": key,
            "studies": [uid for _, uid in retaken.studies],
            "refused": sorted({line.reason for line in retaken.rejected}),
            "corrected": sorted(corrections_of(entry.corrections).edits),
        }
        with self.trail.acting() as act:
            hold_references(act.connection)
            result = Result.DONE if retaken.is_whole else Result.REFUSED
            if retaken.is_whole:
                studies = " ".join(study for study, _ in retaken.studies)
                end_entry(
                    act.connection,
                    entry,
                    HeldState.TAKEN,
                    ending=studies,
                    by=asker.who.name,
                    at_us=self.trail.clock(),
                    corrected_sha256=filling.corrected_sha256,
                )
            elif retaken.rejected:
                line = retaken.rejected[0]
                note_reason(act.connection, entry, problem=line.problem, remedy=line.remedy)
            uid = retaken.studies[0][1] if retaken.studies else None
            act.record(
                self._event(Action.QUARANTINE_RETRIED, asker, details, entry, result=result, study_uid=uid)
            )
            found = find_entry(act.connection, scope=asker.scope, key=key, is_read_only=True)
        return Retried(found or entry, retaken)

    def _discard(
        self,
        connection: "Connection",
        record: Callable[[AuditEvent], object],
        entry: Entry,
        words: str,
        asker: Asker,
    ) -> None:
        end_entry(
            connection,
            entry,
            HeldState.DISCARDED,
            ending=words,
            by=asker.who.name,
            at_us=self.trail.clock(),
        )
        details = {"entry": entry.key, "reason": entry.reason, "why": words}
        record(self._event(Action.QUARANTINE_DISCARDED, asker, details, entry))

    def _chosen(self, sought: Sought, asker: Asker) -> tuple[list[Entry], int]:
        with self.database.reading() as connection:
            chosen = list_entries(connection, sought, scope=asker.scope, limit=MOST_AT_ONCE)
            n_found = count_entries(connection, sought, scope=asker.scope, at_most=COUNTED_UP_TO)
        return chosen, n_found - len(chosen)

    def _found(self, key: str, asker: Asker, action: Action) -> Entry:
        with self.database.reading() as connection:
            entry = find_entry(connection, scope=asker.scope, key=key, is_read_only=True)
        if entry is None:
            moment = self.trail.clock()
            site, details = asker.site or NETWORK, {"reason": Problem.NOT_FOUND}
            self.trail.note(AuditEvent(action, asker.who, site, moment, Result.REFUSED, details=details))
            raise _unknown()
        return entry

    def _held(self, connection: "Connection", key: str, asker: Asker) -> Entry:
        entry = find_entry(connection, scope=asker.scope, key=key)
        if entry is None:
            raise _unknown()
        if entry.state is not HeldState.HELD:
            raise _ended(entry)
        return entry

    def _check_site(self, connection: "Connection", entry: Entry, site: str, asker: Asker) -> None:
        if site == entry.site:
            return
        if site not in asker.scope or not has_site(connection, site):
            raise ServiceError(Problem.NOT_FOUND, f"There is no site {site!r} that you could assign it to.")
        if (entry.sha256, entry.reason) in known_refusals(connection, [entry.sha256], site=site):
            raise ServiceError(
                Problem.CONFLICT,
                f"The site {site!r} was sent the same file and refused it: it lies in the quarantine there.",
            )

    def _check_correctable(self, entry: Entry) -> None:
        if entry.object_sha256 is None:
            raise ServiceError(
                Problem.CONFLICT,
                f"The bytes of {entry.key} are not kept: have its sender send it again, or discard it.",
            )
        if not is_dicom(self.objects.checked(entry.object_sha256)):
            raise ServiceError(
                Problem.INVALID_REQUEST,
                f"{entry.file_name} is no DICOM file: it has no attributes that could be corrected.",
            )

    def _view(self, entry: Entry, corrections: Corrections | None = None) -> EntryView:
        if entry.object_sha256 is None:
            return EntryView(entry, None)
        character_set = (corrections or corrections_of(entry.corrections)).character_set
        path = self.objects.checked(entry.object_sha256)
        if not is_dicom(path):
            return EntryView(entry, None)
        try:
            with open_object(path) as opened, malformed_is_corrupt(path):
                header_of(path, opened, character_set=character_set)
                header = json_of_object(opened, bulk_uri=lambda _: "")
            texts = [] if character_set is None else changed_texts(path, character_set)
        except ImageError:
            return EntryView(entry, None)
        for attribute in header.values():
            attribute.pop("BulkDataURI", None)  # nothing gives it out
        return EntryView(entry, header, tuple(texts))

    def _note(
        self, action: Action, asker: Asker, details: Mapping[str, object], entry: Entry | None = None
    ) -> None:
        self.trail.note(self._event(action, asker, details, entry))

    def _event(
        self,
        action: Action,
        asker: Asker,
        details: Mapping[str, object],
        entry: Entry | None,
        *,
        result: Result = Result.DONE,
        study_uid: str | None = None,
    ) -> AuditEvent:
        site = asker.site or NETWORK if entry is None else entry.site
        uid = study_uid or (None if entry is None else entry.header.study_uid or None)
        return AuditEvent(action, asker.who, site, self.trail.clock(), result, uid, details=details)


def _words(reason: str) -> str:
    words = reason.strip()
    if not words or len(words) > _MOST_WORDS:
        raise ServiceError(
            Problem.INVALID_REQUEST,
            f"To discard a file needs a reason of at most {_MOST_WORDS} characters: somebody may ask for it.",
        )
    return words


def _of_entry(line: Rejection, entry: Entry) -> Rejection:
    return Rejection(line.file, line.reason, line.problem, line.remedy, entry.key, is_kept=True)


def _unknown() -> ServiceError:
    return ServiceError(Problem.NOT_FOUND, "There is no such entry in the quarantine.")


def _ended(entry: Entry) -> ServiceError:
    return ServiceError(
        Problem.CONFLICT, f"The entry {entry.key} is {entry.state.value} already: nothing was changed."
    )
