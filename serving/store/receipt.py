"""Writes down what has come in: one transaction for an upload, after its bytes are on disk.

The same bytes sent twice give one result. An image of a study that is already known, or a higher priority
for one that is scored, re-opens that study under a new revision; its place in the queue only ever moves
forward. A study of which more may come is listed and placed as every other, and gets its job when it is
complete (:mod:`serving.store.arrivals`).
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from data.dicom.writing import uid_of_digest
from data.study import Announced, StudyListing
from serving.store.arrivals import Ending, Wait, begin_wait, end_wait, wait_of, wait_on
from serving.store.events import Happening, StudyEvent
from serving.store.expected import announce, expected_total, turn_at
from serving.store.jobs import Enqueue, Job, open_job
from serving.store.listings import ListedStudy, as_integer_string, list_study
from serving.store.orders import Examined, StudyOrder, turn_of_accession, wish_of
from serving.store.queue import Placement, place, place_no_later, wait_again
from serving.store.references import hold_references
from serving.store.tables import instances, objects, patients, series, studies
from serving.store.turns import is_shared_by_writers, take_turns_at
from serving.store.upserts import insert_unless_there

# The doctor's priorities, the most urgent first.
PRIORITIES = ("stat", "urgent", "routine")

_CONTEXT_FIELDS = (
    "age_years",
    "sex",
    "body_site",
    "skin_type",
    "clinical_question",
    "duration",
    "changes",
    "change_note",
)

# SQLite before 3.32 takes 999 values; a study that gets more at a time is read whole.
_UIDS_A_QUERY = 500

# Built once: to build a statement costs as much as to run it.
_KNOWN = (
    select(studies)
    .where(studies.c.site_id == bindparam("site"), studies.c.uid == bindparam("uid"))
    .with_for_update()
)
_NEW = insert(studies).returning(studies.c.id)
_PATIENT = select(patients.c.id).where(
    patients.c.site_id == bindparam("site"),
    patients.c.issuer == bindparam("issuer"),
    patients.c.identifier == bindparam("identifier"),
)
_STORED = select(instances.c.sop_instance_uid, instances.c.sha256).where(
    instances.c.study_id == bindparam("study_id")
)
_STORED_AMONG = _STORED.where(instances.c.sop_instance_uid.in_(bindparam("uids", expanding=True)))
_NEW_INSTANCE = insert(instances)


@dataclass(frozen=True, slots=True)
class ArrivedInstance:
    """One image whose bytes are stored; `file_name` is its name as the sender knows it."""

    sop_instance_uid: str
    sop_class_uid: str | None
    series_uid: str
    modality: str
    n_frames: int
    rows: int
    columns: int
    sha256: str
    n_bytes: int
    file_name: str
    number: int | None = None
    series_number: int | None = None
    series_description: str = ""
    body_part: str = ""


@dataclass(frozen=True, slots=True)
class ArrivedPatient:
    """Who it is: an identifier counts only together with its issuer."""

    issuer: str
    identifier: str
    name: str


@dataclass(frozen=True, slots=True)
class ArrivedStudy:
    """A study as it came in, or a part of one."""

    uid: str
    modality: str
    priority: str
    instances: tuple[ArrivedInstance, ...]
    patient: ArrivedPatient | None = None
    accession: str = ""
    description: str = ""
    performed_at_us: int | None = None
    age_years: float | None = None
    sex: str | None = None
    body_site: str | None = None
    skin_type: int | None = None
    clinical_question: str | None = None
    duration: str | None = None
    changes: str | None = None
    change_note: str | None = None
    listing: StudyListing = field(default_factory=StudyListing)
    announced: tuple[Announced, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a study: `n_new` images were added.

    `waits_until_us` is the moment until which more are waited for, None if it is complete, and then `ending`
    says why, if that is new. `is_late` says that images came after it had been complete. `events` are what
    happened, to be written at the end of the transaction (:func:`serving.store.events.add_events`).
    `orders` are those under its accession number.

    `duplicates` were not: each has the SOP Instance UID of an image that is there, and other bytes.
    """

    study_key: str
    uid: str
    state: str
    n_images: int
    n_new: int
    waits_until_us: int | None = None
    ending: Ending | None = None
    is_late: bool = False
    events: tuple[StudyEvent, ...] = ()
    duplicates: tuple[ArrivedInstance, ...] = ()
    orders: tuple[StudyOrder, ...] = ()


def hold(
    connection: Connection,
    arrived: Sequence[ArrivedStudy],
    *,
    site: str,
    now_us: int,
    beside: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Take every turn that writing some studies down needs, before the first is written.

    `beside` are the sizes of objects, by hash, that other rows of the same transaction will refer to.

    Where writers work side by side, two senders of the same study then come one after the other, and those of
    several studies cannot wait for each other.
    """
    if not is_shared_by_writers(connection):
        return
    hold_references(connection)
    names = {turn_at(site, item.uid) for item in arrived}
    names |= {turn_of_accession(site, item.accession) for item in arrived if item.accession}
    patients_of = [item.patient for item in arrived if item.patient is not None]
    names |= {f"patient\0{site}\0{one.issuer}\0{one.identifier}" for one in patients_of}
    take_turns_at(connection, names)
    if len(arrived) > 1 or beside:  # each study by itself has its objects in order; so do all of them then
        images = {image.sha256: image.n_bytes for item in arrived for image in item.instances}
        write_objects(connection, images | dict(beside), now_us=now_us)


class StudyFullError(Exception):
    """A known study would get more images than one may have; nothing of them was written."""

    def __init__(self, n_images: int) -> None:
        self.n_images = n_images
        super().__init__(f"the study would have {n_images:,} images")


def record(
    connection: Connection,
    arrived: ArrivedStudy,
    *,
    site: str,
    now_us: int,
    place_unscored: Callable[[int, str], Placement],
    enqueue: Enqueue,
    max_images: int,
    quiet_us: int | None = None,
) -> Receipt:
    """Write one study down, give it a place in the queue and, if it is to be scored, a job.

    Parameters
    ----------
    connection : Connection
        A writing one; what it commits is what the sender is told. It holds the study (:func:`hold`).
    arrived : ArrivedStudy
        Its objects must be durable already.
    site : str
        Whose study it is.
    now_us : int, us since 1970 UTC
        When it arrived.
    place_unscored : callable
        Gives the place of a study without a score from the time it was received and its priority.
    enqueue : callable
        Puts the study's job into the queue, in the same transaction.
    max_images : int
        How many a study may have, over all its arrivals.
    quiet_us : int or None, us
        For how long more images are waited for; None: these were all, says their sender.

    Raises
    ------
    StudyFullError
        If it would have more.
    """
    arrived, ordered = _as_ordered(connection, arrived, site=site)
    known = _known(connection, arrived.uid, site=site)
    if known is not None and _is_of_another(connection, arrived.patient, known.patient_id):
        arrived = replace(arrived, uid=_uid_for(arrived))
        known = _known(connection, arrived.uid, site=site)
    new, duplicates = _new_instances(
        connection, arrived.instances, study_id=None if known is None else known.id
    )
    if known is not None and duplicates and len(duplicates) == len(arrived.instances):
        return Receipt(known.key, arrived.uid, known.state, known.n_images, 0, duplicates=duplicates)
    if (n_images := len(new) + (known.n_images if known else 0)) > max_images:
        raise StudyFullError(n_images)
    if arrived.announced:
        announce(connection, arrived.announced, site=site, study_uid=arrived.uid, now_us=now_us)
    has_all = quiet_us is not None and _has_all(connection, arrived.uid, site=site, n_images=n_images)
    arrival = _Arrival(site, now_us, quiet_us, has_all)
    if known is None:
        receipt = _record_new(
            connection,
            arrived,
            new,
            arrival,
            place_unscored=place_unscored,
            enqueue=enqueue,
        )
    else:
        receipt = _record_more(
            connection,
            arrived,
            known,
            new,
            arrival,
            place_unscored=place_unscored,
            enqueue=enqueue,
        )
    return replace(receipt, duplicates=duplicates, orders=ordered)


@dataclass(frozen=True, slots=True)
class _Arrival:
    """Where and when a study arrives, and for how long more of it is waited for, None: not at all.

    `has_all` says that as many images are there as were announced.
    """

    site: str
    now_us: int
    quiet_us: int | None
    has_all: bool

    @property
    def ending(self) -> Ending | None:
        """Why the study is complete with this, None if it is waited for."""
        if self.quiet_us is None:
            return Ending.SENDER
        if self.has_all:
            return Ending.COUNT
        return None if self.quiet_us > 0 else Ending.AT_ONCE

    def event(self, study_id: int, kind: Happening, **details: object) -> StudyEvent:
        return StudyEvent(study_id, self.site, kind, self.now_us, details)


def _has_all(connection: Connection, uid: str, *, site: str, n_images: int) -> bool:
    expected = expected_total(connection, site=site, study_uid=uid)
    return expected is not None and n_images >= expected


def _record_new(
    connection: Connection,
    arrived: ArrivedStudy,
    new: Mapping[str, ArrivedInstance],
    arrival: _Arrival,
    *,
    place_unscored: Callable[[int, str], Placement],
    enqueue: Enqueue,
) -> Receipt:
    site, now_us, ending, n_images = arrival.site, arrival.now_us, arrival.ending, len(new)
    study_id, key = _insert_study(
        connection, arrived, n_images=n_images, site=site, now_us=now_us, job=0 if ending is None else 1
    )
    list_study(connection, _listed(arrived), site=site, study_id=study_id)
    _insert_instances(connection, new, site=site, study_id=study_id, now_us=now_us)
    placement = place_unscored(now_us, arrived.priority)
    place(connection, site=site, study_id=study_id, placement=placement)
    due = {"due_at_us": placement.due_at_us, "tier": placement.tier, "images": n_images}
    events = [arrival.event(study_id, Happening.RECEIVED, **due)]
    waits_until_us = None
    if ending is None:
        waits_until_us = begin_wait(
            connection, study_id, site=site, now_us=now_us, quiet_us=arrival.quiet_us or 0
        )
    else:
        enqueue(connection, Job(key, revision=1, number=1, due_at_us=placement.due_at_us))
        events.append(arrival.event(study_id, Happening.COMPLETE, why=ending, images=n_images))
    return Receipt(
        key,
        arrived.uid,
        "received",
        n_images,
        n_images,
        waits_until_us=waits_until_us,
        ending=ending,
        events=tuple(events),
    )


def _record_more(
    connection: Connection,
    arrived: ArrivedStudy,
    known: Row[*tuple[Any, ...]],
    new: Mapping[str, ArrivedInstance],
    arrival: _Arrival,
    *,
    place_unscored: Callable[[int, str], Placement],
    enqueue: Enqueue,
) -> Receipt:
    """Add to a study that is known: one that is waited for, or one that was complete and is opened again."""
    site, now_us, n_images = arrival.site, arrival.now_us, len(new) + known.n_images
    wait = wait_of(connection, known.id)
    _insert_instances(connection, new, site=site, study_id=known.id, now_us=now_us)
    events: list[StudyEvent] = []
    priority = min(known.priority, arrived.priority, key=PRIORITIES.index)
    # What is complete and nobody has begun to score is not late yet: its sender sends in several requests.
    is_late = bool(new) and wait is None and (arrival.ending is None or known.state != "received")
    if is_late:
        facts = {"new_images": len(new), "images": n_images, "state": known.state}
        events.append(arrival.event(known.id, Happening.LATE_IMAGE, **facts))
    if new or priority != known.priority:
        placement = place_unscored(known.received_at, priority)
        before = place_no_later(connection, site=site, study_id=known.id, placement=placement)
        if before is not None:
            facts = {"due_at_us": placement.due_at_us, "tier": placement.tier}
            facts |= {"due_before_us": before.due_at_us}
            events.append(arrival.event(known.id, Happening.RE_RANKED, **facts))
    if new:
        wait_again(connection, site=site, study_id=known.id, now_us=now_us)
    state = known.state
    changes: dict[str, object] = {"priority": priority, "n_images": n_images}
    changes |= {name: getattr(arrived, name) for name in _CONTEXT_FIELDS if getattr(known, name) is None}
    # A scored study whose doctor now asks for more is scored again: its reason line speaks of both. One that
    # waits for its score has a job that waits at its old place.
    is_reopened = wait is None and (
        bool(new) or (priority != known.priority and state not in {"received", "scoring"})
    )
    needs_job = wait is None and (is_reopened or (priority != known.priority and state == "received"))
    if is_reopened:
        state = "received"
        changes |= {"revision": known.revision + 1, "n_attempts": 0, "reason": None, "problem": None}
        changes |= {"state_since": now_us}
    waits_until_us, ending = _await_more(connection, known.id, wait, arrival, has_new=bool(new))
    if wait is not None and ending is not None:
        needs_job = True
        changes |= {"state_since": now_us}
    connection.execute(update(studies).where(studies.c.id == known.id).values(state=state, **changes))
    if needs_job and waits_until_us is None:
        enqueue(connection, open_job(connection, known.id))
    if ending is not None:
        events.append(arrival.event(known.id, Happening.COMPLETE, why=ending, images=n_images))
    return Receipt(
        known.key,
        arrived.uid,
        state,
        n_images,
        len(new),
        waits_until_us=waits_until_us,
        ending=ending,
        is_late=is_late,
        events=tuple(events),
    )


def _await_more(
    connection: Connection, study_id: int, wait: Wait | None, arrival: _Arrival, *, has_new: bool
) -> tuple[int | None, Ending | None]:
    """Begin, prolong or end the wait for more images of a known study: until when, and why it ends now."""
    quiet_us, ending = arrival.quiet_us or 0, arrival.ending
    if wait is None:
        if ending is not None or not has_new:
            return None, ending if has_new else None
        until_us = begin_wait(
            connection, study_id, site=arrival.site, now_us=arrival.now_us, quiet_us=quiet_us
        )
        return until_us, None
    if ending is None or ending is Ending.AT_ONCE:
        return wait_on(connection, study_id, wait, now_us=arrival.now_us, quiet_us=quiet_us), None
    end_wait(connection, study_id)
    return None, ending


def _as_ordered(
    connection: Connection, arrived: ArrivedStudy, *, site: str
) -> tuple[ArrivedStudy, tuple[StudyOrder, ...]]:
    """Let a study have what its orders ask for, as if its sender had said so."""
    patient = arrived.patient
    examined = Examined(
        patient=patient.identifier if patient else "",
        issuer=patient.issuer if patient else "",
        birth_date=arrived.listing.birth_date,
    )
    wish = wish_of(connection, examined, site=site, accession=arrived.accession)
    priority = min(arrived.priority, wish.priority or arrived.priority, key=PRIORITIES.index)
    question = arrived.clinical_question or wish.question
    return replace(arrived, priority=priority, clinical_question=question), wish.orders


def _known(connection: Connection, uid: str, *, site: str) -> Row[*tuple[Any, ...]] | None:
    return connection.execute(_KNOWN, {"site": site, "uid": uid}).first()


def _is_of_another(connection: Connection, patient: ArrivedPatient | None, known_id: int | None) -> bool:
    """Whether a study's images say that they are of another patient; what is not said is no difference."""
    known = connection.execute(select(patients).where(patients.c.id == known_id)).first()
    if patient is None or known is None:
        return False
    said = ((patient.identifier, known.identifier), (patient.issuer, known.issuer))
    return any(ours and theirs and ours != theirs for ours, theirs in said)


def _uid_for(arrived: ArrivedStudy) -> str:
    """Make a Study UID for a patient under whose UID another's study stands already; always the same one.

    Two patients in one study break the standard (PS3.3 A.1.2), yet one must never be shown as the other.
    """
    assert arrived.patient is not None
    words = arrived.uid, arrived.patient.issuer, arrived.patient.identifier
    return uid_of_digest(hashlib.sha256("\0".join(words).encode()).digest())


def _insert_study(
    connection: Connection, arrived: ArrivedStudy, *, n_images: int, site: str, now_us: int, job: int
) -> tuple[int, str]:
    key = secrets.token_hex(16)
    values = {
        "site_id": site,
        "key": key,
        "uid": arrived.uid,
        "patient_id": _patient_id(connection, arrived.patient, site=site),
        "accession": arrived.accession,
        "description": arrived.description,
        "modality": arrived.modality,
        "performed_at": arrived.performed_at_us,
        "received_at": now_us,
        "priority": arrived.priority,
        "state": "received",
        "revision": 1,
        "n_attempts": 0,
        "n_images": n_images,
        "state_since": now_us,
        "job": job,
    }
    context = {name: getattr(arrived, name) for name in _CONTEXT_FIELDS}
    return connection.execute(_NEW, values | context).scalar_one(), key


def _patient_id(connection: Connection, patient: ArrivedPatient | None, *, site: str) -> int | None:
    if patient is None:
        return None
    who = {"issuer": patient.issuer, "identifier": patient.identifier}
    unless_there = insert_unless_there(connection, patients)
    connection.execute(unless_there, {"site_id": site, "name": patient.name, **who})
    patient_id: int = connection.execute(_PATIENT, {"site": site, **who}).scalar_one()
    return patient_id


def _new_instances(
    connection: Connection, arrived: Sequence[ArrivedInstance], *, study_id: int | None
) -> tuple[dict[str, ArrivedInstance], tuple[ArrivedInstance, ...]]:
    """Give the images that the study does not have yet, by their UID, and those whose UID another has.

    Images that an earlier version kept under a UID made of their hash are known by it.
    """
    stored: dict[str, str] = {}
    if study_id is not None:
        uids = {item.sop_instance_uid for item in arrived} | {_uid_of(item) for item in arrived}
        query = _STORED if len(uids) > _UIDS_A_QUERY else _STORED_AMONG
        stored = dict(connection.execute(query, {"study_id": study_id, "uids": list(uids)}).all())
    new: dict[str, ArrivedInstance] = {}
    duplicates: list[ArrivedInstance] = []
    for item in arrived:
        uid = item.sop_instance_uid
        if uid not in stored:
            stored[uid] = item.sha256
            new[uid] = item
        elif item.sha256 not in {stored[uid], stored.get(_uid_of(item))}:
            duplicates.append(item)
    return new, tuple(duplicates)


def _uid_of(item: ArrivedInstance) -> str:
    return uid_of_digest(bytes.fromhex(item.sha256))


def _insert_instances(
    connection: Connection, new: Mapping[str, ArrivedInstance], *, site: str, study_id: int, now_us: int
) -> None:
    if not new:
        return
    write_objects(connection, {item.sha256: item.n_bytes for item in new.values()}, now_us=now_us)
    one_of = {item.series_uid: item for item in new.values()}
    connection.execute(
        insert_unless_there(connection, series),
        [
            {
                "site_id": site,
                "study_id": study_id,
                "uid": uid,
                "modality": item.modality,
                "number": as_integer_string(item.series_number),
                "description": item.series_description,
                "body_part": item.body_part,
            }
            for uid, item in one_of.items()
        ],
    )
    connection.execute(
        _NEW_INSTANCE,
        [
            {
                "site_id": site,
                "study_id": study_id,
                "sop_instance_uid": uid,
                "sop_class_uid": item.sop_class_uid,
                "series_uid": item.series_uid,
                "modality": item.modality,
                "n_frames": item.n_frames,
                "rows": item.rows,
                "columns": item.columns,
                "sha256": item.sha256,
                "file_name": item.file_name,
                "received_at": now_us,
                "number": as_integer_string(item.number),
            }
            for uid, item in new.items()
        ],
    )


def write_objects(connection: Connection, n_bytes: Mapping[str, int], *, now_us: int) -> None:
    """Write down which objects there are, always in the same order: none waits for one who waits for it."""
    if not n_bytes:
        return
    rows = [{"sha256": sha256, "n_bytes": n_bytes[sha256], "stored_at": now_us} for sha256 in sorted(n_bytes)]
    connection.execute(insert_unless_there(connection, objects), rows)


def _listed(arrived: ArrivedStudy) -> ListedStudy:
    patient, listing = arrived.patient, arrived.listing
    return ListedStudy(
        uid=arrived.uid,
        patient=patient.identifier if patient else "",
        issuer=patient.issuer if patient else "",
        patient_name=patient.name if patient else "",
        birth_date=listing.birth_date,
        sex=arrived.sex or "",
        date=listing.date,
        time=listing.time,
        timezone=listing.timezone,
        accession=arrived.accession,
        study_id=listing.study_id,
        referring_physician=listing.referring_physician,
        description=arrived.description,
    )
