"""One study as it is stored: its images, its scores, its place; and the states it goes through.

A study is `received`, then `scoring`, and ends as `scored`, `abstained` (the picture is novel or poor, or
no model is for it) or `failed`. Whatever its state, it stays in the queue.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, Row, and_, func, select

from serving.store.queue import Placement, placement_of
from serving.store.tables import instances, patients, studies
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
    duration: str | None
    changes: tuple[str, ...]
    change_note: str | None
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
    return None if row is None else instance_of(row)


def find_uid(connection: Connection, *, scope: Scope, key: str) -> tuple[str, str] | None:
    """Give the UID of a study and its site, None if there is none in the scope."""
    query = select(studies.c.uid, studies.c.site_id).where(
        within(scope, studies.c.site_id), studies.c.key == key
    )
    row = connection.execute(query).first()
    return None if row is None else (row.uid, row.site_id)


def frames_of(connection: Connection, *, scope: Scope, study_id: int) -> dict[str, int]:
    """Give how many frames each image of a study has, by its SOP Instance UID."""
    query = select(instances.c.sop_instance_uid, instances.c.n_frames).where(
        within(scope, instances.c.site_id), instances.c.study_id == study_id
    )
    return dict(connection.execute(query).all())


def find_by_id(connection: Connection, study_id: int) -> StoredStudy:
    """Give a study, of whatever site, for those who score it."""
    found = _find(connection, studies.c.id == study_id)
    assert found is not None
    return found


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
    return _study(row, placement, tuple(instance_of(image) for image in images))


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
        duration=row.duration,
        changes=tuple(row.changes.split(",")) if row.changes else (),
        change_note=row.change_note,
        placement=placement,
        instances=images,
    )


def instance_of(row: Row[*tuple[object, ...]]) -> StoredInstance:
    """Give the stored image of a row of its table."""
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
