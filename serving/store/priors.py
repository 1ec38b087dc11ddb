"""The other studies of a study's patient.

A patient is an identifier and its issuer. Without an identifier nobody is known to be the same; without an
issuer an identifier says who somebody is at one site alone.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from serving.store.tables import studies, study_listings
from serving.store.tenancy import Scope, within


@dataclass(frozen=True, slots=True)
class Prior:
    """Another study of the patient; `date` and `time` are as DICOM writes them, empty where not known."""

    key: str
    uid: str
    site: str
    modality: str
    description: str
    date: str
    time: str
    received_at_us: int
    n_images: int
    state: str


def priors_of(connection: Connection, *, scope: Scope, study_id: int, limit: int) -> list[Prior]:
    """Give the other studies of the patient of a study, within the scope, those of the last date first.

    Notes
    -----
    They are read off ``ix_study_listings_patient_newest`` backwards, so a patient with many costs no more.
    """
    of = connection.execute(
        select(study_listings.c.patient, study_listings.c.issuer, study_listings.c.site_id).where(
            within(scope, study_listings.c.site_id), study_listings.c.study_id == study_id
        )
    ).first()
    if of is None or not of.patient.strip():
        return []
    seen = scope if of.issuer.strip() else Scope.of(of.site_id)
    query = (
        select(study_listings, studies.c.key, studies.c.modality)
        .add_columns(studies.c.received_at, studies.c.n_images, studies.c.state)
        .join(studies, studies.c.id == study_listings.c.study_id)
        .where(
            study_listings.c.patient == of.patient,
            study_listings.c.issuer == of.issuer,
            within(seen, study_listings.c.site_id),
            study_listings.c.study_id != study_id,
        )
        .order_by(
            study_listings.c.date.desc(), study_listings.c.time.desc(), study_listings.c.study_id.desc()
        )
        .limit(limit)
    )
    return [
        Prior(
            key=row.key,
            uid=row.uid,
            site=row.site_id,
            modality=row.modality,
            description=row.description,
            date=row.date,
            time=row.time,
            received_at_us=row.received_at,
            n_images=row.n_images,
            state=row.state,
        )
        for row in connection.execute(query)
    ]
