"""The stored images under the UIDs that DICOM knows them by, with what a photograph cannot say of itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, select

from serving.store.studies import StoredInstance, instance_of
from serving.store.tables import instances, patients, studies
from serving.store.tenancy import Scope, within

# SQLite before 3.32 takes 999 values.
_UIDS_A_QUERY = 500


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What is known of the study of an image."""

    uid: str
    accession: str
    description: str
    received_at_us: int
    has_patient: bool
    issuer: str
    patient: str
    patient_name: str
    age_years: float | None
    sex: str | None
    body_site: str | None


@dataclass(frozen=True, slots=True)
class DicomImage:
    """One stored image, and whose it is; `sop_class_uid` is None for a photograph."""

    site: str
    study: StudyFacts
    instance: StoredInstance
    sop_class_uid: str | None


@dataclass(frozen=True, slots=True)
class KeptImage:
    """The UIDs under which some bytes are kept."""

    study_uid: str
    series_uid: str
    sop_instance_uid: str
    sop_class_uid: str | None


def find_kept(
    connection: Connection, *, site: str, study_keys: Sequence[str], uids: Sequence[str]
) -> dict[str, KeptImage]:
    """Give those images of some studies of a site that have one of some SOP Instance UIDs, by their hash."""
    found: dict[str, KeptImage] = {}
    for key in study_keys:
        for start in range(0, len(uids), _UIDS_A_QUERY):
            query = (
                select(studies.c.uid, instances)
                .join(studies, studies.c.id == instances.c.study_id)
                .where(
                    studies.c.site_id == site,
                    studies.c.key == key,
                    instances.c.sop_instance_uid.in_(uids[start : start + _UIDS_A_QUERY]),
                )
            )
            for row in connection.execute(query):
                kept = KeptImage(row.uid, row.series_uid, row.sop_instance_uid, row.sop_class_uid)
                found[row.sha256] = kept
    return found


@dataclass(frozen=True, slots=True)
class KnownInstance:
    """Whose an instance is, what it is, and under which hash its bytes are kept."""

    site: str
    sha256: str
    sop_class_uid: str | None


def find_instances(connection: Connection, *, scope: Scope, uids: Sequence[str]) -> dict[str, KnownInstance]:
    """Give those instances of some UIDs that are in the scope, whichever study they are of."""
    found: dict[str, KnownInstance] = {}
    for start in range(0, len(uids), _UIDS_A_QUERY):
        named = instances.c.sop_instance_uid.in_(uids[start : start + _UIDS_A_QUERY])
        query = select(instances).where(within(scope, instances.c.site_id), named)
        for row in connection.execute(query):
            found[row.sop_instance_uid] = KnownInstance(row.site_id, row.sha256, row.sop_class_uid)
    return found


def find_images(
    connection: Connection,
    *,
    scope: Scope,
    study_uid: str,
    series_uid: str | None = None,
    sop_instance_uid: str | None = None,
) -> list[DicomImage]:
    """Give the images of a study, of one series of it, or one image, in the order of their arrival.

    Two sites may have a study of one UID; then the images of both are given, those of a site together.
    """
    condition = within(scope, studies.c.site_id) & (studies.c.uid == study_uid)
    if series_uid is not None:
        condition &= instances.c.series_uid == series_uid
    if sop_instance_uid is not None:
        condition &= instances.c.sop_instance_uid == sop_instance_uid
    rows = connection.execute(
        select(
            instances,
            studies.c.uid,
            studies.c.accession,
            studies.c.description,
            studies.c.received_at.label("study_received_at"),
            studies.c.patient_id,
            studies.c.age_years,
            studies.c.sex,
            studies.c.body_site,
            patients.c.issuer,
            patients.c.identifier,
            patients.c.name,
        )
        .join(studies, studies.c.id == instances.c.study_id)
        .outerjoin(patients, patients.c.id == studies.c.patient_id)
        .where(condition)
        .order_by(studies.c.id, instances.c.id)
    )
    facts: dict[int, StudyFacts] = {}
    return [
        DicomImage(
            site=row.site_id,
            study=facts.setdefault(row.study_id, _study_facts(row)),
            instance=instance_of(row),
            sop_class_uid=row.sop_class_uid,
        )
        for row in rows
    ]


def _study_facts(row: Row[*tuple[object, ...]]) -> StudyFacts:
    return StudyFacts(
        uid=row.uid,
        accession=row.accession,
        description=row.description,
        received_at_us=row.study_received_at,
        has_patient=row.patient_id is not None,
        issuer=row.issuer or "",
        patient=row.identifier or "",
        patient_name=row.name or "",
        age_years=row.age_years,
        sex=row.sex,
        body_site=row.body_site,
    )
