"""What is kept of a score: names and codes of its classes, and contours in place of maps."""

from models.card import ModelCard
from models.evidence import contour
from serving.scoring.result import KeyImage, StudyScore
from serving.store.scores import Polygon, StoredKeyImage, StoredScore
from serving.store.studies import StoredInstance, StoredStudy


def stored_score(
    score: StudyScore, stored: StoredStudy, card: ModelCard, *, scored_at_us: int
) -> StoredScore:
    """Turn a model's result into what the database keeps.

    Files are told apart by their hash, which is their name in the store.
    """
    assert score.model is not None
    image_of_hash = {image.sha256: image for image in stored.instances}
    flagged = [finding.key for finding in score.findings if finding.is_flagged]
    return StoredScore(
        model_name=score.model.name,
        model_version=score.model.version,
        onnx_sha256=score.model.sha256,
        preprocessing_sha256=score.model.preprocessing_sha256,
        provider=score.model.provider,
        operating_point={
            "name": score.model.operating_point,
            "flagged": flagged,
            "context": None if score.context is None else score.context.as_object(),
        },
        probabilities=[
            {
                "key": spec.key,
                "name_en": spec.name_en,
                "name_zh": spec.name_zh,
                "probability": score.probabilities[spec.key],
                "is_finding": spec.is_finding,
            }
            for spec in card.classes
        ],
        novelty=score.novelty,
        quality=score.quality,
        is_abstained=score.status == "abstained",
        unread=[image_of_hash[one.path.name].file_name for one in score.unread],
        key_images=tuple(
            _key_image(image, image_of_hash[image.path.name], card) for image in score.key_images
        ),
        scored_at_us=scored_at_us,
    )


def _key_image(image: KeyImage, stored: StoredInstance, card: ModelCard) -> StoredKeyImage:
    polygons: list[Polygon] = []
    if image.evidence is not None:
        shape = stored.rows, stored.columns
        polygons = [
            [[round(x / stored.columns, 4), round(y / stored.rows, 4)] for x, y in polygon.tolist()]
            for polygon in contour(image.evidence, shape, card.input)
        ]
    return StoredKeyImage(stored.sop_instance_uid, image.frame, image.score, polygons)
