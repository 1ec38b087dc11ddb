"""What models said of a study: one score a revision and model version, with its key images."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, select

from serving.store.tables import key_images, scores
from serving.store.tenancy import Scope, within
from serving.store.upserts import insert

Polygon = list[list[float]]


@dataclass(frozen=True, slots=True)
class StoredKeyImage:
    """One of the few images to look at first.

    `contour` is a list of polygons in fractions of the frame's width and height; `frame_number` counts
    from 1.
    """

    sop_instance_uid: str
    frame_number: int
    evidence: float | None
    contour: list[Polygon]


@dataclass(frozen=True, slots=True)
class StoredScore:
    """One model's result, with everything needed to say later how it came about.

    `probabilities` holds for each class its key, both names, probability and whether it is a finding;
    `operating_point` its name, the findings that reach it and what of the patient counted; `unread` the
    files that were left out; `id` names it among the stored ones.
    """

    model_name: str
    model_version: str
    onnx_sha256: str
    preprocessing_sha256: str
    provider: str
    operating_point: dict[str, object]
    probabilities: list[dict[str, object]]
    novelty: float | None
    quality: float | None
    is_abstained: bool
    unread: list[str]
    key_images: tuple[StoredKeyImage, ...]
    scored_at_us: int
    id: int | None = field(default=None, compare=False)


def record_score(
    connection: Connection, score: StoredScore, *, site: str, study_id: int, revision: int
) -> bool:
    """Write a score down; False if that model version has scored this revision before."""
    columns = {
        name: getattr(score, name)
        for name in (
            "model_name",
            "model_version",
            "onnx_sha256",
            "preprocessing_sha256",
            "provider",
            "operating_point",
            "probabilities",
            "novelty",
            "quality",
            "is_abstained",
            "unread",
        )
    }
    score_id = connection.execute(
        insert(connection, scores)
        .values(site_id=site, study_id=study_id, revision=revision, scored_at=score.scored_at_us, **columns)
        .on_conflict_do_nothing()
        .returning(scores.c.id)
    ).scalar_one_or_none()
    if score_id is None:
        return False
    for rank, image in enumerate(score.key_images):
        connection.execute(
            key_images.insert().values(
                score_id=score_id,
                rank=rank,
                sop_instance_uid=image.sop_instance_uid,
                frame_number=image.frame_number,
                evidence=image.evidence,
                contour=image.contour,
            )
        )
    return True


def find_score(connection: Connection, *, scope: Scope, study_id: int, score_id: int) -> StoredScore | None:
    """Give a score of a study, None if it is none of that study, or of none in the scope."""
    query = select(scores).where(
        within(scope, scores.c.site_id), scores.c.study_id == study_id, scores.c.id == score_id
    )
    row = connection.execute(query).first()
    return None if row is None else _score(connection, row)


def newest_score(connection: Connection, *, scope: Scope, study_id: int) -> StoredScore | None:
    """Give the last score of a study, None if it has none or is not in the scope."""
    row = connection.execute(
        select(scores)
        .where(within(scope, scores.c.site_id), scores.c.study_id == study_id)
        .order_by(scores.c.id.desc())
        .limit(1)
    ).first()
    return None if row is None else _score(connection, row)


def _score(connection: Connection, row: Row[*tuple[Any, ...]]) -> StoredScore:
    images = connection.execute(
        select(key_images).where(key_images.c.score_id == row.id).order_by(key_images.c.rank)
    )
    return StoredScore(
        model_name=row.model_name,
        model_version=row.model_version,
        onnx_sha256=row.onnx_sha256,
        preprocessing_sha256=row.preprocessing_sha256,
        provider=row.provider,
        operating_point=row.operating_point,
        probabilities=row.probabilities,
        novelty=row.novelty,
        quality=row.quality,
        is_abstained=row.is_abstained,
        unread=row.unread,
        key_images=tuple(
            StoredKeyImage(image.sop_instance_uid, image.frame_number, image.evidence, image.contour)
            for image in images
        ),
        scored_at_us=row.scored_at,
        id=row.id,
    )
