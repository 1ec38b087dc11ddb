"""One study as it is stored: its images, its scores, its place; and the states it goes through.

A study is `received`, then `scoring`, and ends as `scored`, `abstained` (the picture is novel or poor, or
no model is for it) or `failed`. Whatever its state, it stays in the queue.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, Row, and_, case, func, or_, select, update

from serving.store.queue import Placement, placement_of
from serving.store.tables import instances, patients, queue_entries, studies
from serving.store.tenancy import Scope, within


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """One stored image."""

    sop_instance_uid: str
    series_uid: str
    modality: str
    n_frames: int
    rows: int
    columns: int
    sha256: str
    file_name: str


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """One study with its images and its place; `problem` says why it failed or was abstained from."""

    id: int
    site: str
    key: str
    uid: str
    state: str
    reason: str | None
    problem: str | None
    revision: int
    priority: str
    modality: str
    accession: str
    description: str
    received_at_us: int
    performed_at_us: int | None
    patient: str | None
    patient_name: str | None
    age_years: float | None
    sex: str | None
    body_site: str | None
    skin_type: int | None
    clinical_question: str | None
    placement: Placement
    instances: tuple[StoredInstance, ...]


def find_study(connection: Connection, *, scope: Scope, key: str) -> StoredStudy | None:
    """Give a study by the key that stands in its address, None if there is none in the scope."""
    return _find(connection, and_(within(scope, studies.c.site_id), studies.c.key == key))


def find_instance(
    connection: Connection, *, scope: Scope, key: str, sop_instance_uid: str
) -> StoredInstance | None:
    """Give one image of a study, None if there is none in the scope."""
    row = connection.execute(
        select(instances)
        .join(studies, studies.c.id == instances.c.study_id)
        .where(
            within(scope, studies.c.site_id),
            studies.c.key == key,
            instances.c.sop_instance_uid == sop_instance_uid,
        )
    ).first()
    return None if row is None else _instance(row)


def find_uid(connection: Connection, *, scope: Scope, key: str) -> tuple[str, str] | None:
    """Give the UID of a study and its site, None if there is none in the scope."""
    query = select(studies.c.uid, studies.c.site_id).where(
        within(scope, studies.c.site_id), studies.c.key == key
    )
    row = connection.execute(query).first()
    return None if row is None else (row.uid, row.site_id)


def claim_next(connection: Connection, *, max_attempts: int) -> StoredStudy | None:
    """Take the study that is due first of those that wait for a score, over all sites; None if none does.

    A study that was begun `max_attempts` times and never finished has stopped its process each time: it is
    marked as failed and left to the reader.
    """
    worn_out = (
        select(studies.c.id)
        .where(studies.c.state == "received", studies.c.n_attempts >= max_attempts)
        .with_for_update(skip_locked=True)
    )
    connection.execute(
        update(studies)
        .where(studies.c.id.in_(worn_out))
        .values(
            state="failed",
            reason="model-failed",
            problem=f"stopped its scoring process {max_attempts} times",
        )
    )
    study_id = connection.execute(
        select(studies.c.id)
        .join(queue_entries, queue_entries.c.study_id == studies.c.id)
        .where(studies.c.state == "received")
        .order_by(queue_entries.c.due_at, studies.c.id)
        .limit(1)
        .with_for_update(
            of=studies, skip_locked=True
        )  # what another process takes just now is not waited for
    ).scalar_one_or_none()
    if study_id is None:
        return None
    connection.execute(
        update(studies)
        .where(studies.c.id == study_id)
        .values(state="scoring", n_attempts=studies.c.n_attempts + 1)
    )
    return _find(connection, studies.c.id == study_id)


def hand_back(connection: Connection, study_ids: list[int]) -> None:
    """Let studies wait for a score again whose scoring was called off; it does not count as an attempt."""
    connection.execute(
        update(studies)
        .where(studies.c.id.in_(study_ids), studies.c.state == "scoring")
        .values(state="received", n_attempts=studies.c.n_attempts - 1)
    )


def recover(connection: Connection) -> int:
    """Let every study wait for a score again that a process left half-done or that had no model then.

    Gives their number. Called at a start, when no scoring can be under way. To have found no model is no
    attempt: else a study would be called failed after a few starts, and no later model would see it.
    """
    had_no_model = studies.c.reason == "no-model"
    return connection.execute(
        update(studies)
        .where(or_(studies.c.state == "scoring", had_no_model))
        .values(
            state="received",
            n_attempts=case((had_no_model, 0), else_=studies.c.n_attempts),
            reason=None,
            problem=None,
        )
    ).rowcount


def mark(
    connection: Connection, study: StoredStudy, *, state: str, reason: str | None, problem: str | None
) -> str | None:
    """Set the state in which a study's scoring ended, and give the priority it has by now.

    None if the study was opened again meanwhile: then nothing is set, and the study waits for another score.
    """
    return connection.execute(
        update(studies)
        .where(studies.c.id == study.id, studies.c.revision == study.revision, studies.c.state == "scoring")
        .values(state=state, reason=reason, problem=problem)
        .returning(studies.c.priority)
    ).scalar_one_or_none()


def count_by_state(connection: Connection) -> dict[str, int]:
    """Give how many studies are in each state, over all sites."""
    query = select(studies.c.state, func.count()).group_by(studies.c.state)
    return dict(connection.execute(query).all())


def _find(connection: Connection, condition: object) -> StoredStudy | None:
    query = (
        select(studies, patients.c.identifier, patients.c.name.label("patient_name"))
        .outerjoin(patients, patients.c.id == studies.c.patient_id)
        .where(condition)  # type: ignore[arg-type]
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    images = connection.execute(
        select(instances).where(instances.c.study_id == row.id).order_by(instances.c.id)
    )
    placement = placement_of(connection, site=row.site_id, study_id=row.id)
    return _study(row, placement, tuple(_instance(image) for image in images))


def _study(
    row: Row[*tuple[object, ...]], placement: Placement, images: tuple[StoredInstance, ...]
) -> StoredStudy:
    return StoredStudy(
        id=row.id,
        site=row.site_id,
        key=row.key,
        uid=row.uid,
        state=row.state,
        reason=row.reason,
        problem=row.problem,
        revision=row.revision,
        priority=row.priority,
        modality=row.modality,
        accession=row.accession,
        description=row.description,
        received_at_us=row.received_at,
        performed_at_us=row.performed_at,
        patient=row.identifier,
        patient_name=row.patient_name,
        age_years=row.age_years,
        sex=row.sex,
        body_site=row.body_site,
        skin_type=row.skin_type,
        clinical_question=row.clinical_question,
        placement=placement,
        instances=images,
    )


def _instance(row: Row[*tuple[object, ...]]) -> StoredInstance:
    return StoredInstance(
        sop_instance_uid=row.sop_instance_uid,
        series_uid=row.series_uid,
        modality=row.modality,
        n_frames=row.n_frames,
        rows=row.rows,
        columns=row.columns,
        sha256=row.sha256,
        file_name=row.file_name,
    )
